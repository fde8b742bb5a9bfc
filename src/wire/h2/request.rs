//! The head of a request as HTTP/2 has it.

use h2::ext::Protocol;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, SEC_WEBSOCKET_KEY, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};

use crate::wire::{Head, RequestBody};

/// The pseudo-fields and fields of `head`. `None`: its host is none that can be written as `:authority`.
pub(super) fn request(head: &Head<'_>, body: &RequestBody, secure: bool) -> Option<Request<()>> {
    let mut fields = head.fields.clone();
    let named = fields.remove(HOST);
    let authority = Authority::try_from(head.host.or(named.as_ref())?.as_bytes()).ok()?;
    if let RequestBody::Buffered { data, trailers } = body {
        match trailers {
            None => fields.insert(CONTENT_LENGTH, HeaderValue::from(data.len())),
            Some(_) => fields.remove(CONTENT_LENGTH),
        };
    }
    head.own.append_to(&mut fields);
    let mut target = http::uri::Parts::default();
    target.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    target.authority = Some(authority);
    target.path_and_query =
        Some(head.target.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from_parts(target).ok()?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = fields;
    Some(request)
}

/// A request to switch protocols as an extended CONNECT (RFC 8441 §5). `None`: it does not name one protocol.
pub(super) fn connect(head: &Head<'_>, secure: bool) -> Option<Request<()>> {
    let mut request = request(head, &RequestBody::Empty, secure)?;
    let fields = request.headers_mut();
    let protocol = fields.remove(UPGRADE)?;
    let protocol = protocol.to_str().ok().filter(|name| !name.contains([',', ' ', '/']))?.to_ascii_lowercase();
    fields.remove(CONNECTION);
    // Its answer would be worth nothing: the stream tells to which request an answer belongs.
    fields.remove(SEC_WEBSOCKET_KEY);
    *request.method_mut() = Method::CONNECT;
    request.extensions_mut().insert(Protocol::from(protocol.as_str()));
    Some(request)
}
