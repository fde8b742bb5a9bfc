//! What of an answer is kept: status, the fields that belong to the result, and the body if it is not too large.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{
    AGE, ALT_SVC, CONNECTION, DATE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, RETRY_AFTER, SET_COOKIE,
    VIA, WWW_AUTHENTICATE,
};

/// Belong to one exchange, to one caller's session, or to the moment: a replay must not bring them back. Hop-by-hop
/// fields have gone before.
const NOT_KEPT: [HeaderName; 16] = [
    AGE,
    ALT_SVC,
    CONNECTION,
    DATE,
    PROXY_AUTHENTICATE,
    RETRY_AFTER,
    SET_COOKIE,
    VIA,
    WWW_AUTHENTICATE,
    HeaderName::from_static("proxy-status"),
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("x-outrigger-retry"),
    HeaderName::from_static("x-request-id"),
];

/// …and whole families.
const FAMILIES_NOT_KEPT: [&str; 4] = ["access-control-", "ratelimit", "x-ratelimit-", "idempotency-"];

/// An answer to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Status, 100 to 999.
    pub status: u16,
    /// The kept fields as lines: name, colon, blank, value, line feed.
    pub fields: Bytes,
    /// `None`: it was too large or a stream, and only status and fields are known.
    pub body: Option<Bytes>,
}

impl StoredAnswer {
    /// Keeps what may be replayed.
    pub fn new(status: u16, fields: &HeaderMap, body: Option<Bytes>) -> StoredAnswer {
        let mut lines = BytesMut::new();
        for (name, value) in fields.iter().filter(|(name, _)| is_kept(name)) {
            lines.put_slice(name.as_str().as_bytes());
            lines.put_slice(b": ");
            // A value has no line feed in it (RFC 9110 §5.5; `HeaderValue` refuses it).
            lines.put_slice(value.as_bytes());
            lines.put_u8(b'\n');
        }
        StoredAnswer { status, fields: lines.freeze(), body }
    }

    /// The kept fields. Lines that a damaged store has made unreadable are left out.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in self.fields.split(|byte| *byte == b'\n') {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let value = line.get(colon + 2..).unwrap_or_default();
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        headers
    }

    /// Bytes that it takes in a store, about.
    pub fn size(&self) -> usize {
        self.fields.len() + self.body.as_ref().map_or(0, Bytes::len)
    }
}

fn is_kept(name: &HeaderName) -> bool {
    !NOT_KEPT.contains(name) && !FAMILIES_NOT_KEPT.iter().any(|family| name.as_str().starts_with(family))
}
