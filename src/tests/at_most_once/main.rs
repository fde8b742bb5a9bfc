//! At most once: the real program is killed some hundred times while it deduplicates, and everything that was said and
//! done is compared afterwards.
//!
//! Requests that fail become dead letters, which operators repair meanwhile ([`operator`]).
//!
//! An upstream counts durably what reaches it ([`counter`], [`log`]), clients note what they are told ([`call`],
//! [`job`]), the program dies at every point of [`outrigger::sabotage`] and at random moments ([`embedded`],
//! [`replicas`]), and a checker ([`checker`], [`register`], [`letters`]) looks for a contradiction. That it can find one is shown by
//! histories made wrong by hand ([`bad_histories`],
//! [`bad_letters`]) and by a program that is broken on purpose ([`controls`]).
//!
//! The same `OUTRIGGER_SEED` throws the same dice; what the threads of two processes do is not repeated by it.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panics, and have moments and tasks of their own"
)]

mod bad_histories;
mod bad_letters;
mod call;
mod checker;
mod controls;
mod counter;
mod embedded;
mod job;
mod letters;
mod load;
mod log;
mod operator;
mod phases;
mod register;
mod replicas;

use std::collections::BTreeMap;
use std::time::Instant;

use outrigger::sabotage::Point;

use embedded::{Plan, passages};
use letters::Letters;

/// Kills and POSTs of the whole run, at least.
const KILLS: usize = 200;
const POSTS: usize = 20_000;

/// The program with its crash points: the one just built.
fn executable() -> String {
    env!("CARGO_BIN_EXE_outrigger").to_owned()
}

fn seed() -> u64 {
    let given = std::env::var("OUTRIGGER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    println!("OUTRIGGER_SEED={seed}");
    seed
}

/// How many letters there are in each state.
fn states(letters: &Letters) -> BTreeMap<&str, usize> {
    let mut states = BTreeMap::new();
    letters.kept.iter().for_each(|letter| *states.entry(letter.state.as_str()).or_default() += 1);
    states
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_executed_at_most_once_wherever_the_program_is_killed() {
    let (seed, begin) = (seed(), Instant::now());
    let enumerated: usize = Point::ALL.iter().map(|point| passages(*point).len()).sum();
    let kills = KILLS.saturating_sub(enumerated) + 10;
    let plan = Plan { seed, points: Point::ALL.to_vec(), kills, posts: POSTS, defect: None };
    let ended = embedded::run(plan).await;
    println!("{} kills, {} POSTs in {:?}; {:?}", ended.kills, ended.posts, begin.elapsed(), ended.hits);
    let letters = &ended.evidence.letters;
    checker::assert_holds(&ended.evidence, seed);
    for (name, state) in &ended.shown {
        assert_eq!(ended.evidence.records.get(name), Some(state), "{name} in the file, and as it was shown");
    }
    println!("{} letters, {} settled; {:?}", letters.kept.len(), letters.resolves.len(), ended.told);
    println!("{:?}", states(letters));
    println!("checked after {:?}", begin.elapsed());
    for point in Point::ALL {
        let hit = ended.hits.get(&format!("{point:?}")).copied().unwrap_or(0);
        assert_eq!(hit, passages(point).len(), "the program did not die at {point:?} each time");
    }
    for state in ["open", "replayed", "superseded", "dropped", "resolved"] {
        assert!(states(letters).contains_key(state), "no letter is {state}: {:?}", states(letters));
    }
    assert!(ended.kills >= KILLS && ended.posts >= POSTS, "{} kills, {} POSTs", ended.kills, ended.posts);
}
