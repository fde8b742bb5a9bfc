//! The shared connections of one endpoint: few, opened by one for all who wait.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout_at;

use super::connection::{Connection, Fate, Room, Task};
use super::exchange::Place;
use crate::clock;
use crate::drain::Tasks;
use crate::reliability::Failure;
use crate::tls::Transport;
use crate::wire::pool::Opening;

/// An old connection that could not be replaced is not tried to be sooner.
const REPLACE_AGAIN: Duration = Duration::from_secs(1);

/// Connections that several requests use at a time.
#[derive(Debug, Default)]
pub struct Connections {
    state: Mutex<State>,
    room: Arc<Room>,
}

#[derive(Debug, Default)]
struct State {
    open: Vec<Arc<Connection>>,
    /// One is being opened: what became of it.
    flight: Option<watch::Receiver<Option<Landing>>>,
    /// When it was last tried to replace an old one.
    replaced_at: Option<Instant>,
}

/// What became of a connection that was to be opened.
#[derive(Clone, Copy, Debug)]
enum Landing {
    Open,
    /// The endpoint speaks HTTP/1.1.
    Http1,
    Failed(Failure),
}

/// A fresh stream.
pub enum Opened {
    /// It speaks HTTP/2.
    Http2(Transport, Opening),
    /// It speaks HTTP/1.1, and was given to whoever wants it.
    Http1,
}

/// What a request gets.
#[derive(Debug)]
pub enum Joined {
    /// A place. `opened`: a connection was opened for it.
    Place {
        /// The place.
        place: Place,
        /// A connection was opened for it.
        opened: bool,
    },
    /// The endpoint speaks HTTP/1.1.
    Http1,
}

/// How long who may wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The one who asks.
    pub cutoff: Instant,
    /// A connection, until it is settled; and a request, for a place.
    pub connect: Duration,
}

/// What was found.
enum Found {
    Place(Place),
    Flight {
        landing: watch::Receiver<Option<Landing>>,
        ours: bool,
    },
    /// Every place is taken, and no further connection may be opened.
    Full,
}

impl Connections {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place on a connection that is there: on an old one only if there is no other.
    pub fn place(&self, now: Instant) -> Option<Place> {
        self.state().place(now)
    }

    /// Opens a connection in place of one that is old and still used, unless that has just been tried. Requests go on
    /// to use the old one until there is another: who is asked to open it does not wait for it.
    pub fn replace<F>(self: &Arc<Self>, now: Instant, by: Instant, tasks: &Tasks, open: impl FnOnce() -> Option<F>)
    where
        F: Future<Output = Result<Opened, Failure>> + Send + 'static,
    {
        let mut state = self.state();
        let opening = state.flight.as_ref().is_some_and(|landing| landing.has_changed().is_ok());
        let tried = state.replaced_at.is_some_and(|at| now.saturating_duration_since(at) < REPLACE_AGAIN);
        let other = state.open.iter().any(|connection| !connection.is_aged(now) && !connection.is_forsaken());
        if opening || tried || other {
            return;
        }
        state.replaced_at = Some(now);
        if let Some(opening) = open() {
            self.take_off(&mut state, opening, by, tasks);
        }
    }

    /// A place, on a connection that is opened with `open` if need be. `open` says `None` if there may be no more.
    ///
    /// # Errors
    /// Why there is none. Nothing was sent.
    pub async fn join<F>(
        self: &Arc<Self>,
        patience: Patience,
        tasks: &Tasks,
        open: impl Fn() -> Option<F>,
    ) -> Result<Joined, Failure>
    where
        F: Future<Output = Result<Opened, Failure>> + Send + 'static,
    {
        let _waiting = Waiting::new(&self.room);
        let settled_by = clock::now() + patience.connect;
        let by = patience.cutoff.min(settled_by);
        let mut opened = false;
        loop {
            let mut freed = pin!(self.room.freed.notified());
            // Registered before anything is looked at, or a place that comes free in between would be missed.
            freed.as_mut().enable();
            match self.find(settled_by, tasks, &open) {
                Found::Place(place) => return Ok(Joined::Place { place, opened }),
                Found::Full => timeout_at(by.into(), freed).await.map_err(|_elapsed| Failure::ConnectionLimit)?,
                Found::Flight { mut landing, ours } => {
                    let landed = tokio::select! {
                        biased;
                        landed = landed(&mut landing) => landed,
                        () = freed => continue,
                        () = tokio::time::sleep_until(patience.cutoff.into()) => return Err(Failure::ConnectTimeout),
                    };
                    match landed {
                        Landing::Failed(failure) => return Err(failure),
                        Landing::Http1 => return Ok(Joined::Http1),
                        Landing::Open => opened |= ours,
                    }
                }
            }
        }
    }

