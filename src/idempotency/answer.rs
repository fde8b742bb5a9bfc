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
    /// The kept fields as lines: name, colon, blank, value, line feed. If trailers are kept, they follow after an empty
    /// line.
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

    /// Keeps the trailers as well: without them a gRPC call has no end.
    #[must_use]
    pub fn with_trailers(mut self, trailers: Option<&HeaderMap>) -> StoredAnswer {
        if let Some(trailers) = trailers {
            let kept = StoredAnswer::new(self.status, trailers, None).fields;
            // No field is an empty line, so an empty line can end them.
            self.fields = [&self.fields[..], b"\n", &kept[..]].concat().into();
        }
        self
    }

    /// The kept fields. Lines that a damaged store has made unreadable are left out.
    pub fn headers(&self) -> HeaderMap {
        read(self.parts().0)
    }

    /// The kept trailers, if there were any.
    pub fn trailers(&self) -> Option<HeaderMap> {
        self.parts().1.map(read)
    }

    fn parts(&self) -> (&[u8], Option<&[u8]>) {
        let fields = &self.fields[..];
        if let Some(trailers) = fields.strip_prefix(b"\n") {
            return (&[], Some(trailers));
        }
        match fields.windows(2).position(|pair| pair == b"\n\n") {
            Some(end) => (&fields[..=end], fields.get(end + 2..)),
            None => (fields, None),
        }
    }

    /// Bytes that it takes in a store, about.
    pub fn size(&self) -> usize {
        self.fields.len() + self.body.as_ref().map_or(0, Bytes::len)
    }
}

fn read(fields: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in fields.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let value = line.get(colon + 2..).unwrap_or_default();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

fn is_kept(name: &HeaderName) -> bool {
    !NOT_KEPT.contains(name) && !FAMILIES_NOT_KEPT.iter().any(|family| name.as_str().starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn trailers_are_kept_apart_from_the_head_whichever_of_them_is_empty() {
        let (some, end) = (fields(&[("a", "1"), ("b", "")]), fields(&[("grpc-status", "0"), ("x-b", "")]));
        for head in [&some, &HeaderMap::new()] {
            let plain = StoredAnswer::new(200, head, None);
            assert_eq!((&plain.headers(), plain.trailers()), (head, None));
            assert_eq!(plain.clone().with_trailers(None), plain);
            for trailers in [&end, &HeaderMap::new()] {
                let whole = plain.clone().with_trailers(Some(trailers));
                assert_eq!((&whole.headers(), whole.trailers().as_ref()), (head, Some(trailers)));
            }
        }
    }

    #[test]
    fn of_trailers_no_more_is_kept_than_of_a_head() {
        let trailers = fields(&[("grpc-status", "0"), ("set-cookie", "a=b"), ("x-request-id", "1")]);
        let kept = StoredAnswer::new(200, &HeaderMap::new(), None).with_trailers(Some(&trailers));
        assert_eq!(kept.trailers(), Some(fields(&[("grpc-status", "0")])));
    }
}
