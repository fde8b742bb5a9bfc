//! Where the body of an answer ends (RFC 9112 §6.3), and its pieces as they arrive.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// A line that announces a chunk, extensions included, is refused beyond this.
const CHUNK_LINE_MAX: usize = 4 * 1024;
/// Trailers are refused beyond this, in bytes and in fields.
const TRAILERS_MAX: usize = 16 * 1024;
const TRAILER_FIELDS_MAX: usize = 64;

/// How much of a body is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Nothing.
    Ended,
    /// So many bytes.
    Length(u64),
    /// Chunks (RFC 9112 §7.1).
    Chunked(Chunk),
    /// Everything until the peer closes.
    UntilClose,
}

/// What is read next of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The line that announces the next chunk.
    Size,
    /// So many bytes of data.
    Data(u64),
    /// The line end behind the data.
    DataEnd,
    /// Trailers and the empty line behind them.
    Trailers,
}

/// What the bytes that have arrived hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Data.
    Data(Bytes),
    /// Trailers; the body is over.
    Trailers(HeaderMap),
    /// Nothing yet.
    More,
    /// The body is over.
    End,
}

/// The bytes are no body of this framing. What follows on this connection cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Framing {
    /// Takes the next piece out of `arrived`. `closed`: the peer has closed, nothing more will arrive.
    ///
    /// # Errors
    /// [`Malformed`], also when the peer closed before the end.
    pub(super) fn take(&mut self, arrived: &mut BytesMut, closed: bool) -> Result<Piece, Malformed> {
        let piece = match self {
            Framing::Ended => return Ok(Piece::End),
            Framing::Length(left) => {
                let data = data(arrived, *left);
                *left -= data.len() as u64;
                if *left == 0 {
                    *self = Framing::Ended;
                }
                if data.is_empty() { Piece::More } else { Piece::Data(data) }
            }
            Framing::UntilClose if arrived.is_empty() && closed => {
                *self = Framing::Ended;
                return Ok(Piece::End);
            }
            Framing::UntilClose if arrived.is_empty() => Piece::More,
            Framing::UntilClose => Piece::Data(arrived.split().freeze()),
            Framing::Chunked(state) => {
                let piece = state.take(arrived)?;
                if matches!(piece, Piece::End | Piece::Trailers(_)) {
                    *self = Framing::Ended;
                }
                piece
            }
        };
        if closed && piece == Piece::More { Err(Malformed) } else { Ok(piece) }
    }

    /// What is left, if it is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Framing::Ended => Some(0),
            Framing::Length(left) => Some(*left),
            Framing::Chunked(_) | Framing::UntilClose => None,
        }
    }
}

fn data(arrived: &mut BytesMut, most: u64) -> Bytes {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(arrived.len());
    arrived.split_to(length).freeze()
}

impl Chunk {
    fn take(&mut self, arrived: &mut BytesMut) -> Result<Piece, Malformed> {
        loop {
            match *self {
                Chunk::Size => {
                    let Some(end) = memchr::memchr(b'\n', arrived) else {
                        return if arrived.len() > CHUNK_LINE_MAX { Err(Malformed) } else { Ok(Piece::More) };
                    };
                    if end > CHUNK_LINE_MAX {
                        return Err(Malformed);
                    }
                    let size = chunk_size(&arrived[..end])?;
                    arrived.advance(end + 1);
                    *self = if size == 0 { Chunk::Trailers } else { Chunk::Data(size) };
                }
                Chunk::Data(left) => {
                    let data = data(arrived, left);
                    let left = left - data.len() as u64;
                    *self = if left == 0 { Chunk::DataEnd } else { Chunk::Data(left) };
                    return Ok(if data.is_empty() { Piece::More } else { Piece::Data(data) });
                }
                Chunk::DataEnd => {
                    match arrived.get(..2) {
                        Some(b"\r\n") => arrived.advance(2),
                        Some(_) => return Err(Malformed),
                        None => return Ok(Piece::More),
                    }
                    *self = Chunk::Size;
                }
                Chunk::Trailers => return trailers(arrived),
            }
        }
    }
}

/// The size in a line without its line feed. Strict: a carriage return, hexadecimal digits, and behind them
/// nothing but an extension.
fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let line = line.strip_suffix(b"\r").ok_or(Malformed)?;
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (size, rest) = line.split_at(digits);
    // "Bad" whitespace before an extension is allowed (RFC 9112 §7.1.1), control characters in it are not.
    let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let rest = &rest[blanks..];
    let extension = rest.is_empty() || rest[0] == b';';
    if !extension || rest.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return Err(Malformed);
    }
    // More than 15 digits do not fit; none are no number.
    if digits == 0 || digits > 15 {
        return Err(Malformed);
    }
    std::str::from_utf8(size).ok().and_then(|s| u64::from_str_radix(s, 16).ok()).ok_or(Malformed)
}

