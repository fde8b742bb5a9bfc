//! The head of an answer: status, fields, and where the body ends.
//!
//! As strict as a proxy must be: what another reader could take for a different message is refused here,
//! before a byte of it goes on (RFC 9112 §5, §6.3, §11).

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use super::framing::{Chunk, Framing};
use crate::reliability::Failure;

/// The head of an answer larger than this is refused.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// …and one with more fields.
const FIELDS_MAX: usize = 100;

/// A head that was read whole.
#[derive(Debug)]
pub(super) struct AnswerHead {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    /// A reason phrase that is not the usual one.
    pub(super) reason: Option<ReasonPhrase>,
    pub(super) framing: Framing,
    /// The connection can carry another request behind the body.
    pub(super) kept: bool,
}

/// Looks for the end of a head, so that one that arrives byte by byte is not parsed for each of them.
#[derive(Debug, Default)]
pub(super) struct HeadEnd {
    seen: usize,
}

impl HeadEnd {
    /// Whether `arrived` holds an empty line. Looks at each byte once.
    pub(super) fn is_there(&mut self, arrived: &[u8]) -> bool {
        // An end may lie across what was seen: its last line feed was there, what follows was not.
        let mut from = self.seen.saturating_sub(2);
        while let Some(at) = memchr::memchr(b'\n', arrived.get(from..).unwrap_or_default()) {
            let after = arrived.get(from + at + 1..).unwrap_or_default();
            if after.starts_with(b"\n") || after.starts_with(b"\r\n") {
                return true;
            }
            from += at + 1;
        }
        self.seen = arrived.len();
        false
    }
}

/// Takes a head off the front of `arrived`. Call it once [`HeadEnd`] has seen its end.
///
/// # Errors
/// [`Failure::ResponseMalformed`] or [`Failure::ResponseHeadTooLarge`].
pub(super) fn take_head(arrived: &mut BytesMut, asked: &Method) -> Result<Option<AnswerHead>, Failure> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut head, arrived, &mut fields);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Failure::ResponseHeadTooLarge),
        Err(_) => return Err(Failure::ResponseMalformed),
    };
    if length > HEAD_BYTES_MAX {
        return Err(Failure::ResponseHeadTooLarge);
    }
    let code = head.code.ok_or(Failure::ResponseMalformed)?;
    let status = StatusCode::from_u16(code).map_err(|_| Failure::ResponseMalformed)?;
    let version = if head.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let usual = status.canonical_reason().unwrap_or("");
    let reason = head.reason.filter(|r| !r.is_empty() && *r != usual);
    let reason = reason.and_then(|r| ReasonPhrase::try_from(r.as_bytes()).ok());

    // Names and values are found again after the head is taken off: the values share its memory.
    let start = arrived.as_ptr().addr();
    let mut places = [Place::default(); FIELDS_MAX];
    for (place, field) in places.iter_mut().zip(head.headers.iter()) {
        *place = Place::of(field, start).ok_or(Failure::ResponseHeadTooLarge)?;
    }
    let count = head.headers.len();
    let bytes = arrived.split_to(length).freeze();
    collect(places.get(..count).unwrap_or_default(), &bytes, Line { status, version, reason }, asked).map(Some)
}

/// Where a field lies in the head. A head is smaller than 64 KiB.
#[derive(Clone, Copy, Default)]
struct Place {
    name: (u16, u16),
    value: (u16, u16),
}

impl Place {
    fn of(field: &httparse::Header<'_>, start: usize) -> Option<Place> {
        let place = |part: &[u8]| {
            let from = part.as_ptr().addr() - start;
            Some((u16::try_from(from).ok()?, u16::try_from(from + part.len()).ok()?))
        };
        // An empty value may be a slice of its own, outside of the head.
        let value = if field.value.is_empty() { Some((0, 0)) } else { place(field.value) };
        Some(Place { name: place(field.name.as_bytes())?, value: value? })
    }
}

fn range(place: (u16, u16)) -> Range<usize> {
    usize::from(place.0)..usize::from(place.1)
}

/// What the first line says.
struct Line {
    status: StatusCode,
    version: Version,
    reason: Option<ReasonPhrase>,
}

