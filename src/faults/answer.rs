//! Scripted answers: what they say, and how they are written.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::message::{self, Field, Head, Outbox};
use super::observe::Observed;
use super::script::Hangup;

/// Largest piece of a body written at once, in bytes.
pub(super) const PIECE_MAX: u64 = 64 * 1024;

/// An answer in HTTP. Without a body it says `Content-Length: 0`, except where the status forbids it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) fields: Vec<Field>,
    pub(super) body: Payload,
    pub(super) framing: Encoding,
    pub(super) trailers: Vec<Field>,
    pub(super) informational: Vec<(u16, Vec<Field>)>,
    pub(super) pace: Option<Pace>,
    pub(super) slow_head: Option<Pace>,
    pub(super) cut: Option<(u64, Hangup)>,
}

impl Answer {
    /// An answer without fields and body.
    pub fn status(status: u16) -> Self {
        Answer {
            status,
            fields: Vec::new(),
            body: Payload::Bytes(Bytes::new()),
            framing: Encoding::Length,
            trailers: Vec::new(),
            informational: Vec::new(),
            pace: None,
            slow_head: None,
            cut: None,
        }
    }

    /// 200 with this body.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Answer::status(200).body(body)
    }

    /// Adds a field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_string(), value.to_string()));
        self
    }

    /// Adds `Retry-After` in whole seconds.
    pub fn retry_after(self, seconds: u64) -> Self {
        self.field("Retry-After", &seconds.to_string())
    }

    /// Adds `Retry-After` as a date, rounded up to the whole seconds a date can express.
    pub fn retry_at(self, when: SystemTime) -> Self {
        self.field("Retry-After", &httpdate::fmt_http_date(when + Duration::from_millis(999)))
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Payload::Bytes(body.into());
        self
    }

    /// A body of `length` bytes of [`pattern`](super::pattern), never held in memory.
    pub fn huge(mut self, length: u64) -> Self {
        self.body = Payload::Pattern(length);
        self
    }

    /// `Transfer-Encoding: chunked`.
    pub fn chunked(mut self) -> Self {
        self.framing = Encoding::Chunked;
        self
    }

    /// The body ends with the connection.
    pub fn until_close(mut self) -> Self {
        self.framing = Encoding::UntilClose;
        self
    }

    /// Adds a trailer and names it in `Trailer`; the body is chunked.
    pub fn trailer(self, name: &str, value: &str) -> Self {
        let mut answer = self.field("Trailer", name).chunked();
        answer.trailers.push((name.to_string(), value.to_string()));
        answer
    }

    /// Sends a 1xx answer first.
    pub fn informational(mut self, status: u16, fields: &[(&str, &str)]) -> Self {
        let fields = fields.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string()));
        self.informational.push((status, fields.collect()));
        self
    }

    /// Sends the body in pieces of `bytes`, one per `every`.
    pub fn paced(mut self, bytes: usize, every: Duration) -> Self {
        self.pace = Some(Pace { bytes: bytes.max(1), every });
        self
    }

    /// Sends the head in pieces of `bytes`, one per `every`.
    pub fn slow_head(mut self, bytes: usize, every: Duration) -> Self {
        self.slow_head = Some(Pace { bytes: bytes.max(1), every });
        self
    }

    /// Ends the connection after `bytes` of the body, which is announced as longer.
    pub fn cut(mut self, bytes: u64, how: Hangup) -> Self {
        self.cut = Some((bytes, how));
        self
    }
}

#[derive(Clone, Debug)]
pub(super) enum Payload {
    Bytes(Bytes),
    Pattern(u64),
}

impl Payload {
    pub(super) fn length(&self) -> u64 {
        match self {
            Payload::Bytes(bytes) => bytes.len() as u64,
            Payload::Pattern(length) => *length,
        }
    }

