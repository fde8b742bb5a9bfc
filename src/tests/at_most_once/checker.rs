//! The invariants of the specification, key by key: from the upstream's log, what the clients were told, and the
//! records at the end.

use std::collections::{BTreeMap, HashMap};

use outrigger::reliability::idempotency::State;

use super::call::{Call, Contract, Outcome, Reply};
use super::log::{Arrival, by_name};
use super::register::is_linearisable;

/// Everything that is known of a run.
pub struct Evidence {
    pub calls: Vec<Call>,
    pub arrivals: Vec<Arrival>,
    /// By name of the key; what has no record is absent.
    pub records: HashMap<String, State>,
    /// An owner can be given up while it is still alive: a shared store.
    pub lapses: bool,
}

/// Which invariant does not hold for which key, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `I1` to `I10`, or `order`.
    pub invariant: &'static str,
    pub name: String,
    pub why: String,
}

/// All of them.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let mut calls: BTreeMap<&str, Vec<Call>> = BTreeMap::new();
    for call in &evidence.calls {
        calls.entry(&call.name).or_default().push(call.clone());
    }
    let arrivals = by_name(evidence.arrivals.clone());
    let mut found = Vec::new();
    for (name, calls) in calls {
        let none = Vec::new();
        let key = Key {
            calls: &calls,
            arrivals: arrivals.get(name).unwrap_or(&none),
            record: evidence.records.get(name).copied(),
            lapses: evidence.lapses,
        };
        let before = found.len();
        let mut say = |invariant, why: String| found.push(Violation { invariant, name: name.to_owned(), why });
        key.effects(&mut say);
        key.replies(&mut say);
        key.record(&mut say);
        // Where something is wrong already, no order is looked for among all there are.
        if found.len() == before {
            key.order(&mut |invariant, why| found.push(Violation { invariant, name: name.to_owned(), why }));
        }
    }
    found
}

struct Key<'a> {
    calls: &'a [Call],
    arrivals: &'a [Arrival],
    record: Option<State>,
    lapses: bool,
}

impl Key<'_> {
    /// I1, I3, I4, I7.
    fn effects(&self, say: &mut impl FnMut(&'static str, String)) {
        let effects = self.arrivals.iter().filter(|arrival| arrival.effect).count();
        if effects > 1 {
            say("I1", format!("{effects} effects: {:?}", self.arrivals));
        }
        let arrivals = |call: &Call| self.arrivals.iter().filter(|arrival| arrival.ask == call.ask).count();
        let effects_of = |call: &Call| self.arrivals.iter().filter(|a| a.ask == call.ask && a.effect).count();
        for call in self.calls {
            if reply(&call.outcome).is_some_and(|reply| (200..300).contains(&reply.status)) && effects != 1 {
                say("I3", format!("a success, and {effects} effects: {call:?}"));
            }
            match call.outcome {
                Outcome::NotExecuted if effects_of(call) > 0 && call.contract != Contract::Dedupes => {
                    say("I4", format!("told that it was not executed: {call:?}"));
                }
                Outcome::SeenUnknown | Outcome::InFlight | Outcome::Replayed(_) if arrivals(call) > 0 => {
                    say("I4", format!("somebody else's outcome, and it was sent: {call:?}"));
                }
                Outcome::Mismatch if arrivals(call) > 0 => say("I7", format!("it was sent: {call:?}")),
                _ => {}
            }
        }
        if let Some(first) = self.arrivals.first()
            && self.record.is_some()
            && self.arrivals.iter().any(|arrival| arrival.digest != first.digest && arrival.effect && first.effect)
        {
            say("I7", format!("two requests under one key: {:?}", self.arrivals));
        }
    }

    /// I2, I6.
    fn replies(&self, say: &mut impl FnMut(&'static str, String)) {
        let mut first: Option<&Reply> = None;
        for call in self.calls {
            let Some(reply) = reply(&call.outcome) else { continue };
            if !reply.body.starts_with(&format!("{} ", call.name)) {
                say("I6", format!("of somebody else: {call:?}"));
            }
            if matches!(call.outcome, Outcome::Stored(_) | Outcome::Replayed(_)) && *first.get_or_insert(reply) != reply
            {
                say("I2", format!("{first:?} and {reply:?}"));
            }
        }
    }

    /// I5, I8, I10 as far as the record tells.
    fn record(&self, say: &mut impl FnMut(&'static str, String)) {
        let told = |outcome: fn(&Outcome) -> bool| self.calls.iter().any(|call| outcome(&call.outcome));
        let kept = told(|outcome| matches!(outcome, Outcome::Stored(_) | Outcome::Replayed(_)));
        let unknown = told(|outcome| matches!(outcome, Outcome::SeenUnknown));
        let dedupes = self.calls.iter().any(|call| call.contract == Contract::Dedupes);
        match self.record {
            Some(State::Claimed | State::Sent) => say("I5", format!("nobody is at it: {:?}", self.record)),
            record if kept && record != Some(State::Complete) => say("I8", format!("was kept, and is {record:?}")),
            None if unknown => say("I8", "was unknown, and is forgotten".to_owned()),
            Some(State::Retryable) if !dedupes => say("I10", "an unknown outcome may be sent again".to_owned()),
            _ => {}
        }
    }

    /// I8 and I10 over time: nothing that was told is taken back.
    fn order(&self, say: &mut impl FnMut(&'static str, String)) {
        if !is_linearisable(self.calls, self.arrivals, self.lapses) {
            let calls: String = self.calls.iter().map(|call| format!("\n  {call:?}")).collect();
            say("order", format!("no order explains{calls}\n  and {:?}", self.arrivals));
        }
    }
}

fn reply(outcome: &Outcome) -> Option<&Reply> {
    match outcome {
        Outcome::Stored(reply) | Outcome::Replayed(reply) | Outcome::StoreFailed(reply) => Some(reply),
        _ => None,
    }
}

/// Panics with what was found.
pub fn assert_holds(evidence: &Evidence, seed: u64) {
    let found = check(evidence);
    let text: String = found.iter().take(10).map(|v| format!("\n{} {}: {}", v.invariant, v.name, v.why)).collect();
    assert!(found.is_empty(), "{} violations with OUTRIGGER_SEED={seed}{text}", found.len());
}
