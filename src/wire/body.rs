//! The request body as the upstream connection sees it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::reliability::Failure;

/// Why a client's upload broke off: it left, or what it sent is malformed.
pub fn upload_failure(error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if let Some(io) = this.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
                    Failure::ClientGone
                }
                _ => Failure::RequestBodyIncomplete,
            };
        }
        cause = this.source();
    }
    Failure::RequestBodyIncomplete
}

/// What is sent to an upstream.
pub enum RequestBody {
    /// Nothing (left).
    Empty,
    /// Held in memory: may be sent again. Cloning copies no bytes.
    Buffered { data: Bytes, trailers: Option<Box<HeaderMap>> },
    /// Passed through as it arrives: can be sent once. `prefix` was read before the decision to stream.
    Streaming { prefix: Bytes, rest: Incoming },
}

impl RequestBody {
    /// A second copy for another attempt, if the body is held in memory.
    pub fn replay(&self) -> Option<RequestBody> {
        match self {
            RequestBody::Empty => Some(RequestBody::Empty),
            RequestBody::Buffered { data, trailers } => {
                Some(RequestBody::Buffered { data: data.clone(), trailers: trailers.clone() })
            }
            RequestBody::Streaming { .. } => None,
        }
    }

    /// Whether the body needs a connection that is polled on its own.
    pub fn is_streaming(&self) -> bool {
        matches!(self, RequestBody::Streaming { .. })
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestBody::Empty => f.write_str("Empty"),
            RequestBody::Buffered { data, .. } => write!(f, "Buffered({} bytes)", data.len()),
            RequestBody::Streaming { prefix, .. } => write!(f, "Streaming({} bytes read ahead)", prefix.len()),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Buffered { data, trailers } => {
                if !data.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(data)))));
                }
                Poll::Ready(trailers.take().map(|t| Ok(Frame::trailers(*t))))
            }
            RequestBody::Streaming { prefix, rest } => {
                if !prefix.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(prefix)))));
                }
                Pin::new(rest).poll_frame(cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Buffered { data, trailers } => data.is_empty() && trailers.is_none(),
            RequestBody::Streaming { prefix, rest } => prefix.is_empty() && rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            // With trailers the body must go out chunked, hence no exact size.
            RequestBody::Buffered { data, trailers: None } => SizeHint::with_exact(data.len() as u64),
            RequestBody::Buffered { trailers: Some(_), .. } => SizeHint::default(),
            RequestBody::Streaming { prefix, rest } => {
                let hint = rest.size_hint();
                let read = prefix.len() as u64;
                let mut sum = SizeHint::new();
                sum.set_lower(hint.lower().saturating_add(read));
                if let Some(upper) = hint.upper().and_then(|u| u.checked_add(read)) {
                    sum.set_upper(upper);
                }
                sum
            }
        }
    }
}
