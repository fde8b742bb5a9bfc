//! What `outrigger status` says of real faults.

use std::process::Command;
use std::time::{Duration, Instant};

use outrigger::faults::{Answer, Mode};
use outrigger::testing::Program;
use serde_json::Value;

use crate::stage::{client, executable, policy_for, program, proxied, upstream};

/// `outrigger status` of this program: its exit code, and what it prints.
fn status(program: &Program, words: &[&str]) -> (Option<i32>, String) {
    let admin = program.address("admin").to_string();
    let run = Command::new(executable()).args(["--addr", &admin, "status"]).args(words).output().unwrap();
    (run.status.code(), String::from_utf8(run.stdout).unwrap())
}

/// Asks for `path` as fast as it is answered, 20 times a second at most, until `so` holds of `/status`.
async fn until(program: &Program, at_most: Duration, so: impl Fn(&Value) -> bool) -> Value {
    let mut client = client(program).await;
    let mut every = tokio::time::interval(Duration::from_millis(50));
    let end = Instant::now() + at_most;
    let mut last = Value::Null;
    for round in 0_u64.. {
        every.tick().await;
        client.get("/").await;
        if round % 10 == 0 {
            last = program.admin("/status").await;
            if so(&last) {
                return last;
            }
            assert!(Instant::now() < end, "not within {at_most:?}: {last:#}");
        }
    }
    last
}

fn caused(status: &Value, cause: &str) -> bool {
    status["verdicts"][0]["cause"] == cause
}

#[tokio::test]
async fn a_port_that_refuses_is_named_within_ten_seconds_and_so_is_the_recovery() {
    let (server, program) = proxied(Answer::ok(""), "").await;
    let well = until(&program, Duration::from_secs(20), |status| status["verdicts"][0]["upstream"] == "up").await;
    assert_eq!(well["condition"], "healthy", "{well:#}");
    assert!(well["summary"][0].as_str().is_some_and(|line| line.starts_with("Everything is healthy")), "{well:#}");

    server.mode(Mode::Refuse).await.expect("the port is ours");
    server.close_idle();
    let found = until(&program, Duration::from_secs(10), |status| caused(status, "refusing")).await;
    let verdict = &found["verdicts"][0];
    assert_eq!((&verdict["upstream"], &verdict["direction"]), (&"up".into(), &"outbound".into()), "{verdict:#}");
    let text = verdict["text"].as_str().unwrap_or_default();
    assert!(text.contains("connections are refused"), "{text}");
    assert_eq!(found["summary"][0], verdict["text"]);

    let (code, said) = status(&program, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("up is "), "{said}");
    let (_, json) = status(&program, &["-o", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["verdicts"][0]["cause"], "refusing");
    let metrics = program.metrics().await;
    assert!(metrics.sum("outrigger_upstream_condition", &[("upstream", "up")]) >= 1.0);
    assert_eq!(metrics.sum("outrigger_upstream_cause", &[("upstream", "up"), ("cause", "refusing")]), 1.0);
    let told = program.stderr();
    let event = told.lines().find(|line| line.contains("\"event\":\"verdict\"")).expect("an event tells it");
    assert!(event.contains("\"cause\":\"refusing\"") && event.contains("\"upstream\":\"up\""), "{event}");

    server.mode(Mode::Accept).await.expect("the port is ours");
    until(&program, Duration::from_secs(30), |status| status["condition"] == "healthy").await;
    assert!(program.stderr().lines().any(|line| line.contains("up is healthy")), "{}", program.stderr());
}

#[tokio::test]
async fn a_policy_that_breaks_an_upstream_is_the_suspect() {
    let (server, broken) = (upstream(Answer::ok("")).await, upstream(Answer::status(500)).await);
    let mut program = program(&policy_for(&server, "")).await;
    let worked = |status: &Value| status["upstreams"][0]["totals"]["requests"].as_u64().is_some_and(|n| n > 60);
    until(&program, Duration::from_secs(20), worked).await;
    program.write_policy(&policy_for(&broken, ""));
    let found = until(&program, Duration::from_secs(15), |status| caused(status, "erroring")).await;
    let suspect = &found["verdicts"][0]["suspect"];
    assert_eq!((&suspect["kind"], &suspect["revision"]), (&"policy-applied".into(), &2.into()), "{found:#}");
    let change = found["summary"][1].as_str().unwrap_or_default();
    assert!(change.contains("rose from 0% to") && change.contains("revision 2 (up: "), "{change}");
}

#[tokio::test]
async fn an_answer_429_after_retries_is_neither_served_nor_rescued() {
    let (_server, program) = proxied(Answer::status(429), "retry: { attempts: 1 }").await;
    let found = until(&program, Duration::from_secs(15), |status| caused(status, "overloaded")).await;
    let (verdict, totals) = (&found["verdicts"][0], &found["upstreams"][0]["totals"]);
    let text = verdict["text"].as_str().unwrap_or_default();
    assert!(text.contains("of requests fail") && !text.contains("rescue"), "{text}");
    assert_eq!((&verdict["condition"], &totals["rescued"]), (&"failing".into(), &0.into()), "{found:#}");
    assert_eq!(totals["requestsFailed"], totals["requests"]);
}
