//! Fuzz targets over everything that is parsed from outside: what peers send, and what operators write.
//!
//! One program for all of them, because linking it takes longer than running most targets; `OUTRIGGER_FUZZ` names the
//! one that runs. `src/tests/fuzz/run` builds it instrumented and runs each for a while.

#![no_main]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a finding is a panic")]

mod answer;
mod deadline;
mod head;
mod key;
mod policy;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

/// What is made of made-up bytes.
type Target = fn(&[u8]);

/// Targets by name.
const TARGETS: [(&str, Target); 5] = [
    ("answer", answer::read),
    ("deadline", deadline::read),
    ("head", head::pass),
    ("key", key::read),
    ("policy", policy::load),
];

static TARGET: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("OUTRIGGER_FUZZ").unwrap_or_default();
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    match TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, target)) => *target,
        None => panic!("OUTRIGGER_FUZZ names the target, one of {}", names.join(", ")),
    }
}

fuzz_target!(|data: &[u8]| TARGET.get_or_init(chosen)(data));
