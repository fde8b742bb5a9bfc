//! Writes scripted answers.

use std::io::{self, Write};

use super::message::{Field, Head, Outbox};
use super::observe::Observed;
use super::script::{Answer, Encoding, Hangup, Pace};

/// Largest piece of a body written at once, in bytes.
const PIECE_MAX: u64 = 64 * 1024;

/// Writes an answer. Returns how the script wants the connection to end, if it cuts the body short.
pub(super) async fn write(
    outbox: &Outbox,
    answer: &Answer,
    request: &Head,
    announce_close: bool,
    observed: &Observed,
) -> io::Result<Option<Hangup>> {
    for informational in &answer.informational {
        outbox.write(informational).await?;
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
