//! The bytes of a request that is held in memory.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

use crate::wire::RequestBody;

/// A body up to this size is copied behind the head, so that both leave in one plain write.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// The head of one attempt. Borrowed: a further attempt writes it again, and copies nothing.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Method.
    pub method: &'a Method,
    /// Origin form or `*`.
    pub target: &'a Uri,
    /// Instead of the `Host` in `fields`.
    pub host: Option<&'a HeaderValue>,
    /// End-to-end fields only: no framing but `Content-Length` of a body that is empty.
    pub fields: &'a HeaderMap,
    /// What this proxy adds.
    pub own: &'a OwnFields,
}

/// Fields of our own: written behind the client's as they are, without a place in the map.
#[derive(Clone, Debug, Default)]
pub struct OwnFields {
    /// Whole lines.
    text: Vec<u8>,
    /// Where those of the attempt begin, once there is one.
    attempt: Option<usize>,
}

impl OwnFields {
    /// None yet; room for those that every request gets.
    pub fn new() -> OwnFields {
        OwnFields { text: Vec::with_capacity(256), attempt: None }
    }

    /// Adds a field.
    pub fn value(&mut self, name: &HeaderName, value: &HeaderValue) {
        line(&mut self.text, name, value.as_bytes());
    }

    /// Adds a field whose value this proxy has made, out of visible ASCII: digits of a trace, an address.
    pub fn text(&mut self, name: &HeaderName, value: &[u8]) {
        debug_assert!(value.iter().all(u8::is_ascii_graphic), "nothing that a peer has a say in");
        line(&mut self.text, name, value);
    }

    /// Adds a field with a decimal number.
    pub fn number(&mut self, name: &HeaderName, value: u64) {
        self.text.extend_from_slice(name.as_str().as_bytes());
        number(&mut self.text, b": ", value);
    }

    /// What is added from here on belongs to one attempt, and replaces what the attempt before it had.
    pub fn begin_attempt(&mut self) {
        let begin = *self.attempt.get_or_insert(self.text.len());
        self.text.truncate(begin);
    }

    /// Puts them into a map, where one is needed.
    pub fn append_to(&self, fields: &mut HeaderMap) {
        for line in self.text.split(|b| *b == b'\n').filter_map(|l| l.strip_suffix(b"\r")) {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii_start());
            // They came from names and values, and are some again.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                fields.append(name, value);
            }
        }
    }
}

/// Bytes on their way out: what is copied, and behind it what is too large to be.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    copied: Vec<u8>,
    at: usize,
    rest: Bytes,
}

impl Outgoing {
    /// Takes the place of what was there; keeps the room.
    pub(super) fn write(&mut self, head: &Head<'_>, body: &RequestBody) {
        self.copied.clear();
        self.at = 0;
        self.rest = Bytes::new();
        let out = &mut self.copied;
        request_line(out, head);
        let (data, trailers) = match body {
            RequestBody::Buffered { data, trailers } => (Some(data), trailers.as_deref()),
            // A streaming body never comes this way.
            RequestBody::Empty | RequestBody::Streaming { .. } => (None, None),
        };
        fields(out, head, data.is_some());
        match (data, trailers) {
            (Some(data), None) => {
                number(out, b"content-length: ", data.len() as u64);
                out.extend_from_slice(b"\r\n");
                if data.len() <= COPIED_BYTES_MAX {
                    out.extend_from_slice(data);
                } else {
                    self.rest = data.clone();
                }
            }
            (Some(data), Some(trailers)) => chunked(out, data, trailers),
            (None, _) => out.extend_from_slice(b"\r\n"),
        }
    }

    /// What is written next, in up to two parts.
    pub(super) fn parts(&self) -> (&[u8], &[u8]) {
        (&self.copied[self.at..], &self.rest)
    }

    /// So many bytes were written.
    pub(super) fn advance(&mut self, written: usize) {
        let copied = written.min(self.copied.len() - self.at);
        self.at += copied;
        if written > copied {
            let _ = self.rest.split_to((written - copied).min(self.rest.len()));
        }
    }

    /// Whether everything has been written.
    pub(super) fn is_done(&self) -> bool {
        self.at == self.copied.len() && self.rest.is_empty()
    }

    /// Gives memory back while the connection is idle.
    pub(super) fn shrink(&mut self) {
        *self = Outgoing::default();
    }
}

