//! The CLIENT span of an attempt.

use std::net::SocketAddr;

use super::request::{self, Place};
use super::{CLIENT, HAS_IS_REMOTE, Identity, Span, host_and_port, millis};
use crate::policy::{Target, UpstreamPolicy};
use crate::reliability::Failure;
use crate::telemetry::metrics::AttemptEnd;
use crate::telemetry::traces::story::{AttemptStory, Story};

/// An attempt that was on the wire, and what it belongs to.
pub(super) struct One<'a> {
    pub(super) story: &'a Story,
    pub(super) place: Place<'a>,
    pub(super) name: &'a str,
    /// Counted from 1.
    pub(super) number: u32,
    pub(super) attempt: &'a AttemptStory,
    pub(super) endpoint: SocketAddr,
}

pub(super) fn client(span: &mut Span<'_>, one: &One<'_>) {
    let One { story, place, name, number, attempt, endpoint } = one;
    let context = story.lineage.context;
    let identity = Identity {
        trace: context.trace_id_bytes(),
        id: story.lineage.client(*number),
        parent: Some(story.lineage.server()),
        flags: u32::from(context.flags()) | HAS_IS_REMOTE,
        name,
        kind: CLIENT,
    };
    span.identify(&identity, attempt.elapsed);
    request::method(span, story);
    let authority = match place {
        Some((upstream, _)) => authority(upstream, *endpoint),
        None => endpoint.to_string(),
    };
    let (host, port) = host_and_port(&authority);
    span.set("server.address", host.to_owned());
    span.set("server.port", port);
    let scheme = if place.is_some_and(|(upstream, _)| upstream.tls.is_some()) { "https" } else { "http" };
    span.set("url.full", format!("{scheme}://{authority}{}", without_values(&story.target)));
    span.peer(*endpoint);
    span.set("network.protocol.version", "1.1");
    if *number > 1 {
        span.set("http.request.resend_count", u64::from(number - 1));
    }
    span.set("outrigger.attempt.kind", attempt.kind.as_str());
    span.set("outrigger.deadline.remaining_ms", millis(attempt.left));
    if let Some((upstream, _)) = place {
        span.set("outrigger.upstream", upstream.name.to_string());
    }
    end(span, attempt.end);
}

/// 4xx are errors of a client. What was given up, because its client left or another attempt won, is none.
fn end(span: &mut Span<'_>, end: AttemptEnd) {
    let result = match end {
        AttemptEnd::Status(status) => {
            span.set("http.response.status_code", u64::from(status));
            if status >= 400 {
                span.fail(&status.to_string(), "");
            }
            if status >= 500 { "upstream_error" } else { "success" }
        }
        AttemptEnd::Failed(failure) => {
            span.set("outrigger.failure", failure.token());
            span.fail(failure.error_type(), failure.title());
            "failed"
        }
        AttemptEnd::Cancelled => "cancelled",
    };
    span.set("outrigger.attempt.result", result);
}

/// Why there was no answer.
pub(super) fn failure(end: AttemptEnd) -> Option<Failure> {
    match end {
        AttemptEnd::Failed(failure) => Some(failure),
        AttemptEnd::Status(_) | AttemptEnd::Cancelled => None,
    }
}

/// What stands in the policy for this endpoint.
fn authority(upstream: &UpstreamPolicy, endpoint: SocketAddr) -> String {
    match &upstream.target {
        Target::Dns { authority, .. } => authority.clone(),
        Target::Fixed(endpoints) => {
            let known = endpoints.iter().find(|fixed| fixed.addr == endpoint);
            known.map_or_else(|| endpoint.to_string(), |fixed| fixed.authority.clone())
        }
    }
}

/// The target with the values of its query taken out: they may be secrets, and their number has no end.
fn without_values(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let names = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) => format!("{name}=REDACTED"),
        // Nobody knows whether this is a name or a value.
        None => "REDACTED".to_owned(),
    });
    format!("{path}?{}", names.collect::<Vec<_>>().join("&"))
}
