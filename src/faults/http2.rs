//! One connection of HTTP/2: the frames are the library's (`h2`), what happens to a request is the script's.
//!
//! What must be exact to the byte, or breaks the protocol, is played with `testing::Frames` instead.

mod answer;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::ext::Protocol;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::{Counted, Next, elapsed, ordered};
use super::line::{Line, Rewound};
use super::message::{Digest, Field, Head};
use super::observe::{Observed, SeenBody, SeenTls};
use super::script::{Abandoned, Act, Behaviour, Hangup, RequestBody, Script};
use super::{Current, Shared};
use answer::{Gone, Writer};

/// What every client of HTTP/2 sends first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Window of a stream and of a connection, unless the test says otherwise: large enough not to matter.
const WINDOW: u32 = 1 << 20;
/// Bytes an answer may be ahead of what the peer has taken.
const AHEAD_MAX: usize = 256 * 1024;

/// What a stream asks of its connection.
enum Wish {
    Reset,
    Close,
    GoAway(u32),
}

/// What the streams of one connection share.
struct Common {
    shared: Arc<Shared>,
    number: u64,
    tls: Option<Arc<SeenTls>>,
    wishes: mpsc::Sender<Wish>,
}

pub(super) async fn serve(
    first: BytesMut,
    line: Arc<Line>,
    shared: Arc<Shared>,
    number: u64,
    tls: Option<Arc<SeenTls>>,
    mut close: watch::Receiver<u64>,
) -> io::Result<Next> {
    let listening = &shared.listening;
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(listening.window.unwrap_or(WINDOW));
    builder.initial_connection_window_size(listening.window.unwrap_or(WINDOW).max(65_535));
    builder.max_send_buffer_size(AHEAD_MAX).enable_connect_protocol();
    if let Some(most) = listening.max_streams {
        builder.max_concurrent_streams(most);
    }
    let mut connection = builder.handshake::<_, Bytes>(Rewound::new(first, line)).await.map_err(broken)?;
    let (wishes, mut inbox) = mpsc::channel(1);
    let common = Arc::new(Common { shared: Arc::clone(&shared), number, tls, wishes });
    let (mut streams, mut served) = (JoinSet::new(), 0);
    loop {
        let keep_alive = shared.script.load().script.keep_alive;
        let idle = keep_alive.idle.filter(|_| streams.is_empty());
        tokio::select! {
            biased;
            Some(wish) = inbox.recv() => match wish {
                Wish::Reset => return Ok(Next::Reset),
                Wish::Close => return Ok(Next::Close),
                Wish::GoAway(code) => connection.abrupt_shutdown(Reason::from(code)),
            },
            request = connection.accept() => {
                let Some(request) = request else { return Ok(Next::Close) };
                let (request, respond) = request.map_err(broken)?;
                served += 1;
                streams.spawn(stream(Arc::clone(&common), request, respond));
                if keep_alive.requests.is_some_and(|most| served >= most) {
                    connection.graceful_shutdown();
                }
            }
            Some(_) = streams.join_next() => {}
            () = ordered(&mut close) => {
                if streams.is_empty() {
                    return finish(connection).await;
                }
                connection.graceful_shutdown();
            }
            () = elapsed(idle) => return finish(connection).await,
        }
    }
}

/// GOAWAY, and the end of the connection once it is written.
async fn finish(mut connection: Connection<Rewound, Bytes>) -> io::Result<Next> {
    connection.abrupt_shutdown(Reason::NO_ERROR);
    // It is written or the peer has gone: the connection ends either way.
    let _ = poll_fn(|cx| connection.poll_closed(cx)).await;
    Ok(Next::Close)
}

/// What the peer did wrong is malformed; all else means that it has gone.
fn broken(error: h2::Error) -> io::Error {
    if error.is_library() && !error.is_io() {
        return io::Error::new(io::ErrorKind::InvalidData, error);
    }
    io::Error::new(io::ErrorKind::ConnectionAborted, error)
}

