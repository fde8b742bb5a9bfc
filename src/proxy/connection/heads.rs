//! What hyper does not tell of a head: whether it names a Content-Length. hyper drops that line silently when the request
//! is also chunked, and a message with both is ambiguous (RFC 9112 §6.1).
//!
//! Requests may stand behind each other in one read. So this follows where each of them ends, and hands them on one by
//! one: a head is looked at before hyper has it. Only the end of a chunked body is left to hyper.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What the reader of a connection and its exchanges tell each other of heads.
#[derive(Debug)]
pub(super) struct Framing {
    /// What is read is no HTTP/1.
    opaque: AtomicBool,
    /// A request body is passing: its bytes are no head.
    in_body: AtomicBool,
    /// An exchange has begun since the last chunked head was read.
    begun: AtomicBool,
    /// A bit for each head that was read and whose exchange has not begun, the oldest behind the leading 1: whether it
    /// names a Content-Length.
    named: AtomicU32,
}

impl Default for Framing {
    fn default() -> Framing {
        Framing {
            opaque: AtomicBool::new(false),
            in_body: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            named: AtomicU32::new(1),
        }
    }
}

impl Framing {
    /// Nothing that is read from now on is a head.
    pub(super) fn become_opaque(&self) {
        self.opaque.store(true, Ordering::Relaxed);
    }

    /// The exchange of the oldest head begins: whether that names a Content-Length. `has_body`: its body follows.
    pub(super) fn begin(&self, has_body: bool) -> bool {
        self.in_body.store(has_body, Ordering::Relaxed);
        self.begun.store(true, Ordering::Relaxed);
        let all = self.named.load(Ordering::Relaxed);
        let Some(oldest) = all.ilog2().checked_sub(1).map(|bit| 1 << bit) else { return false };
        self.named.store((all & (oldest - 1)) | oldest, Ordering::Relaxed);
        all & oldest != 0
    }

    /// The body has passed.
    pub(super) fn end(&self) {
        self.in_body.store(false, Ordering::Relaxed);
    }

    fn read_head(&self, named: bool) {
        let all = self.named.load(Ordering::Relaxed);
        // A client cannot be so far ahead: hyper reads one head at a time.
        self.named.store(((all << 1) & !(1 << 31)) | u32::from(named), Ordering::Relaxed);
    }
}

/// Where in the stream of requests the next byte stands.
#[derive(Debug)]
pub(super) enum Reader {
    /// In a head, or before it.
    Head(Head),
    /// In a body with so many bytes left.
    Body(u64),
    /// In a body whose end hyper finds.
    Chunked,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader::Head(Head::default())
    }
}

impl Reader {
    /// How many of these bytes may be handed on now: at most to the end of the request they belong to.
    pub(super) fn take(&mut self, bytes: &[u8], framing: &Framing) -> usize {
        if framing.opaque.load(Ordering::Relaxed) {
            return bytes.len();
        }
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            match self {
                Reader::Head(head) => {
                    let (read, ended) = head.read(rest);
                    taken += read;
                    if !ended {
                        continue;
                    }
                    framing.read_head(head.length.is_some());
                    *self = match (head.chunked, head.length) {
                        // Of a length that is none, hyper makes the end of the connection.
                        (true, _) | (_, Some(Length::Odd)) => Reader::Chunked,
                        (false, Some(Length::Number(length @ 1..))) => Reader::Body(length),
                        (false, None | Some(Length::Number(0))) => Reader::default(),
                    };
                    match self {
                        Reader::Head(_) => return taken,
                        Reader::Chunked => framing.begun.store(false, Ordering::Relaxed),
                        Reader::Body(_) => {}
                    }
                }
                Reader::Body(left) => {
                    let step = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= step as u64;
                    taken += step;
                    if *left == 0 {
                        *self = Reader::default();
                        return taken;
                    }
                }
                Reader::Chunked if framing.in_body.load(Ordering::Relaxed) => return bytes.len(),
                Reader::Chunked if framing.begun.swap(false, Ordering::Relaxed) => *self = Reader::default(),
                Reader::Chunked => return bytes.len(),
            }
        }
        taken
    }
}

