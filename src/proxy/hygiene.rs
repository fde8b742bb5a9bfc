//! What may pass from one side to the other: framing that is beyond doubt, one Host, no hop-by-hop fields.

use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::uri::Authority;
use http::{Method, Request, Uri, Version};

use crate::policy::DeadlinePolicy;
use crate::reliability::Failure;
use crate::reliability::deadline;
use crate::reliability::grpc;
use crate::wire::OwnFields;

const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
/// The time that a caller gives; what is left of it goes on.
pub const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
/// As gRPC writes it.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC_PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Which fields of concern a head carries. Found in one pass: what is not there is not looked for again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present(u32);

/// The fields that belong to one connection, whoever sends them, but `Connection` itself.
const HOP_BY_HOP: [(u32, HeaderName); 6] = [
    (Present::KEEP_ALIVE, KEEP_ALIVE),
    (Present::PROXY_CONNECTION, PROXY_CONNECTION),
    (Present::HTTP2_SETTINGS, HTTP2_SETTINGS),
    (Present::TE, TE),
    (Present::TRANSFER_ENCODING, TRANSFER_ENCODING),
    (Present::UPGRADE, UPGRADE),
];

impl Present {
    const CONNECTION: u32 = 1;
    const KEEP_ALIVE: u32 = 1 << 1;
    const PROXY_CONNECTION: u32 = 1 << 2;
    const HTTP2_SETTINGS: u32 = 1 << 3;
    const TE: u32 = 1 << 4;
    const TRANSFER_ENCODING: u32 = 1 << 5;
    const UPGRADE: u32 = 1 << 6;
    const HOP_BY_HOP: u32 = (1 << 7) - 1;
    const CONTENT_LENGTH: u32 = 1 << 7;
    const EXPECT: u32 = 1 << 8;
    const VIA: u32 = 1 << 9;
    const ATTEMPT: u32 = 1 << 10;
    const TIMEOUT: u32 = 1 << 11;
    const GRPC_TIMEOUT: u32 = 1 << 12;
    const TRACE: u32 = 1 << 13;
    const REQUEST_ID: u32 = 1 << 14;
    const GRPC: u32 = 1 << 15;
    const CLIENT_CERT: u32 = 1 << 16;

    /// Looks at each field once.
    pub fn of(headers: &HeaderMap) -> Present {
        Present(headers.iter().map(|(name, value)| Present::bit(name.as_str(), value)).fold(0, |all, bit| all | bit))
    }

    fn bit(name: &str, value: &HeaderValue) -> u32 {
        match name {
            "content-type" if grpc::is_content_type(value.as_bytes()) => Present::GRPC,
            "connection" => Present::CONNECTION,
            "keep-alive" => Present::KEEP_ALIVE,
            "proxy-connection" => Present::PROXY_CONNECTION,
            "http2-settings" => Present::HTTP2_SETTINGS,
            "te" => Present::TE,
            "transfer-encoding" => Present::TRANSFER_ENCODING,
            "upgrade" => Present::UPGRADE,
            "content-length" => Present::CONTENT_LENGTH,
            "expect" => Present::EXPECT,
            "via" => Present::VIA,
            "x-envoy-attempt-count" | "grpc-previous-rpc-attempts" => Present::ATTEMPT,
            "x-envoy-expected-rq-timeout-ms" => Present::TIMEOUT,
            "grpc-timeout" => Present::GRPC_TIMEOUT,
            "traceparent" | "tracestate" => Present::TRACE,
            "x-request-id" => Present::REQUEST_ID,
            "x-forwarded-client-cert" => Present::CLIENT_CERT,
            _ => 0,
        }
    }

