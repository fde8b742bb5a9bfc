//! One exchange on a shared connection.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, UPGRADE};
use http::{Method, Request, Response, StatusCode, Version};

use super::body::Received;
use super::connection::Connection;
use super::tunnel::Tunnel;
use super::upload::{Upload, upload};
use super::{FIELDS_MAX, INTERIM_MAX, request};
use crate::drain::Tasks;
use crate::reliability::{Failure, Sent};
use crate::sabotage::{Point, crash_point};
use crate::wire::spawned::AbortOnDrop;
use crate::wire::switched::Carried;
use crate::wire::{Answer, AnswerBody, Head, RequestBody, SendError, Terms};

/// A place for one stream. Given back when dropped.
#[derive(Debug)]
pub struct Place {
    connection: Arc<Connection>,
    was_idle: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connection.release();
    }
}

/// A stream that has begun: what waits for its answer, and what its body goes to.
struct Begun {
    answer: ResponseFuture,
    body: SendStream<Bytes>,
    mark: Mark,
}

/// Bytes that had moved on the connection before.
struct Mark {
    written: u64,
    read: u64,
}

impl Place {
    pub(super) fn new(connection: Arc<Connection>, was_idle: bool) -> Place {
        Place { connection, was_idle }
    }

    /// Whether nobody used the connection: its peer may have closed it meanwhile.
    pub fn was_idle(&self) -> bool {
        self.was_idle
    }

    /// Whether the connection is so old that another one should take its place.
    pub fn is_aged(&self, now: Instant) -> bool {
        self.connection.is_aged(now)
    }

    /// Tells, also when the place is gone, whether its connection takes no more requests.
    pub fn outlook(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let connection = Arc::clone(&self.connection);
        move || connection.is_forsaken()
    }

    /// Sends a request that is held in memory and waits for the head of its answer. Dropping the future resets the
    /// stream: that is how an attempt is cancelled.
    ///
    /// # Errors
    /// [`SendError`] with what was sent.
    pub async fn send(self, head: &Head<'_>, body: &RequestBody, terms: Terms<'_>) -> Result<Answer, SendError> {
        let (data, trailers) = match body {
            RequestBody::Buffered { data, trailers } if !data.is_empty() || trailers.is_some() => (data, trailers),
            _ => {
                let begun = self.begin(head, body, true)?;
                return self.finish(begun, head.method, terms).await;
            }
        };
        let mut begun = self.begin(head, body, false)?;
        crash_point(Point::MidRequest);
        // What a stream does not take any more it says when the answer is waited for.
        if !data.is_empty() {
            let _ = begun.body.send_data(data.clone(), trailers.is_none());
        }
        if let Some(trailers) = trailers {
            let _ = begun.body.send_trailers((**trailers).clone());
        }
        crash_point(Point::AfterRequest);
        self.finish(begun, head.method, terms).await
    }

    /// Sends a request whose body arrives while it is sent.
    ///
    /// # Errors
    /// [`SendError`] with what was sent.
    pub async fn send_streaming(
        self,
        head: &Head<'_>,
        body: RequestBody,
        terms: Terms<'_>,
        tasks: &Tasks,
    ) -> Result<Answer, SendError> {
        let begun = match self.begin(head, &body, false) {
            Ok(begun) => begun,
            Err(error) => return Err(SendError { unsent: Some(body), ..error }),
        };
        let Begun { answer, body: stream, mark } = begun;
        let broken = Arc::new(OnceLock::new());
        let task = tasks.spawn(upload(stream, body, Arc::clone(&broken)));
        let upload = Upload { broken, _task: AbortOnDrop(Some(task.abort_handle())) };
        let answered = self.wait(&mark, answer, Some(&upload), terms).await?;
        self.answer(answered, head.method, Some(upload))
    }

    /// Asks to switch protocols (RFC 8441). What says yes looks as it does over HTTP/1.1, but for its version, and has a
    /// tunnel with it ([`crate::wire::switched`]).
    ///
    /// # Errors
    /// [`SendError`] with what was sent: nothing if the peer has not announced that it can.
    pub async fn switch(self, head: &Head<'_>, terms: Terms<'_>) -> Result<Answer, SendError> {
        let impossible = SendError { failure: Failure::UpgradeFailed, sent: Sent::No, unsent: None, late: None };
        if !self.connection.sender.is_extended_connect_protocol_enabled() {
            return Err(impossible);
        }
        let Some(protocol) = head.fields.get(UPGRADE).cloned() else { return Err(impossible) };
        let request = request::connect(head, self.connection.secure).ok_or(impossible)?;
        let begun = self.write(request, false)?;
        let answered = self.wait(&begun.mark, begun.answer, None, terms).await?;
        if !answered.status().is_success() {
            return self.answer(answered, head.method, None);
        }
        let (head, stream) = answered.into_parts();
        let mut answer = Response::new(AnswerBody::received(Received::over()));
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.version_mut() = Version::HTTP_2;
        *answer.headers_mut() = head.headers;
        answer.headers_mut().insert(UPGRADE, protocol);
        answer.extensions_mut().insert(Carried::new(Tunnel::new(begun.body, stream, self)));
        Ok(answer)
    }

    async fn finish(self, begun: Begun, asked: &Method, terms: Terms<'_>) -> Result<Answer, SendError> {
        let Begun { answer, body, mark } = begun;
        // All of it is queued.
        drop(body);
        let answered = self.wait(&mark, answer, None, terms).await?;
        self.answer(answered, asked, None)
    }

