//! What happens to one request, and why: the route chosen, every value with its origin, the time line.

mod hedge;

use std::fmt;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, Uri};

use super::compile::Compiled;
use super::dead_letter::{CaptureAt, DeadLetterBounds, DeadLetterPolicy};
use super::effective::{self, Setting};
use super::idempotency::{IdempotencyPolicy, InFlight, OnStoreError, StoreKind};
use super::lint::Code;
use super::origin::{Origin, Origins, PROCESS};
use super::rate_limit::{CallerKey, RateLimitPolicy};
use super::routes::RouteId;
use super::{Direction, Listener, Policy, RoutePolicy, UpstreamPolicy, duration};
use crate::reliability::attempts::RetryPolicy;
use crate::reliability::backoff::{Backoff, Jitter};
use crate::reliability::classify::Contract;
use crate::reliability::dead_letters::Cause;

/// Why a request cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unexplained {
    Url(String),
    /// Several listeners could be meant; each with an upstream behind it.
    WhichListener(Vec<String>),
    NoUpstream {
        listener: SocketAddr,
        host: String,
    },
}

impl fmt::Display for Unexplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unexplained::Url(why) => write!(f, "{why}"),
            Unexplained::WhichListener(listeners) => {
                write!(f, "the policy has several listeners; say which one is meant: {}", listeners.join(", "))
            }
            Unexplained::NoUpstream { listener, host } => write!(
                f,
                "no upstream on {listener} matches host `{host}` and this path: the answer is 500 destination_not_found"
            ),
        }
    }
}

impl std::error::Error for Unexplained {}

/// The page of a lint code.
pub fn code(code: Code) -> String {
    let page = code.page();
    format!(
        "{} ({}): {}\n\nWhy   {}\nFix   {}\n",
        code.as_str(),
        code.severity().as_str(),
        page.title,
        page.why,
        page.fix
    )
}

/// Explains a request. `url` is a path, or a URL whose host is the Host header that the client sends; the
/// address of a listener chooses that listener.
pub fn request(compiled: &Compiled, file: &str, method: &Method, url: &str) -> Result<String, Unexplained> {
    let policy = &compiled.policy;
    let uri: Uri = url.parse().map_err(|_| Unexplained::Url(format!("`{url}` is neither a path nor a URL")))?;
    let path = if uri.path().is_empty() { "/" } else { uri.path() };
    let listener = listener(policy, &uri)?;
    let host = uri.authority().map_or(String::new(), |authority| authority.as_str().to_owned());
    let id = listener.table.select(&host, path, method);
    let id = id.ok_or_else(|| Unexplained::NoUpstream { listener: listener.addr, host: host.clone() })?;
    let found = policy.upstreams.get(id.upstream as usize);
    let found = found.and_then(|upstream| Some((upstream, upstream.routes.get(id.route as usize)?)));
    let (upstream, route) = found.ok_or(Unexplained::NoUpstream { listener: listener.addr, host })?;
    let mut text = head(listener, id, upstream, route, method, path);
    text.push_str(&values(policy, &compiled.origins, file, id, upstream, route));
    text.push_str(&timeline(upstream, route, method));
    text.push_str(&kept(policy, route, method));
    Ok(text)
}

fn listener<'a>(policy: &'a Policy, uri: &Uri) -> Result<&'a Listener, Unexplained> {
    let listeners = &policy.listeners;
    if let Some(authority) = uri.authority() {
        let by_address = |listener: &&Listener| {
            let local = matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]");
            authority.as_str().parse() == Ok(listener.addr)
                || (local && authority.port_u16() == Some(listener.addr.port()))
        };
        if let Some(listener) = listeners.iter().find(by_address) {
            return Ok(listener);
        }
        // The one on which this Host leads somewhere.
        let leads = |listener: &&Listener| {
            let entries = listener.table.entries();
            let told_apart = entries.iter().any(|entry| !entry.hosts.is_empty()) || entries.len() > 1;
            told_apart && listener.table.select(authority.as_str(), uri.path(), &Method::GET).is_some()
        };
        if let Some(listener) = listeners.iter().find(leads) {
            return Ok(listener);
        }
    }
    match listeners.as_slice() {
        [only] => Ok(only),
        several => Err(Unexplained::WhichListener(several.iter().map(|listener| describe(policy, listener)).collect())),
    }
}