    fn any(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// A deadline of the caller.
    pub fn timeout(self) -> bool {
        self.any(Present::TIMEOUT | Present::GRPC_TIMEOUT)
    }

    /// The number of an attempt.
    pub fn attempt(self) -> bool {
        self.any(Present::ATTEMPT)
    }

    /// A trace context.
    pub fn trace(self) -> bool {
        self.any(Present::TRACE)
    }

    /// The caller's own name for the request.
    pub fn request_id(self) -> bool {
        self.any(Present::REQUEST_ID)
    }

    /// A gRPC call.
    pub fn grpc(self) -> bool {
        self.any(Present::GRPC)
    }

    /// Who somebody says that the caller is, by its certificate.
    pub fn client_cert(self) -> bool {
        self.any(Present::CLIENT_CERT)
    }

    /// `Content-Length` or `Transfer-Encoding`.
    pub fn framing(self) -> bool {
        self.any(Present::CONTENT_LENGTH | Present::TRANSFER_ENCODING)
    }
}

/// A request without a deadline has nothing to propagate.
const PROPAGATED_MAX: Duration = Duration::from_secs(24 * 3600);

/// A request may name at most this many fields in `Connection`; more is an attack, not a need.
const NOMINATIONS_MAX: usize = 32;

/// Fields that a `Connection` line must not remove: they are not this hop's to give away.
const PROTECTED: [&str; 14] = [
    "host",
    "content-length",
    "content-type",
    "authorization",
    "cookie",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "grpc-timeout",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-attempt-count",
    "x-forwarded-for",
    "via",
    "trailer",
];

/// Refuses what a proxy must not guess about (RFC 9112 §3.2, §6.1; RFC 9110 §7.2).
/// `content_length_named`: the head named a Content-Length, whatever hyper made of it.
///
/// # Errors
/// [`Failure::BadRequest`] or [`Failure::MethodNotAllowed`], with what is wrong in words.
pub fn check<B>(
    request: &Request<B>,
    present: Present,
    content_length_named: bool,
) -> Result<(), (Failure, &'static str)> {
    let headers = request.headers();
    if request.method() == Method::CONNECT {
        return Err((Failure::MethodNotAllowed, "CONNECT is not served"));
    }
    if request.uri().authority().is_some() && request.uri().scheme().is_none() {
        return Err((Failure::BadRequest, "the request target is an authority, which only CONNECT may have"));
    }
    if request.uri().authority().is_some_and(|authority| authority.as_str().contains(['@', ','])) {
        return Err((Failure::BadRequest, "the request target names more than a host"));
    }
    if present.any(Present::TRANSFER_ENCODING) {
        if content_length_named || present.any(Present::CONTENT_LENGTH) {
            return Err((Failure::BadRequest, "both Transfer-Encoding and Content-Length are present"));
        }
        if !is_plain_coding(headers) {
            return Err((Failure::BadRequest, "the transfer coding is not `chunked` alone"));
        }
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err((Failure::BadRequest, "more than one Host header"));
    }
    match host {
        None if request.version() >= Version::HTTP_11 => {
            return Err((Failure::BadRequest, "the Host header is missing"));
        }
        None => {}
        Some(host) => {
            // RFC 9112 §3.2 allows an empty Host; nothing else that is not an authority.
            let bytes = host.as_bytes();
            // A comma is allowed in a name by RFC 3986, but here it is two lines that somebody joined.
            let odd = bytes.iter().any(|b| matches!(b, b'@' | b','));
            if !bytes.is_empty() && (odd || Authority::try_from(bytes).is_err()) {
                return Err((Failure::BadRequest, "the Host header is not a host"));
            }
            if let Some(authority) = request.uri().authority()
                && !same_authority(authority, bytes, request.uri())
            {
                return Err((Failure::BadRequest, "the Host header and the request target name different hosts"));
            }
        }
    }
    Ok(())
}

/// Refuses an answer whose end two recipients could find in different places (RFC 9112 §6.3).
///
/// # Errors
/// [`Failure::ResponseMalformed`].
pub fn check_response(headers: &HeaderMap) -> Result<(), Failure> {
    let both = headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH);
    // A list of equal lengths, or an odd one on an answer to HEAD, would go on to the client (RFC 9110 §8.6).
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let odd = |length: &HeaderValue| length.is_empty() || !length.as_bytes().iter().all(u8::is_ascii_digit);
    let both = both || lengths.next().is_some_and(odd) || lengths.next().is_some();
    if both || !is_plain_coding(headers) { Err(Failure::ResponseMalformed) } else { Ok(()) }
}

/// Whether the transfer coding, if there is one, is `chunked` and nothing else. hyper looks at the last coding
/// only; what stands before it would go on undeclared, because this field belongs to one connection.
fn is_plain_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(plain) && codings.next().is_none()
}

fn same_authority(target: &Authority, host: &[u8], uri: &Uri) -> bool {
    if target.as_str().as_bytes().eq_ignore_ascii_case(host) {
        return true;
    }
    // `http://a/` and `Host: a:80` are the same place.
    let Ok(host) = Authority::try_from(host) else { return false };
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    target.host().eq_ignore_ascii_case(host.host())
        && target.port_u16().unwrap_or(default) == host.port_u16().unwrap_or(default)
}

/// The host the client asked for: the target's authority, else `Host`, else nothing.
pub fn requested_host<B>(request: &Request<B>) -> &str {
    match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(HOST).and_then(|h| h.to_str().ok()).unwrap_or(""),
    }
}

/// Whether the client asks to switch protocols in a way that is passed on: HTTP/1.1, no body, not h2c. (No request of
/// HTTP/2 arrives with these fields; where one has them, it was a CONNECT.)
pub fn wants_upgrade<B>(request: &Request<B>, present: Present, has_body: bool) -> bool {
    let headers = request.headers();
    if !present.any(Present::UPGRADE) {
        return false;
    }
    let mut offered = headers.get_all(UPGRADE).iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
    let h2c = offered.any(|p| p.trim_ascii().get(..3).is_some_and(|p| p.eq_ignore_ascii_case(b"h2c")));
    request.version() >= Version::HTTP_11 && !has_body && nominates(headers, "upgrade") && !h2c
}

fn nominates(headers: &HeaderMap, name: &str) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|b| *b == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether our own mark is already on the request: it came back to the proxy that sent it.
pub fn is_loop(headers: &HeaderMap, present: Present, own: &str) -> bool {
    present.any(Present::VIA)
        && headers.get_all(VIA).iter().any(|line| {
            line.to_str().is_ok_and(|text| text.split(',').any(|hop| hop.split_whitespace().nth(1) == Some(own)))
        })
}

