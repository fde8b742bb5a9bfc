//! For fuzzing: what goes out and what is read, without a connection.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};

use super::framing::Piece;
use super::request::{Head, Outgoing};
use super::response::{HEAD_BYTES_MAX, HeadEnd, take_head};
use crate::reliability::Failure;
use crate::wire::RequestBody;

/// An answer that was read to its end.
#[derive(Debug, PartialEq, Eq)]
pub struct WholeAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub fields: HeaderMap,
    /// All data.
    pub body: Vec<u8>,
    /// What followed the data.
    pub trailers: Option<HeaderMap>,
    /// Whether the connection may carry another exchange.
    pub kept: bool,
}

/// The bytes of a request that is held in memory.
pub fn written(head: &Head<'_>, body: &RequestBody) -> Vec<u8> {
    let mut outgoing = Outgoing::default();
    outgoing.write(head, body);
    let (copied, rest) = outgoing.parts();
    [copied, rest].concat()
}

/// Reads one final answer out of `pieces`, which arrive one after the other before the peer closes.
///
/// # Errors
/// What an exchange would fail with.
pub fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, asked: &Method) -> Result<WholeAnswer, Failure> {
    let (mut arrived, mut end, mut pieces) = (BytesMut::new(), HeadEnd::default(), pieces.fuse());
    let head = loop {
        if end.is_there(&arrived)
            && let Some(head) = take_head(&mut arrived, asked)?
        {
            end = HeadEnd::default();
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                break head;
            }
            continue;
        }
        if arrived.len() > HEAD_BYTES_MAX {
            return Err(Failure::ResponseHeadTooLarge);
        }
        arrived.extend_from_slice(pieces.next().ok_or(Failure::ConnectionTerminated)?);
    };
    let (mut framing, mut body, mut closed) = (head.framing, Vec::new(), false);
    let trailers = loop {
        match framing.take(&mut arrived, closed).map_err(|_| Failure::ResponseIncomplete)? {
            Piece::Data(data) => body.extend_from_slice(&data),
            Piece::Trailers(fields) => break Some(fields),
            Piece::End => break None,
            Piece::More => match pieces.next() {
                Some(piece) => arrived.extend_from_slice(piece),
                None => closed = true,
            },
        }
    };
    Ok(WholeAnswer { status: head.status, fields: head.fields, body, trailers, kept: head.kept })
}

/// A body that is held.
pub fn held(data: Bytes) -> RequestBody {
    if data.is_empty() { RequestBody::Empty } else { RequestBody::Buffered { data, trailers: None } }
}