    /// Writes the head.
    fn begin(&self, head: &Head<'_>, body: &RequestBody, whole: bool) -> Result<Begun, SendError> {
        match request::request(head, body, self.connection.secure) {
            Some(request) => self.write(request, whole),
            None => Err(SendError { failure: Failure::Internal, sent: Sent::No, unsent: None, late: None }),
        }
    }

    fn write(&self, request: Request<()>, whole: bool) -> Result<Begun, SendError> {
        let connection = &self.connection;
        let mark = Mark { written: connection.traffic.written(), read: connection.traffic.read() };
        match connection.sender.clone().send_request(request, whole) {
            Ok((answer, body)) => Ok(Begun { answer, body, mark }),
            Err(error) => {
                // It was about to be closed, its peer wants no more streams, or it has used up their numbers.
                connection.forsake();
                let closing = error.is_io() || error.is_go_away();
                let failure = if closing { Failure::ConnectionTerminated } else { Failure::Internal };
                Err(SendError { failure, sent: Sent::No, unsent: None, late: None })
            }
        }
    }

    async fn wait(
        &self,
        mark: &Mark,
        mut answer: ResponseFuture,
        upload: Option<&Upload>,
        terms: Terms<'_>,
    ) -> Result<Response<RecvStream>, SendError> {
        terms.alarm.ask(terms.cutoff);
        let mut interim = Interim::default();
        let answered = std::future::poll_fn(|cx| match interim.poll(&mut answer, cx) {
            Poll::Ready(answered) => Poll::Ready(Some(answered)),
            Poll::Pending if terms.alarm.passed(terms.cutoff) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await;
        let traffic = &self.connection.traffic;
        let moved = if traffic.written() > mark.written { Sent::Maybe } else { Sent::No };
        let (failure, sent) = match answered {
            Some(Ok(answered)) => return Ok(answered),
            Some(Err(Trouble::Interim)) => (Failure::ResponseMalformed, Sent::Yes),
            Some(Err(Trouble::Stream(error))) => {
                let broken = upload.and_then(|upload| upload.broken.get().copied());
                self.explain(&error, broken, moved)
            }
            None => {
                if traffic.read() == mark.read {
                    // Not a byte of anything came meanwhile: the others should not wait as long.
                    self.connection.forsake();
                }
                // The task that drives the connection may be about to write.
                (Failure::TryTimeout, moved.max(Sent::Maybe))
            }
        };
        Err(SendError { failure, sent, unsent: None, late: None })
    }

    fn answer(
        self,
        answered: Response<RecvStream>,
        asked: &Method,
        upload: Option<Upload>,
    ) -> Result<Answer, SendError> {
        let (head, stream) = answered.into_parts();
        if head.headers.len() > FIELDS_MAX {
            let failure = Failure::ResponseHeadTooLarge;
            return Err(SendError { failure, sent: Sent::Yes, unsent: None, late: None });
        }
        let length = head.headers.get(CONTENT_LENGTH).filter(|_| asked != Method::HEAD);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let body = AnswerBody::received(Received::new(stream, length, upload, self));
        let mut answer = Response::new(body);
        *answer.status_mut() = head.status;
        *answer.headers_mut() = head.headers;
        Ok(answer)
    }

    /// What the end of a stream says, and what its peer may know of the request. `moved`: by what was written since.
    fn explain(&self, error: &h2::Error, broken: Option<Failure>, moved: Sent) -> (Failure, Sent) {
        if let Some(failure) = broken {
            return (failure, moved);
        }
        let reason = error.reason();
        if error.is_reset() && error.is_remote() {
            return match reason {
                Some(Reason::REFUSED_STREAM) => (Failure::StreamRefused, Sent::No),
                _ => (Failure::StreamReset, Sent::Yes),
            };
        }
        if error.is_go_away() && error.is_remote() {
            // It says so to streams above the last that it has looked at, and to no other.
            self.connection.forsake();
            return match reason {
                Some(Reason::NO_ERROR) => (Failure::StreamRefused, Sent::No),
                _ => (Failure::ConnectionTerminated, moved),
            };
        }
        if error.is_reset() && error.is_library() {
            return (Failure::ResponseMalformed, Sent::Yes);
        }
        self.connection.forsake();
        if error.is_library() { (Failure::ResponseMalformed, moved) } else { (Failure::ConnectionTerminated, moved) }
    }
}

enum Trouble {
    /// More interim answers than anyone needs.
    Interim,
    Stream(h2::Error),
}

/// Waits for the final head, and counts those before it.
#[derive(Default)]
struct Interim {
    polled: bool,
    seen: u32,
}

impl Interim {
    fn poll(
        &mut self,
        answer: &mut ResponseFuture,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<RecvStream>, Trouble>> {
        while self.polled {
            match ready!(answer.poll_informational(cx)) {
                Some(Ok(_interim)) => self.seen += 1,
                Some(Err(error)) => return Poll::Ready(Err(Trouble::Stream(error))),
                None => break,
            }
            if self.seen > INTERIM_MAX {
                return Poll::Ready(Err(Trouble::Interim));
            }
        }
        self.polled = true;
        Pin::new(answer).poll(cx).map_err(Trouble::Stream)
    }
}
