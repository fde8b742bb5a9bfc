//! One shared connection: its task, its streams, and whether it is alive.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Ping, PingPong};
use tokio::sync::{Notify, oneshot};
use tokio::time::{timeout, timeout_at};

use super::exchange::Place;
use super::{CONNECTION_WINDOW, HEAD_BYTES_MAX, SEND_BUFFER_MAX, STREAM_WINDOW, STREAMS_MAX};
use crate::drain::Tasks;
use crate::reliability::Failure;
use crate::tls::Transport;
use crate::wire::pool::Opening;
use crate::wire::traffic::{Counted, Traffic};

/// A connection with open streams from which nothing came for this long is asked whether it lives…
const PING_AFTER: Duration = Duration::from_secs(30);
/// …and closed if it does not say so within this time.
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// A connection that nobody needs any more has this long to say so to its peer.
const FAREWELL: Duration = Duration::from_secs(1);
/// While the process stops: how often a connection looks whether its last stream has ended.
const STOPPING_LOOK: Duration = Duration::from_millis(20);

type Driver = h2::client::Connection<Counted, Bytes>;

/// Those who wait for a place, at one endpoint.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) waiting: AtomicU32,
    pub(super) freed: Notify,
}

/// A connection as its users see it. The socket is closed when the last of them has gone, and nobody offers it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Bytes>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) room: Arc<Room>,
    /// It is encrypted.
    pub(super) secure: bool,
    /// Streams in use.
    in_use: AtomicU32,
    /// Streams ever begun.
    begun: AtomicU64,
    /// It gets no more streams.
    forsaken: AtomicBool,
    /// From then on it gets streams only while there is no other.
    ages_at: Option<Instant>,
    care: Mutex<Care>,
    /// Taken: the task ends at once. Dropped with the connection: the task says farewell.
    hold: Mutex<Option<oneshot::Sender<()>>>,
}

/// What a look now and then remembers.
#[derive(Debug)]
struct Care {
    pings: Option<PingPong>,
    read: u64,
    read_at: Instant,
    asked: Option<Instant>,
    begun: u64,
    used_at: Instant,
}

/// What is to be done with a connection that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Keep,
    /// No new streams; those that run finish.
    Leave,
    /// It is dead.
    End,
}

impl Connection {
    /// Speaks HTTP/2 on a fresh stream, and waits until the peer has said how many streams it takes.
    ///
    /// # Errors
    /// Nothing of a request was sent.
    pub(super) async fn settle(
        stream: Transport,
        opening: Opening,
        room: Arc<Room>,
        now: Instant,
        by: Instant,
    ) -> Result<(Arc<Connection>, Task), Failure> {
        let secure = matches!(stream, Transport::Tls(_));
        let traffic = Arc::new(Traffic::default());
        let counted = Counted { inner: stream, traffic: Arc::clone(&traffic) };
        let settled = async {
            let mut builder = Builder::new();
            builder
                .enable_push(false)
                // Nothing is sent before the peer's own number is known.
                .initial_max_send_streams(0)
                .initial_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_header_list_size(HEAD_BYTES_MAX)
                .max_send_buffer_size(SEND_BUFFER_MAX);
            let (sender, mut driver) = builder.handshake::<_, Bytes>(counted).await.ok()?;
            let pings = driver.ping_pong();
            let settled = std::future::poll_fn(|cx| {
                if Pin::new(&mut driver).poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                if sender.current_max_send_streams() > 0 { Poll::Ready(Some(())) } else { Poll::Pending }
            });
            settled.await?;
            Some((sender, driver, pings))
        };
        let (sender, driver, pings) = match timeout_at(by.into(), settled).await {
            Ok(Some(settled)) => settled,
            Ok(None) if traffic.is_refused() => return Err(Failure::TlsAlert),
            Ok(None) => return Err(Failure::ConnectFailed),
            Err(_elapsed) => return Err(Failure::ConnectTimeout),
        };
        let (hold, held) = oneshot::channel();
        let care = Care { pings, read: 0, read_at: now, asked: None, begun: 0, used_at: now };
        let connection = Arc::new(Connection {
            sender,
            traffic,
            room,
            secure,
            in_use: AtomicU32::new(0),
            begun: AtomicU64::new(0),
            forsaken: AtomicBool::new(false),
            ages_at: opening.ages_at(),
            care: Mutex::new(care),
            hold: Mutex::new(Some(hold)),
        });
        let task = Task { driver, held, connection: Arc::downgrade(&connection), _opening: opening };
        Ok((connection, task))
    }

    /// A place for one more stream, if the peer takes it.
    pub(super) fn reserve(self: &Arc<Self>) -> Option<Place> {
        if self.forsaken.load(Ordering::Relaxed) {
            return None;
        }
        // The peer may change its mind at any time.
        let most = u32::try_from(self.sender.current_max_send_streams()).unwrap_or(u32::MAX).min(STREAMS_MAX);
        let one_more = |streams: u32| (streams < most).then_some(streams + 1);
        let before = self.in_use.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?;
        self.begun.fetch_add(1, Ordering::Relaxed);
        if before + 1 < most && self.room.waiting.load(Ordering::SeqCst) > 0 {
            // One place was announced, and there are more.
            self.room.freed.notify_one();
        }
        Some(Place::new(Arc::clone(self), before == 0))
    }