/// Removes what belongs to the client's connection. `upgrade`: the switch is passed on.
///
/// # Errors
/// [`Failure::BadRequest`] for a `Connection` header that names more fields than anyone needs.
pub fn clean_request(headers: &mut HeaderMap, present: Present, upgrade: bool) -> Result<(), Failure> {
    if present.any(Present::EXPECT) {
        headers.remove(EXPECT);
    }
    if !present.any(Present::HOP_BY_HOP) {
        return Ok(());
    }
    let protocol = upgrade.then(|| headers.get(UPGRADE).cloned()).flatten();
    let trailers = headers.contains_key(TE) && accepts_trailers(headers);
    remove_hop_by_hop(headers, present)?;
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    Ok(())
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|b| *b == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Removes what belongs to the upstream's connection. A nomination flood drops all nominations' effect but the
/// hop-by-hop fields themselves always go.
pub fn clean_response(headers: &mut HeaderMap) {
    // The bound protects us from the peer; its answer is passed on without those fields it could not name.
    let _ = remove_hop_by_hop(headers, Present::of(headers));
}

fn remove_hop_by_hop(headers: &mut HeaderMap, present: Present) -> Result<(), Failure> {
    let mut result = Ok(());
    if present.any(Present::CONNECTION) {
        result = remove_nominated(headers);
        headers.remove(CONNECTION);
    }
    for (bit, name) in HOP_BY_HOP {
        if present.any(bit) {
            headers.remove(name);
        }
    }
    result
}

fn remove_nominated(headers: &mut HeaderMap) -> Result<(), Failure> {
    let mut nominated: Vec<HeaderName> = Vec::new();
    for line in headers.get_all(CONNECTION) {
        for token in line.as_bytes().split(|b| *b == b',') {
            let token = token.trim_ascii();
            // The usual words name no field of their own.
            if token.is_empty()
                || token.eq_ignore_ascii_case(b"keep-alive")
                || token.eq_ignore_ascii_case(b"close")
                || token.eq_ignore_ascii_case(b"upgrade")
            {
                continue;
            }
            let Ok(name) = HeaderName::from_bytes(token) else { continue };
            if PROTECTED.contains(&name.as_str()) {
                continue;
            }
            if nominated.len() == NOMINATIONS_MAX {
                return Err(Failure::BadRequest);
            }
            nominated.push(name);
        }
    }
    for name in nominated {
        headers.remove(name);
    }
    Ok(())
}

/// Drops what the client sent in fields that say something of an attempt, where they are set anew for each one.
pub fn drop_attempt(headers: &mut HeaderMap, present: Present, policy: &DeadlinePolicy) {
    if present.any(Present::ATTEMPT) {
        headers.remove(ATTEMPT_COUNT);
        headers.remove(GRPC_PREVIOUS_ATTEMPTS);
    }
    if !policy.propagate {
        return;
    }
    if present.any(Present::TIMEOUT) {
        headers.remove(EXPECTED_TIMEOUT);
    }
    if present.any(Present::GRPC_TIMEOUT | Present::GRPC) {
        headers.remove(GRPC_TIMEOUT);
    }
}

/// Sets what differs from attempt to attempt: its number, and the time it has. What the client sent in the
/// same fields has been dropped. `present`: what the client sent at all.
pub fn set_attempt(own: &mut OwnFields, present: Present, count: u32, left: Duration, policy: &DeadlinePolicy) {
    own.begin_attempt();
    own.number(&ATTEMPT_COUNT, u64::from(count));
    if present.grpc() && count > 1 {
        own.number(&GRPC_PREVIOUS_ATTEMPTS, u64::from(count - 1));
    }
    if !policy.propagate || left > PROPAGATED_MAX {
        return;
    }
    own.number(&EXPECTED_TIMEOUT, left.as_millis().max(1) as u64);
    // A server of gRPC acts on its own header alone, whether or not the caller has sent one.
    if present.any(Present::GRPC_TIMEOUT | Present::GRPC)
        && let Ok(value) = HeaderValue::try_from(deadline::format_grpc_timeout(left))
    {
        own.value(&GRPC_TIMEOUT, &value);
    }
}

/// The attempt number of a request that came in: 1, or what a proxy before us says.
pub fn inbound_attempt(headers: &HeaderMap, present: Present) -> u32 {
    if !present.any(Present::ATTEMPT) {
        return 1;
    }
    let number = |name: &HeaderName| headers.get(name)?.to_str().ok()?.trim().parse::<u32>().ok();
    let envoy = number(&ATTEMPT_COUNT).unwrap_or(1);
    let grpc = number(&GRPC_PREVIOUS_ATTEMPTS).map_or(1, |n| n.saturating_add(1));
    envoy.max(grpc).max(1)
}

/// The target as an origin server expects it: path and query only, or `*`.
pub fn origin_form(uri: Uri) -> Uri {
    if uri.authority().is_none() {
        return uri;
    }
    uri.into_parts().path_and_query.map_or_else(|| Uri::from_static("/"), Uri::from)
}

#[cfg(test)]
mod tests;
