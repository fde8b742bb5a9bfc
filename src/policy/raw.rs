//! The policy file as it is written: a mirror for serde without logic.
//!
//! Unknown keys are errors everywhere. A key is added here, read in `compile`, printed in `effective`
//! and described in `config/outrigger.yaml`; tests hold the four together. The sentences below are what
//! editors show, because the JSON Schema is generated from them.

mod dead_letter;
mod endpoints;
mod hedge;
mod idempotency;
mod overload;
mod rate_limit;
pub mod scalar;
mod stores;
mod tls;
mod tracing;
mod word;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

pub use dead_letter::{Capture, DeadLetter, RouteDeadLetter};
pub use endpoints::{HealthCheck, Zone};
pub use hedge::Hedge;
pub use idempotency::Idempotency;
pub use overload::{Adaptive, Priority, Queue};
pub use rate_limit::RateLimit;
pub use stores::{EmbeddedStore, RedisStore, Stores};
pub use tls::{InboundTls, UpstreamTls};
pub use tracing::Tracing;

use scalar::{
    Address, AddressOrNone, At, FilePath, Flag, GrpcCode, HashOn, Host, Key, Method, Name, Named, Path, Percent, Rate,
    Ratio, Size, Text, Time, TimeOrNone, UpstreamUrl, Url, Version, Whole,
};

