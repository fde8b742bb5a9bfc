//! The values that count: a compiled policy as keys and printed values, in the order of the file format.
//!
//! `explain` adds where they come from, `diff` compares two of them, and the journal of changes keeps the
//! difference. Structs are taken apart without `..`, so that a new field cannot be forgotten here.

mod dead_letter;
mod endpoints;
mod hedge;
mod idempotency;
mod overload;
mod rate_limit;
mod tls;
mod tracing;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::routes::{Entry, HostPattern, PathMatch, RouteMatch};
use super::tls::{ClientCert, OWN};
use super::{
    AccessLog, DeadlinePolicy, Direction, Drain, FixedEndpoint, Guard, Listener, Policy, ProxyStatus, RoutePolicy,
    Target, UpstreamPolicy, duration, size,
};
use crate::reliability::attempts::RetryPolicy;
use crate::reliability::backoff::{Backoff, Jitter};
use crate::reliability::balance::Balance;
use crate::reliability::breaker::BreakerPolicy;
use crate::reliability::budget::BudgetPolicy;
use crate::reliability::classify::RetryOn;
use crate::reliability::deadline::Timeouts;
use crate::reliability::dependency::DependencyPolicy;
use crate::reliability::ejection::EjectionPolicy;
use crate::reliability::grpc::Code;
use crate::reliability::throttle::ThrottlePolicy;

pub(super) use dead_letter::{bounds, causes};
pub(super) use hedge::delay_word;
pub(super) use idempotency::store;
pub(super) use tracing::tracing;

/// A key of the file format and its value in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub key: &'static str,
    pub value: String,
}

fn set(key: &'static str, value: impl Into<String>) -> Setting {
    Setting { key, value: value.into() }
}

fn time(key: &'static str, value: Duration) -> Setting {
    set(key, duration::print(value))
}

fn time_or_none(key: &'static str, value: Option<Duration>) -> Setting {
    set(key, value.map_or("none".to_owned(), duration::print))
}

fn count(key: &'static str, value: u32) -> Setting {
    set(key, value.to_string())
}

/// At most three digits after the point, none that say nothing.
fn number(key: &'static str, value: f64) -> Setting {
    set(key, decimal(value))
}

