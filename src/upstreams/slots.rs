//! Slots of an upstream: how many requests are in flight, and a short queue for those that must wait. What is decided is
//! `reliability::limit`; here are the lock around it and the wakers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::view::{FoundLimitView, LimitsView, ShedView};
use crate::clock;
use crate::reliability::adaptive::Sample;
use crate::reliability::limit::{Admission, Ask, Limit, Limits, Next, Reason, Refused, Taken, Ticket};
use crate::reliability::priority::Criticality;

/// What one who waits is told.
type Told = Result<Taken, Refused>;

/// The limit's state and its waiters behind one lock.
#[derive(Debug, Default)]
pub struct Slots {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    limit: Limit<oneshot::Sender<Told>>,
    limits: Option<Limits>,
}

impl State {
    fn with(&mut self, limits: &Limits, now: Instant) {
        if self.limits.as_ref() != Some(limits) {
            self.limit.reconfigure(limits, now);
            self.limits = Some(*limits);
        }
    }

    /// Wakes whoever need not wait any more.
    fn wake(&mut self) {
        let Some(limits) = self.limits else { return };
        while self.limit.waiting() > 0
            && let Some(next) = self.limit.next(&limits, clock::now())
        {
            // Waiters leave the queue under this lock, so the receiver is alive.
            let _ = match next {
                Next::Granted(waiter, taken) => waiter.send(Ok(taken)),
                Next::Refused(waiter, refused) => waiter.send(Err(refused)),
            };
        }
    }
}

/// The right to have one request in flight. Given back when dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    taken: Taken,
    sample: Option<Sample>,
}

impl Slot {
    /// What its request says of the upstream's capacity: how long the answer took, and whether it was none.
    pub fn learn(&mut self, told: Option<(Duration, bool)>) {
        let in_flight = self.taken.in_flight;
        self.sample = told.map(|(rtt, dropped)| Sample { rtt, in_flight, dropped });
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.release(self.sample);
    }
}

/// One request in the queue. Leaves it when dropped, whatever happened meanwhile.
struct Waiting {
    slots: Arc<Slots>,
    ticket: Ticket,
    told: oneshot::Receiver<Told>,
    settled: bool,
}

impl Slots {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(self: &Arc<Self>, taken: Taken) -> Slot {
        Slot { slots: Arc::clone(self), taken, sample: None }
    }

    /// A slot, at once or after a short wait, and whether there was a wait.
    ///
    /// # Errors
    /// Why there is none, and when it is worth coming back.
    pub async fn acquire(
        self: &Arc<Self>,
        limits: &Limits,
        class: Criticality,
        now: Instant,
        deadline: Instant,
    ) -> Result<(Slot, bool), Refused> {
        let (mut waiting, max_wait) = {
            let mut state = self.state();
            state.with(limits, now);
            let mut receiver = None;
            let admission = state.limit.admit(limits, &Ask { class, now, deadline }, || {
                let (sender, told) = oneshot::channel();
                receiver = Some(told);
                sender
            });
            match (admission, receiver) {
                (Admission::Granted(taken), _) => return Ok((self.slot(taken), false)),
                (Admission::Queued { ticket, max_wait, displaced }, Some(told)) => {
                    if let Some((waiter, refused)) = displaced {
                        let _ = waiter.send(Err(refused));
                    }
                    (Waiting { slots: Arc::clone(self), ticket, told, settled: false }, max_wait)
                }
                (Admission::Refused(refused), _) => return Err(refused),
                (Admission::Queued { ticket, .. }, None) => return Err(state.limit.withdraw(limits, ticket, now)),
            }
        };
        // Boxed: nearly every request gets its slot at once.
        let in_time = Box::pin(tokio::time::timeout_at((now + max_wait).into(), &mut waiting.told)).await;
        let told = match in_time {
            Ok(Ok(told)) => told,
            Ok(Err(_)) | Err(_) => {
                let mut state = self.state();
                match state.limit.give_up(limits, waiting.ticket, clock::now()) {
                    Some(refused) => Err(refused),
                    // Woken in the instant in which the time was over.
                    None => match waiting.told.try_recv() {
                        Ok(told) => told,
                        Err(_) => Err(state.limit.withdraw(limits, waiting.ticket, now)),
                    },
                }
            }
        };
        waiting.settled = true;
        told.map(|taken| (self.slot(taken), true))
    }

    fn release(&self, sample: Option<Sample>) {
        let mut state = self.state();
        state.limit.release(clock::now, sample);
        state.wake();
    }

    /// (in flight, waiting).
    pub fn counts(&self) -> (u32, u32) {
        let state = self.state();
        (state.limit.in_flight(), state.limit.waiting())
    }

    /// What operators see, under the limits of the policy.
    pub fn view(&self, limits: &Limits, now: Instant) -> LimitsView {
        let state = self.state();
        let limit = &state.limit;
        let (in_force, _) = limit.bound(limits);
        let mode =
            |policy: crate::reliability::adaptive::AdaptivePolicy| if policy.observe { "observe" } else { "enforce" };
        let found = limits.adaptive.zip(limit.found());
        LimitsView {
            in_flight: limit.in_flight(),
            in_flight_max: limits.requests,
            in_force,
            pending: limit.waiting(),
            pending_max: limits.pending,
            found: found.map(|(policy, limit)| FoundLimitView { limit, mode: mode(policy).to_owned() }),
            shed: sheds(limit),
            shed_per_second: shed_per_second(limit, now),
        }
    }
}

fn shed_per_second<W>(limit: &Limit<W>, now: Instant) -> Vec<(String, f64)> {
    let rates = Criticality::ALL.into_iter().zip(limit.shed_per_second(now));
    rates.filter(|(_, rate)| *rate > 0.0).map(|(class, rate)| (class.as_str().to_owned(), rate)).collect()
}

/// Those with a count.
fn sheds<W>(limit: &Limit<W>) -> Vec<ShedView> {
    let mut views = Vec::new();
    for class in Criticality::ALL {
        for reason in Reason::ALL {
            for (observed, mode) in [(false, "enforce"), (true, "observe")] {
                let count = limit.sheds().get(class, reason, observed);
                if count > 0 {
                    let (class, reason, mode) = (class.as_str(), reason.as_str(), mode);
                    let [class, reason, mode] = [class, reason, mode].map(str::to_owned);
                    views.push(ShedView { class, reason, mode, count });
                }
            }
        }
    }
    views
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut state = self.slots.state();
        if !state.limit.abandon(self.ticket)
            // The slot was handed over in the instant in which we gave up: pass it on.
            && let Ok(Ok(_)) = self.told.try_recv()
        {
            state.limit.release(clock::now, None);
            state.wake();
        }
    }
}
