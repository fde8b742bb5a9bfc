//! The SERVER span of a request, with its attempts behind it.

use std::time::Duration;

use http::Version;

use super::{Field, HAS_IS_REMOTE, IS_REMOTE, Identity, SERVER, Span, attempt, host_and_port, known_method, millis};
use crate::policy::{RoutePolicy, UpstreamPolicy};
use crate::reliability::Failure;
use crate::reliability::attempts::{Denied, Kind};
use crate::reliability::grpc::Code;
use crate::reliability::idempotency::KeyStatus;
use crate::telemetry::metrics::RequestOutcome;
use crate::telemetry::traces::protobuf::Writer;
use crate::telemetry::traces::story::Story;

/// Upstream and route, if one was chosen.
pub(super) type Place<'a> = Option<(&'a UpstreamPolicy, &'a RoutePolicy)>;

/// Every span of a request, each as field 2 of `ScopeSpans`.
pub(super) fn spans(out: &mut Writer, story: &Story) {
    let place: Place<'_> = story.route.and_then(|id| {
        let upstream = story.policy.upstreams.get(id.upstream as usize)?;
        Some((upstream, upstream.routes.get(id.route as usize)?))
    });
    let method = known_method(&story.method).unwrap_or("HTTP");
    let name = match place {
        Some((upstream, route)) => format!("{method} {}/{}", upstream.name, route.name),
        None => method.to_owned(),
    };
    let begin = story.ended.checked_sub(story.elapsed).unwrap_or(story.ended);
    out.message(2, |writer| server(&mut Span { writer, begin }, story, &name, place));
    for (number, attempt) in (1_u32..).zip(&story.attempts) {
        let Some(endpoint) = attempt.endpoint else { continue };
        let begin = begin + attempt.launched;
        let one = attempt::One { story, place, name: &name, number, attempt, endpoint };
        out.message(2, |writer| attempt::client(&mut Span { writer, begin }, &one));
    }
}

fn server(span: &mut Span<'_>, story: &Story, name: &str, place: Place<'_>) {
    let context = story.lineage.context;
    let parent = context.parent_id();
    let remote = HAS_IS_REMOTE | if parent.is_some() { IS_REMOTE } else { 0 };
    let identity = Identity {
        trace: context.trace_id_bytes(),
        id: story.lineage.server(),
        parent,
        flags: u32::from(context.flags()) | remote,
        name,
        kind: SERVER,
    };
    span.identify(&identity, story.elapsed);
    method(span, story);
    call(span, story);
    span.maybe("rpc.response.status_code", story.call.map(Code::as_str));
    span.set("url.scheme", "http");
    span.set("url.path", story.target.split('?').next().unwrap_or_default());
    if let Some(host) = story.host.as_ref().and_then(|host| host.to_str().ok()) {
        let (host, port) = host_and_port(host);
        span.set("server.address", host);
        span.set("server.port", port);
    }
    span.set("client.address", story.client.ip().to_string());
    span.set("client.port", u64::from(story.client.port()));
    span.maybe("outrigger.peer", story.peer.as_deref());
    span.set("network.protocol.version", version(story.version));
    let agent = story.user_agent.as_ref().map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    span.maybe("user_agent.original", agent.map(|agent| agent.chars().take(256).collect::<String>()));
    let answered = story.status != 0 && story.status != 499;
    span.maybe("http.response.status_code", answered.then_some(u64::from(story.status)));
    end(span, story);
    ours(span, story, place);
    events(span, story);
}

/// The method, of low cardinality.
pub(super) fn method(span: &mut Span<'_>, story: &Story) {
    match known_method(&story.method) {
        Some(known) => span.set("http.request.method", known),
        None => {
            span.set("http.request.method", "_OTHER");
            let original: String = story.method.as_str().chars().take(64).collect();
            span.set("http.request.method_original", original);
        }
    }
}