/// A head, across reads.
#[derive(Debug, Default)]
pub(super) struct Head {
    line: Line,
    /// Empty lines may precede a request line.
    began: bool,
    chunked: bool,
    length: Option<Length>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Number(u64),
    Odd,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// At the start of a line.
    Start,
    /// So many bytes of this name matched.
    Matching(&'static [u8], usize),
    /// In the value of a Content-Length.
    Value,
    /// The line is another one: skip to its end.
    #[default]
    Other,
}

const LENGTH: &[u8] = b"content-length:";
const CODING: &[u8] = b"transfer-encoding:";

impl Head {
    /// Reads on, to the empty line that ends the head at most: how many bytes, and whether it has ended.
    fn read(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.line {
                Line::Other => {
                    let rest = &bytes[at..];
                    let end = memchr::memchr(b'\n', rest);
                    self.began |= rest[..end.unwrap_or(rest.len())].iter().any(|b| *b != b'\r');
                    at += end.map_or(rest.len(), |end| end + 1);
                    if end.is_some() {
                        self.line = Line::Start;
                    }
                    continue;
                }
                Line::Start if byte == b'\n' && self.began => return (at + 1, true),
                // The line feed decides.
                Line::Start if byte == b'\r' => {}
                Line::Start => {
                    self.line = match byte | 0x20 {
                        b'c' => Line::Matching(LENGTH, 1),
                        b't' => Line::Matching(CODING, 1),
                        _ => Line::Other,
                    };
                    // What it is may be the end of the line.
                    if self.line == Line::Other {
                        continue;
                    }
                }
                Line::Matching(name, matched) if byte.eq_ignore_ascii_case(&name[matched]) => {
                    self.line = Line::Matching(name, matched + 1);
                    if matched + 1 == name.len() {
                        self.chunked |= name == CODING;
                        self.line = if name == LENGTH { Line::Value } else { Line::Other };
                    }
                    if self.line == Line::Value {
                        self.length = Some(self.length.map_or(Length::Number(0), |_| Length::Odd));
                    }
                }
                Line::Matching(..) => {
                    self.line = Line::Other;
                    continue;
                }
                Line::Value if byte == b'\n' => self.line = Line::Start,
                Line::Value if matches!(byte, b' ' | b'\t' | b'\r') => {}
                Line::Value => self.length = self.length.map(|length| length.and(byte)),
            }
            at += 1;
        }
        (at, false)
    }
}

impl Length {
    /// The next byte of its value.
    fn and(self, byte: u8) -> Length {
        let Length::Number(number) = self else { return self };
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
        let next = digit.and_then(|digit| number.checked_mul(10)?.checked_add(digit));
        next.map_or(Length::Odd, Length::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is handed on piece by piece when these reads arrive, and what was told of the heads among them.
    fn read(reads: &[&[u8]]) -> (Vec<String>, Vec<bool>) {
        let (framing, mut reader) = (Framing::default(), Reader::default());
        let mut pieces = Vec::new();
        for bytes in reads {
            let mut rest = *bytes;
            while !rest.is_empty() {
                let taken = reader.take(rest, &framing);
                pieces.push(rest[..taken].escape_ascii().to_string());
                rest = &rest[taken..];
            }
        }
        let heads = framing.named.load(Ordering::Relaxed).ilog2();
        (pieces, (0..heads).map(|_| framing.begin(false)).collect())
    }

    fn names(head: &[u8]) -> bool {
        let (_, named) = read(&[head]);
        assert_eq!(named.len(), 1, "{}", head.escape_ascii());
        named[0]
    }

    #[test]
    fn a_content_length_line_is_seen_in_any_case_and_across_reads() {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\ncOntent-Length: 5\r\n\r\nhello";
        assert!(names(head));
        for cut in 1..head.len() {
            assert_eq!(read(&[&head[..cut], &head[cut..]]).1, [true], "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = head.chunks(1).collect();
        assert_eq!(read(&bytes).1, [true]);
    }

    #[test]
    fn requests_behind_each_other_are_handed_on_one_by_one() {
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let post = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
        let both = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n";
        let all = [get, post, post, get, both].concat();
        let expected: Vec<String> = [get, post, post, get, both].map(|r| r.escape_default().to_string()).to_vec();
        let (pieces, named) = read(&[all.as_bytes()]);
        assert_eq!((pieces, named), (expected, vec![false, true, true, false, true]));
        // However it is cut.
        for cut in 1..all.len() {
            let (first, second) = all.as_bytes().split_at(cut);
            assert_eq!(read(&[first, second]).1, [false, true, true, false, true], "cut at {cut}");
        }
    }

    #[test]
    fn behind_a_chunked_body_the_next_exchange_begins_anew() {
        let (framing, mut reader) = (Framing::default(), Reader::default());
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel";
        assert_eq!(reader.take(chunked, &framing), chunked.len());
        assert!(!framing.begin(true));
        assert_eq!(reader.take(b"lo\r\n0\r\n\r\n", &framing), 9);
        framing.end();
        let next = b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(reader.take(next, &framing), next.len());
        assert!(framing.begin(false));
    }

    #[test]
    fn empty_lines_before_the_request_line_end_no_head() {
        assert!(names(b"\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"));
        assert!(!names(b"POST / HTTP/1.1\n\nContent-Length: 5\n"));
    }

    #[test]
    fn other_names_that_share_a_beginning_are_other_names() {
        assert!(!names(b"POST / HTTP/1.1\r\nContent-Len: 5\r\nX-Content-Length: 5\r\nContent-Lengths: 5\r\nC\r\n\r\n"));
    }

    #[test]
    fn a_tunnel_is_not_read() {
        let framing = Framing::default();
        framing.become_opaque();
        assert_eq!(Reader::default().take(b"GET / HTTP/1.1\r\n\r\nGET", &framing), 21);
    }
}
