//! One connection of a scripted upstream, from its first byte to its last.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Shared;
#[cfg(feature = "testing")]
use super::Version;
use super::answer;
#[cfg(feature = "testing")]
use super::http2;
use super::line::Line;
use super::message::{self, BodyReader, Digest, Framing, Head, Inbox, Outbox};
use super::observe::{Observed, SeenBody, SeenTls};
use super::script::{Abandoned, Act, Behaviour, Greeting, Hangup, RequestBody, Script, Then};

/// How long the end of a connection inside TLS may take to write.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// What to do with the connection after one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Serve,
    Close,
    Reset,
}

impl From<Hangup> for Next {
    fn from(how: Hangup) -> Self {
        match how {
            Hangup::Reset | Hangup::Stream(_) => Next::Reset,
            Hangup::Close | Hangup::GoAway(_) => Next::Close,
        }
    }
}

/// Takes a counter back when the connection or the request ends, also when its task is dropped.
pub(super) struct Counted<'a>(pub(super) &'a Observed, pub(super) fn(&mut super::Counts));

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.count(self.1);
    }
}

pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>, number: u64) {
    let _open = Counted(&shared.observed, |c| c.open -= 1);
    // Without it a small answer may wait for an acknowledgement; on failure it is only slower.
    let _ = stream.set_nodelay(true);
    let (close, mut reset) = (shared.close_idle.subscribe(), shared.reset.subscribe());
    let opened = tokio::select! {
        opened = open(stream, &shared) => opened,
        () = ordered(&mut reset) => None,
    };
    let Some((line, tls)) = opened else { return };
    let (inbox, outbox) = message::split(line);
    let mut connection = Connection { inbox, outbox, shared: Arc::clone(&shared), number, tls, served: 0, close };
    let end = tokio::select! {
        end = connection.run() => end,
        () = ordered(&mut reset) => Ok(Next::Reset),
    };
    match end {
        // A close with unread bytes would be a reset anyway; this one is meant.
        Ok(Next::Reset) => drop(connection.outbox.reset_on_close()),
        // A peer that does not read must not keep the connection: it closes either way.
        Ok(Next::Serve | Next::Close) => drop(tokio::time::timeout(FINISH_MAX, connection.outbox.finish()).await),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => shared.observed.count(|c| c.malformed += 1),
        // The peer went away; who awaited its request has counted it.
        Err(_) => {}
    }
}

/// The connection, once its bytes can be read; None if it ends before.
#[cfg(not(feature = "testing"))]
async fn open(stream: TcpStream, _shared: &Shared) -> Option<(Line, Option<Arc<SeenTls>>)> {
    Some((stream.into(), None))
}

/// The connection, once its bytes can be read; None if it ends before.
#[cfg(feature = "testing")]
async fn open(stream: TcpStream, shared: &Shared) -> Option<(Line, Option<Arc<SeenTls>>)> {
    let Some(tls) = shared.tls.load_full() else { return Some((stream.into(), None)) };
    let greeting = shared.script.load().script.greeting.clone();
    match greeting {
        Greeting::Serve | Greeting::Speak(_) => {}
        Greeting::Reset => {
            // What fails here is only how the end looks.
            let _ = stream.set_zero_linger();
            return None;
        }
        Greeting::Close => return None,
        Greeting::Silence => {
            message::split(stream).0.peer_gone().await;
            return None;
        }
    }
    match tls.accept(stream).await {
        Ok((line, seen)) => Some((line, Some(Arc::new(seen)))),
        Err(_) => {
            shared.observed.count(|c| c.strangers += 1);
            None
        }
    }
}

struct Connection {
    inbox: Inbox,
    outbox: Outbox,
    shared: Arc<Shared>,
    number: u64,
    tls: Option<Arc<SeenTls>>,
    served: u64,
    /// Changes when idle connections are to be closed.
    close: watch::Receiver<u64>,
}

impl Connection {
    async fn run(&mut self) -> io::Result<Next> {
        match self.shared.script.load().script.greeting.clone() {
            Greeting::Serve => {}
            Greeting::Reset => return Ok(Next::Reset),
            Greeting::Close => return Ok(Next::Close),
            Greeting::Silence => {
                self.inbox.peer_gone().await;
                return Ok(Next::Close);
            }
            Greeting::Speak(bytes) => self.outbox.write(&bytes).await?,
        }
        #[cfg(feature = "testing")]
        match self.speaks_http2().await? {
            Some(true) => {
                let (first, line) = self.inbox.hand_over();
                let shared = Arc::clone(&self.shared);
                return http2::serve(first, line, shared, self.number, self.tls.clone(), self.close.clone()).await;
            }
            Some(false) => {}
            None => return Ok(Next::Close),
        }
        loop {
            let Some(head) = self.next_head().await? else { return Ok(Next::Close) };
            match self.request(head).await? {
                Next::Serve => {}
                end => return Ok(end),
            }
        }
    }

