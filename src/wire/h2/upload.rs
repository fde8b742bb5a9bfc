//! A request body that streams: it goes out as fast as the peer takes it, and is asked for no faster.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::{Body, Frame};

use crate::reliability::Failure;
use crate::wire::RequestBody;
use crate::wire::body::upload_failure;
use crate::wire::spawned::AbortOnDrop;

/// An upload in its task. Dropped, the stream is reset if the upload is not over.
#[derive(Debug)]
pub(super) struct Upload {
    /// Why the client's part broke off.
    pub(super) broken: Arc<OnceLock<Failure>>,
    pub(super) _task: AbortOnDrop,
}

/// Sends `body` to its end, or until the stream ends.
pub(super) async fn upload(mut stream: SendStream<Bytes>, mut body: RequestBody, broken: Arc<OnceLock<Failure>>) {
    let uploaded = std::future::poll_fn(|cx| poll(&mut stream, &mut body, cx)).await;
    if let Err(failure) = uploaded {
        let _ = broken.set(failure);
        stream.send_reset(Reason::CANCEL);
    }
}

fn poll(stream: &mut SendStream<Bytes>, body: &mut RequestBody, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
    loop {
        // The peer may want no more, or the connection may be gone, while the client is silent.
        if stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if stream.capacity() == 0 {
            stream.reserve_capacity(1);
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_room)) => {}
                Some(Err(_)) | None => return Poll::Ready(Ok(())),
            }
        }
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if send(stream, frame, body.is_end_stream()) {
                    return Poll::Ready(Ok(()));
                }
            }
            Some(Err(error)) => return Poll::Ready(Err(upload_failure(&error))),
            None => {
                let _ = stream.send_data(Bytes::new(), true);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Whether it was the last one. A stream that takes no more says so at the next look.
fn send(stream: &mut SendStream<Bytes>, frame: Frame<Bytes>, last: bool) -> bool {
    match frame.into_data() {
        Ok(data) if data.is_empty() && !last => false,
        Ok(data) => {
            let _ = stream.send_data(data, last);
            last
        }
        Err(frame) => match frame.into_trailers() {
            Ok(trailers) => {
                let _ = stream.send_trailers(trailers);
                true
            }
            Err(_unknown) => false,
        },
    }
}
