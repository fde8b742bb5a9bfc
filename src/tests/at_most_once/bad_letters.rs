//! The checks of dead letters can fail: each of these histories is wrong in one way.

use std::collections::{BTreeMap, HashMap};

use outrigger::reliability::idempotency::State;

use super::bad_histories::{arrival, calls, invariants, records, replayed, reply, stored};
use super::call::{Contract, Outcome};
use super::checker::Evidence;
use super::letters::{Letter, Letters, Resolve};
use super::log::Arrival;

fn letter(state: &str, replays: u64, audited: usize) -> Letter {
    Letter { id: "L".to_owned(), name: Some("/k".to_owned()), state: state.to_owned(), replays, audited }
}

fn replay(number: u64, value: &str, at_us: u64) -> Arrival {
    Arrival { ask: 0, replay: format!("L;n={number}"), at_us, ..arrival(1, value) }
}

/// The request's outcome became unknown, and it is a letter in this state.
fn lost(letter: Letter) -> Evidence {
    let open = letter.is_open();
    let listed = BTreeMap::from([(letter.id.clone(), letter.state.clone())]);
    let seen = HashMap::from([(letter.id.clone(), "open".to_owned())]);
    let letters = Letters { kept: vec![letter], listed, seen, intact: true, ..Letters::default() };
    let mut calls = calls(vec![Outcome::BecameUnknown]);
    calls[0].letter = Some("L".to_owned());
    let records = records(Some(State::Unknown), open);
    // The route of "/k" is "k".
    Evidence { calls, arrivals: vec![arrival(1, "a")], records, lapses: false, keeps: &["k"], letters }
}

/// It recognises keys, was sent again, and answered.
fn replayed_once() -> Evidence {
    let mut evidence = lost(letter("replayed", 1, 2));
    evidence.arrivals[0].effect = false;
    evidence.arrivals.push(replay(1, "b", 20));
    evidence.calls[0].contract = Contract::Dedupes;
    evidence.records = records(Some(State::Complete), false);
    evidence
}

fn wrong(change: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
    let mut evidence = lost(letter("open", 0, 0));
    change(&mut evidence);
    invariants(&evidence)
}

#[test]
fn good_letters_pass() {
    let nothing: [&str; 0] = [];
    assert_eq!(invariants(&lost(letter("open", 0, 0))), nothing);
    assert_eq!(invariants(&lost(letter("dropped", 0, 1))), nothing);
    assert_eq!(invariants(&replayed_once()), nothing);
    // Its replay was cut short before it left.
    assert_eq!(invariants(&lost(letter("open", 1, 1))), nothing);
    // Settled, and its client hears of that.
    let mut settled = lost(letter("resolved", 0, 1));
    let mut answer = reply("");
    answer.location = String::new();
    settled.calls.extend(calls(vec![Outcome::Info, Outcome::SeenUnknown, Outcome::Replayed(answer)]).split_off(1));
    settled.letters.resolves = vec![Resolve { name: "/k".to_owned(), executed: true, invoked_us: 16 }];
    settled.records = records(Some(State::Complete), false);
    assert_eq!(invariants(&settled), nothing);
}

#[test]
fn an_order_is_found_however_many_calls_there_are_of_which_nothing_is_known() {
    let mut crowd = replayed_once();
    let outcomes = vec![Outcome::Info; 40].into_iter();
    crowd.calls = calls(outcomes.chain([Outcome::NotExecuted, Outcome::Info, replayed("b")]).collect());
    crowd.calls.iter_mut().for_each(|call| call.contract = Contract::Dedupes);
    // Begun together: the first that arrives has no effect and is told so, the second is lost, and its letter has one.
    crowd.calls[40].invoked_us = 399;
    crowd.arrivals = vec![arrival(41, "a"), arrival(42, "b"), replay(1, "b", 415)];
    crowd.arrivals[0].effect = false;
    crowd.arrivals[2].effect = false;
    crowd.calls[41].letter = Some("L".to_owned());
    let nothing: [&str; 0] = [];
    assert_eq!(invariants(&crowd), nothing);
}

