//! Scripted gRPC: messages are opaque bytes behind a prefix of five, the outcome is a status in the trailers.

use bytes::{Bytes, BytesMut};

use super::answer::Answer;

/// A message as it stands in a body: not compressed, its length, its bytes.
pub fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.extend_from_slice(&[0]);
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(message);
    framed.freeze()
}

/// The messages of a body; None if it ends in the middle of one, or one is compressed.
pub fn messages(mut body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    while !body.is_empty() {
        let (prefix, rest) = body.split_first_chunk::<5>()?;
        let [0, a, b, c, d] = *prefix else { return None };
        let (message, rest) = rest.split_at_checked(u32::from_be_bytes([a, b, c, d]) as usize)?;
        found.push(message.to_vec());
        body = rest;
    }
    Some(found)
}

impl Answer {
    /// These messages, then this status in the trailers. One message and status 0 is an ordinary unary answer;
    /// [`Answer::paced`] with the length of a framed message makes a slow stream of them.
    pub fn grpc<M: AsRef<[u8]>>(messages: impl IntoIterator<Item = M>, status: u32) -> Answer {
        let mut body = BytesMut::new();
        for message in messages {
            body.extend_from_slice(&framed(message.as_ref()));
        }
        let mut answer = Answer::ok(body.freeze()).field("content-type", "application/grpc").chunked();
        answer.trailers.push(("grpc-status".to_string(), status.to_string()));
        answer
    }

    /// Trailers-Only: a status and its message in the head, and nothing else.
    pub fn grpc_status(status: u32, message: &str) -> Answer {
        let answer = Answer::status(200).field("content-type", "application/grpc");
        answer.field("grpc-status", &status.to_string()).field("grpc-message", message).chunked()
    }

    /// Adds `grpc-retry-pushback-ms`, where the status is: in the head of a Trailers-Only answer, else in the trailers.
    pub fn pushback(mut self, milliseconds: i64) -> Answer {
        let field = ("grpc-retry-pushback-ms".to_string(), milliseconds.to_string());
        let side = if self.trailers.is_empty() { &mut self.fields } else { &mut self.trailers };
        side.push(field);
        self
    }
}