fn decimal(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn mode(key: &'static str, observe: bool) -> Setting {
    set(key, if observe { "observe" } else { "enforce" })
}

fn address(key: &'static str, value: Option<SocketAddr>) -> Setting {
    set(key, value.map_or("none".to_owned(), |addr| addr.to_string()))
}

/// What holds for the process as a whole.
pub fn process(policy: &Policy) -> Vec<Setting> {
    let Policy {
        name,
        admin,
        admin_access,
        metrics,
        drain,
        access_log,
        guard,
        tracing,
        replay_bytes_max,
        stores,
        dead_letters,
        listeners: _,
        upstreams: _,
        hash: _,
        text: _,
    } = policy;
    let Drain { delay, timeout } = *drain;
    let AccessLog { sample_ratio, errors_always } = *access_log;
    let mut settings = vec![
        set("name", name.as_deref().unwrap_or("none")),
        address("admin.listen", *admin),
        address("metrics.listen", *metrics),
        time("drain.delay", delay),
        time("drain.timeout", timeout),
        number("accessLog.sampleRatio", sample_ratio),
        set("accessLog.errors", if errors_always { "always" } else { "sampled" }),
        self::guard(*guard),
        set("limits.replayBytes", size::print(*replay_bytes_max as u64)),
    ];
    settings.splice(2..2, self::tls::admin(admin_access));
    settings.extend(self::tracing(tracing.as_ref()));
    settings.extend(idempotency::stores(stores));
    settings.extend(bounds(dead_letters.as_deref()));
    settings
}

/// What is done about a revision that makes matters worse.
pub fn guard(guard: Guard) -> Setting {
    set("policy.guard", guard.as_str())
}

/// What all routes of an upstream share.
pub fn upstream(policy: &UpstreamPolicy) -> Vec<Setting> {
    let UpstreamPolicy {
        name: _,
        direction,
        target,
        preserve_host,
        balance,
        hash_on,
        limits,
        dependency,
        ejection,
        health_check,
        slow_start,
        zones,
        connection_age_max,
        connect_timeout: _,
        idle_connections_max,
        idle_connection_timeout,
        tls,
        protocol,
        client_cert,
        routes: _,
    } = policy;
    let mut settings = vec![self::target(*direction, target, tls.is_some())];
    settings.extend(tls.as_deref().map(|tls| self::tls::client(&OWN, tls)).unwrap_or_default());
    settings.push(set("protocol", protocol.as_str()));
    settings.extend(match client_cert {
        ClientCert::Pass => None,
        ClientCert::Strip => Some(set("tls.forwardIdentity", "false")),
        ClientCert::Tell => Some(set("tls.forwardIdentity", "true")),
    });
    match direction {
        Direction::Inbound => {}
        Direction::Outbound => {
            settings.push(set("hostHeader", if *preserve_host { "preserve" } else { "upstream" }));
        }
    }
    settings.extend(overload::limits(*direction, limits));
    match direction {
        Direction::Inbound => {}
        Direction::Outbound => {
            let DependencyPolicy { budget, breaker, throttle } = dependency;
            settings.extend(self::budget(budget));
            settings.extend(self::breaker(breaker.as_ref()));
            settings.extend(self::throttle(throttle.as_ref()));
            settings.extend(self::ejection(ejection));
            settings.extend(self::endpoints::health_check(health_check.as_deref()));
            settings.push(set("balance.by", balance_word(*balance)));
            settings.extend(hash_on.as_ref().map(|name| set("balance.hashOn", format!("header:{name}"))));
            settings.extend((*balance != Balance::Hash).then(|| time_or_none("balance.slowStart", *slow_start)));
            settings.extend(self::endpoints::zones(zones.as_deref()));
            settings.push(count("keepAlive.connections", *idle_connections_max));
            settings.push(time("keepAlive.idle", *idle_connection_timeout));
            settings.push(time_or_none("keepAlive.maxAge", *connection_age_max));
        }
    }
    settings
}

fn target(direction: Direction, target: &Target, encrypted: bool) -> Setting {
    let scheme = if encrypted { "https" } else { "http" };
    let url = |authority: &String| format!("{scheme}://{authority}");
    let urls = |list: &[FixedEndpoint]| list.iter().map(|e| url(&e.authority)).collect::<Vec<_>>().join(", ");
    match (direction, target) {
        (Direction::Outbound, Target::Dns { host: _, port: _, authority }) => set("url", url(authority)),
        (Direction::Inbound, Target::Dns { host: _, port: _, authority }) => set("forward", url(authority)),
        (Direction::Outbound, Target::Fixed(list)) => set("endpoints", format!("[{}]", urls(list))),
        (Direction::Inbound, Target::Fixed(list)) => set("forward", urls(list)),
    }
}

pub(super) const fn balance_word(balance: Balance) -> &'static str {
    match balance {
        Balance::PeakEwma => "peakEwma",
        Balance::LeastRequest => "leastRequest",
        Balance::RoundRobin => "roundRobin",
        Balance::Hash => "hash",
    }
}

fn budget(policy: &BudgetPolicy) -> Vec<Setting> {
    let BudgetPolicy { ratio, ttl, burst: _, max_ratio: _, floor_per_second, observe } = policy;
    vec![
        mode("retryBudget.mode", *observe),
        number("retryBudget.percent", ratio * 100.0),
        time("retryBudget.interval", *ttl),
        number("retryBudget.minPerSecond", *floor_per_second),
    ]
}

fn breaker(policy: Option<&BreakerPolicy>) -> Vec<Setting> {
    let Some(policy) = policy else { return vec![set("circuitBreaker.mode", "none")] };
    let BreakerPolicy {
        window,
        min_requests,
        failure_percent,
        consecutive_failures,
        slow_call,
        open,
        max_open,
        half_open_requests,
        probe_timeout: _,
        observe,
    } = policy;
    let mut settings = vec![
        mode("circuitBreaker.mode", *observe),
        time("circuitBreaker.window", *window),
        count("circuitBreaker.minRequests", *min_requests),
        number("circuitBreaker.failurePercent", *failure_percent),
    ];
    settings.extend(consecutive_failures.map(|run| count("circuitBreaker.consecutiveFailures", run)));
    if let Some(slow) = slow_call {
        settings.push(time("circuitBreaker.slowCall.threshold", slow.threshold));
        settings.push(number("circuitBreaker.slowCall.percent", slow.percent));
    }
    settings.push(time("circuitBreaker.openDuration", *open));
    settings.push(time("circuitBreaker.maxOpenDuration", *max_open));
    settings.push(count("circuitBreaker.halfOpenRequests", *half_open_requests));
    settings
}