#[test]
fn a_letter_that_vanishes_is_found() {
    assert_eq!(wrong(|e| e.letters.kept.clear()), ["I9"]);
    assert_eq!(wrong(|e| e.calls[0].letter = Some("another".to_owned())), ["I9"]);
    assert_eq!(wrong(|e| e.letters.listed.clear()), ["I9"]);
}

#[test]
fn a_failure_without_a_letter_is_found() {
    let none = |e: &mut Evidence| {
        e.letters = Letters { intact: true, ..Letters::default() };
        e.calls[0].letter = None;
        e.records = records(Some(State::Unknown), false);
    };
    assert_eq!(wrong(none), ["I9"]);
    // The program ended before the request did.
    assert_eq!(
        wrong(|e| {
            none(e);
            e.calls[0].outcome = Outcome::Info;
            e.calls[0].returned_us = u64::MAX;
        }),
        ["I9"]
    );
}

#[test]
fn two_open_letters_of_one_key_are_found() {
    let second = Letter { id: "M".to_owned(), ..letter("open", 0, 0) };
    let two = |e: &mut Evidence| {
        e.letters.listed.insert("M".to_owned(), "open".to_owned());
        e.letters.kept.push(second);
    };
    assert_eq!(wrong(two), ["I9"]);
}

#[test]
fn a_record_that_is_kept_for_no_letter_or_not_for_its_letter_is_found() {
    assert_eq!(wrong(|e| e.records = records(Some(State::Unknown), false)), ["I9"]);
    let mut closed = lost(letter("dropped", 0, 1));
    closed.records = records(Some(State::Unknown), true);
    assert_eq!(invariants(&closed), ["I9"]);
}

#[test]
fn a_closed_letter_of_which_nobody_knows_who_closed_it_is_found() {
    assert_eq!(invariants(&lost(letter("dropped", 0, 0))), ["I9"]);
    assert_eq!(invariants(&lost(letter("open", 1, 0))), ["I9"]);
    assert_eq!(wrong(|e| e.letters.intact = false), ["I9"]);
}

#[test]
fn a_closed_letter_that_is_opened_again_and_a_replay_that_does_not_end_are_found() {
    assert_eq!(wrong(|e| drop(e.letters.seen.insert("L".to_owned(), "dropped".to_owned()))), ["I9"]);
    assert_eq!(invariants(&lost(letter("replaying", 1, 1))), ["I9"]);
    assert_eq!(wrong(|e| e.letters.stubs = 1), ["I9"]);
}

#[test]
fn a_replay_that_is_a_second_effect_is_found() {
    let mut twice = replayed_once();
    twice.arrivals[0].effect = true;
    assert!(invariants(&twice).contains(&"I1"));
}

#[test]
fn a_replay_that_nobody_has_begun_or_that_is_sent_twice_is_found() {
    let mut unmarked = replayed_once();
    unmarked.arrivals[1] = replay(2, "b", 20);
    assert!(invariants(&unmarked).contains(&"I9"));
    let mut twice = replayed_once();
    twice.arrivals.push(Arrival { effect: false, ..replay(1, "b", 30) });
    assert_eq!(invariants(&twice), ["I9"]);
    let mut of_another = replayed_once();
    of_another.arrivals[1].replay = "M;n=1".to_owned();
    assert!(invariants(&of_another).contains(&"I9"));
}

#[test]
fn a_replay_of_what_was_answered_is_found() {
    let mut late = lost(letter("superseded", 1, 1));
    late.calls = calls(vec![Outcome::Info, stored("b"), replayed("b")]);
    for call in &mut late.calls {
        call.contract = Contract::Dedupes;
    }
    late.arrivals = vec![arrival(2, "b"), Arrival { effect: false, ..replay(1, "b", 60) }];
    late.records = records(Some(State::Complete), false);
    assert_eq!(invariants(&late), ["I9"]);
}
