//! Answers that come after their client has been told that nobody knows.

use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, Hangup, Script};
use outrigger::testing::{Signal, eventually};

use super::{Stage, policy, receipt, stage, told};
use crate::stage::{program, until, upstream};

/// Longer than the time that the request has.
fn late(answer: Answer) -> Behaviour {
    Behaviour::from(answer).after(Duration::from_millis(700))
}

const SHORT_TRY: &str = "timeouts: { backendRequest: 200ms, request: 10s }";

/// Its key, as soon as a repetition is told something else than that the outcome is unknown.
async fn healed(stage: &Stage) -> (u16, String, String) {
    eventually("the outcome is known", async || {
        let again = stage.pay("k", "1").await;
        let (status, word) = told(&again);
        (word != "unknown").then(|| (status, word.to_owned(), again.text()))
    })
    .await
}

#[tokio::test]
async fn a_late_answer_makes_the_outcome_known_and_is_replayed() {
    for (timeouts, reason) in [(SHORT_TRY, "try-timeout"), ("timeouts: { request: 200ms }", "deadline")] {
        let stage = stage(Script::sequence([late(receipt())], Answer::status(500)), "required: true", timeouts).await;
        let first = stage.pay("k", "1").await;
        assert_eq!((told(&first), first.json()["reason"].as_str()), ((504, "unknown"), Some(reason)));
        assert_eq!(told(&stage.pay("k", "1").await), (409, "unknown"), "until the answer comes");
        assert_eq!(healed(&stage).await, (201, "replayed".to_owned(), "receipt".to_owned()));
        let counts = stage.server.observed().counts();
        assert_eq!((counts.executed, counts.answered, counts.abandoned), (1, 1, 0));
        let metrics = stage.program.metrics().await;
        let attempts = |outcome| metrics.sum("outrigger_attempts_total", &[("route", "pay"), ("outcome", outcome)]);
        assert_eq!((attempts("failed"), attempts("success")), (1.0, 0.0), "the attempt timed out, once");
        let upstream = stage.program.admin("/upstreams/up").await;
        assert_eq!(upstream["endpoints"][0]["lastFailure"], reason, "{upstream}");
    }
}

#[tokio::test]
async fn of_a_late_answer_that_is_too_large_it_is_kept_that_it_came() {
    for answer in [Answer::ok("x".repeat(5_000)), Answer::ok("x".repeat(5_000)).chunked()] {
        let stage = stage(late(answer), "maxStoredBody: 4KiB", SHORT_TRY).await;
        assert_eq!(told(&stage.pay("k", "1").await), (504, "unknown"));
        let (status, word, text) = healed(&stage).await;
        assert_eq!((status, &*word), (409, "replayed"));
        assert!(text.contains("response-not-retained"), "{text}");
        assert_eq!(stage.server.observed().counts().executed, 1);
    }
}

#[tokio::test]
async fn a_late_answer_that_says_nothing_for_certain_changes_nothing() {
    let cut = Answer::ok("x".repeat(1_000)).cut(10, Hangup::Reset);
    for answer in [late(Answer::status(500)), late(Answer::status(429)), late(cut)] {
        let stage = stage(Script::sequence([answer], receipt()), "contract: opaque", SHORT_TRY).await;
        assert_eq!(told(&stage.pay("k", "1").await), (504, "unknown"));
        until(&stage.server, |c| c.serving == 0).await;
        for _ in 0..5 {
            assert_eq!(told(&stage.pay("k", "1").await), (409, "unknown"));
        }
        assert_eq!(stage.server.observed().counts().executed, 1);
    }
}

#[tokio::test]
async fn whoever_listens_on_does_not_hold_up_the_end() {
    let server = upstream(Behaviour::stall()).await;
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!("drain: {{ timeout: 10m }}\n{}", policy(&server.url(), &directory, "required: true", SHORT_TRY));
    let program = program(&text).await;
    let mut stage = Stage { server, program, _directory: directory };
    assert_eq!(told(&stage.pay("k", "1").await), (504, "unknown"));
    let counts = stage.server.observed().counts();
    assert_eq!((counts.serving, counts.abandoned), (1, 0), "it is listened to");
    stage.program.signal(Signal::Terminate);
    assert_eq!(stage.program.exit().await.code(), Some(0));
    until(&stage.server, |c| c.open == 0).await;
}

#[tokio::test]
async fn a_connection_that_others_need_is_not_spared_for_it() {
    let block = format!("limits: {{ connections: 1 }}\n{SHORT_TRY}");
    let stage = stage(Script::sequence([late(receipt())], Answer::ok("next")), "required: true", &block).await;
    assert_eq!(told(&stage.pay("k", "1").await), (504, "unknown"));
    assert_eq!(told(&stage.pay("other", "1").await), (200, "stored"));
    until(&stage.server, |c| c.abandoned == 1).await;
    assert_eq!(told(&stage.pay("k", "1").await), (409, "unknown"));
}

#[tokio::test]
async fn without_a_key_nobody_listens_on() {
    let stage = stage(late(receipt()), "contract: opaque", SHORT_TRY).await;
    let answer = crate::stage::client(&stage.program).await.post("/pay", "", b"1").await;
    assert_eq!(answer.status, 504);
    until(&stage.server, |c| c.abandoned == 1).await;
}