async fn stream(common: Arc<Common>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let observed = &common.shared.observed;
    let head = head(&request);
    let current = common.shared.script.load_full();
    let scripted = current.next_number();
    let id = observed.on_head(&head, common.number, common.tls.as_ref());
    observed.count(|c| c.serving += 1);
    let _serving = Counted(observed, |c| c.serving -= 1);
    // Counted unless it is taken back: also when the connection ends, and this task with it.
    let abandoned = Counted(observed, |c| c.abandoned += 1);
    let protocol = request.extensions().get::<Protocol>().is_some();
    let exchange = Exchange { head: &head, id, body: request.into_body(), protocol, observed };
    match exchange.run(&common, &current, scripted, &mut respond).await {
        Ok(end) => {
            std::mem::forget(abandoned);
            match end {
                None => {}
                Some(Hangup::Stream(code)) => respond.send_reset(Reason::from(code)),
                Some(Hangup::Reset) => drop(common.wishes.send(Wish::Reset).await),
                Some(Hangup::Close) => drop(common.wishes.send(Wish::Close).await),
                Some(Hangup::GoAway(code)) => drop(common.wishes.send(Wish::GoAway(code)).await),
            }
        }
        Err(Gone::Reset) => observed.count(|c| c.resets += 1),
        Err(Gone::Connection) => {}
    }
}

/// The head of a request, in the form in which HTTP/1 is noted: pseudo-fields first, under their names.
fn head(request: &Request<RecvStream>) -> Head {
    let uri = request.uri();
    let target = uri.path_and_query().map_or_else(|| uri.path().to_string(), ToString::to_string);
    let mut fields: Vec<Field> = Vec::new();
    let mut pseudo = |name: &str, value: Option<&str>| {
        fields.extend(value.map(|value| (name.to_string(), value.to_string())));
    };
    pseudo(":scheme", uri.scheme_str());
    pseudo(":authority", uri.authority().map(|a| a.as_str()));
    pseudo(":protocol", request.extensions().get::<Protocol>().map(|p| p.as_str()));
    fields.extend(fields_of(request.headers()));
    let line = [request.method().to_string(), target, "HTTP/2".to_string()];
    Head { raw: Bytes::new(), line, fields }
}

fn fields_of(headers: &HeaderMap) -> Vec<Field> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_string(), text(value))).collect()
}

/// One request on its way through the script.
struct Exchange<'a> {
    head: &'a Head,
    id: u64,
    body: RecvStream,
    protocol: bool,
    observed: &'a Observed,
}

