//! Slots of an upstream: how many requests are in flight, and a short queue for those that must wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::reliability::Failure;
use crate::reliability::limit::{Admission, Limit, Limits};

/// The limit's state and its waiters behind one lock.
#[derive(Debug, Default)]
pub struct Slots {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    limit: Limit,
    limits: Option<Limits>,
    waiters: VecDeque<Waiter>,
    tickets: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    hand_over: oneshot::Sender<()>,
}

/// The right to have one request in flight. Given back when dropped.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// One request in the queue. Leaves it when dropped, whatever happened meanwhile.
struct Waiting {
    slots: Arc<Slots>,
    ticket: u64,
    granted: oneshot::Receiver<()>,
    settled: bool,
}

impl Slots {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot, at once or after a short wait, and whether there was a wait.
    ///
    /// # Errors
    /// [`Failure::QueueFull`] or [`Failure::QueueTimeout`].
    pub async fn acquire(
        self: &Arc<Self>,
        limits: &Limits,
        now: Instant,
        deadline: Instant,
    ) -> Result<(Slot, bool), Failure> {
        let (mut waiting, max_wait) = {
            let mut state = self.state();
            state.limits = Some(*limits);
            match state.limit.admit(limits, now, deadline) {
                Admission::Granted => return Ok((Slot(Arc::clone(self)), false)),
                Admission::Full => return Err(Failure::QueueFull),
                Admission::Queue { max_wait } => {
                    let (hand_over, granted) = oneshot::channel();
                    let ticket = state.tickets;
                    state.tickets += 1;
                    state.waiters.push_back(Waiter { ticket, hand_over });
                    (Waiting { slots: Arc::clone(self), ticket, granted, settled: false }, max_wait)
                }
            }
        };
        // Boxed: nearly every request gets its slot at once.
        let in_time = Box::pin(tokio::time::timeout_at((now + max_wait).into(), &mut waiting.granted)).await;
        if matches!(in_time, Ok(Ok(()))) {
            waiting.settled = true;
            return Ok((Slot(Arc::clone(self)), true));
        }
        Err(Failure::QueueTimeout)
    }

    fn release(&self) {
        let mut state = self.state();
        let Some(limits) = state.limits else { return };
        if state.limit.release(&limits) {
            // Waiters leave the queue under this lock, so the receiver is alive.
            if let Some(waiter) = state.waiters.pop_front() {
                let _ = waiter.hand_over.send(());
            }
        }
    }

    /// (in flight, waiting).
    pub fn counts(&self) -> (u32, u32) {
        let state = self.state();
        (state.limit.in_flight(), state.limit.waiting())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut state = self.slots.state();
        if let Some(place) = state.waiters.iter().position(|w| w.ticket == self.ticket) {
            state.waiters.remove(place);
            state.limit.on_abandoned();
            return;
        }
        // The slot was handed over in the instant in which we gave up: pass it on.
        drop(state);
        self.slots.release();
    }
}