    /// Whether the first bytes are those of HTTP/2; None = the server closes an idle connection.
    #[cfg(feature = "testing")]
    async fn speaks_http2(&mut self) -> io::Result<Option<bool>> {
        match self.shared.listening.only {
            Some(Version::Http1) => return Ok(Some(false)),
            Some(Version::Http2) => return Ok(Some(true)),
            None => {}
        }
        let idle = self.shared.script.load().script.keep_alive.idle;
        tokio::select! {
            biased;
            speaks = self.inbox.begins_with(http2::PREFACE) => speaks.map(Some),
            () = ordered(&mut self.close) => Ok(None),
            () = elapsed(idle) => Ok(None),
        }
    }

    /// Waits for a request; None = the peer closed, or the server closes an idle connection.
    async fn next_head(&mut self) -> io::Result<Option<Head>> {
        let idle = self.shared.script.load().script.keep_alive.idle;
        tokio::select! {
            biased;
            head = self.inbox.head() => head,
            () = ordered(&mut self.close) => Ok(None),
            () = elapsed(idle) => Ok(None),
        }
    }

    async fn request(&mut self, head: Head) -> io::Result<Next> {
        let framing = head.request_framing()?;
        self.served += 1;
        // An order given before this request does not concern it; one given during it is kept for its end.
        self.close.mark_unchanged();
        let current = self.shared.script.load_full();
        let scripted = current.next_number();
        let behaviour = current.script.plan.behaviour(scripted, head.target());
        let id = self.shared.observed.on_head(&head, self.number, self.tls.as_ref());
        self.shared.observed.count(|c| c.serving += 1);
        let shared = Arc::clone(&self.shared);
        let _serving = Counted(&shared.observed, |c| c.serving -= 1);

        let mut exchange = Exchange { head: &head, id, body: BodyReader::new(framing) };
        if head.lists("expect", "100-continue") && behaviour.body == RequestBody::Read {
            self.outbox.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let outcome = self.act(&current.script, behaviour, scripted, &mut exchange).await;
        match outcome {
            Ok(Next::Serve) if !exchange.body.ended() => {
                // Neither read nor closed nor announced: a peer that uses this connection again will notice.
                self.inbox.peer_gone().await;
                Ok(Next::Close)
            }
            Ok(next) => Ok(next),
            Err(e) => {
                let gone = e.kind() != io::ErrorKind::InvalidData;
                shared.observed.count(|c| c.abandoned += u64::from(gone));
                Err(e)
            }
        }
    }

    async fn act(
        &mut self,
        script: &Script,
        behaviour: &Behaviour,
        scripted: u64,
        exchange: &mut Exchange<'_>,
    ) -> io::Result<Next> {
        match behaviour.body {
            RequestBody::Read => self.read_body(exchange).await?,
            RequestBody::Unread if exchange.body.ended() => self.executed(exchange, Digest::default()),
            RequestBody::Unread => {}
        }
        self.work(script, behaviour.latency.draw(scripted)).await?;
        match &behaviour.act {
            Act::Answer(answer) => {
                let last = self.last(script, exchange);
                let asked = exchange.head.lists("connection", "close");
                let announced = last && (script.keep_alive.announced || asked);
                let (head, shared) = (exchange.head, &self.shared);
                let cut = answer::write(&self.outbox, answer, head, announced, &shared.observed).await?;
                Ok(cut.map_or(if last { Next::Close } else { Next::Serve }, Next::from))
            }
            Act::Stall => {
                self.inbox.peer_gone().await;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Act::HangUp(how) => Ok(Next::from(*how)),
            Act::Raw(bytes, then) => {
                self.outbox.write(bytes).await?;
                self.shared.observed.count(|c| c.answered += 1);
                match then {
                    Then::Close => Ok(Next::Close),
                    Then::Serve => Ok(Next::Serve),
                    Then::Silence => {
                        self.inbox.peer_gone().await;
                        Ok(Next::Close)
                    }
                }
            }
            Act::Upgrade => self.upgrade(exchange.head).await,
            Act::Echo | Act::GrpcEcho => self.echo(exchange).await,
        }
    }

    /// Whether this is the last request of the connection.
    fn last(&self, script: &Script, exchange: &Exchange<'_>) -> bool {
        script.keep_alive.requests.is_some_and(|most| self.served >= most)
            || exchange.head.lists("connection", "close")
            || exchange.head.line[2] == "HTTP/1.0"
    }

    async fn read_body(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        let mut digest = Digest::default();
        while let Some(piece) = exchange.body.piece(&mut self.inbox).await? {
            digest.update(&piece);
            self.shared.observed.count(|c| c.bytes_in += piece.len() as u64);
        }
        self.executed(exchange, digest);
        Ok(())
    }

    fn executed(&self, exchange: &mut Exchange<'_>, digest: Digest) {
        let body = SeenBody { digest, trailers: std::mem::take(&mut exchange.body.trailers) };
        self.shared.observed.on_executed(exchange.id, exchange.head, body);
    }

    /// Spends the latency, in a slot of the capacity where there is one. An error means that the peer left.
    async fn work(&mut self, script: &Script, latency: Duration) -> io::Result<()> {
        let (arrived, shared) = (Instant::now(), Arc::clone(&self.shared));
        let Some(capacity) = script.capacity.clone() else {
            let begin = shared.not_stalled(arrived);
            let idle = latency.is_zero() && begin == arrived;
            return if idle { Ok(()) } else { self.unless_gone(tokio::time::sleep_until(begin + latency)).await };
        };
        let abandoned = capacity.abandoned;
        let work = async move {
            let mut slot = capacity.acquire(arrived).await;
            let due = shared.not_stalled(slot.begin) + latency;
            slot.due = Some(due);
            tokio::time::sleep_until(due).await;
        };
        match abandoned {
            Abandoned::Cancelled => self.unless_gone(work).await,
            // The work goes on in this task whether or not somebody waits; the write shows who is left.
            Abandoned::RunsOn => {
                work.await;
                Ok(())
            }
        }
    }

    async fn unless_gone(&mut self, work: impl Future<Output = ()>) -> io::Result<()> {
        tokio::select! {
            biased;
            () = work => Ok(()),
            () = self.inbox.peer_gone() => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    async fn upgrade(&mut self, head: &Head) -> io::Result<Next> {
        let Some(protocol) = head.get("upgrade").filter(|_| head.lists("connection", "upgrade")) else {
            self.outbox.write(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n").await?;
            self.shared.observed.count(|c| c.answered += 1);
            return Ok(Next::Serve);
        };
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n");
        self.outbox.write(answer.as_bytes()).await?;
        loop {
            let bytes = self.inbox.take_any().await?;
            if bytes.is_empty() {
                self.shared.observed.count(|c| c.answered += 1);
                return Ok(Next::Close);
            }
            self.outbox.write(&bytes).await?;
        }
    }

    async fn echo(&mut self, exchange: &mut Exchange<'_>) -> io::Result<Next> {
        let framing = exchange.head.request_framing()?;
        let (line, chunked) = match framing {
            Framing::Length(length) => (format!("Content-Length: {length}\r\n"), false),
            // Trailers reach a client only when they are announced (RFC 9110 §6.6.2).
            Framing::Chunked | Framing::UntilClose => {
                let announced = exchange.head.get("trailer").map(|names| format!("Trailer: {names}\r\n"));
                (format!("Transfer-Encoding: chunked\r\n{}", announced.unwrap_or_default()), true)
            }
        };
        self.outbox.write(format!("HTTP/1.1 200 OK\r\n{line}\r\n").as_bytes()).await?;
        let mut digest = Digest::default();
        while let Some(piece) = exchange.body.piece(&mut self.inbox).await? {
            digest.update(&piece);
            answer::write_piece(&self.outbox, &piece, chunked).await?;
            let bytes = piece.len() as u64;
            self.shared.observed.count(|c| (c.bytes_in, c.bytes_out) = (c.bytes_in + bytes, c.bytes_out + bytes));
        }
        if chunked {
            answer::write_end(&self.outbox, &exchange.body.trailers).await?;
        }
        if framing != Framing::Length(0) {
            self.executed(exchange, digest);
        }
        self.shared.observed.count(|c| c.answered += 1);
        Ok(Next::Serve)
    }
}

/// One request on its way through the script.
struct Exchange<'a> {
    head: &'a Head,
    id: u64,
    body: BodyReader,
}

pub(super) async fn ordered(order: &mut watch::Receiver<u64>) {
    if order.changed().await.is_err() {
        // The server is gone, and this task with it.
        std::future::pending().await
    }
}

pub(super) async fn elapsed(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