fn request_line(out: &mut Vec<u8>, head: &Head<'_>) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    let target = head.target.path_and_query().map_or("/", |p| p.as_str());
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

fn fields(out: &mut Vec<u8>, head: &Head<'_>, has_body: bool) {
    // RFC 9110 §7.2: Host first.
    if let Some(host) = head.host {
        line(out, &HOST, host.as_bytes());
    }
    for (name, value) in head.fields {
        let replaced = (name == HOST && head.host.is_some()) || (name == CONTENT_LENGTH && has_body);
        if !replaced {
            line(out, name, value.as_bytes());
        }
    }
    out.extend_from_slice(&head.own.text);
}

fn line(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `before`, the number, and a line end.
fn number(out: &mut Vec<u8>, before: &[u8], mut value: u64) {
    // 2^64 has 20 digits.
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(before);
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// Trailers need chunks. Rare: everything is copied.
fn chunked(out: &mut Vec<u8>, data: &Bytes, trailers: &HeaderMap) {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    if !data.is_empty() {
        out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        line(out, name, value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(head: &Head<'_>, body: &RequestBody) -> String {
        let mut outgoing = Outgoing::default();
        outgoing.write(head, body);
        let (copied, rest) = outgoing.parts();
        format!("{}{}", copied.escape_ascii(), rest.escape_ascii())
    }

    fn held(data: &'static [u8]) -> RequestBody {
        RequestBody::Buffered { data: Bytes::from_static(data), trailers: None }
    }

    #[test]
    fn host_comes_first_and_own_fields_last() {
        let mut map = HeaderMap::new();
        map.insert("x-a", HeaderValue::from_static("1"));
        map.insert(HOST, HeaderValue::from_static("client"));
        map.append("x-a", HeaderValue::from_static("2"));
        let mut own = OwnFields::new();
        own.number(&HeaderName::from_static("x-n"), u64::MAX);
        for attempt in 0..2 {
            own.begin_attempt();
            own.number(&HeaderName::from_static("x-z"), attempt);
        }
        let mut again = HeaderMap::new();
        own.append_to(&mut again);
        assert_eq!(
            (again.len(), again["x-n"].to_str().unwrap(), again["x-z"].to_str().unwrap()),
            (2, "18446744073709551615", "1")
        );
        let target = Uri::from_static("/a?b=c");
        let host = HeaderValue::from_static("up:80");
        let head = Head { method: &Method::GET, target: &target, host: Some(&host), fields: &map, own: &own };
        assert_eq!(
            written(&head, &RequestBody::Empty),
            "GET /a?b=c HTTP/1.1\\r\\nhost: up:80\\r\\nx-a: 1\\r\\nx-a: 2\\r\\nx-n: 18446744073709551615\\r\\nx-z: 1\\r\\n\\r\\n"
        );
        let kept = Head { host: None, ..head };
        assert!(written(&kept, &RequestBody::Empty).contains("host: client\\r\\n"));
    }

    #[test]
    fn a_held_body_is_announced_once_with_its_own_length() {
        let mut map = HeaderMap::new();
        map.insert(CONTENT_LENGTH, HeaderValue::from_static("99"));
        let (own, target) = (OwnFields::new(), Uri::from_static("*"));
        let head = Head { method: &Method::PUT, target: &target, host: None, fields: &map, own: &own };
        assert_eq!(written(&head, &held(b"hello")), "PUT * HTTP/1.1\\r\\ncontent-length: 5\\r\\n\\r\\nhello");
        let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("7"))]);
        let with = RequestBody::Buffered { data: Bytes::from_static(b"hello"), trailers: Some(Box::new(trailers)) };
        assert_eq!(
            written(&head, &with),
            "PUT * HTTP/1.1\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n5\\r\\nhello\\r\\n0\\r\\nx-sum: 7\\r\\n\\r\\n"
        );
    }

    #[test]
    fn a_large_body_is_not_copied_and_partial_writes_lose_nothing() {
        static LARGE: [u8; 10_000] = [b'x'; 10_000];
        let (own, target, map) = (OwnFields::new(), Uri::from_static("/"), HeaderMap::new());
        let head = Head { method: &Method::POST, target: &target, host: None, fields: &map, own: &own };
        let mut outgoing = Outgoing::default();
        outgoing.write(&head, &held(&LARGE));
        let (copied, rest) = outgoing.parts();
        assert!(std::ptr::eq(rest.as_ptr(), LARGE.as_ptr()));
        let all = copied.len() + rest.len();
        let mut seen = 0;
        while !outgoing.is_done() {
            let (copied, rest) = outgoing.parts();
            let step = 777.min(copied.len() + rest.len());
            outgoing.advance(step);
            seen += step;
        }
        assert_eq!(seen, all);
    }
}
