//! The checker can fail: each of these histories is wrong in one way.

use std::collections::HashMap;

use outrigger::reliability::idempotency::State;

use super::call::{Call, Contract, Outcome, Reply};
use super::checker::{Evidence, Standing, check};
use super::letters::Letters;
use super::log::Arrival;

pub fn reply(value: &str) -> Reply {
    Reply { status: 201, location: format!("/effects/{value}"), body: format!("/k {value}") }
}

pub fn stored(value: &str) -> Outcome {
    Outcome::Stored(reply(value))
}

pub fn replayed(value: &str) -> Outcome {
    Outcome::Replayed(reply(value))
}

/// Calls one after another.
pub fn calls(outcomes: Vec<Outcome>) -> Vec<Call> {
    let call = |(at, outcome): (usize, Outcome)| Call {
        name: "/k".to_owned(),
        contract: Contract::Opaque,
        ask: at as u64 + 1,
        invoked_us: at as u64 * 10,
        returned_us: if outcome == Outcome::Info { u64::MAX } else { at as u64 * 10 + 5 },
        outcome,
        letter: None,
    };
    outcomes.into_iter().enumerate().map(call).collect()
}

pub fn arrival(ask: u64, value: &str) -> Arrival {
    let (name, value, at_us) = ("/k".to_owned(), value.to_owned(), ask * 10 - 8);
    Arrival { name, ask, value, effect: true, digest: 1, replay: String::new(), at_us }
}

/// What is found, the same once.
fn found(calls: Vec<Call>, arrivals: Vec<Arrival>, record: Option<State>) -> Vec<&'static str> {
    let letters = Letters { intact: true, ..Letters::default() };
    invariants(&Evidence { calls, arrivals, records: records(record, false), lapses: false, keeps: &[], letters })
}

/// The key with a record in this state.
pub fn records(record: Option<State>, pinned: bool) -> HashMap<String, Standing> {
    let standing = |state| Standing { state, ambiguous: matches!(state, State::Unknown | State::Retryable), pinned };
    record.map(|state| ("/k".to_owned(), standing(state))).into_iter().collect()
}

/// Those that do not hold, each once.
pub fn invariants(evidence: &Evidence) -> Vec<&'static str> {
    let mut found: Vec<_> = check(evidence).into_iter().map(|violation| violation.invariant).collect();
    found.dedup();
    found
}

const COMPLETE: Option<State> = Some(State::Complete);
const UNKNOWN: Option<State> = Some(State::Unknown);

#[test]
fn good_histories_pass() {
    let nothing: [&str; 0] = [];
    assert_eq!(found(calls(vec![stored("a"), replayed("a")]), vec![arrival(1, "a")], COMPLETE), nothing);
    let lost = vec![Outcome::Info, Outcome::SeenUnknown, Outcome::SeenUnknown];
    assert_eq!(found(calls(lost), vec![arrival(1, "a")], UNKNOWN), nothing);
    assert_eq!(found(calls(vec![Outcome::Info, replayed("a")]), vec![arrival(1, "a")], COMPLETE), nothing);
    assert_eq!(found(calls(vec![Outcome::Info, stored("a")]), vec![arrival(2, "a")], COMPLETE), nothing);
    assert_eq!(found(calls(vec![Outcome::NotExecuted, stored("a")]), vec![arrival(2, "a")], COMPLETE), nothing);
    // On a busy machine a key whose owner has died is asked for again and again.
    let patient: Vec<_> =
        [Outcome::Info].into_iter().chain(vec![Outcome::InFlight; 200]).chain([replayed("a")]).collect();
    assert_eq!(found(calls(patient), vec![arrival(1, "a")], COMPLETE), nothing);
    let busy = vec![Outcome::Info, Outcome::InFlight, Outcome::Mismatch, replayed("a")];
    assert_eq!(found(calls(busy), vec![arrival(1, "a")], COMPLETE), nothing);
    // Killed between the store's leave and the first byte: nothing has arrived, and nobody can know.
    assert_eq!(found(calls(vec![Outcome::Info, Outcome::SeenUnknown]), vec![], UNKNOWN), nothing);
}

