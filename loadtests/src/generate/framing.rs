//! As much of HTTP/1 as the lean ends of a cost measurement need: where a message ends, without copying it.

use memchr::memmem;

/// Not a message we could follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What a head says about its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the head with its empty line.
    pub length: usize,
    pub body: Option<Framing>,
    /// `Connection: close`.
    pub close: bool,
    /// `Expect: 100-continue`.
    pub expects: bool,
}

/// How a body that is announced ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
}

impl Head {
    /// The head at the beginning of `bytes`; `None` if it is not complete.
    pub fn read(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let mut head = Head { length: end + 4, body: None, close: false, expects: false };
        let mut rest = &bytes[..end + 2];
        // The first line is the caller's.
        rest = &rest[memchr::memchr(b'\n', rest).ok_or(Malformed)? + 1..];
        while let Some(newline) = memchr::memchr(b'\n', rest) {
            let line = &rest[..newline];
            rest = &rest[newline + 1..];
            // Most fields are told apart by their first letter.
            if matches!(line.first(), Some(b'c' | b'C' | b't' | b'T' | b'e' | b'E')) {
                head.field(line)?;
            }
        }
        Ok(Some(head))
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let colon = memchr::memchr(b':', line).ok_or(Malformed)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value).map_err(|_| Malformed)?;
            self.body = Some(Framing::Length(digits.parse().map_err(|_| Malformed)?));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.body = Some(Framing::Chunked);
        } else if name.eq_ignore_ascii_case(b"connection") {
            self.close |= value.eq_ignore_ascii_case(b"close");
        } else if name.eq_ignore_ascii_case(b"expect") {
            self.expects = value.eq_ignore_ascii_case(b"100-continue");
        }
        Ok(())
    }
}

/// The status of an answer whose head begins `bytes`.
pub fn status(bytes: &[u8]) -> Result<u16, Malformed> {
    match bytes {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', a, b, c, b' ' | b'\r', ..]
            if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) =>
        {
            Ok([a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(**digit - b'0')))
        }
        _ => Err(Malformed),
    }
}

/// Follows a body to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    state: State,
    /// Bytes of the body, framing left out.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Bytes left.
    Length(u64),
    /// In the digits of a chunk's size.
    Size(u64),
    /// Behind them, up to the end of the line.
    Extension(u64),
    /// Bytes left of a chunk, with its CRLF.
    Chunk(u64),
    /// In a line of the trailer, of which this many bytes were read.
    Trailer(u32),
    Ended,
}

impl Body {
    pub const fn new(framing: Framing) -> Body {
        let state = match framing {
            Framing::Length(0) => State::Ended,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size(0),
        };
        Body { state, bytes: 0 }
    }

    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// How many of `bytes` belong to the body; fewer than all only at its end.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() && !self.ended() {
            at += self.step(&bytes[at..])?;
        }
        Ok(at)
    }

    fn step(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let here = |left: u64| (bytes.len() as u64).min(left);
        let (state, taken) = match self.state {
            State::Length(left) => {
                let taken = here(left);
                self.bytes += taken;
                (if left == taken { State::Ended } else { State::Length(left - taken) }, taken)
            }
            State::Chunk(left) => {
                let taken = here(left);
                self.bytes += taken.min(left.saturating_sub(2));
                (if left == taken { State::Size(0) } else { State::Chunk(left - taken) }, taken)
            }
            State::Size(size) => (Self::size(size, bytes[0])?, 1),
            State::Extension(size) if bytes[0] == b'\n' => (Self::chunk(size), 1),
            State::Extension(size) => (State::Extension(size), 1),
            State::Trailer(0) if bytes[0] == b'\r' => (State::Trailer(0), 1),
            State::Trailer(0) if bytes[0] == b'\n' => (State::Ended, 1),
            State::Trailer(_) if bytes[0] == b'\n' => (State::Trailer(0), 1),
            State::Trailer(read) if read < 65_536 => (State::Trailer(read + 1), 1),
            State::Trailer(_) => return Err(Malformed),
            State::Ended => (State::Ended, 0),
        };
        self.state = state;
        Ok(taken as usize)
    }

    fn size(size: u64, byte: u8) -> Result<State, Malformed> {
        match (byte as char).to_digit(16) {
            Some(digit) if size < 1 << 48 => Ok(State::Size(size * 16 + u64::from(digit))),
            Some(_) => Err(Malformed),
            None if byte == b'\n' => Ok(Self::chunk(size)),
            None if matches!(byte, b'\r' | b';' | b' ') => Ok(State::Extension(size)),
            None => Err(Malformed),
        }
    }

    const fn chunk(size: u64) -> State {
        if size == 0 { State::Trailer(0) } else { State::Chunk(size + 2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_length_close_and_where_it_ends() {
        let text = b"HTTP/1.1 200 OK\r\nDate: x\r\ncontent-LENGTH: 12\r\nConnection: close\r\n\r\nabc";
        let head = Head::read(text).unwrap().unwrap();
        assert_eq!(head.length, text.len() - 3);
        assert_eq!((head.body, head.close, head.expects), (Some(Framing::Length(12)), true, false));
        assert_eq!(status(text), Ok(200));
        assert_eq!(Head::read(&text[..40]), Ok(None));
        assert_eq!(Head::read(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"), Err(Malformed));
        assert_eq!(status(b"HTTP/2 200 OK\r\n"), Err(Malformed));
    }

    #[test]
    fn a_chunked_body_ends_in_the_same_place_however_it_is_cut() {
        let text = b"5;x=y\r\nhello\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nA: b\r\n\r\nGET";
        for cut in 0..text.len() {
            let mut body = Body::new(Framing::Chunked);
            let mut taken = body.take(&text[..cut]).unwrap();
            taken += body.take(&text[taken..]).unwrap();
            assert!(body.ended());
            assert_eq!((taken, body.bytes), (text.len() - 3, 31), "cut at {cut}");
        }
        assert!(Body::new(Framing::Chunked).take(b"zz").is_err());
    }

    #[test]
    fn a_body_with_a_length_leaves_what_follows() {
        let mut body = Body::new(Framing::Length(3));
        assert_eq!((body.take(b"ab").unwrap(), body.ended()), (2, false));
        assert_eq!((body.take(b"cde").unwrap(), body.ended(), body.bytes), (1, true, 3));
        assert!(Body::new(Framing::Length(0)).ended());
    }
}