    /// Gives a place back.
    pub(super) fn release(&self) {
        self.in_use.fetch_sub(1, Ordering::SeqCst);
        if self.room.waiting.load(Ordering::SeqCst) > 0 {
            self.room.freed.notify_one();
        }
    }

    /// Streams in use.
    pub(super) fn in_use(&self) -> u32 {
        self.in_use.load(Ordering::Relaxed)
    }

    /// It gets no more streams: the peer wants none, or has fallen silent.
    pub(super) fn forsake(&self) {
        self.forsaken.store(true, Ordering::Relaxed);
    }

    /// Whether it gets no more streams.
    pub(super) fn is_forsaken(&self) -> bool {
        self.forsaken.load(Ordering::Relaxed)
    }

    /// Whether it is so old that another one should take its place.
    pub(super) fn is_aged(&self, now: Instant) -> bool {
        self.ages_at.is_some_and(|at| now >= at)
    }

    /// Ends its task, and with it every stream.
    pub(super) fn end(&self) {
        let hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(hold) = hold {
            let _ = hold.send(());
        }
    }

    /// Looks whether it is alive, and whether it is still needed.
    pub(super) fn look(&self, now: Instant, idle_timeout: Duration) -> Fate {
        let mut cx = Context::from_waker(Waker::noop());
        if self.is_forsaken() || matches!(self.sender.clone().poll_ready(&mut cx), Poll::Ready(Err(_))) {
            return Fate::Leave;
        }
        let mut care = self.care.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, begun) = (self.traffic.read(), self.begun.load(Ordering::Relaxed));
        if read != care.read {
            (care.read, care.read_at, care.asked) = (read, now, None);
        }
        if begun != care.begun || self.in_use() > 0 {
            (care.begun, care.used_at) = (begun, now);
        } else if now.saturating_duration_since(care.used_at) >= idle_timeout {
            return Fate::Leave;
        }
        if self.in_use() == 0 && self.is_aged(now) {
            return Fate::Leave;
        }
        match care.asked {
            Some(asked) if now.saturating_duration_since(asked) >= PONG_WITHIN => return Fate::End,
            Some(_) => {}
            None if self.in_use() > 0 && now.saturating_duration_since(care.read_at) >= PING_AFTER => {
                care.asked = Some(now);
                if let Some(pings) = &mut care.pings {
                    // The answer to an earlier one is taken first, or no other could be asked.
                    let _ = pings.poll_pong(&mut cx);
                    let _ = pings.send_ping(Ping::opaque());
                }
            }
            None => {}
        }
        Fate::Keep
    }
}

/// What drives a connection.
pub(super) struct Task {
    driver: Driver,
    held: oneshot::Receiver<()>,
    connection: Weak<Connection>,
    /// Its place among the open connections, as long as there is a socket.
    _opening: Opening,
}

enum Over {
    /// The connection is.
    Closed,
    /// Nobody needs it any more.
    Unneeded,
    /// The process stops.
    Stopping,
}

impl Task {
    /// Until the connection is closed. `leave` takes it off the list of those that get streams.
    pub(super) async fn run(mut self, tasks: &Tasks, leave: impl Fn(&Weak<Connection>)) {
        let stop = tasks.stop();
        let mut stopped = pin!(stop.cancelled());
        let mut registered = false;
        let over = std::future::poll_fn(|cx| {
            if Pin::new(&mut self.driver).poll(cx).is_ready() {
                return Poll::Ready(Over::Closed);
            }
            if !registered {
                // Once: they wake this task, and are cheaper to look at than to poll for each packet.
                registered = true;
                if Pin::new(&mut self.held).poll(cx).is_ready() {
                    return Poll::Ready(Over::Unneeded);
                }
                let _ = stopped.as_mut().poll(cx);
            }
            match self.held.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) if stop.is_cancelled() => Poll::Ready(Over::Stopping),
                Err(oneshot::error::TryRecvError::Empty) => Poll::Pending,
                // Ended by force.
                Ok(()) => Poll::Ready(Over::Closed),
                Err(oneshot::error::TryRecvError::Closed) => Poll::Ready(Over::Unneeded),
            }
        })
        .await;
        match over {
            Over::Closed => leave(&self.connection),
            Over::Unneeded => self.farewell().await,
            Over::Stopping => {
                let force = tasks.force().clone();
                tokio::select! {
                    () = force.cancelled() => {}
                    () = self.finish(leave) => {}
                }
            }
        }
    }

    /// Drives on until the last stream has ended.
    async fn finish(mut self, leave: impl Fn(&Weak<Connection>)) {
        while self.connection.upgrade().is_some_and(|connection| connection.in_use() > 0) {
            if timeout(STOPPING_LOOK, &mut self.driver).await.is_ok() {
                return leave(&self.connection);
            }
        }
        leave(&self.connection);
        self.farewell().await;
    }

    /// Tells the peer that no more will come. One that does not read is not waited for.
    async fn farewell(mut self) {
        let _ = timeout(FAREWELL, &mut self.driver).await;
    }
}
