//! What operators change while the proxy runs: one YAML file, compiled into a value that cannot be wrong.

pub mod admin;
pub mod compile;
pub mod dead_letter;
pub mod diagnostic;
pub mod diff;
pub mod duration;
pub mod effective;
pub mod endpoints;
pub mod explain;
pub mod idempotency;
pub mod journal;
pub mod lint;
pub mod origin;
pub mod priority;
pub mod rate_limit;
pub mod raw;
pub mod routes;
pub mod schema;
pub mod size;
pub mod store;
pub mod tls;
pub mod tracing;
pub mod watch;
pub mod words;
pub(crate) mod yaml;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::reliability::attempts::RetryPolicy;
use crate::reliability::balance::Balance;
use crate::reliability::deadline::Timeouts;
use crate::reliability::dependency::DependencyPolicy;
use crate::reliability::ejection::EjectionPolicy;
use crate::reliability::hedge::HedgePolicy;
use crate::reliability::limit::Limits;

/// A compiled policy. Immutable; a request keeps the one it began with.
#[derive(Debug)]
pub struct Policy {
    /// `name`: shown in metrics, events and `Proxy-Status: outrigger/NAME`.
    pub name: Option<String>,
    /// `admin.listen`. Read at start only.
    pub admin: Option<SocketAddr>,
    /// `admin.tokenFile` and `admin.tls`. Read at start only.
    pub admin_access: admin::AdminAccess,
    /// `metrics.listen`. Read at start only.
    pub metrics: Option<SocketAddr>,
    pub drain: Drain,
    pub access_log: AccessLog,
    /// What happens when a new policy makes matters worse. `policy.guard`, default `warn`.
    pub guard: Guard,
    /// `tracing`. None = the environment decides alone.
    pub tracing: Option<tracing::TracingPolicy>,
    /// Bytes of request bodies held for replay, over all requests. `limits.replayBytes`, default 64 MiB.
    pub replay_bytes_max: usize,
    /// Where records of idempotency keys can be kept.
    pub stores: idempotency::Stores,
    /// Bounds of dead letters. Some = a route keeps them, and `stores.embedded` is where they lie.
    pub dead_letters: Option<Arc<dead_letter::DeadLetterBounds>>,
    /// Every address traffic is accepted on.
    pub listeners: Vec<Listener>,
    /// Outbound dependencies in file order; the inbound app, if any, is last and named `app`.
    pub upstreams: Vec<UpstreamPolicy>,
    /// sha-256 of the file's bytes, lower-case hex: what `sha256sum policy.yaml` prints.
    pub hash: String,
    /// The text it was compiled from.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Inbound only: how long to keep accepting after readiness went off. Default 5 s.
    pub delay: Duration,
    /// How long requests in flight may take to finish. Default 20 s.
    pub timeout: Duration,
}

/// `accessLog`. Absent in the file = errors always, successes 1 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AccessLog {
    /// Share of successful requests written, 0.0 to 1.0.
    pub sample_ratio: f64,
    /// `errors: always` writes every request that failed or was retried.
    pub errors_always: bool,
}

/// `policy.guard`: what is done about a revision after which an upstream does clearly worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// It is told.
    #[default]
    Warn,
    /// It is told, and the policy before it comes into force again.
    Rollback,
    /// Nobody looks.
    None,
}

impl Guard {
    pub const fn as_str(self) -> &'static str {
        match self {
            Guard::Warn => "warn",
            Guard::Rollback => "rollback",
            Guard::None => "none",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Outbound,
    Inbound,
}

impl Direction {
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Outbound => "outbound",
            Direction::Inbound => "inbound",
        }
    }
}

/// One address and the routes reachable through it.
#[derive(Debug)]
pub struct Listener {
    pub addr: SocketAddr,
    pub direction: Direction,
    pub table: routes::RouteTable,
    /// Client connections accepted at once on this listener. Default 1,024 outbound; `inbound.limits.connections` inbound.
    pub connections_max: u32,
    /// How long an idle client connection is kept; also the limit for reading a head. `timeouts.idle`.
    pub idle: Duration,
    /// `inbound.keepAlive.maxAge`: an older client connection is asked to end. None = any age.
    pub age_max: Option<Duration>,
    /// Encrypted. None: HTTP/1.1 and HTTP/2 with prior knowledge in clear.
    pub tls: Option<Arc<tls::ServerTls>>,
}

