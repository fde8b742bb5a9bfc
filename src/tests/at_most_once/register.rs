//! Is there an order in which the calls for one key make sense? By brute force: histories of one key are short.
//!
//! A key is a register: absent, pending, done with a value, unknown. A call that executes is two steps, its begin and
//! its end; a call that only looks is one. Each step happens at one moment between the call and its return, and a call
//! without a return may still have its steps at any later time, or never.

use std::collections::HashSet;

use super::call::{Call, Contract, Outcome};
use super::letters::{Letter, Resolve, replay_of};
use super::log::Arrival;

/// So many fit into [`Progress`]. Most keys have a dozen; on a busy machine one that waits for a dead owner is asked for
/// many times.
pub const CALLS_MAX: usize = 256;
/// A key that has no order after so many tries counts as one that has none. Those that have need a few dozen.
const TRIES_MAX: usize = 200_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Register<'a> {
    Absent,
    /// By which call.
    Pending(usize),
    /// The one that may still say what happened.
    Unknown(usize),
    Done(&'a str),
}

/// What a call has to find, or does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Deed<'a> {
    Look(Seen<'a>),
    Run {
        /// It has certainly begun.
        must: bool,
        /// It has certainly ended when it returned.
        ends: bool,
        values: Vec<&'a str>,
        unknown: bool,
        absent: bool,
    },
    /// An operator says what had become of it, if the program heard it: there is an answer from then on, or the key is
    /// free.
    Settle(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen<'a> {
    Done(&'a str),
    Unknown,
    Pending,
    Somebody,
}

struct Step<'a> {
    invoked: u64,
    returned: u64,
    /// What has arrived had begun.
    arrived: u64,
    deed: Deed<'a>,
}

impl Step<'_> {
    /// No order leaves it out.
    fn must_begin(&self) -> bool {
        self.arrived < u64::MAX || matches!(self.deed, Deed::Run { must: true, .. })
    }

    /// It may have begun or not, no return says anything of it, and nothing has come of it.
    fn is_traceless(&self) -> bool {
        let Deed::Run { values, unknown: true, absent: true, .. } = &self.deed else { return false };
        values.is_empty() && !self.must_begin() && self.returned == u64::MAX
    }
}

const DONE: u128 = 2;

/// How far each call has come, in two bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Progress([u128; CALLS_MAX / 64]);

/// What was said and done about one key.
pub struct Told<'a> {
    pub calls: &'a [Call],
    pub arrivals: &'a [Arrival],
    pub letters: &'a [&'a Letter],
    pub resolves: &'a [&'a Resolve],
}

/// Whether there is such an order. `lapses`: an owner can be given up while it is still alive.
pub fn is_linearisable(told: &Told<'_>, lapses: bool) -> bool {
    let Told { calls, arrivals, letters, resolves } = told;
    let mut steps: Vec<Step<'_>> = calls.iter().map(|call| step(call, arrivals)).collect();
    steps.extend(letters.iter().flat_map(|letter| (1..=letter.replays).map(|number| (*letter, number))).map(
        |(letter, number)| {
            let mark = (letter.id.as_str(), number);
            replay(arrivals.iter().filter(|arrival| replay_of(arrival) == Some(mark)).collect())
        },
    ));
    steps.extend(resolves.iter().map(|resolve| Step {
        invoked: resolve.invoked_us,
        returned: u64::MAX,
        arrived: u64::MAX,
        deed: Deed::Settle(resolve.executed),
    }));
    assert!(steps.len() <= CALLS_MAX, "{} calls for one key are too many to try all orders", steps.len());
    let contract = calls.first().map_or(Contract::Opaque, |call| call.contract);
    let has_letters = !letters.is_empty();
    Search { steps, contract, lapses, has_letters, seen: HashSet::new() }
        .goes_on(Progress([0; CALLS_MAX / 64]), Register::Absent)
}

/// A letter is sent again, or only its key is taken: nobody has noted when. Its end is that of a call without a return.
fn replay(arrivals: Vec<&Arrival>) -> Step<'_> {
    let deed = Deed::Run {
        must: !arrivals.is_empty(),
        ends: false,
        values: arrivals.iter().map(|arrival| arrival.value.as_str()).collect(),
        unknown: true,
        absent: !arrivals.iter().any(|arrival| arrival.effect),
    };
    let arrived = arrivals.iter().map(|arrival| arrival.at_us).min().unwrap_or(u64::MAX);
    Step { invoked: 0, returned: u64::MAX, arrived, deed }
}

fn step<'a>(call: &'a Call, arrivals: &'a [Arrival]) -> Step<'a> {
    // More than one if the proxy has tried again.
    let arrived: Vec<&str> = arrivals.iter().filter(|a| a.ask == call.ask).map(|a| a.value.as_str()).collect();
    let effective = arrivals.iter().any(|arrival| arrival.ask == call.ask && arrival.effect);
    let run = |must, ends, values, unknown, absent| Deed::Run { must, ends, values, unknown, absent };
    let deed = match &call.outcome {
        Outcome::Stored(reply) => run(true, true, vec![reply.value()], false, false),
        Outcome::StoreFailed(reply) => run(true, false, vec![reply.value()], true, true),
        Outcome::BecameUnknown => run(true, false, Vec::new(), true, false),
        Outcome::NotExecuted => run(false, false, Vec::new(), call.contract == Contract::Dedupes, true),
        // What has arrived was claimed before.
        Outcome::Info => run(!arrived.is_empty(), false, arrived, true, !effective),
        Outcome::Replayed(reply) => Deed::Look(Seen::Done(reply.value())),
        Outcome::SeenUnknown => Deed::Look(Seen::Unknown),
        Outcome::InFlight => Deed::Look(Seen::Pending),
        Outcome::Mismatch => Deed::Look(Seen::Somebody),
    };
    let arrived = arrivals.iter().filter(|arrival| arrival.ask == call.ask).map(|arrival| arrival.at_us).min();
    Step { invoked: call.invoked_us, returned: call.returned_us, arrived: arrived.unwrap_or(u64::MAX), deed }
}