/// What a call is one of. Its full method is its path.
pub(super) fn call(span: &mut Span<'_>, story: &Story) {
    if story.grpc {
        span.set("rpc.system.name", "grpc");
        let path = story.target.split('?').next().unwrap_or_default();
        span.set("rpc.method", path.trim_start_matches('/').to_owned());
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

/// An error is what ended as one: 5xx, and our own failures. Not what the caller did wrong, not a client that left, and
/// not what a retry has rescued.
fn end(span: &mut Span<'_>, story: &Story) {
    match (story.outcome, story.failure) {
        (RequestOutcome::ClientGone, _) => {}
        // Of a call OpenTelemetry has a list of its own: UNIMPLEMENTED is an error of a server as well.
        (_, None) if story.call.is_some_and(Code::is_server_error) => {
            span.fail(story.call.map_or("", Code::as_str), "");
        }
        (RequestOutcome::Success, _) => {}
        (_, Some((failure, _))) if failure.status() >= 500 => span.fail(failure.error_type(), failure.title()),
        (_, None) if story.status >= 500 => span.fail(&story.status.to_string(), ""),
        (_, Some(_) | None) => {}
    }
}

/// What only a reliability proxy knows.
fn ours(span: &mut Span<'_>, story: &Story, place: Place<'_>) {
    span.set("outrigger.direction", story.direction.as_str());
    if let Some((upstream, route)) = place {
        span.set("http.route", format!("{}/{}", upstream.name, route.name));
        span.set("outrigger.upstream", upstream.name.to_string());
        span.set("outrigger.route", route.name.to_string());
    }
    span.set("outrigger.outcome", story.outcome.as_str());
    span.set("outrigger.attempts", story.attempts.len() as u64);
    let retried = story.attempts.iter().any(|attempt| matches!(attempt.kind, Kind::Retry | Kind::Transparent));
    let decision = story.denied.map(Denied::token).or(retried.then_some("retried"));
    span.maybe("outrigger.retry.decision", decision);
    span.maybe("outrigger.deadline.from", story.deadline_from.word());
    span.maybe("outrigger.circuit.state", story.circuit);
    span.set("outrigger.policy.revision", story.revision);
    span.set("outrigger.policy.hash", story.policy.hash.clone());
    span.maybe("outrigger.idempotency.result", story.key_status.map(KeyStatus::as_str));
    span.maybe("outrigger.dlq.id", story.dead_letter.clone());
    span.maybe("outrigger.kept", story.kept.map(|kept| kept.as_str()));
    if let Some((failure, sent)) = story.failure {
        span.set("outrigger.failure", failure.token());
        span.set("outrigger.failure.side", failure.side().as_str());
        span.set("outrigger.failure.phase", failure.phase().as_str());
        span.set("outrigger.sent", sent.as_str());
    }
}

/// What happened between the attempts.
fn events(span: &mut Span<'_>, story: &Story) {
    let mut last_end: Option<Duration> = None;
    for attempt in &story.attempts {
        // Nobody waits before a hedge: the attempt before it goes on.
        if let Some(ended) = last_end.filter(|_| attempt.kind != Kind::Hedge) {
            let waited = attempt.launched.saturating_sub(ended);
            span.event(ended, "outrigger.backoff", &[("outrigger.backoff_ms", millis(waited).into())]);
        }
        let ended = attempt.launched + attempt.elapsed;
        if attempt.endpoint.is_none() {
            // It has no span of its own: there was nobody to send it to.
            let result = attempt::failure(attempt.end).map_or("cancelled", Failure::token);
            span.event(ended, "outrigger.no_endpoint", &[("outrigger.failure", Field::from(result))]);
        }
        last_end = last_end.max(Some(ended));
    }
    let at = last_end.unwrap_or(story.elapsed);
    if let Some(reason) = story.denied {
        span.event(at, "outrigger.retry.denied", &[("outrigger.retry.decision", reason.token().into())]);
    }
    if let Some((failure @ (Failure::CircuitOpen | Failure::Throttled), _)) = story.failure {
        span.event(at, "outrigger.refused", &[("outrigger.failure", failure.token().into())]);
    }
}
