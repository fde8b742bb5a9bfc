//! Who sends which request: clients that are free, and requests that wait for one.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// One arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    pub number: u64,
    /// When it was intended to be sent, since the beginning and absolutely.
    pub offset: Duration,
    pub due: Instant,
}

/// A job as a client gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    pub job: Job,
    /// Whether it had to wait for a client to come free.
    pub waited: bool,
}

/// Hands jobs to clients. Those with an open connection take turns, so that all of them stay in use; others
/// connect only when every open one is busy. Jobs without a client wait in order: nothing is dropped.
#[derive(Debug)]
pub struct Pool {
    state: Mutex<State>,
    /// One per client: it has a job, or is to end.
    wake: Vec<Notify>,
    /// Something changed that the dispatcher may wait for.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: VecDeque<usize>,
    closed: Vec<usize>,
    given: Vec<Option<Given>>,
    waiting: VecDeque<Job>,
    unfinished: u64,
}

impl Pool {
    pub fn new(clients: usize) -> Pool {
        Pool {
            state: Mutex::new(State { given: vec![None; clients], ..State::default() }),
            wake: (0..clients).map(|_| Notify::new()).collect(),
            changed: Notify::new(),
        }
    }

    /// Hands out a job, or lets it wait.
    pub fn dispatch(&self, job: Job) {
        let mut state = self.state();
        state.unfinished += 1;
        match state.open.pop_front().or_else(|| state.closed.pop()) {
            Some(client) => {
                state.given[client] = Some(Given { job, waited: false });
                self.wake[client].notify_one();
            }
            None => state.waiting.push_back(job),
        }
    }

    /// The next job of a client that has finished one, if any waits. A client that gets none calls [`Pool::rest`]
    /// before it awaits anything: on one thread no job can come in between.
    pub fn next(&self) -> Option<Given> {
        self.state().waiting.pop_front().map(|job| Given { job, waited: true })
    }

    /// A client has nothing to do; it must wait for [`Pool::woken`] now.
    pub fn rest(&self, client: usize, is_open: bool) {
        let mut state = self.state();
        if is_open {
            state.open.push_back(client);
        } else {
            state.closed.push(client);
        }
        self.changed.notify_one();
    }

    /// Waits until a resting client has a job, or the end has come.
    pub async fn woken(&self, client: usize) {
        self.wake[client].notified().await;
    }

    /// What it was woken for; `None` = the end.
    pub fn given(&self, client: usize) -> Option<Given> {
        self.state().given[client].take()
    }

    /// A job has come to its end.
    pub fn finished(&self) {
        self.state().unfinished -= 1;
        self.changed.notify_one();
    }

    /// Waits until that many clients rest.
    pub async fn rested(&self, clients: usize) {
        self.until(|state| state.open.len() + state.closed.len() >= clients).await;
    }

    /// Waits until every job has come to its end, then ends the clients.
    pub async fn drain(&self) {
        self.until(|state| state.unfinished == 0).await;
        // Woken without a job, a client ends.
        for wake in &self.wake {
            wake.notify_one();
        }
    }

    async fn until(&self, what: impl Fn(&State) -> bool) {
        // Only the dispatcher waits here, and a permit is kept for it: nothing is missed.
        while !what(&self.state()) {
            self.changed.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