struct Search<'a> {
    steps: Vec<Step<'a>>,
    contract: Contract,
    lapses: bool,
    /// A released key stays with its request for as long as there is a letter.
    has_letters: bool,
    seen: HashSet<(Progress, Register<'a>)>,
}

impl<'a> Search<'a> {
    fn goes_on(&mut self, mut progress: Progress, register: Register<'a>) -> bool {
        // To look changes nothing: whoever can, does.
        for at in 0..self.steps.len() {
            if self.may_step(progress, at) && self.sees(at, register) {
                progress = with(progress, at, DONE);
            }
        }
        if self.is_over(progress) {
            return true;
        }
        if !self.seen.insert((progress, register)) || self.seen.len() > TRIES_MAX {
            return false;
        }
        let next = self.next(progress, register);
        next.into_iter().any(|(progress, register)| self.goes_on(progress, register))
    }

    fn next(&self, progress: Progress, register: Register<'a>) -> Vec<(Progress, Register<'a>)> {
        // Where nothing forces a call to have begun, that is tried last.
        let (mut next, mut last) = (Vec::new(), Vec::new());
        // Calls of which nothing is known can stand for one another: one of them at a time is enough. On a busy machine
        // there are dozens for one key.
        let mut traceless = false;
        if let (true, Register::Pending(owner)) = (self.lapses, register) {
            next.push((progress, Register::Unknown(owner)));
        }
        for (at, step) in self.steps.iter().enumerate() {
            if !self.may_step(progress, at) {
                continue;
            }
            if let (Deed::Settle(executed), Register::Unknown(_) | Register::Done(_)) = (&step.deed, register) {
                let settled = if *executed { Register::Done("") } else { Register::Absent };
                last.push((with(progress, at, DONE), settled));
            }
            let Deed::Run { values, unknown, absent, .. } = &step.deed else { continue };
            if of(progress, at) == 0 && step.is_traceless() && std::mem::replace(&mut traceless, true) {
                continue;
            }
            let free = match register {
                Register::Absent => true,
                Register::Unknown(_) => self.contract == Contract::Dedupes,
                Register::Pending(_) | Register::Done(_) => false,
            };
            let mine = register == Register::Pending(at) || register == Register::Unknown(at);
            match of(progress, at) {
                0 if free => {
                    let begun = (with(progress, at, 1), Register::Pending(at));
                    if step.must_begin() { next.push(begun) } else { last.push(begun) }
                }
                1 if mine => {
                    let over = with(progress, at, DONE);
                    next.extend(values.iter().map(|value| (over, Register::Done(value))));
                    next.extend(unknown.then_some((over, Register::Unknown(at))));
                    next.extend((*absent && register == Register::Pending(at)).then_some((over, Register::Absent)));
                }
                _ => {}
            }
        }
        next.extend(last);
        next
    }

    fn sees(&self, at: usize, register: Register<'a>) -> bool {
        let Deed::Look(seen) = self.steps[at].deed else { return false };
        match (seen, register) {
            (Seen::Done(value), Register::Done(done)) => value == done,
            (Seen::Unknown, Register::Unknown(_)) | (Seen::Pending, Register::Pending(_)) => true,
            (Seen::Somebody, register) => register != Register::Absent || self.has_letters,
            _ => false,
        }
    }

    /// Not over yet, and nobody who has returned before it was called still has something to do, nor has anybody
    /// arrived before it who has not begun.
    fn may_step(&self, progress: Progress, at: usize) -> bool {
        let invoked = self.steps[at].invoked;
        of(progress, at) != DONE
            && self.steps.iter().enumerate().filter(|(other, _)| *other != at).all(|(other, step)| {
                (step.returned >= invoked || self.is_told(progress, other))
                    && (step.arrived >= invoked || of(progress, other) > 0)
            })
    }

    /// It has done all that its return says.
    fn is_told(&self, progress: Progress, at: usize) -> bool {
        match (of(progress, at), &self.steps[at].deed) {
            (DONE, _) => true,
            (1, Deed::Run { ends, .. }) => !ends,
            (0, Deed::Run { must, ends, .. }) => !must && !ends,
            _ => false,
        }
    }

    fn is_over(&self, progress: Progress) -> bool {
        self.steps.iter().enumerate().all(|(at, step)| {
            (step.returned == u64::MAX || self.is_told(progress, at))
                && (step.arrived == u64::MAX || of(progress, at) > 0)
        })
    }
}

fn of(progress: Progress, at: usize) -> u128 {
    progress.0[at / 64] >> (2 * (at % 64)) & 3
}

fn with(mut progress: Progress, at: usize, state: u128) -> Progress {
    let word = &mut progress.0[at / 64];
    *word = *word & !(3 << (2 * (at % 64))) | state << (2 * (at % 64));
    progress
}