fn throttle(policy: Option<&ThrottlePolicy>) -> Vec<Setting> {
    let Some(policy) = policy else { return vec![set("throttle.mode", "none")] };
    let ThrottlePolicy { k, window, max_rejection, min_requests, observe } = policy;
    vec![
        mode("throttle.mode", *observe),
        number("throttle.multiplier", *k),
        time("throttle.window", *window),
        number("throttle.maxRejectedPercent", max_rejection * 100.0),
        count("throttle.minRequests", *min_requests),
    ]
}

fn ejection(policy: &EjectionPolicy) -> Vec<Setting> {
    let EjectionPolicy {
        consecutive_failures,
        failure_percent,
        min_requests,
        window,
        base,
        max,
        max_ejected_percent,
        observe,
    } = policy;
    vec![
        mode("ejection.mode", *observe),
        count("ejection.consecutiveFailures", *consecutive_failures),
        number("ejection.failurePercent", *failure_percent),
        count("ejection.minRequests", *min_requests),
        time("ejection.window", *window),
        time("ejection.baseDuration", *base),
        time("ejection.maxDuration", *max),
        count("ejection.maxEjectedPercent", *max_ejected_percent),
    ]
}

/// What holds for the requests of one route.
pub fn route(direction: Direction, policy: &RoutePolicy) -> Vec<Setting> {
    let RoutePolicy {
        name: _,
        timeouts,
        retry,
        hedge: _,
        replay_body_max,
        deadline,
        priority,
        proxy_status,
        idempotency,
        dead_letter,
        rate_limit,
    } = policy;
    let Timeouts { request, backend_request, connect, idle } = *timeouts;
    let mut settings = vec![time("timeouts.request", request)];
    match direction {
        Direction::Inbound => {}
        Direction::Outbound => {
            let derived = || "from recent latency".to_owned();
            settings.push(set("timeouts.backendRequest", backend_request.map_or_else(derived, duration::print)));
        }
    }
    settings.extend([time("timeouts.connect", connect), time("timeouts.idle", idle)]);
    match direction {
        Direction::Inbound => {}
        Direction::Outbound => {
            settings.extend(self::retry(retry, *replay_body_max));
            settings.extend(hedge::route(policy));
        }
    }
    settings.extend(self::idempotency::route(direction, retry.contract, idempotency.as_deref()));
    settings.extend(self::dead_letter::route(dead_letter.as_deref()));
    settings.extend(self::rate_limit::route(rate_limit.as_deref()));
    let DeadlinePolicy { grpc_timeout, envoy_timeout, propagate, margin, from_trace } = *deadline;
    let headers = [(grpc_timeout, "grpc-timeout"), (envoy_timeout, "x-envoy-expected-rq-timeout-ms")];
    settings.push(set("deadline.headers", words(&headers)));
    settings.push(set("deadline.propagate", propagate.to_string()));
    settings.push(time("deadline.margin", margin));
    settings.extend(overload::priority(priority.as_ref()));
    if direction == Direction::Outbound {
        settings.push(set("deadline.fromTrace", from_trace.to_string()));
    }
    settings.push(set(
        "proxyStatus",
        match proxy_status {
            ProxyStatus::Full => "full",
            ProxyStatus::Basic => "basic",
            ProxyStatus::None => "none",
        },
    ));
    settings
}

fn words(flags: &[(bool, &str)]) -> String {
    let given: Vec<&str> = flags.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
    format!("[{}]", given.join(", "))
}

