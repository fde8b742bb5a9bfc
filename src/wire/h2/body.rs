//! The body of an answer, and its place on the connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Frame, SizeHint};

use super::exchange::Place;
use super::upload::Upload;
use crate::wire::h1::Broken;

/// An answer that arrives. Dropped before its end, its stream is reset.
#[derive(Debug)]
pub(in crate::wire) struct Received {
    /// `None`: it is over.
    exchange: Option<Exchange>,
    /// Bytes to come, where the head has told.
    left: Option<u64>,
}

/// In the order in which it is dropped: the place is free once the stream is.
#[derive(Debug)]
struct Exchange {
    stream: RecvStream,
    _upload: Option<Upload>,
    _place: Place,
}

impl Received {
    pub(super) fn new(stream: RecvStream, left: Option<u64>, upload: Option<Upload>, place: Place) -> Received {
        if stream.is_end_stream() {
            return Received::over();
        }
        Received { exchange: Some(Exchange { stream, _upload: upload, _place: place }), left }
    }

    /// None.
    pub(super) fn over() -> Received {
        Received { exchange: None, left: Some(0) }
    }

    pub(in crate::wire) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = ready!(self.poll_next(cx));
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) || self.is_over() {
            self.exchange = None;
        }
        Poll::Ready(frame)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(None) };
        let stream = Pin::new(&mut exchange.stream).get_mut();
        while let Some(data) = ready!(stream.poll_data(cx)) {
            let Ok(data) = data else { return Poll::Ready(Some(Err(Broken))) };
            if data.is_empty() {
                continue;
            }
            // Whoever asks for a frame has room for it.
            let _ = stream.flow_control().release_capacity(data.len());
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        Poll::Ready(match ready!(stream.poll_trailers(cx)) {
            Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(None) => None,
            Err(_reset) => Some(Err(Broken)),
        })
    }

    fn is_over(&self) -> bool {
        self.exchange.as_ref().is_none_or(|exchange| exchange.stream.is_end_stream())
    }

    pub(in crate::wire) fn is_end_stream(&self) -> bool {
        self.exchange.is_none()
    }

    pub(in crate::wire) fn size_hint(&self) -> SizeHint {
        match (&self.exchange, self.left) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(left)) => SizeHint::with_exact(left),
            (Some(_), None) => SizeHint::default(),
        }
    }
}