fn trailers(arrived: &mut BytesMut) -> Result<Piece, Malformed> {
    if arrived.starts_with(b"\r\n") {
        arrived.advance(2);
        return Ok(Piece::End);
    }
    let mut fields = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
    match httparse::parse_headers(arrived, &mut fields) {
        Ok(httparse::Status::Complete((length, fields))) if length <= TRAILERS_MAX => {
            let mut map = HeaderMap::with_capacity(fields.len());
            for field in fields {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed)?;
                map.append(name, HeaderValue::from_bytes(field.value).map_err(|_| Malformed)?);
            }
            arrived.advance(length);
            Ok(Piece::Trailers(map))
        }
        Ok(httparse::Status::Partial) if arrived.len() <= TRAILERS_MAX => Ok(Piece::More),
        Ok(_) | Err(_) => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that `text` holds, arriving `step` bytes at a time, then closed.
    fn read(mut framing: Framing, text: &[u8], step: usize) -> (Vec<u8>, Option<HeaderMap>, Result<usize, Malformed>) {
        let (mut arrived, mut body, mut trailers) = (BytesMut::new(), Vec::new(), None);
        let mut chunks = text.chunks(step);
        let mut closed = false;
        loop {
            match framing.take(&mut arrived, closed) {
                Ok(Piece::Data(data)) => body.extend_from_slice(&data),
                Ok(Piece::Trailers(map)) => trailers = Some(map),
                Ok(Piece::End) => return (body, trailers, Ok(arrived.len() + chunks.map(<[u8]>::len).sum::<usize>())),
                Ok(Piece::More) => match chunks.next() {
                    Some(chunk) => arrived.extend_from_slice(chunk),
                    None => closed = true,
                },
                Err(malformed) => return (body, trailers, Err(malformed)),
            }
        }
    }

    const CHUNKED: Framing = Framing::Chunked(Chunk::Size);

    #[test]
    fn a_body_of_known_length_ends_there_and_leaves_the_rest() {
        for step in [1, 3, 100] {
            assert_eq!(read(Framing::Length(5), b"helloHTTP", step), (b"hello".to_vec(), None, Ok(4)));
        }
    }

    #[test]
    fn a_body_that_is_cut_short_is_an_error_in_every_framing_that_knows_its_end() {
        assert!(read(Framing::Length(5), b"hell", 1).2.is_err());
        for cut in [&b""[..], b"5", b"5\r\n", b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n"] {
            assert!(read(CHUNKED, cut, 1).2.is_err(), "{}", cut.escape_ascii());
        }
        assert_eq!(read(Framing::UntilClose, b"hell", 3), (b"hell".to_vec(), None, Ok(0)));
    }

    #[test]
    fn chunks_with_extensions_and_trailers_are_read_whatever_the_packets() {
        let text = b"5;a=\"b\"\r\nhello\r\n1 ; x\r\n \r\n00a\r\n0123456789\r\n0\r\nX-Sum: 7\r\nX-Sum: 8\r\n\r\nnext";
        for step in 1..text.len() {
            let (body, trailers, rest) = read(CHUNKED, text, step);
            assert_eq!(body, b"hello 0123456789", "step {step}");
            assert_eq!(trailers.unwrap().get_all("x-sum").iter().count(), 2);
            assert_eq!(rest, Ok(4));
        }
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        let bad: [&[u8]; 14] = [
            b"\r\n",
            b"g\r\n",
            b"-1\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhelloX\n0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5 5\r\nhello\r\n0\r\n\r\n",
            b"5\r\r\nhello\r\n0\r\n\r\n",
            b"5;\x00\r\nhello\r\n0\r\n\r\n",
            b"10000000000000000\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"0\r\nno colon\r\n\r\n",
        ];
        for text in bad {
            assert!(read(CHUNKED, text, 1).2.is_err(), "{}", text.escape_ascii());
            assert!(read(CHUNKED, text, 1_000).2.is_err(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn endless_lines_and_trailers_are_refused_while_they_arrive() {
        let line = [b"5;".to_vec(), vec![b'x'; 2 * CHUNK_LINE_MAX]].concat();
        assert!(read(CHUNKED, &line, 512).2.is_err());
        let mut trailers = b"0\r\n".to_vec();
        for _ in 0..2_000 {
            trailers.extend_from_slice(b"X-A: 0123456789\r\n");
        }
        assert!(read(CHUNKED, &trailers, 512).2.is_err());
    }
}