#[test]
fn a_second_effect_is_found() {
    let twice = vec![arrival(1, "a"), arrival(2, "b")];
    assert_eq!(found(calls(vec![Outcome::Info, stored("b")]), twice.clone(), COMPLETE), ["I1", "I3"]);
    assert!(found(calls(vec![stored("a"), stored("b")]), twice, COMPLETE).contains(&"I2"));
}

#[test]
fn two_answers_to_one_key_are_found() {
    let mut other = reply("a");
    other.body.push('!');
    let calls = calls(vec![stored("a"), Outcome::Replayed(other)]);
    assert_eq!(found(calls, vec![arrival(1, "a")], COMPLETE), ["I2"]);
}

#[test]
fn a_success_without_an_effect_is_found() {
    assert_eq!(found(calls(vec![stored("a")]), vec![], COMPLETE), ["I3"]);
}

#[test]
fn an_effect_of_what_was_refused_is_found() {
    let refused = vec![Outcome::NotExecuted, Outcome::NotExecuted];
    assert_eq!(found(calls(refused), vec![arrival(1, "a")], None), ["I4"]);
    let waited = calls(vec![stored("a"), replayed("a")]);
    let (first, mut second) = (arrival(1, "a"), arrival(2, "a"));
    second.effect = false;
    assert_eq!(found(waited, vec![first, second], COMPLETE), ["I4"]);
}

#[test]
fn a_key_that_nobody_is_at_and_that_stays_busy_is_found() {
    assert_eq!(found(calls(vec![Outcome::Info]), vec![arrival(1, "a")], Some(State::Sent)), ["I5"]);
    assert_eq!(found(calls(vec![Outcome::Info]), vec![], Some(State::Claimed)), ["I5"]);
}

#[test]
fn an_answer_for_somebody_else_is_found() {
    let mut other = reply("a");
    other.body = "/j a".to_owned();
    assert_eq!(found(calls(vec![Outcome::Stored(other)]), vec![arrival(1, "a")], COMPLETE), ["I6"]);
}

#[test]
fn a_mismatch_that_was_sent_is_found() {
    let (first, mut second) = (arrival(1, "a"), arrival(2, "b"));
    (second.effect, second.digest) = (false, 2);
    assert_eq!(found(calls(vec![stored("a"), Outcome::Mismatch]), vec![first, second], COMPLETE), ["I7"]);
}

#[test]
fn a_record_that_vanishes_is_found_at_the_end_and_on_the_way() {
    assert_eq!(found(calls(vec![stored("a")]), vec![arrival(1, "a")], None), ["I8"]);
    assert_eq!(found(calls(vec![Outcome::Info, Outcome::SeenUnknown]), vec![], None), ["I8"]);
    // Executed again, by a request that had no effect this time.
    let mut again = arrival(2, "b");
    again.effect = false;
    let calls = calls(vec![stored("a"), Outcome::NotExecuted, Outcome::InFlight]);
    assert_eq!(found(calls, vec![arrival(1, "a"), again], COMPLETE), ["order"]);
}

#[test]
fn an_unknown_outcome_that_is_forgotten_on_the_way_is_found() {
    let calls = calls(vec![Outcome::SeenUnknown, stored("a")]);
    assert_eq!(found(calls, vec![arrival(2, "a")], COMPLETE), ["order"]);
}

#[test]
fn an_unknown_outcome_that_may_be_sent_again_is_found() {
    let found = found(calls(vec![Outcome::BecameUnknown]), vec![arrival(1, "a")], Some(State::Retryable));
    assert_eq!(found, ["I10"]);
}

#[test]
fn a_mismatch_before_anybody_had_the_key_is_found() {
    assert_eq!(found(calls(vec![Outcome::Mismatch, stored("a")]), vec![arrival(2, "a")], COMPLETE), ["order"]);
}

#[test]
fn an_order_that_only_overlapping_calls_can_have_is_found_and_not_refused() {
    let mut both = calls(vec![replayed("a"), stored("a")]);
    assert_eq!(found(both.clone(), vec![arrival(2, "a")], COMPLETE), ["order"]);
    both[0].returned_us = 100;
    assert!(found(both, vec![arrival(2, "a")], COMPLETE).is_empty());
}