fn retry(policy: &RetryPolicy, replay_body_max: usize) -> Vec<Setting> {
    let RetryPolicy {
        retries,
        on,
        codes,
        grpc_codes,
        backoff,
        respect_retry_after,
        contract: _,
        all_methods,
        holdout_percent,
    } = policy;
    let mut settings = vec![count("retry.attempts", *retries)];
    if *retries > 0 {
        let RetryOn { connect_failure, refused_stream, reset, timeout } = *on;
        let Backoff { base, cap, jitter, overload_base: _, overload_cap: _ } = *backoff;
        let on = [
            (connect_failure, "connect-failure"),
            (refused_stream, "refused-stream"),
            (reset, "reset"),
            (timeout, "timeout"),
        ];
        let codes: Vec<String> = codes.iter().map(|code| code.to_string()).collect();
        let grpc_codes: Vec<&str> = grpc_codes.iter().map(Code::as_str).collect();
        settings.extend([
            set("retry.retryOn", words(&on)),
            set("retry.codes", format!("[{}]", codes.join(", "))),
            set("retry.grpcCodes", format!("[{}]", grpc_codes.join(", "))),
            time("retry.backoff", base),
            time("retry.maxBackoff", cap),
            set(
                "retry.jitter",
                match jitter {
                    Jitter::Full => "full",
                    Jitter::Equal => "equal",
                    Jitter::None => "none",
                },
            ),
            set("retry.methods", if *all_methods { "all" } else { "idempotent" }),
            set("retry.respectRetryAfter", respect_retry_after.to_string()),
            set("retry.maxBody", size::print(replay_body_max as u64)),
            set("retry.holdoutPercent", holdout_percent.to_string()),
        ]);
    }
    settings
}

/// How an upstream is reached: through which listener, and as what of its entries.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    pub listener: &'a Listener,
    pub entry: &'a Entry,
}

/// How every upstream of the policy is reached, by its index.
pub fn reached(policy: &Policy) -> HashMap<u32, Reach<'_>> {
    let entries =
        policy.listeners.iter().flat_map(|listener| listener.table.entries().iter().map(move |e| (listener, e)));
    entries.map(|(listener, entry)| (entry.upstream, Reach { listener, entry })).collect()
}

/// The listener of an upstream, and what of a request must match.
pub fn reach(reach: Option<Reach<'_>>) -> Vec<Setting> {
    let Some(Reach { listener, entry: Entry { upstream: _, hosts, path_prefix, routes: _ } }) = reach else {
        return Vec::new();
    };
    let mut settings = vec![set("listen", listener.addr.to_string())];
    if !hosts.is_empty() {
        settings.push(set("match.hosts", hosts_text(hosts)));
    }
    settings.extend(path_prefix.as_ref().map(|prefix| set("match.pathPrefix", prefix.as_ref())));
    if listener.direction == Direction::Inbound {
        settings.push(time_or_none("keepAlive.maxAge", listener.age_max));
    }
    settings.extend(listener.tls.as_deref().map(|tls| self::tls::server(&OWN, tls)).unwrap_or_default());
    settings
}

/// What of a request a route asks for, on one line.
pub fn match_text(wanted: &RouteMatch) -> String {
    let RouteMatch { path, methods, hosts } = wanted;
    let mut parts = Vec::new();
    if !methods.is_empty() {
        parts.push(methods.iter().map(http::Method::as_str).collect::<Vec<_>>().join(","));
    }
    if !hosts.is_empty() {
        parts.push(hosts_text(hosts));
    }
    parts.push(match path {
        PathMatch::Any => "any path".to_owned(),
        PathMatch::Exact(path) => path.to_string(),
        PathMatch::Prefix(prefix) => format!("{}/*", prefix.trim_end_matches('/')),
    });
    parts.join(" ")
}

fn hosts_text(hosts: &[HostPattern]) -> String {
    let text = |host: &HostPattern| match host {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Suffix(name) => format!("*{name}"),
    };
    format!("[{}]", hosts.iter().map(text).collect::<Vec<_>>().join(", "))
}

/// The most that one request can cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorstCase {
    /// How often it is sent.
    pub load: u32,
    /// How long its client waits.
    pub wait: Duration,
}

/// The worst case of a single request. The retry budget bounds the sum over all of them further.
pub fn worst_case(upstream: &UpstreamPolicy, route: &RoutePolicy) -> WorstCase {
    let budget = &upstream.dependency.budget;
    let denied = budget.ratio == 0.0 && budget.floor_per_second == 0.0;
    let load = if denied { 1 } else { 1 + route.retry.retries };
    WorstCase { load, wait: route.timeouts.request }
}
