//! A scripted answer on a stream of HTTP/2.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::faults::answer::{Answer, Encoding, PIECE_MAX, Pace};
use crate::faults::message::{Field, Head};
use crate::faults::observe::Observed;
use crate::faults::script::Hangup;

/// Why an exchange came to no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// The peer reset the stream.
    Reset,
    /// The connection has ended.
    Connection,
}

impl From<h2::Error> for Gone {
    fn from(error: h2::Error) -> Gone {
        if error.is_reset() && error.is_remote() { Gone::Reset } else { Gone::Connection }
    }
}

/// Waits until the peer gives the stream up.
pub(super) async fn reset(respond: &mut SendResponse<Bytes>) -> Gone {
    match poll_fn(|cx| respond.poll_reset(cx)).await {
        Ok(_) => Gone::Reset,
        Err(error) => error.into(),
    }
}

/// Writes an answer. Returns how the script wants it to end, if it cuts the body short.
pub(super) async fn write(
    answer: &Answer,
    request: &Head,
    respond: &mut SendResponse<Bytes>,
    observed: &Observed,
) -> Result<Option<Hangup>, Gone> {
    for (status, fields) in &answer.informational {
        respond.send_informational(head(*status, fields))?;
    }
    pause(answer.slow_head).await;
    let mut head = head(answer.status, &answer.fields);
    let bodiless = request.method() == "HEAD" || matches!(answer.status, 100..200 | 204 | 304);
    if answer.framing == Encoding::Length && !matches!(answer.status, 100..200 | 204 | 304) {
        head.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(answer.body.length()));
    }
    let empty = answer.body.length() == 0 && answer.trailers.is_empty() && answer.cut.is_none();
    if bodiless || empty {
        respond.send_response(head, true)?;
    } else {
        let mut writer = Writer::new(respond.send_response(head, false)?, observed);
        if let Some(how) = write_body(answer, &mut writer).await? {
            writer.drain().await;
            return Ok(Some(how));
        }
    }
    observed.count(|c| c.answered += 1);
    Ok(None)
}

fn head(status: u16, fields: &[Field]) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    *head.headers_mut() = map(fields);
    head
}

/// Fields as HTTP/2 has them: those that are about the connection stay out.
fn map(fields: &[Field]) -> HeaderMap {
    const OF_THE_CONNECTION: [&str; 5] =
        ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let pair = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
        if let (Ok(name), Ok(value)) = pair
            && !OF_THE_CONNECTION.contains(&name.as_str())
        {
            map.append(name, value);
        }
    }
    map
}

/// Waits as long as a head takes that comes in pieces; its first byte is late, which is what a peer can see.
async fn pause(pace: Option<Pace>) {
    /// Bytes of a usual head in HTTP/1.
    const USUAL: usize = 64;
    if let Some(pace) = pace {
        let pieces = u32::try_from(USUAL.div_ceil(pace.bytes)).unwrap_or(1);
        tokio::time::sleep(pace.every.saturating_mul(pieces)).await;
    }
}

async fn write_body(answer: &Answer, writer: &mut Writer<'_>) -> Result<Option<Hangup>, Gone> {
    let most = answer.pace.map_or(PIECE_MAX, |pace| pace.bytes as u64);
    let (mut offset, length) = (0, answer.body.length());
    let cut = answer.cut.filter(|(at, _)| *at <= length);
    loop {
        let until_cut = cut.map_or(u64::MAX, |(at, _)| at.saturating_sub(offset));
        if let (0, Some((_, how))) = (until_cut, cut) {
            return Ok(Some(how));
        }
        let piece = answer.body.piece(offset, most.min(until_cut));
        offset += piece.len() as u64;
        let last = offset >= length;
        let end = last && answer.trailers.is_empty() && cut.is_none();
        if !piece.is_empty() {
            writer.write(piece, end).await?;
        }
        if last && cut.is_none() {
            break;
        }
        if let Some(pace) = answer.pace {
            tokio::time::sleep(pace.every).await;
        }
    }
    if !answer.trailers.is_empty() {
        writer.end(map(&answer.trailers)).await?;
    }
    Ok(None)
}

/// The body of an answer on its way.
pub(super) struct Writer<'a> {
    stream: SendStream<Bytes>,
    observed: &'a Observed,
}

impl<'a> Writer<'a> {
    pub(super) fn new(stream: SendStream<Bytes>, observed: &'a Observed) -> Self {
        Writer { stream, observed }
    }

    /// Writes these bytes when the peer has room for them.
    pub(super) async fn write(&mut self, mut bytes: Bytes, end: bool) -> Result<(), Gone> {
        while !bytes.is_empty() {
            self.stream.reserve_capacity(bytes.len());
            let room = match self.stream.capacity() {
                0 => poll_fn(|cx| self.stream.poll_capacity(cx)).await.ok_or(Gone::Connection)??,
                room => room,
            };
            let piece = bytes.split_to(room.min(bytes.len()));
            let length = piece.len() as u64;
            self.stream.send_data(piece, end && bytes.is_empty())?;
            self.observed.count(|c| c.bytes_out += length);
        }
        Ok(())
    }

    /// Writes the end of the stream.
    pub(super) async fn end(&mut self, trailers: HeaderMap) -> Result<(), Gone> {
        if trailers.is_empty() {
            return Ok(self.stream.send_data(Bytes::new(), true)?);
        }
        Ok(self.stream.send_trailers(trailers)?)
    }

    /// Gives what was written a moment to reach the peer before the end comes: a reset overtakes data that the library
    /// still holds.
    async fn drain(&mut self) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
