//! HTTP/1 messages as they stand on the wire: a strict reader that shares no code with the proxy.
//!
//! Whatever the proxy sends is read twice in a test: by the scripted upstream (requests) and by the raw
//! client (answers). Both use this reader and not hyper, so that a mistake of the library which the proxy
//! is built on is not repeated by the witness. It errs on the side of refusing: a message that two
//! implementations could read differently is an error here, also where RFC 9112 lets a recipient repair it.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::line::Line;

/// Longest head or chunk-size line accepted, in bytes.
pub const HEAD_MAX: usize = 256 * 1024;
/// Most bytes taken from the socket at once.
const READ_MAX: usize = 64 * 1024;

/// A name and a value, as received: neither case nor order is changed.
pub type Field = (String, String);

/// The receiving half of a connection, with the bytes read ahead.
#[derive(Debug)]
pub struct Inbox {
    line: Arc<Line>,
    buffer: BytesMut,
    received: u64,
}

/// The sending half of a connection.
#[derive(Clone, Debug)]
pub struct Outbox {
    line: Arc<Line>,
}

/// Splits a connection. It closes when both halves are gone.
pub fn split(line: impl Into<Line>) -> (Inbox, Outbox) {
    let line = Arc::new(line.into());
    (Inbox { line: Arc::clone(&line), buffer: BytesMut::new(), received: 0 }, Outbox { line })
}

impl Outbox {
    /// Writes all bytes. Waits while the peer does not read.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.line.write(bytes).await
    }

    /// Says inside TLS that nothing more follows (`close_notify`).
    pub async fn finish(&self) -> io::Result<()> {
        self.line.finish().await
    }

    /// Makes the close of this connection a reset (RST) that throws away what is not yet sent.
    pub fn reset_on_close(&self) -> io::Result<()> {
        self.line.reset_on_close()
    }
}

impl Inbox {
    /// Bytes that have arrived so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Reads what has arrived. 0 means that the peer closed its sending side.
    pub async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ_MAX);
        let count = self.line.read(&mut self.buffer).await?;
        self.received += count as u64;
        Ok(count)
    }

    /// Whether the stream begins with these bytes; reads until that is certain.
    #[cfg(feature = "testing")]
    pub(super) async fn begins_with(&mut self, bytes: &[u8]) -> io::Result<bool> {
        loop {
            let known = self.buffer.len().min(bytes.len());
            if self.buffer[..known] != bytes[..known] {
                return Ok(false);
            }
            if known == bytes.len() || self.fill().await? == 0 {
                return Ok(known == bytes.len());
            }
        }
    }

    /// What was read and not yet used, and the connection, for another reader.
    #[cfg(feature = "testing")]
    pub(super) fn hand_over(&mut self) -> (BytesMut, Arc<Line>) {
        (self.buffer.split(), Arc::clone(&self.line))
    }

    /// All buffered bytes, or what arrives next. Empty at the end of the stream.
    pub async fn take_any(&mut self) -> io::Result<Bytes> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(self.buffer.split().freeze())
    }

    /// Ends when the peer closes or resets; bytes that arrive meanwhile stay buffered, up to [`HEAD_MAX`].
    pub async fn peer_gone(&mut self) {
        while self.buffer.len() < HEAD_MAX {
            match self.fill().await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending().await
    }

    /// Reads one head, up to and with its empty line. None = the stream ended before its first byte.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.buffer[searched..], b"\r\n\r\n") {
                return Head::parse(self.buffer.split_to(searched + at + 4).freeze()).map(Some);
            }
            searched = self.buffer.len().saturating_sub(3);
            if self.buffer.len() > HEAD_MAX {
                return Err(malformed("the head has no end"));
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Reads a line up to CRLF, which is consumed and left out.
    async fn line(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let mut line = self.buffer.split_to(at + 2);
                line.truncate(at);
                return Ok(line.freeze());
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(malformed("the line has no end"));
            }
            if self.fill().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn malformed(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why.to_string())
}

/// The first line and the fields of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The bytes as they arrived, empty line included.
    pub raw: Bytes,
    /// The three words of the first line: method, target, version, or version, status, reason.
    pub line: [String; 3],
    /// Fields in their order of arrival.
    pub fields: Vec<Field>,
}

impl Head {
    fn parse(raw: Bytes) -> io::Result<Head> {
        let text = std::str::from_utf8(&raw[..raw.len() - 4]).map_err(|_| malformed("the head is not text"))?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let mut words = first.splitn(3, ' ').map(str::to_string);
        let line = [(); 3].map(|()| words.next().unwrap_or_default());
        let fields = lines.map(parse_field).collect::<io::Result<_>>()?;
        Ok(Head { line, fields, raw })
    }

    /// All values of a field, name in any case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The first value of a field, name in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Whether a comma-separated field holds this word.
    pub fn lists(&self, name: &str, word: &str) -> bool {
        self.all(name).flat_map(|v| v.split(',')).any(|w| w.trim().eq_ignore_ascii_case(word))
    }

    /// Method of a request.
    pub fn method(&self) -> &str {
        &self.line[0]
    }

    /// Target of a request, as sent.
    pub fn target(&self) -> &str {
        &self.line[1]
    }

    /// Status of an answer; an error for anything but `HTTP/1.x` and three digits.
    pub fn status(&self) -> io::Result<u16> {
        let digits = &self.line[1];
        if !self.line[0].starts_with("HTTP/1.") || digits.len() != 3 {
            return Err(malformed("no status line"));
        }
        digits.parse().map_err(|_| malformed("the status is not a number"))
    }