fn describe(policy: &Policy, listener: &Listener) -> String {
    let names: Vec<&str> = listener
        .table
        .entries()
        .iter()
        .filter_map(|entry| policy.upstreams.get(entry.upstream as usize))
        .map(|upstream| &*upstream.name)
        .collect();
    format!("http://{} ({})", listener.addr, names.join(", "))
}

fn head(
    listener: &Listener,
    id: RouteId,
    upstream: &UpstreamPolicy,
    route: &RoutePolicy,
    method: &Method,
    path: &str,
) -> String {
    let entry = listener.table.entries().iter().find(|entry| entry.upstream == id.upstream);
    let wanted = entry.and_then(|entry| entry.routes.get(id.route as usize));
    let reason = match wanted {
        Some(wanted) => effective::match_text(wanted),
        None => "no other route matches".to_owned(),
    };
    format!(
        "{method} {path}\n  listener  {} ({})\n  upstream  {}\n  route     {} ({reason})\n",
        listener.addr,
        listener.direction.as_str(),
        upstream.name,
        route.name,
    )
}

fn values(
    policy: &Policy,
    origins: &Origins,
    file: &str,
    id: RouteId,
    upstream: &UpstreamPolicy,
    route: &RoutePolicy,
) -> String {
    let mut rows: Vec<(Setting, Origin)> = Vec::new();
    for setting in effective::route(upstream.direction, route) {
        let origin = origins.of(id.upstream, Some(id.route), setting.key);
        rows.push((setting, origin));
    }
    let letters = policy.dead_letters.as_deref().filter(|_| route.dead_letter.is_some());
    let keys = route.idempotency.as_ref().map(|policy| policy.store);
    let mut process: Vec<Setting> = keys.map(|kind| effective::store(&policy.stores, kind)).unwrap_or_default();
    if letters.is_some() && keys != Some(StoreKind::Embedded) {
        process.extend(effective::store(&policy.stores, StoreKind::Embedded));
    }
    process.extend(effective::bounds(letters));
    process.extend(effective::tracing(policy.tracing.as_ref()));
    process.push(effective::guard(policy.guard));
    for setting in process {
        let origin = origins.of(PROCESS, None, setting.key);
        rows.push((setting, origin));
    }
    for setting in effective::reach(effective::reached(policy).get(&id.upstream).copied())
        .into_iter()
        .chain(effective::upstream(upstream))
    {
        let shared = if setting.key == "listen" { origins.of(PROCESS, None, "listen") } else { Origin::BuiltIn };
        let own = origins.of(id.upstream, None, setting.key);
        rows.push((setting, if own == Origin::BuiltIn { shared } else { own }));
    }
    let width = |of: fn(&Setting) -> usize| rows.iter().map(|(setting, _)| of(setting)).max().unwrap_or_default();
    let (keys, values) = (width(|s| s.key.len()), width(|s| s.value.chars().count()).min(40));
    let mut text = "\nValues in effect\n".to_owned();
    for (setting, origin) in rows {
        let origin = match origin {
            Origin::File(at) => format!("{file}:{}:{}", at.line, at.column),
            Origin::Defaults(at) => format!("defaults, {file}:{}:{}", at.line, at.column),
            Origin::BuiltIn if setting.key == "match.hosts" => "its name and url".to_owned(),
            Origin::BuiltIn => "built in".to_owned(),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "  {:keys$}  {:values$}  {origin}", setting.key, setting.value);
    }
    text
}

