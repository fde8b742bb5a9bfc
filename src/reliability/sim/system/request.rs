//! Requests and attempts as they lie in their slabs.

use crate::reliability::attempts::{AttemptId, Attempts, Denied, Kind, Plan, Stop};
use crate::reliability::breaker::{Permit, Refusal};
use crate::reliability::classify::{Outcome, PeerMark, Reply};
use crate::reliability::failure::{Failure, Sent};
use crate::reliability::limit::{Taken, Ticket};
use std::time::Duration;

/// No place in a slab.
pub(super) const NONE: u32 = u32::MAX;
/// Attempts of one request that can be in flight.
pub(super) const FLYING: usize = 2;
/// Endpoints that a request remembers; the policy allows no more attempts.
const USED: usize = 12;

/// Endpoints that a request has tried in vain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    numbers: [u16; USED],
    count: usize,
}

impl Used {
    pub fn push(&mut self, number: u16) {
        if let Some(place) = self.numbers.get_mut(self.count) {
            *place = number;
            self.count += 1;
        }
    }

    pub fn as_slice(&self) -> &[u16] {
        self.numbers.get(..self.count).unwrap_or_default()
    }
}

/// An answer that may go to the caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Landed {
    pub id: AttemptId,
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub mark: PeerMark,
}

/// One request at one sidecar.
#[derive(Debug)]
pub(super) struct Request<'s> {
    pub machine: Attempts<'s>,
    pub generation: u32,
    pub live: bool,
    pub sidecar: u8,
    pub stream: u16,
    /// The attempt of the sidecar before that it is; [`NONE`]: a client's.
    pub parent: u32,
    pub arrived: u64,
    pub deadline: u64,
    /// Its place in the queue, while it has no slot.
    pub queued: Option<Ticket>,
    /// Its slot.
    pub taken: Option<Taken>,
    /// What it says of the capacity of its upstream: how long an attempt took, and whether it was dropped.
    pub load: Option<(u64, bool)>,
    /// When it wakes next; the end of time if no event will wake it.
    pub wakes: u64,
    pub works: [u32; FLYING],
    pub used: Used,
    pub landed: Option<Landed>,
    pub last: Failure,
    pub failed_once: bool,
    /// It came in the counted part.
    pub counted: bool,
}

impl<'s> Request<'s> {
    pub fn new(
        plan: Plan<'s>,
        (sidecar, stream, parent): (u8, u16, u32),
        (arrived, deadline): (u64, u64),
        counted: bool,
    ) -> Self {
        Request {
            machine: Attempts::new(plan),
            generation: 0,
            live: true,
            sidecar,
            stream,
            parent,
            arrived,
            deadline,
            queued: None,
            taken: None,
            load: None,
            wakes: u64::MAX,
            works: [NONE; FLYING],
            used: Used::default(),
            landed: None,
            last: Failure::Internal,
            failed_once: false,
            counted,
        }
    }

    pub fn is_flying(&self) -> bool {
        self.works.iter().any(|work| *work != NONE)
    }
}

/// What the endpoint does about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing that holds a slot.
    Outside,
    Queued,
    Serving,
}

/// One attempt, for as long as somebody waits for it or works on it.
#[derive(Debug)]
pub(super) struct Work {
    pub generation: u32,
    pub live: bool,
    pub request: u32,
    pub id: AttemptId,
    pub kind: Kind,
    /// None = nobody waits any more.
    pub permit: Option<Permit>,
    /// [`NONE`] where no endpoint was chosen.
    pub endpoint: u32,
    pub launched: u64,
    pub cutoff: u64,
    /// The cutoff is the deadline of the request.
    pub whole: bool,
    /// When `end` comes.
    pub done: u64,
    /// How it ends if its time suffices. None = by its cutoff, or by the request that it has become.
    pub end: Option<Outcome>,
    /// Time it needs in a slot.
    pub work: u64,
    pub place: Place,
    /// It went over a connection that had waited, and may have met its end.
    pub reused: bool,
    pub resent: bool,
    /// The request it has become at the next sidecar.
    pub child: u32,
}

/// What a caller is told by a sidecar that has no answer to pass on.
pub(super) fn explained(stop: Stop, last: Failure) -> (Failure, Option<Duration>) {
    match stop {
        Stop::Refused(Refusal::CircuitOpen { retry_after }) => (Failure::CircuitOpen, Some(retry_after)),
        Stop::Refused(Refusal::Throttled) => (Failure::Throttled, Some(Duration::from_secs(1))),
        Stop::DeadlinePassed => (Failure::DeadlineExceeded, None),
        Stop::Denied(Denied::Breaker) if last == Failure::CircuitOpen => (last, Some(Duration::from_secs(1))),
        _ => (last, None),
    }
}

/// The same as its caller reads it.
pub(super) fn told(failure: Failure, retry_after: Option<Duration>, stop: Option<Stop>) -> Outcome {
    let mark = match (stop, failure) {
        (Some(Stop::AttemptsSpent | Stop::Denied(_)), _) => PeerMark::GaveUp,
        (_, Failure::CircuitOpen | Failure::Throttled) => PeerMark::Refused,
        _ => PeerMark::None,
    };
    // Whole seconds, rounded up, as in the header.
    let whole =
        |after: Duration| Duration::from_secs(after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(SECOND);
    // Only these statuses are read together with it.
    let retry_after = retry_after.map(whole).filter(|_| matches!(failure.status(), 429 | 503));
    Outcome { reply: Reply::Status(failure.status()), sent: Sent::Yes, retry_after, mark }
}

const SECOND: Duration = Duration::from_secs(1);

/// An answer that is passed on, as its caller reads it.
pub(super) fn passed_on(landed: &Landed, stop: Stop) -> Outcome {
    let mark = match stop {
        Stop::Denied(Denied::Pushback) => landed.mark,
        Stop::AttemptsSpent | Stop::Denied(_) => PeerMark::GaveUp,
        _ => landed.mark,
    };
    Outcome { reply: Reply::Status(landed.status), sent: Sent::Yes, retry_after: landed.retry_after, mark }
}