    /// Bytes at `offset`, at most `most` and at least one unless the body ends there.
    pub(super) fn piece(&self, offset: u64, most: u64) -> Bytes {
        let most = most.min(self.length().saturating_sub(offset));
        match self {
            Payload::Bytes(bytes) => bytes.slice(offset as usize..(offset + most) as usize),
            Payload::Pattern(_) => message::pattern(offset, most),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Length,
    Chunked,
    UntilClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    pub(super) bytes: usize,
    pub(super) every: Duration,
}

/// Writes an answer. Returns how the script wants the connection to end, if it cuts the body short.
pub(super) async fn write(
    outbox: &Outbox,
    answer: &Answer,
    request: &Head,
    announce_close: bool,
    observed: &Observed,
) -> io::Result<Option<Hangup>> {
    for (status, fields) in &answer.informational {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        outbox.write(format!("HTTP/1.1 {status} Informational\r\n{fields}\r\n").as_bytes()).await?;
    }
    let bodiless = request.method() == "HEAD" || matches!(answer.status, 100..200 | 204 | 304);
    let mut head = head(answer, announce_close);
    if bodiless {
        write_paced(outbox, &head, answer.slow_head).await?;
        observed.count(|c| c.answered += 1);
        return Ok(close_delimited(answer));
    }
    let small = answer.body.length() <= PIECE_MAX && answer.pace.is_none() && answer.cut.is_none();
    if small && answer.slow_head.is_none() && answer.framing != Encoding::Chunked {
        // One write for head and body: what a real server does, and half the system calls of a load test.
        let body = answer.body.piece(0, PIECE_MAX);
        head.extend_from_slice(&body);
        outbox.write(&head).await?;
        observed.count(|c| (c.answered, c.bytes_out) = (c.answered + 1, c.bytes_out + body.len() as u64));
        return Ok(close_delimited(answer));
    }
    write_paced(outbox, &head, answer.slow_head).await?;
    let cut = write_body(outbox, answer, observed).await?;
    if cut.is_none() {
        observed.count(|c| c.answered += 1);
    }
    Ok(cut.or(close_delimited(answer)))
}

fn close_delimited(answer: &Answer) -> Option<Hangup> {
    (answer.framing == Encoding::UntilClose).then_some(Hangup::Close)
}

fn head(answer: &Answer, announce_close: bool) -> Vec<u8> {
    let mut head = Vec::with_capacity(256);
    // Writing to a Vec cannot fail.
    let _ = write!(head, "HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.fields {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    match answer.framing {
        Encoding::Length if matches!(answer.status, 100..200 | 204 | 304) => {}
        Encoding::Length => drop(write!(head, "Content-Length: {}\r\n", answer.body.length())),
        Encoding::Chunked => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Encoding::UntilClose => {}
    }
    if announce_close {
        head.extend_from_slice(b"Connection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

async fn write_body(outbox: &Outbox, answer: &Answer, observed: &Observed) -> io::Result<Option<Hangup>> {
    let chunked = answer.framing == Encoding::Chunked;
    let most = answer.pace.map_or(PIECE_MAX, |pace| pace.bytes as u64);
    let mut offset = 0;
    loop {
        let until_cut = answer.cut.map_or(u64::MAX, |(at, _)| at.saturating_sub(offset));
        if let (0, Some((_, how))) = (until_cut, answer.cut) {
            return Ok(Some(how));
        }
        let piece = answer.body.piece(offset, most.min(until_cut));
        if piece.is_empty() {
            break;
        }
        write_piece(outbox, &piece, chunked).await?;
        offset += piece.len() as u64;
        observed.count(|c| c.bytes_out += piece.len() as u64);
        if let Some(pace) = answer.pace.filter(|_| offset < answer.body.length()) {
            tokio::time::sleep(pace.every).await;
        }
    }
    if chunked {
        write_end(outbox, &answer.trailers).await?;
    }
    Ok(None)
}

async fn write_paced(outbox: &Outbox, bytes: &[u8], pace: Option<Pace>) -> io::Result<()> {
    let Some(pace) = pace else { return outbox.write(bytes).await };
    for piece in bytes.chunks(pace.bytes) {
        outbox.write(piece).await?;
        tokio::time::sleep(pace.every).await;
    }
    Ok(())
}

/// Writes a piece of a body, as a chunk where the body is chunked.
pub(super) async fn write_piece(outbox: &Outbox, piece: &[u8], chunked: bool) -> io::Result<()> {
    if !chunked {
        return outbox.write(piece).await;
    }
    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
    chunk.extend_from_slice(piece);
    chunk.extend_from_slice(b"\r\n");
    outbox.write(&chunk).await
}

/// Writes the end of a chunked body.
pub(super) async fn write_end(outbox: &Outbox, trailers: &[Field]) -> io::Result<()> {
    let mut end = b"0\r\n".to_vec();
    for (name, value) in trailers {
        // Writing to a Vec cannot fail.
        let _ = write!(end, "{name}: {value}\r\n");
    }
    end.extend_from_slice(b"\r\n");
    outbox.write(&end).await
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Scripted")
}