    /// How the body of this request is delimited.
    pub fn request_framing(&self) -> io::Result<Framing> {
        if !matches!(self.line[2].as_str(), "HTTP/1.1" | "HTTP/1.0") {
            return Err(malformed("no HTTP version in the request line"));
        }
        Ok(self.declared_framing()?.unwrap_or(Framing::Length(0)))
    }

    /// How the body of this answer to a request with `method` is delimited.
    pub fn answer_framing(&self, method: &str) -> io::Result<Framing> {
        let status = self.status()?;
        let declared = self.declared_framing()?;
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(Framing::Length(0));
        }
        Ok(declared.unwrap_or(Framing::UntilClose))
    }

    fn declared_framing(&self) -> io::Result<Option<Framing>> {
        let codings: Vec<&str> = self.all("transfer-encoding").collect();
        let lengths: Vec<&str> = self.all("content-length").collect();
        match (codings.as_slice(), lengths.as_slice()) {
            ([], []) => Ok(None),
            ([], [length]) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
                length.parse().map(|n| Some(Framing::Length(n))).map_err(|_| malformed("Content-Length is too large"))
            }
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
            _ => Err(malformed("the framing is ambiguous")),
        }
    }
}

fn parse_field(line: &str) -> io::Result<Field> {
    let (name, value) = line.split_once(':').ok_or_else(|| malformed("a field has no colon"))?;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(malformed("a field name is not a token"));
    }
    if value.bytes().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
        return Err(malformed("a field value holds a control character"));
    }
    Ok((name.to_string(), value.trim_matches([' ', '\t']).to_string()))
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length`; 0 also stands for "has no body".
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The body ends with the connection.
    UntilClose,
}

/// Reads one body piece by piece, at constant memory.
#[derive(Debug)]
pub struct BodyReader {
    framing: Framing,
    /// Bytes left of the body (`Length`) or of the current chunk (`Chunked`).
    left: u64,
    started: bool,
    ended: bool,
    /// Trailer fields; complete once [`BodyReader::piece`] has returned None.
    pub trailers: Vec<Field>,
}

impl BodyReader {
    /// A reader at the first byte of the body.
    pub fn new(framing: Framing) -> Self {
        let left = match framing {
            Framing::Length(n) => n,
            Framing::Chunked | Framing::UntilClose => 0,
        };
        let ended = framing == Framing::Length(0);
        BodyReader { framing, left, started: false, ended, trailers: Vec::new() }
    }

    /// Whether the whole body has been read.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The next bytes of the body; None at its end. A body that ends early is `UnexpectedEof`.
    pub async fn piece(&mut self, inbox: &mut Inbox) -> io::Result<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        if self.framing == Framing::Chunked && self.left == 0 && !self.next_chunk(inbox).await? {
            self.ended = true;
            return Ok(None);
        }
        if inbox.buffer.is_empty() && inbox.fill().await? == 0 {
            self.ended = true;
            return if self.framing == Framing::UntilClose { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
        }
        if self.framing == Framing::UntilClose {
            return Ok(Some(inbox.buffer.split().freeze()));
        }
        let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(inbox.buffer.len());
        self.left -= take as u64;
        self.ended = self.left == 0 && matches!(self.framing, Framing::Length(_));
        Ok(Some(inbox.buffer.split_to(take).freeze()))
    }

    /// Reads the line of the next chunk; false after the last one, whose trailers it reads.
    async fn next_chunk(&mut self, inbox: &mut Inbox) -> io::Result<bool> {
        if self.started && !inbox.line().await?.is_empty() {
            return Err(malformed("a chunk does not end with CRLF"));
        }
        self.started = true;
        let line = inbox.line().await?;
        let size = line.split(|b| *b == b';').next().unwrap_or_default();
        if size.is_empty() || size.len() > 15 || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err(malformed("a chunk size is not a hexadecimal number"));
        }
        let digits = std::str::from_utf8(size).unwrap_or_default();
        self.left = u64::from_str_radix(digits, 16).map_err(|_| malformed("a chunk size is too large"))?;
        if self.left > 0 {
            return Ok(true);
        }
        loop {
            let line = inbox.line().await?;
            if line.is_empty() {
                return Ok(false);
            }
            let text = std::str::from_utf8(&line).map_err(|_| malformed("a trailer is not text"))?;
            self.trailers.push(parse_field(text)?);
        }
    }
}

/// Length and digest of a body that is too large to keep. FNV-1a: it must notice lost, doubled and swapped
/// pieces, not an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Bytes seen.
    pub length: u64,
    /// FNV-1a of them.
    pub fnv: u64,
}

impl Default for Digest {
    fn default() -> Self {
        Digest { length: 0, fnv: 0xcbf2_9ce4_8422_2325 }
    }
}

impl Digest {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.fnv = bytes.iter().fold(self.fnv, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    }

    /// Of one whole body.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = Digest::default();
        digest.update(bytes);
        digest
    }

    /// Of the first `length` bytes of [`pattern`].
    pub fn of_pattern(length: u64) -> Self {
        let mut digest = Digest::default();
        while digest.length < length {
            let piece = pattern(digest.length, length - digest.length);
            digest.update(&piece);
        }
        digest
    }
}

/// Bytes at `offset` of an endless body, at most `most` of them. The period is a prime, so that swapped
/// buffers of any usual size change the digest.
pub fn pattern(offset: u64, most: u64) -> Bytes {
    const PERIOD: usize = 251;
    const SIZE: usize = PERIOD * 261;
    static TILE: std::sync::LazyLock<Bytes> =
        std::sync::LazyLock::new(|| (0..SIZE).map(|i| (i % PERIOD) as u8).collect::<Vec<u8>>().into());
    let start = (offset % PERIOD as u64) as usize;
    let end = (SIZE as u64).min(start as u64 + most) as usize;
    TILE.slice(start..end)
}