/// An Outrigger policy: how requests to dependencies, and to the app itself, are protected.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct File {
    /// Version of this format. Always 1.
    pub version: Key<Text<Version>>,
    /// Shown in metrics, events and the Proxy-Status header.
    pub name: Key<Text<Name>>,
    /// Where the app sends its requests; upstreams without a `listen` of their own are reached here. Default 127.0.0.1:4400.
    pub listen: Key<Text<Address>>,
    /// Status, page and changes by hand.
    pub admin: Key<Admin>,
    /// Metrics and probes.
    pub metrics: Key<Metrics>,
    /// What happens between SIGTERM and exit.
    pub drain: Key<Drain>,
    /// How much the Proxy-Status header tells: full, basic (the error only) or none. Default full.
    pub proxy_status: Key<ProxyStatus>,
    /// JSON lines about requests. Default: every failure, 1% of the successes.
    pub access_log: Key<AccessLog>,
    /// Traces of requests for a collector (OTLP). Default: as the environment says (OTEL_*).
    pub tracing: Key<Tracing>,
    /// Limits of the whole process.
    pub limits: Key<ProcessLimits>,
    /// What happens when a new policy makes matters worse.
    pub policy: Key<PolicyBlock>,
    /// Where records of idempotency keys are kept. Needed by routes that deduplicate.
    pub stores: Key<Stores>,
    /// How much of what failed is kept, and for how long, for routes with a deadLetter of their own. Read when the store is opened, except for capture.
    pub dead_letter: Key<DeadLetter>,
    /// Merged under every upstream, key by key inside each block. Inbound is not affected.
    pub defaults: Key<Defaults>,
    /// The services that the app calls, by name.
    pub upstreams: Key<Named<Upstream>>,
    /// In front of the app itself.
    pub inbound: Key<Inbound>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Admin {
    /// Address of the admin API, or none. Beyond loopback it needs tokenFile, or tls with a clientCa. Read at start only. Default 127.0.0.1:4490.
    pub listen: Key<Text<AddressOrNone>>,
    /// A file with a token, at least 16 characters, that callers must show, on loopback too. Read again when it changes.
    pub token_file: Key<Text<FilePath>>,
    /// Encryption; with clientCa callers must show a certificate. Read at start only, its files whenever they change.
    pub tls: Key<InboundTls>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Metrics {
    /// Address of /metrics, /livez and /readyz, or none. Read at start only. Default 0.0.0.0:4491.
    pub listen: Key<Text<AddressOrNone>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Drain {
    /// Inbound only: how long new requests are still accepted after readiness went off. Default 5s.
    pub delay: Key<Text<Time>>,
    /// How long requests in flight may take to finish. Default 20s.
    pub timeout: Key<Text<Time>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AccessLog {
    /// Always json.
    pub format: Key<LogFormat>,
    /// Share of the successful requests that is written, 0.0 to 1.0. Default 0.01.
    pub sample_ratio: Key<Text<Ratio>>,
    /// always: every request that failed or was retried; sampled: like successes. Default always.
    pub errors: Key<LogErrors>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProcessLimits {
    /// Memory for request bodies that are held for a retry, over all requests. Default 64MiB.
    pub replay_bytes: Key<Text<Size>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicyBlock {
    /// For a minute after each new policy, upstreams that it changes are compared with the minute before. If one does clearly worse, warn: an event and an entry in the journal; rollback: also the policy before it comes into force again; none: nobody looks. Default warn.
    pub guard: Key<Guard>,
}

/// What every upstream has unless it says otherwise.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Defaults {
    /// Time limits.
    pub timeouts: Key<Timeouts>,
    /// Deadlines taken over from callers and handed on.
    pub deadline: Key<Deadline>,
    /// Retries. Present = on.
    pub retry: Key<Retry>,
    /// A second attempt beside a slow first one. Present = on.
    pub hedge: Key<Hedge>,
    /// How many retries an upstream can be asked to bear. Always on.
    pub retry_budget: Key<RetryBudget>,
    /// Fails fast while a dependency is down. Present = on.
    pub circuit_breaker: Key<CircuitBreaker>,
    /// Takes failing endpoints out of rotation. Always on, without effect on a single endpoint.
    pub ejection: Key<Ejection>,
    /// Asks endpoints how they do, without waiting for requests to fail. Present = on.
    pub health_check: Key<HealthCheck>,
    /// Refuses a growing share of requests while most of them fail. On where circuitBreaker is on.
    pub throttle: Key<Throttle>,
    /// Which endpoint gets a request.
    pub balance: Key<Balance>,
    /// Caps. Always on.
    pub limits: Key<Limits>,
    /// How important requests are, in an overload.
    pub priority: Key<Priority>,
    /// Idle connections to the endpoints.
    pub keep_alive: Key<KeepAlive>,
    /// Encryption, where the URL of an upstream is https.
    pub tls: Key<UpstreamTls>,
    /// auto (with TLS what is agreed on; without: HTTP/1.1, and HTTP/2 for gRPC), http1 or http2. Default auto.
    pub protocol: Key<Protocol>,
    /// How much the Proxy-Status header tells.
    pub proxy_status: Key<ProxyStatus>,
}

/// One dependency.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Upstream {
    /// http://HOST:PORT, or https://HOST:PORT. All addresses of the name are used and looked up again as their TTL demands. Either url or endpoints.
    pub url: Key<Text<UpstreamUrl>>,
    /// A fixed list of http://IP:PORT, or of https://IP:PORT. Either url or endpoints.
    pub endpoints: Key<Vec<At<Text<UpstreamUrl>>>>,
    /// A listener of its own: everything that arrives there goes to this upstream.
    pub listen: Key<Text<Address>>,
    /// Which requests on the shared listener are meant. Default: those whose Host is the upstream's name or the host of its url.
    #[serde(rename = "match")]
    pub matches: Key<UpstreamMatch>,
    /// upstream: send the endpoint's own Host; preserve: send the Host that the client sent. Default upstream.
    pub host_header: Key<HostHeader>,
    /// Caps. Always on.
    pub limits: Key<Limits>,
    /// How important requests are, in an overload.
    pub priority: Key<Priority>,
    /// Time limits.
    pub timeouts: Key<Timeouts>,
    /// Deadlines taken over from callers and handed on.
    pub deadline: Key<Deadline>,
    /// Retries. Present = on.
    pub retry: Key<Retry>,
    /// A second attempt beside a slow first one. Present = on.
    pub hedge: Key<Hedge>,
    /// How many retries this upstream can be asked to bear. Always on.
    pub retry_budget: Key<RetryBudget>,
    /// Fails fast while the dependency is down. Present = on.
    pub circuit_breaker: Key<CircuitBreaker>,
    /// Takes failing endpoints out of rotation. Always on, without effect on a single endpoint.
    pub ejection: Key<Ejection>,
    /// Asks endpoints how they do, without waiting for requests to fail. Present = on.
    pub health_check: Key<HealthCheck>,
    /// Refuses a growing share of requests while most of them fail. On where circuitBreaker is on.
    pub throttle: Key<Throttle>,
    /// Which endpoint gets a request.
    pub balance: Key<Balance>,
    /// Idle connections to the endpoints.
    pub keep_alive: Key<KeepAlive>,
    /// Encryption, where the URL is https. Without it the system's certificates vouch for the host.
    pub tls: Key<UpstreamTls>,
    /// auto (with TLS what is agreed on; without: HTTP/1.1, and HTTP/2 for gRPC), http1 or http2. Default auto.
    pub protocol: Key<Protocol>,
    /// How much the Proxy-Status header tells.
    pub proxy_status: Key<ProxyStatus>,
    /// How many requests each caller may send to this upstream. Present = on.
    pub rate_limit: Key<RateLimit>,
    /// Requests that are treated differently. What matches none of them goes by the route named default.
    pub routes: Key<Vec<At<Route>>>,
}

/// Requests on the shared listener.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct UpstreamMatch {
    /// Hosts: exact (any port, or the one given) or *.suffix. Without it any host, if pathPrefix is given.
    pub hosts: Key<Vec<At<Text<Host>>>>,
    /// Whole path segments: /pay matches /pay and /pay/x, not /payments. The path is passed on unchanged.
    pub path_prefix: Key<Text<Path>>,
}

/// Requests that are treated differently.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Route {
    /// Label in metrics and logs; unique in its upstream.
    pub name: Key<Text<Name>>,
    /// Which requests. Exact path before longest prefix before hosts before methods before order in the file.
    #[serde(rename = "match")]
    pub matches: Key<RouteMatch>,
    /// Time limits; keys left out come from the upstream.
    pub timeouts: Key<Timeouts>,
    /// Deadlines taken over from callers and handed on; keys left out come from the upstream.
    pub deadline: Key<Deadline>,
    /// Retries; keys left out come from the upstream. attempts: 0 = no retries here.
    pub retry: Key<Retry>,
    /// A second attempt beside a slow first one; keys left out come from the upstream. mode: none = not here.
    pub hedge: Key<Hedge>,
    /// How important these requests are, in an overload; keys left out come from the upstream.
    pub priority: Key<Priority>,
    /// What the upstream promises about requests sent twice, and deduplication by key. With any key but contract it is on.
    pub idempotency: Key<Idempotency>,
    /// Keeps requests that have an effect and could not be served, for repair. Present = on; needs stores.embedded.
    pub dead_letter: Key<RouteDeadLetter>,
    /// How much the Proxy-Status header tells.
    pub proxy_status: Key<ProxyStatus>,
    /// How many requests each caller may send here, counted apart; keys left out come from the upstream. mode: none = as many as it likes.
    pub rate_limit: Key<RateLimit>,
}

/// All that is given must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RouteMatch {
    /// Any of these methods.
    pub methods: Key<Vec<At<Text<Method>>>>,
    /// Exactly this path.
    pub path: Key<Text<Path>>,
    /// Whole path segments: /v1 matches /v1 and /v1/x, not /v10.
    pub path_prefix: Key<Text<Path>>,
    /// Hosts: exact (any port, or the one given) or *.suffix.
    pub hosts: Key<Vec<At<Text<Host>>>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timeouts {
    /// Opening a connection. Default 250ms.
    pub connect: Key<Text<Time>>,
    /// One attempt. Default: three times the p99 of recent successes, at least 50ms; request / (1 + attempts) until 100 are known.
    pub backend_request: Key<Text<Time>>,
    /// The whole request, over all attempts and waits between them. Default 15s.
    pub request: Key<Text<Time>>,
    /// A client connection without traffic. Default 60s.
    pub idle: Key<Text<Time>>,
}

/// A caller can shorten the time that is left, never lengthen it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Deadline {
    /// Headers that carry a caller's deadline. Default both; [] = none.
    pub headers: Key<Vec<At<DeadlineHeader>>>,
    /// Send the time that is left on. Default true.
    pub propagate: Key<Text<Flag>>,
    /// Taken off what is sent on, for the way there. Default 10ms.
    pub margin: Key<Text<Time>>,
    /// Of upstreams, with inbound: a call that names the trace of a request that is with the app ends no later than that request, and is not retried if that one is a retry already. Not where the app goes on working after its answer. Default false.
    pub from_trace: Key<Text<Flag>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retry {
    /// Retries after the first try, 0 to 10. Default 1.
    pub attempts: Key<Text<Whole>>,
    /// Failures that are retried. Default all four.
    pub retry_on: Key<Vec<At<RetryOn>>>,
    /// Statuses that are retried. Default 502, 503, 504.
    pub codes: Key<Vec<At<Text<Whole>>>>,
    /// Ends of gRPC calls that are retried, such as UNAVAILABLE or ABORTED. A call is a POST: see methods. Default UNAVAILABLE.
    pub grpc_codes: Key<Vec<At<Text<GrpcCode>>>>,
    /// The first wait; doubles with each retry. Default 25ms.
    pub backoff: Key<Text<Time>>,
    /// The longest wait. Default 250ms.
    pub max_backoff: Key<Text<Time>>,
    /// full: 0 to the wait; equal: half to the wait; none. Default full.
    pub jitter: Key<Jitter>,
    /// idempotent: GET, HEAD, OPTIONS, TRACE, PUT, DELETE; others only as far as idempotency.contract permits. all: every request may be sent twice, also POST and gRPC calls; not in defaults. Default idempotent.
    pub methods: Key<RetryMethods>,
    /// Wait at least as long as the answer's Retry-After says. Default true.
    pub respect_retry_after: Key<Text<Flag>>,
    /// Request bodies up to this size are held for a retry; larger ones stream and are not retried. Default 64KiB.
    pub max_body: Key<Text<Size>>,
    /// So many requests in a hundred, by lot, are not retried, to measure what retries add; 0 to 10. Not on routes with idempotency keys or a deadLetter. Default 0.
    pub holdout_percent: Key<Text<Percent>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RetryBudget {
    /// Retries per hundred requests that succeeded at the first try. Default 20.
    pub percent: Key<Text<Percent>>,
    /// How long a success counts. Default 10s.
    pub interval: Key<Text<Time>>,
    /// Retries per second that are always allowed. Default 1.
    pub min_per_second: Key<Text<Rate>>,
    /// enforce or observe (count what it would deny, and retry all the same). Default enforce.
    pub mode: Key<ObserveMode>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CircuitBreaker {
    /// Attempts of this long are looked at. Default 10s.
    pub window: Key<Text<Time>>,
    /// Fewer attempts in the window decide nothing. Default 20.
    pub min_requests: Key<Text<Whole>>,
    /// Opens when this share of attempts failed. Default 90: what works in part is better served by retries and the throttle.
    pub failure_percent: Key<Text<Percent>>,
    /// Opens after this many failures in a row. Default: not used.
    pub consecutive_failures: Key<Text<Whole>>,
    /// Opens when this share of attempts is slow. Default: not used.
    pub slow_call: Key<SlowCall>,
    /// How long it stays open the first time; doubles each time it opens again. Default 1s.
    pub open_duration: Key<Text<Time>>,
    /// The longest it stays open. Default 30s.
    pub max_open_duration: Key<Text<Time>>,
    /// Attempts let through to see whether the dependency is back; all must succeed. Default 3.
    pub half_open_requests: Key<Text<Whole>>,
    /// enforce, observe (report what it would do) or none. Default enforce.
    pub mode: Key<Mode>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SlowCall {
    /// An attempt longer than this is slow.
    pub threshold: Key<Text<Time>>,
    /// Share of slow attempts that opens. Default 80.
    pub percent: Key<Text<Percent>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Ejection {
    /// Failures in a row that take an endpoint out. Default 5.
    pub consecutive_failures: Key<Text<Whole>>,
    /// Share of failures in the window that takes an endpoint out, if its peers do clearly better. Default 50.
    pub failure_percent: Key<Text<Percent>>,
    /// Fewer attempts in the window decide nothing about the share. Default 20.
    pub min_requests: Key<Text<Whole>>,
    /// Attempts of this long are looked at. Default 10s.
    pub window: Key<Text<Time>>,
    /// How long an endpoint is out the first time; doubles each time. Default 1s.
    pub base_duration: Key<Text<Time>>,
    /// The longest an endpoint is out. Default 60s.
    pub max_duration: Key<Text<Time>>,
    /// At most this share of the endpoints is out at once, and never the last one. Default 50.
    pub max_ejected_percent: Key<Text<Whole>>,
    /// enforce or observe (report what it would do). Default enforce.
    pub mode: Key<ObserveMode>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Throttle {
    /// Refuses once requests exceed this many times the answered ones. Default 2.
    pub multiplier: Key<Text<Rate>>,
    /// Requests of this long are looked at. Default 10s, or twice timeouts.request if that is longer.
    pub window: Key<Text<Time>>,
    /// The largest share that is refused; the rest keeps probing. Default 90.
    pub max_rejected_percent: Key<Text<Percent>>,
    /// Fewer requests in the window decide nothing. Default 20.
    pub min_requests: Key<Text<Whole>>,
    /// enforce, observe (report what it would do) or none. Default: that of circuitBreaker.
    pub mode: Key<Mode>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Balance {
    /// peakEwma (fast and idle endpoints first), leastRequest, roundRobin or hash. Default peakEwma.
    pub by: Key<BalanceBy>,
    /// hash only: header:NAME, whose value decides.
    pub hash_on: Key<Text<HashOn>>,
    /// How long an endpoint that joins others, or comes back, starts slowly: from a tenth of its share to all of it; or none. Not with hash. Default 10s.
    pub slow_start: Key<Text<TimeOrNone>>,
    /// Endpoints of our own zone first. Default: zones are not told apart.
    pub zone: Key<Zone>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Connections per endpoint; inbound: connections accepted from clients. Default 128; inbound 512.
    pub connections: Key<Text<Whole>>,
    /// Requests in flight. Default 256; inbound 128.
    pub requests: Key<Text<Whole>>,
    /// Requests that wait for a place, at most 100 ms. Default 64; inbound 32.
    pub pending: Key<Text<Whole>>,
    /// How many of them the upstream can bear, found out. Present = on.
    pub adaptive: Key<Adaptive>,
    /// What is done about a queue that stands. Present = on; on where adaptive is.
    pub queue: Key<Queue>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KeepAlive {
    /// Idle connections kept per endpoint. Default: limits.connections.
    pub connections: Key<Text<Whole>>,
    /// An idle connection is closed after this time; stay below the server's own limit. Default 30s.
    pub idle: Key<Text<Time>>,
    /// A connection older than this, give or take a tenth, takes no new request and ends when it is idle; or none. Default none.
    pub max_age: Key<Text<TimeOrNone>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct InboundKeepAlive {
    /// A caller's connection older than this, give or take a tenth, is asked to end: its caller opens another one, and may reach another instance; or none. Default none.
    pub max_age: Key<Text<TimeOrNone>>,
}

/// caller -> Outrigger -> app. Inbound never retries or balances.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Inbound {
    /// Where callers arrive. Default 0.0.0.0:4401.
    pub listen: Key<Text<Address>>,
    /// The app: http://127.0.0.1:PORT. Must be loopback.
    pub forward: Key<Text<Url>>,
    /// Encryption of what callers send. Without it they come in clear.
    pub tls: Key<InboundTls>,
    /// Towards the app: auto (HTTP/1.1, and HTTP/2 for gRPC), http1 or http2. Default auto.
    pub protocol: Key<Protocol>,
    /// Caps. Always on.
    pub limits: Key<Limits>,
    /// How important requests are, in an overload.
    pub priority: Key<Priority>,
    /// Connections of callers.
    pub keep_alive: Key<InboundKeepAlive>,
    /// Time limits.
    pub timeouts: Key<InboundTimeouts>,
    /// Deadlines taken over from callers and handed on.
    pub deadline: Key<Deadline>,
    /// How much the Proxy-Status header tells callers. Default basic.
    pub proxy_status: Key<ProxyStatus>,
    /// How many requests each caller may send. Present = on.
    pub rate_limit: Key<RateLimit>,
    /// Requests that are treated differently. What matches none of them goes by the route named default.
    pub routes: Key<Vec<At<InboundRoute>>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct InboundTimeouts {
    /// Opening a connection to the app. Default 250ms.
    pub connect: Key<Text<Time>>,
    /// The whole request. Default 15s.
    pub request: Key<Text<Time>>,
    /// A client connection without traffic. Default 60s.
    pub idle: Key<Text<Time>>,
}

/// Requests that are treated differently.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct InboundRoute {
    /// Label in metrics and logs; unique.
    pub name: Key<Text<Name>>,
    /// Which requests. Exact path before longest prefix before hosts before methods before order in the file.
    #[serde(rename = "match")]
    pub matches: Key<RouteMatch>,
    /// Time limits; keys left out come from inbound.
    pub timeouts: Key<InboundTimeouts>,
    /// How important these requests are, in an overload; keys left out come from inbound.
    pub priority: Key<Priority>,
    /// What the app promises about requests sent twice, and deduplication by key. With any key but contract it is on.
    pub idempotency: Key<Idempotency>,
    /// Keeps requests that have an effect and could not be served, for repair. Present = on; needs stores.embedded.
    pub dead_letter: Key<RouteDeadLetter>,
    /// How many requests each caller may send here, counted apart; keys left out come from inbound. mode: none = as many as it likes.
    pub rate_limit: Key<RateLimit>,
}

scalar::blocks! {
    Admin Metrics Drain AccessLog ProcessLimits PolicyBlock Defaults Upstream
    UpstreamMatch Route RouteMatch Timeouts Deadline Retry RetryBudget CircuitBreaker
    SlowCall Ejection Throttle Balance Limits KeepAlive InboundKeepAlive Inbound InboundTimeouts
    InboundRoute
}

macro_rules! words {
    ($($name:ident { $($variant:ident = $word:literal),+ $(,)? })*) => {$(
        #[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
        #[schemars(inline)]
        pub enum $name { $(#[schemars(rename = $word)] $variant),+ }

        impl scalar::Placed for $name {}

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                const WORDS: &[&str] = &[$($word),+];
                let place = word::place(deserializer, stringify!($name), WORDS)?;
                [$($name::$variant),+].get(place).copied().ok_or_else(|| D::Error::custom("not a word of these"))
            }
        }
    )*};
}

words! {
    HostHeader { Upstream = "upstream", Preserve = "preserve" }
    ProxyStatus { Full = "full", Basic = "basic", None = "none" }
    LogFormat { Json = "json" }
    LogErrors { Always = "always", Sampled = "sampled" }
    CheckProtocol { Http = "http", Grpc = "grpc" }
    Protocol { Auto = "auto", Http1 = "http1", Http2 = "http2" }
    Guard { Warn = "warn", Rollback = "rollback", None = "none" }
    RetryOn {
        ConnectFailure = "connect-failure",
        RefusedStream = "refused-stream",
        Reset = "reset",
        Timeout = "timeout",
    }
    RetryMethods { Idempotent = "idempotent", All = "all" }
    Jitter { Full = "full", Equal = "equal", None = "none" }
    Mode { Enforce = "enforce", Observe = "observe", None = "none" }
    ObserveMode { Enforce = "enforce", Observe = "observe" }
    BalanceBy { PeakEwma = "peakEwma", LeastRequest = "leastRequest", RoundRobin = "roundRobin", Hash = "hash" }
    Contract { Opaque = "opaque", Atomic5xx = "atomic5xx", Dedupes = "dedupes" }
    StoreKind { Embedded = "embedded", Redis = "redis" }
    Durability { Process = "process", Power = "power" }
    KeySyntax { Lenient = "lenient", Strict = "strict" }
    InFlight { Wait = "wait", Reject = "reject" }
    Oversize { Reject = "reject", Bypass = "bypass" }
    OnStoreError { Closed = "closed", Open = "open" }
    ForwardKey { AsIs = "asIs", Strip = "strip" }
    Cause {
        RetriesExhausted = "retries-exhausted",
        Deadline = "deadline",
        CircuitOpen = "circuit-open",
        ServerError = "server-error",
        OutcomeUnknown = "outcome-unknown",
        ProcessEnded = "process-ended",
    }
    Class {
        CriticalPlus = "critical-plus",
        Critical = "critical",
        SheddablePlus = "sheddable-plus",
        Sheddable = "sheddable",
    }
    CaptureAt { Failure = "failure", Send = "send" }
    Credentials { Seal = "seal", Drop = "drop" }
    DeadlineHeader { GrpcTimeout = "grpc-timeout", XEnvoyExpectedRqTimeoutMs = "x-envoy-expected-rq-timeout-ms" }
}