/// The longest course that one request can take.
fn timeline(upstream: &UpstreamPolicy, route: &RoutePolicy, method: &Method) -> String {
    let request = route.timeouts.request;
    let worst = effective::worst_case(upstream, route);
    let retries = worst.load - 1;
    let one = match route.timeouts.backend_request {
        Some(one) => one,
        None => request / (retries + 1),
    };
    let mut text = format!("\nTime line of the worst case: {}\n", tries(retries));
    let mut line = |from: Duration, to: Duration, what: String| {
        let at = if from == to { millis(from) } else { format!("{} .. {}", millis(from), millis(to)) };
        let _ = writeln!(text, "  {at:20}  {what}");
    };
    let condition = repeated_if(&route.retry, method);
    let (mut from, mut to) = (Duration::ZERO, Duration::ZERO);
    for attempt in 0..=retries {
        if from >= request {
            break;
        }
        let last = attempt == retries;
        let limit =
            if last { "may use all that is left".to_owned() } else { format!("given up after {}", millis(one)) };
        let only = if attempt > 0 { condition.as_str() } else { "" };
        line(from, to.min(request), format!("try {}{only}, {limit}", attempt + 1));
        if last {
            break;
        }
        (from, to) = (from + one, to + one);
        let (least, most) = wait(&route.retry.backoff, attempt);
        if from < request {
            line(from, to.min(request), format!("wait {}", range(least, most)));
        }
        (from, to) = (from + least, to + most);
    }
    line(request, request, "deadline: 504".to_owned());
    text.push_str(&notes(upstream, route, method, retries));
    text
}

fn notes(upstream: &UpstreamPolicy, route: &RoutePolicy, method: &Method, retries: u32) -> String {
    let mut text = String::new();
    let mut note = |what: String| {
        let _ = writeln!(text, "  {what}");
    };
    if route.timeouts.backend_request.is_none() && upstream.direction == Direction::Outbound && retries > 0 {
        note("One try is limited by recent latency: 3 x p99, at least 50ms; shown is the limit until 100 answers are known.".into());
    }
    if retries > 0 {
        let load = retries + 1;
        note(format!("Worst-case load x{load}; over all requests the retry budget keeps it below that."));
        let held_out = route.retry.holdout_percent;
        if held_out > 0.0 {
            note(format!(
                "{held_out}% of the requests, by lot, are not retried: the control group (`outrigger retries`)."
            ));
        }
        if !method.is_idempotent() {
            note(match route.retry.contract {
                _ if route.retry.all_methods => {
                    format!("{method} is repeated as if it were idempotent (methods: all).")
                }
                Contract::Opaque => format!("{method} is repeated only if nothing of it was sent (contract: opaque)."),
                Contract::Atomic5xx => {
                    format!("{method} is repeated if nothing was sent, or on a listed 5xx (contract: atomic5xx).")
                }
                Contract::Dedupes => format!("{method} is repeated as if it were idempotent (contract: dedupes)."),
            });
        }
    }
    hedge::told(upstream, route, method).into_iter().for_each(&mut note);
    if upstream.dependency.throttle.as_ref().is_some_and(|throttle| !throttle.observe) {
        note("While more than half of the requests fail, a growing share is refused at once (throttle).".into());
    }
    if let Some(limit) = &route.rate_limit {
        note(limited(limit));
    }
    if route.deadline.from_trace {
        note("A call that names the trace of a request that is with the app ends no later than that request, and is not retried if that one is a retry.".into());
    }
    if let Some(policy) = route.idempotency.as_ref().filter(|policy| policy.methods.contains(method)) {
        deduplication(policy, route.retry.contract, method).into_iter().for_each(note);
    }
    text
}

fn limited(limit: &RateLimitPolicy) -> String {
    let RateLimitPolicy { by, rate, observe, tell: _, own: _, field: _ } = limit;
    let caller = match by {
        CallerKey::Address => "Each address",
        CallerKey::Header(_) => "Each value of the header, and all requests without it together,",
        CallerKey::Spiffe => "Each id in a certificate, and all callers without one together,",
    };
    let beyond = if *observe { "beyond that requests are counted and let through" } else { "beyond that: 429" };
    let burst = if rate.burst == 0 { String::new() } else { format!(", {} more after a quiet window", rate.burst) };
    format!("{caller} may send {} requests per {}{burst}; {beyond}.", rate.requests, duration::print(rate.per))
}