/// One dependency, or the app behind `inbound`.
#[derive(Debug)]
pub struct UpstreamPolicy {
    pub name: Arc<str>,
    pub direction: Direction,
    pub target: Target,
    /// Send the client's Host on instead of the endpoint's authority. Inbound: always true.
    pub preserve_host: bool,
    pub balance: Balance,
    /// `balance.hashOn: header:NAME`, lower-case. Some iff `balance` is `Hash`.
    pub hash_on: Option<http::HeaderName>,
    pub limits: Limits,
    pub dependency: DependencyPolicy,
    pub ejection: EjectionPolicy,
    /// How endpoints are checked. None = they are not.
    pub health_check: Option<Arc<endpoints::HealthCheckPolicy>>,
    /// `balance.slowStart`. None = endpoints get their whole share at once.
    pub slow_start: Option<Duration>,
    /// `balance.zone`. None = zones are not told apart.
    pub zones: Option<Arc<endpoints::ZonePolicy>>,
    /// `keepAlive.maxAge`: an older connection takes no new request. None = any age.
    pub connection_age_max: Option<Duration>,
    /// Encrypted. Some iff the target is `https`.
    pub tls: Option<Arc<tls::ClientTls>>,
    /// Which HTTP is spoken.
    pub protocol: tls::Protocol,
    /// What the app is told of its caller's certificate. Outbound nothing is touched.
    pub client_cert: tls::ClientCert,
    /// `timeouts.connect`; with TLS of its handshake, too.
    pub connect_timeout: Duration,
    /// Idle upstream connections kept per endpoint. Default = `limits.connections`.
    pub idle_connections_max: u32,
    /// An idle upstream connection is closed after this time; below the peer's keep-alive. Default 30 s.
    pub idle_connection_timeout: Duration,
    /// In file order; the last one is the implicit `default` route that matches everything.
    pub routes: Vec<RoutePolicy>,
}

/// Where an upstream's endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `url`: all addresses of a name, re-resolved by TTL. An IP literal is a fixed list of one.
    Dns { host: String, port: u16, authority: String },
    /// `endpoints` (or an IP literal), or `inbound.forward`.
    Fixed(Vec<FixedEndpoint>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedEndpoint {
    pub addr: SocketAddr,
    /// Host header value: `host[:port]` as written.
    pub authority: String,
}

/// How a route treats its requests.
#[derive(Debug)]
pub struct RoutePolicy {
    pub name: Arc<str>,
    pub timeouts: Timeouts,
    pub retry: RetryPolicy,
    /// A second attempt beside a slow first one. None = never.
    pub hedge: Option<HedgePolicy>,
    /// Bodies up to this are buffered for replay. `retry.maxBody`, default 64 KiB. 0 without retries and hedges.
    pub replay_body_max: usize,
    pub deadline: DeadlinePolicy,
    /// How important its requests are. None = all are equal, retries too.
    pub priority: Option<priority::PriorityPolicy>,
    pub proxy_status: ProxyStatus,
    /// Deduplication by key. None = off: keys are passed on and mean nothing.
    pub idempotency: Option<Arc<idempotency::IdempotencyPolicy>>,
    /// What is kept of requests that have an effect and could not be served. None = nothing.
    pub dead_letter: Option<Arc<dead_letter::DeadLetterPolicy>>,
    /// How many requests each caller may send. None = as many as it likes.
    pub rate_limit: Option<Arc<rate_limit::RateLimitPolicy>>,
}

/// `deadline`. Present by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlinePolicy {
    /// Inherit from `grpc-timeout`.
    pub grpc_timeout: bool,
    /// Inherit from `x-envoy-expected-rq-timeout-ms`.
    pub envoy_timeout: bool,
    /// Send the remaining time on.
    pub propagate: bool,
    /// Taken off what is propagated. Default 10 ms.
    pub margin: Duration,
    /// Outbound: inherit from the inbound request of the same trace, and with it that it is a retry. Default false.
    pub from_trace: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyStatus {
    Full,
    Basic,
    None,
}
