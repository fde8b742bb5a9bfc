//! The invariants of the specification, key by key: from the upstream's log, what the clients were told, and the
//! records at the end.

use std::collections::{BTreeMap, HashMap};

use outrigger::reliability::idempotency::State;

use super::call::{Call, Contract, Outcome, Reply};
use super::letters::{Fates, Letter, Letters, Resolve};
use super::log::{Arrival, by_name};
use super::register::{Told, is_linearisable};

/// Everything that is known of a run.
pub struct Evidence {
    pub calls: Vec<Call>,
    pub arrivals: Vec<Arrival>,
    /// By name of the key; what has no record is absent.
    pub records: HashMap<String, Standing>,
    /// An owner can be given up while it is still alive: a shared store.
    pub lapses: bool,
    /// Routes whose failures become letters, as the part of a name before its first `-`.
    pub keeps: &'static [&'static str],
    pub letters: Letters,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub state: State,
    pub ambiguous: bool,
    /// A dead letter needs it.
    pub pinned: bool,
}

impl Standing {
    /// It may have been executed, and there is no answer.
    pub fn is_unknown(self) -> bool {
        self.state == State::Unknown || self.state == State::Retryable && self.ambiguous
    }
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
    let letters = evidence.letters.by_name();
    let mut found: Vec<Violation> = evidence
        .letters
        .check(&evidence.arrivals)
        .into_iter()
        .map(|(name, why)| Violation { invariant: "I9", name, why })
        .collect();
    for (name, calls) in calls {
        let (none, no_letters) = (Vec::new(), Vec::new());
        let resolves: Vec<&Resolve> = evidence.letters.resolves.iter().filter(|r| r.name == name).collect();
        let key = Key {
            calls: &calls,
            arrivals: arrivals.get(name).unwrap_or(&none),
            record: evidence.records.get(name).copied(),
            lapses: evidence.lapses,
            letters: letters.get(name).unwrap_or(&no_letters),
            resolves: &resolves,
        };
        let route = name.trim_start_matches('/').split('-').next().unwrap_or_default();
        let fates = Fates {
            letters: key.letters,
            calls: key.calls,
            arrivals: key.arrivals,
            record: key.record,
            keeps: evidence.keeps.contains(&route),
        };
        let before = found.len();
        let mut say = |invariant, why: String| found.push(Violation { invariant, name: name.to_owned(), why });
        key.effects(&mut say);
        key.replies(&mut say);
        key.record(&mut say);
        fates.check(&mut say);
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
    record: Option<Standing>,
    lapses: bool,
    letters: &'a [&'a Letter],
    resolves: &'a [&'a Resolve],
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
            // What was answered with an error may be settled by an operator, with another answer.
            if reply.status >= 500 && !self.resolves.is_empty() {
                continue;
            }
            if matches!(call.outcome, Outcome::Stored(_) | Outcome::Replayed(_)) && *first.get_or_insert(reply) != reply
            {
                say("I2", format!("{first:?} and {reply:?}"));
            }
        }
    }

    /// I5, I8, I10 as far as the record tells.
    fn record(&self, say: &mut impl FnMut(&'static str, String)) {
        let resolved = !self.resolves.is_empty();
        let kept = self.calls.iter().any(|call| match &call.outcome {
            Outcome::Stored(reply) | Outcome::Replayed(reply) => reply.status < 500 || !resolved,
            _ => false,
        });
        let unknown = self.calls.iter().any(|call| call.outcome == Outcome::SeenUnknown);
        let dedupes = self.calls.iter().any(|call| call.contract == Contract::Dedupes);
        match self.record.map(|record| record.state) {
            Some(State::Claimed | State::Sent) => say("I5", format!("nobody is at it: {:?}", self.record)),
            record if kept && record != Some(State::Complete) => say("I8", format!("was kept, and is {record:?}")),
            None if unknown && !resolved => say("I8", "was unknown, and is forgotten".to_owned()),
            // Without doubt about it, it was released, and is kept for its letter.
            Some(State::Retryable) if !dedupes && self.record.is_some_and(Standing::is_unknown) => {
                say("I10", "an unknown outcome may be sent again".to_owned())
            }
            _ => {}
        }
    }

    /// I8 and I10 over time: nothing that was told is taken back.
    fn order(&self, say: &mut impl FnMut(&'static str, String)) {
        let told = Told { calls: self.calls, arrivals: self.arrivals, letters: self.letters, resolves: self.resolves };
        if !is_linearisable(&told, self.lapses) {
            let calls: String = self.calls.iter().map(|call| format!("\n  {call:?}")).collect();
            say(
                "order",
                format!(
                    "no order explains{calls}\n  and {:?}\n  and {:?} {:?}",
                    self.arrivals, self.letters, self.resolves
                ),
            );
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