fn collect(places: &[Place], bytes: &Bytes, line: Line, asked: &Method) -> Result<AnswerHead, Failure> {
    let Line { status, version, reason } = line;
    let mut fields = HeaderMap::with_capacity(places.len());
    let (mut chunked, mut length, mut close, mut keep_alive) = (false, None, false, false);
    for place in places {
        let name = HeaderName::from_bytes(&bytes[range(place.name)]).map_err(|_| Failure::ResponseMalformed)?;
        let value = HeaderValue::from_maybe_shared(bytes.slice(range(place.value)));
        let value = value.map_err(|_| Failure::ResponseMalformed)?;
        if name == CONTENT_LENGTH {
            // One, and a number: a second one, even an equal one, was made by somebody who is confused.
            if length.replace(content_length(value.as_bytes())?).is_some() {
                return Err(Failure::ResponseMalformed);
            }
        } else if name == TRANSFER_ENCODING {
            if chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(Failure::ResponseMalformed);
            }
            chunked = true;
        } else if name == CONNECTION {
            for token in value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                close |= token.eq_ignore_ascii_case(b"close");
                keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        fields.append(name, value);
    }
    if chunked && (length.is_some() || version == Version::HTTP_10) {
        return Err(Failure::ResponseMalformed);
    }
    let bodiless = asked == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    let framing = match (bodiless, chunked, length) {
        (true, _, _) | (false, false, Some(0)) => Framing::Ended,
        (false, true, _) => Framing::Chunked(Chunk::Size),
        (false, false, Some(length)) => Framing::Length(length),
        (false, false, None) => Framing::UntilClose,
    };
    let persistent = !close && (version == Version::HTTP_11 || keep_alive);
    let kept = persistent && framing != Framing::UntilClose && status != StatusCode::SWITCHING_PROTOCOLS;
    Ok(AnswerHead { status, fields, reason, framing, kept })
}

fn content_length(value: &[u8]) -> Result<u64, Failure> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|t| t.parse().ok()).ok_or(Failure::ResponseMalformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &[u8], asked: &Method) -> Result<Option<AnswerHead>, Failure> {
        take_head(&mut BytesMut::from(text), asked)
    }

    fn framing(text: &str) -> (Framing, bool) {
        let head = head(text.as_bytes(), &Method::GET).unwrap().unwrap();
        (head.framing, head.kept)
    }

    #[test]
    fn the_end_of_the_body_is_found_as_rfc_9112_says() {
        let chunked = Framing::Chunked(Chunk::Size);
        assert_eq!(framing("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"), (Framing::Length(7), true));
        assert_eq!(framing("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), (Framing::Ended, true));
        assert_eq!(framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"), (chunked, true));
        assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\n"), (Framing::UntilClose, false));
        assert_eq!(framing("HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n"), (Framing::Ended, true));
        assert_eq!(framing("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"), (Framing::Ended, true));
        let to_head = head(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", &Method::HEAD).unwrap().unwrap();
        assert_eq!((to_head.framing, to_head.kept), (Framing::Ended, true));
    }

    #[test]
    fn a_connection_is_kept_only_if_both_sides_can_know_it() {
        assert!(!framing("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\n").1);
        assert!(!framing("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n").1);
        assert!(framing("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\n").1);
        assert!(!framing("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n").1);
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Content-Length : 5\r\n",
            "X-A: 1\r\n folded\r\n",
            "X-A: a\0b\r\n",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            assert!(head(text.as_bytes(), &Method::GET).is_err(), "{fields:?}");
        }
        assert!(head(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &Method::GET).is_err());
        assert!(head(b"HTTP/2.0 200 OK\r\n\r\n", &Method::GET).is_err());
        assert!(head(b"HTTP/1.1 099 Low\r\n\r\n", &Method::GET).is_err());
    }

    #[test]
    fn what_follows_the_head_stays() {
        let mut arrived = BytesMut::from(&b"HTTP/1.1 200 Fine\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nhi"[..]);
        let head = take_head(&mut arrived, &Method::GET).unwrap().unwrap();
        assert_eq!(&arrived[..], b"hi");
        assert_eq!(head.fields.get_all("x-a").iter().count(), 2);
        assert_eq!(head.reason.unwrap().as_bytes(), b"Fine");
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_the_packets_are_cut() {
        for text in [&b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"[..], b"HTTP/1.1 200 OK\nA: b\n\n", b"HTTP/1.1 200 OK\r\n\r\n"]
        {
            for step in 1..text.len() {
                let (mut end, mut at) = (HeadEnd::default(), 0);
                while at < text.len() {
                    assert!(!end.is_there(&text[..at]), "step {step} at {at}");
                    at = (at + step).min(text.len());
                }
                assert!(end.is_there(text), "step {step}");
            }
        }
    }

    #[test]
    fn more_fields_than_anyone_needs_are_refused() {
        let text = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: 1\r\n".repeat(FIELDS_MAX + 1));
        assert_eq!(head(text.as_bytes(), &Method::GET).unwrap_err(), Failure::ResponseHeadTooLarge);
    }
}