impl Exchange<'_> {
    async fn run(
        mut self,
        common: &Common,
        current: &Current,
        scripted: u64,
        respond: &mut SendResponse<Bytes>,
    ) -> Result<Option<Hangup>, Gone> {
        let behaviour = current.script.plan.behaviour(scripted, self.head.target());
        match behaviour.body {
            // What follows an extended CONNECT is no body: it ends when the conversation does.
            RequestBody::Read if !self.protocol => self.read_body().await?,
            RequestBody::Read => {}
            RequestBody::Unread if self.body.is_end_stream() => self.executed(Digest::default(), Vec::new()),
            RequestBody::Unread => {}
        }
        work(common, &current.script, behaviour.latency.draw(scripted), respond).await?;
        self.act(behaviour, respond).await
    }

    async fn act(&mut self, behaviour: &Behaviour, respond: &mut SendResponse<Bytes>) -> Result<Option<Hangup>, Gone> {
        match &behaviour.act {
            Act::Answer(answer) => answer::write(answer, self.head, respond, self.observed).await,
            Act::Stall => Err(answer::reset(respond).await),
            Act::HangUp(how) => Ok(Some(*how)),
            Act::Raw(..) => Ok(Some(Hangup::Stream(Reason::INTERNAL_ERROR.into()))),
            Act::Upgrade => self.upgrade(respond).await,
            Act::Echo => {
                let answer = Response::new(());
                self.echo(respond, answer, |_| {}).await
            }
            Act::GrpcEcho => {
                let answer = Response::builder().header("content-type", "application/grpc").body(());
                let ok = |trailers: &mut HeaderMap| {
                    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                };
                self.echo(respond, answer.unwrap_or_default(), ok).await
            }
        }
    }

    async fn read_body(&mut self) -> Result<(), Gone> {
        let mut digest = Digest::default();
        while let Some(piece) = self.piece().await? {
            digest.update(&piece);
        }
        let trailers = self.body.trailers().await?;
        self.executed(digest, trailers.as_ref().map(fields_of).unwrap_or_default());
        Ok(())
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Gone> {
        let Some(piece) = self.body.data().await.transpose()? else { return Ok(None) };
        // Fails only after the end of the stream, when nobody waits for room.
        let _ = self.body.flow_control().release_capacity(piece.len());
        self.observed.count(|c| c.bytes_in += piece.len() as u64);
        Ok(Some(piece))
    }

    fn executed(&self, digest: Digest, trailers: Vec<Field>) {
        self.observed.on_executed(self.id, self.head, SeenBody { digest, trailers });
    }

    async fn upgrade(&mut self, respond: &mut SendResponse<Bytes>) -> Result<Option<Hangup>, Gone> {
        if self.head.method() == "CONNECT" && self.protocol {
            return self.echo(respond, Response::new(()), |_| {}).await;
        }
        let mut answer = Response::new(());
        *answer.status_mut() = http::StatusCode::UPGRADE_REQUIRED;
        respond.send_response(answer, true)?;
        self.observed.count(|c| c.answered += 1);
        Ok(None)
    }

    async fn echo(
        &mut self,
        respond: &mut SendResponse<Bytes>,
        answer: Response<()>,
        add: impl FnOnce(&mut HeaderMap),
    ) -> Result<Option<Hangup>, Gone> {
        let mut writer = Writer::new(respond.send_response(answer, false)?, self.observed);
        let (mut digest, whole) = (Digest::default(), self.body.is_end_stream());
        while let Some(piece) = self.piece().await? {
            digest.update(&piece);
            writer.write(piece, false).await?;
        }
        let mut trailers = self.body.trailers().await?.unwrap_or_default();
        let seen = fields_of(&trailers);
        add(&mut trailers);
        writer.end(trailers).await?;
        if !whole {
            self.executed(digest, seen);
        }
        self.observed.count(|c| c.answered += 1);
        Ok(None)
    }
}

/// Spends the latency, in a slot of the capacity where there is one.
async fn work(
    common: &Common,
    script: &Script,
    latency: Duration,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), Gone> {
    let arrived = Instant::now();
    let Some(capacity) = script.capacity.clone() else {
        let begin = common.shared.not_stalled(arrived);
        let idle = latency.is_zero() && begin == arrived;
        return if idle { Ok(()) } else { unless_gone(tokio::time::sleep_until(begin + latency), respond).await };
    };
    let (abandoned, shared) = (capacity.abandoned, Arc::clone(&common.shared));
    let work = async move {
        let mut slot = capacity.acquire(arrived).await;
        let due = shared.not_stalled(slot.begin) + latency;
        slot.due = Some(due);
        tokio::time::sleep_until(due).await;
    };
    match abandoned {
        Abandoned::Cancelled => unless_gone(work, respond).await,
        // A task of its own: it goes on when the stream, or the connection, has ended.
        Abandoned::RunsOn => {
            let work = tokio::spawn(work);
            unless_gone(async { drop(work.await) }, respond).await
        }
    }
}

async fn unless_gone(work: impl Future<Output = ()>, respond: &mut SendResponse<Bytes>) -> Result<(), Gone> {
    tokio::select! {
        biased;
        () = work => Ok(()),
        gone = answer::reset(respond) => Err(gone),
    }
}

#[cfg(test)]
mod tests;
