//! A program that is broken on purpose must be found out, or all of this proves nothing.

use outrigger::sabotage::{CRASH_AT, DEFECT, Defect, STOP_AT};
use outrigger::testing::eventually;
use tokio::task::JoinSet;

use super::checker::check;
use super::embedded::{self, Plan};
use super::replicas::{PATIENT, Stage};
use super::{executable, seed};

async fn found_with(defect: Defect) -> Vec<&'static str> {
    let plan = Plan { seed: seed(), points: Vec::new(), kills: 12, posts: 500, defect: Some(defect) };
    let ended = embedded::run(plan).await;
    let mut found: Vec<_> = check(&ended.evidence).into_iter().map(|violation| violation.invariant).collect();
    found.sort_unstable();
    println!("{defect:?}: {} violations in {} POSTs and {} kills", found.len(), ended.posts, ended.kills);
    found.dedup();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_sends_without_leave_is_found_out() {
    let found = found_with(Defect::UnmarkedSend).await;
    assert!(found.contains(&"I1"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_whose_claims_overwrite_is_found_out() {
    let found = found_with(Defect::OverwritingClaim).await;
    assert!(found.contains(&"I1"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_whose_claims_overwrite_are_found_out() {
    let mut stage = Stage::set(PATIENT).await;
    stage.break_it(Defect::OverwritingClaim).await;
    let (request, mut calls) = (stage.request("/crowd", "crowd", "Late", "1"), JoinSet::new());
    stage.ask(0, request.clone(), &mut calls);
    // Of claims at the same moment all but the last would fail to mark what they send: the nonce is another one.
    eventually("the request at the upstream", async || (!stage.counter.arrivals().is_empty()).then_some(())).await;
    stage.ask(1, request.clone(), &mut calls);
    calls.join_all().await;
    let found = check(&stage.judge(&[request]).await);
    assert!(found.iter().any(|violation| violation.invariant == "I1"), "{found:?}");
}

/// Without the feature the hooks are `const`, which the compiler proves (`src/sabotage.rs`); here is the proof for a
/// binary: its names are in the one that was built for tests, and not in the one that `OUTRIGGER_UNDER_TEST` names.
#[test]
fn the_program_as_it_is_shipped_has_no_way_to_be_broken() {
    let names = [CRASH_AT, STOP_AT, DEFECT];
    let holds = |path: &str| {
        let bytes = std::fs::read(path).expect("the program");
        names.map(|name| bytes.windows(name.len()).any(|window| window == name.as_bytes()))
    };
    assert_eq!(holds(&executable()), [true; 3]);
    if let Ok(shipped) = std::env::var("OUTRIGGER_UNDER_TEST") {
        assert_eq!(holds(&shipped), [false; 3], "{shipped} was built with the feature `testing`");
    }
}
