//! In-flight limit with a bounded queue.

use std::time::{Duration, Instant};

/// Longest wait in the queue: beyond it a refusal is of more use than a place.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// connections per endpoint; default 128
    pub connections: u32,
    /// requests in flight per upstream; 0 counts as 1; default 256
    pub requests: u32,
    /// queued requests per upstream; default 64
    pub pending: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { connections: 128, requests: 256, pending: 64 }
    }
}

/// Counts slots and waiters; the queue of wakers itself is the shell's.
///
/// Invariant: while anybody waits, at least one slot is taken, so that a release will come and wake them.
#[derive(Debug, Default)]
pub struct Limit {
    in_flight: u32,
    waiting: u32,
}

/// Answer to a request that asks for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// a slot is taken: give it back with `release`
    Granted,
    /// a place in the queue is taken: wait at most this long, then `on_abandoned`
    Queue {
        /// more than zero
        max_wait: Duration,
    },
    /// neither; nothing to give back
    Full,
}

impl Limit {
    /// Nothing in flight.
    pub fn new() -> Self {
        Limit::default()
    }

    /// A slot, a place in the queue, or neither. Longest wait = min(25 % of the remaining deadline, 100 ms).
    pub fn admit(&mut self, limits: &Limits, now: Instant, deadline: Instant) -> Admission {
        if self.in_flight < limits.requests.max(1) {
            self.in_flight += 1;
            return Admission::Granted;
        }
        let max_wait = (deadline.saturating_duration_since(now) / 4).min(WAIT_MAX);
        if self.waiting >= limits.pending || max_wait.is_zero() {
            return Admission::Full;
        }
        self.waiting += 1;
        Admission::Queue { max_wait }
    }

    /// A slot came back: true = hand it to the next waiter, who is then in flight; false = freed. After the
    /// limit was lowered, slots above it are freed although somebody waits.
    pub fn release(&mut self, limits: &Limits) -> bool {
        let hand_over = self.waiting > 0 && self.in_flight <= limits.requests.max(1);
        if hand_over {
            self.waiting -= 1;
        } else {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        hand_over
    }

    /// A waiter gave up before it got a slot.
    pub fn on_abandoned(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Slots taken.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Requests in the queue.
    pub fn waiting(&self) -> u32 {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(requests: u32, pending: u32) -> Limits {
        Limits { connections: 1, requests, pending }
    }

    #[test]
    fn the_wait_is_a_quarter_of_what_is_left_and_at_most_a_tenth_of_a_second() {
        let now = Instant::now();
        let mut limit = Limit::new();
        let one = limits(1, 10);
        let mut ask = |left| limit.admit(&one, now, now + Duration::from_millis(left));
        assert_eq!(ask(0), Admission::Granted);
        assert_eq!(ask(1_000), Admission::Queue { max_wait: Duration::from_millis(100) });
        assert_eq!(ask(200), Admission::Queue { max_wait: Duration::from_millis(50) });
        assert_eq!(ask(0), Admission::Full, "no time left to wait");
    }

    #[test]
    fn a_full_queue_refuses() {
        let now = Instant::now();
        let deadline = now + Duration::from_secs(1);
        let mut limit = Limit::new();
        assert_eq!(limit.admit(&limits(1, 0), now, deadline), Admission::Granted);
        assert_eq!(limit.admit(&limits(1, 0), now, deadline), Admission::Full);
        assert!(matches!(limit.admit(&limits(1, 1), now, deadline), Admission::Queue { .. }));
        assert_eq!(limit.admit(&limits(1, 1), now, deadline), Admission::Full);
        assert_eq!((limit.in_flight(), limit.waiting()), (1, 1));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Ask,
        Finish,
        GiveUp,
        SetLimits(u32, u32),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => Just(Op::Ask),
            3 => Just(Op::Finish),
            1 => Just(Op::GiveUp),
            1 => (0u32..6, 0u32..4).prop_map(|(requests, pending)| Op::SetLimits(requests, pending)),
        ]
    }

    proptest! {
        #[test]
        fn slots_are_never_exceeded_or_lost_and_the_queue_is_bounded(ops in prop::collection::vec(op(), 0..300)) {
            let now = Instant::now();
            let mut limit = Limit::new();
            let mut current = limits(3, 2);
            // What the shell holds.
            let (mut running, mut queued) = (0u32, 0u32);
            for op in ops {
                match op {
                    Op::Ask => match limit.admit(&current, now, now + Duration::from_secs(1)) {
                        Admission::Granted => {
                            running += 1;
                            prop_assert!(running <= current.requests.max(1));
                        }
                        Admission::Queue { .. } => {
                            queued += 1;
                            prop_assert!(queued <= current.pending);
                        }
                        Admission::Full => prop_assert!(running >= current.requests && queued >= current.pending),
                    },
                    Op::Finish if running > 0 => {
                        if limit.release(&current) {
                            prop_assert!(queued > 0 && running <= current.requests.max(1));
                            queued -= 1;
                        } else {
                            running -= 1;
                        }
                    }
                    Op::GiveUp if queued > 0 => {
                        limit.on_abandoned();
                        queued -= 1;
                    }
                    Op::SetLimits(requests, pending) => current = limits(requests, pending),
                    Op::Finish | Op::GiveUp => {}
                }
                prop_assert_eq!((limit.in_flight(), limit.waiting()), (running, queued));
                prop_assert!(queued == 0 || running > 0, "a waiter whom nobody will wake");
            }
        }
    }
}