    fn find<F>(self: &Arc<Self>, by: Instant, tasks: &Tasks, open: impl Fn() -> Option<F>) -> Found
    where
        F: Future<Output = Result<Opened, Failure>> + Send + 'static,
    {
        let mut state = self.state();
        if let Some(place) = state.place(clock::now()) {
            return Found::Place(place);
        }
        if let Some(landing) = state.flight.clone().filter(|landing| landing.has_changed().is_ok()) {
            return Found::Flight { landing, ours: false };
        }
        let Some(opening) = open() else { return Found::Full };
        let landing = self.take_off(&mut state, opening, by, tasks);
        Found::Flight { landing, ours: true }
    }

    fn take_off<F>(
        self: &Arc<Self>,
        state: &mut State,
        opening: F,
        by: Instant,
        tasks: &Tasks,
    ) -> watch::Receiver<Option<Landing>>
    where
        F: Future<Output = Result<Opened, Failure>> + Send + 'static,
    {
        let (told, landing) = watch::channel(None);
        state.flight = Some(landing.clone());
        let (connections, of) = (Arc::clone(self), tasks.clone());
        // In a task: whoever asked first may be gone before the others have what they wait for.
        tasks.spawn_plain(async move {
            let force = of.force().clone();
            tokio::select! {
                biased;
                () = fly(connections, opening, told, by, &of) => {}
                () = force.cancelled() => {}
            }
        });
        landing
    }

    /// Closes connections that are idle, dead or unwanted; asks silent ones whether they live.
    pub fn sweep(&self, now: Instant, idle_timeout: Duration) {
        let mut left = Vec::new();
        let mut state = self.state();
        state.open.retain(|connection| match connection.look(now, idle_timeout) {
            Fate::Keep => true,
            fate => {
                left.push((Arc::clone(connection), fate));
                false
            }
        });
        drop(state);
        for (connection, fate) in left {
            if fate == Fate::End {
                connection.end();
            }
        }
    }

    /// Offers no connection from now on; streams that run finish.
    pub fn retire(&self) {
        let left = std::mem::take(&mut self.state().open);
        drop(left);
    }

    /// Connections without a stream.
    pub fn idle_count(&self) -> u32 {
        self.state().open.iter().filter(|connection| connection.in_use() == 0).count() as u32
    }

    /// Streams in use.
    pub fn streams(&self) -> u32 {
        self.state().open.iter().map(|connection| connection.in_use()).sum()
    }

    fn leave(&self, gone: &Weak<Connection>) {
        let mut state = self.state();
        let at = state.open.iter().position(|connection| std::ptr::eq(Arc::as_ptr(connection), gone.as_ptr()));
        let left = at.map(|at| state.open.remove(at));
        drop(state);
        drop(left);
        // Whoever waits for a place on it opens another one.
        self.room.freed.notify_waiters();
    }
}

impl State {
    /// The first that has room: the others may become idle, and be closed. Old ones last.
    fn place(&mut self, now: Instant) -> Option<Place> {
        if self.open.iter().any(|connection| connection.is_forsaken()) {
            self.open.retain(|connection| !connection.is_forsaken());
        }
        let fresh = self.open.iter().filter(|connection| !connection.is_aged(now)).find_map(Connection::reserve);
        fresh.or_else(|| self.open.iter().find_map(Connection::reserve))
    }
}

/// Waits for what becomes of a connection.
async fn landed(landing: &mut watch::Receiver<Option<Landing>>) -> Landing {
    match landing.wait_for(Option::is_some).await {
        Ok(landing) => landing.unwrap_or(Landing::Failed(Failure::ConnectFailed)),
        // The process ends.
        Err(_dropped) => Landing::Failed(Failure::ConnectFailed),
    }
}

/// Opens a connection, tells everybody what became of it, and drives it to its end.
async fn fly<F>(
    connections: Arc<Connections>,
    open: F,
    told: watch::Sender<Option<Landing>>,
    by: Instant,
    tasks: &Tasks,
) where
    F: Future<Output = Result<Opened, Failure>>,
{
    let settled = match open.await {
        Ok(Opened::Http1) => Err(Landing::Http1),
        Ok(Opened::Http2(stream, opening)) => {
            let room = Arc::clone(&connections.room);
            Connection::settle(stream, opening, room, clock::now(), by).await.map_err(Landing::Failed)
        }
        Err(failure) => Err(Landing::Failed(failure)),
    };
    let task: Option<Task> = {
        let mut state = connections.state();
        state.flight = None;
        let (landing, task) = match settled {
            Ok((connection, task)) => {
                state.open.push(connection);
                (Landing::Open, Some(task))
            }
            Err(landing) => (landing, None),
        };
        let _ = told.send(Some(landing));
        task
    };
    let Some(task) = task else { return };
    // Not held on to: with its last user an endpoint that was removed ends, and its connections with it.
    let connections = {
        let weak = Arc::downgrade(&connections);
        drop(connections);
        weak
    };
    let leave = |connection: &Weak<Connection>| {
        if let Some(connections) = connections.upgrade() {
            connections.leave(connection);
        }
    };
    task.run(tasks, leave).await;
}

/// Counts one who waits.
struct Waiting<'a>(&'a Room);

impl Waiting<'_> {
    fn new(room: &Room) -> Waiting<'_> {
        room.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(room)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