/// What becomes of a request with a key, and of one without.
fn deduplication(policy: &IdempotencyPolicy, contract: Contract, method: &Method) -> Vec<String> {
    let (header, ttl) = (&policy.header, duration::print(policy.ttl));
    let in_flight = match policy.in_flight {
        InFlight::Wait(wait) => format!("waits up to {} while the first one runs", millis(wait)),
        InFlight::Reject => "is refused (409) while the first one runs".to_owned(),
    };
    let without = if policy.required { "is refused (400)" } else { "is executed each time" };
    let unknown = match contract {
        Contract::Opaque | Contract::Atomic5xx => {
            format!("it is refused (409) for {}: nothing is executed twice", duration::print(policy.unknown_ttl))
        }
        Contract::Dedupes => "it is sent again with the same key (contract: dedupes)".to_owned(),
    };
    let down = match policy.on_store_error {
        OnStoreError::Closed => "it is refused (503)",
        OnStoreError::Open => "it is executed each time",
    };
    vec![
        format!("A repeated {method} with the same {header} {in_flight}, and gets its answer for {ttl}."),
        format!("If the outcome of the first one is unknown, {unknown}."),
        format!("While the store ({}) is down, {down}. A {method} without a key {without}.", policy.store.as_str()),
    ]
}

/// What is kept of a request that has an effect and could not be served.
fn kept(policy: &Policy, route: &RoutePolicy, method: &Method) -> String {
    let (Some(letters), Some(bounds)) = (&route.dead_letter, &policy.dead_letters) else { return String::new() };
    if method.is_safe() {
        return format!("  A {method} that fails leaves no dead letter: it has no effect to repair.\n");
    }
    letter(letters, bounds, method).into_iter().map(|note| format!("  {note}\n")).collect()
}

fn letter(policy: &DeadLetterPolicy, bounds: &DeadLetterBounds, method: &Method) -> Vec<String> {
    let DeadLetterPolicy { queue, when, capture } = policy;
    let (causes, retention) = (effective::causes(when), duration::print(bounds.retention));
    let mut notes = vec![
        format!(
            "A {method} that fails leaves a dead letter in queue {queue} for {retention}; the client gets the failure."
        ),
        format!("That is for: {causes}."),
    ];
    let dies = match capture {
        CaptureAt::Send => "can be replayed: it is noted when it is sent (capture: send)",
        CaptureAt::Failure => "cannot be replayed: its body is not kept before it fails (capture: failure)",
    };
    notes.extend(
        when.contains(&Cause::ProcessEnded).then(|| format!("What is under way when this process dies {dies}.")),
    );
    notes
}

fn tries(retries: u32) -> String {
    match retries {
        0 => "1 try, no retry".to_owned(),
        1 => "1 try + up to 1 retry".to_owned(),
        many => format!("1 try + up to {many} retries"),
    }
}

/// What must hold of the tries before, for methods that must not simply be repeated.
fn repeated_if(retry: &RetryPolicy, method: &Method) -> String {
    match retry.contract {
        Contract::Dedupes => String::new(),
        Contract::Opaque | Contract::Atomic5xx if retry.all_methods || method.is_idempotent() => String::new(),
        Contract::Opaque => " only if nothing was sent before".to_owned(),
        Contract::Atomic5xx => " only if nothing was sent before, or after a listed 5xx".to_owned(),
    }
}

/// The least and the most that is waited before the retry after `retries` others.
fn wait(backoff: &Backoff, retries: u32) -> (Duration, Duration) {
    let most = backoff.base.saturating_mul(2u32.saturating_pow(retries)).min(backoff.cap);
    match backoff.jitter {
        Jitter::Full => (Duration::ZERO, most),
        Jitter::Equal => (most / 2, most),
        Jitter::None => (most, most),
    }
}

fn range(least: Duration, most: Duration) -> String {
    if least == most { millis(most) } else { format!("{} .. {}", millis(least), millis(most)) }
}

/// As durations are written, but zero as 0ms.
fn millis(duration: Duration) -> String {
    if duration.as_millis() == 0 { "0ms".to_owned() } else { duration::print(duration) }
}

#[cfg(test)]
mod tests;
