use std::fs;
use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, FaultServer};
use outrigger::testing::{Load, Program, Signal, eventually};
use serde_json::Value;

use crate::stage::{client, policy_for, program, proxied, upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: up\r\n\r\n";

/// Requests that are known to have gone well before a policy changes: at 20 ms each on two connections, at least 4 s.
const WARM_UP: u64 = 400;

/// Answers after 20 ms, which 1 ms of patience does not reach.
fn unhurried() -> Behaviour {
    Behaviour::from(Answer::ok("a")).after(Duration::from_millis(20))
}

/// The entries of the journal of one kind, newest first.
async fn changes(program: &Program, kind: &str) -> Vec<Value> {
    let answer = program.admin(&format!("/changes?kind={kind}")).await;
    answer["changes"].as_array().expect("a list of changes").clone()
}

async fn change(program: &Program, kind: &str) -> Value {
    eventually(kind, async || changes(program, kind).await.first().cloned()).await
}

async fn revision(program: &Program) -> u64 {
    program.admin("/policy").await["policy"]["revision"].as_u64().expect("a revision")
}

async fn revision_becomes(program: &Program, wanted: u64) {
    eventually(&format!("revision {wanted}"), async || (revision(program).await == wanted).then_some(())).await;
}

async fn warm(program: &Program, request: &str) -> Load {
    let load = Load::start(program.listen(), 2, request);
    load.progress(WARM_UP).await;
    load
}

#[tokio::test]
async fn a_policy_that_makes_an_upstream_fail_is_named_with_what_it_changed() {
    let (server, mut program) = proxied(unhurried(), "timeouts: { backendRequest: 500ms }").await;
    let load = warm(&program, GET).await;
    program.write_policy(&policy_for(&server, "timeouts: { backendRequest: 1ms }"));
    let found = change(&program, "policy-guard").await;
    load.stop().await;
    assert_eq!((&found["upstream"], &found["author"], &found["revision"]), (&"up".into(), &"guard".into(), &2.into()));
    let text = found.to_string();
    for part in ["since policy revision 2", "requests failed", "backendRequest 500ms -> 1ms", "policy rollback 1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(revision(&program).await, 2, "it is told, and stays");
    let metrics = program.metrics().await;
    assert_eq!(metrics.sum("outrigger_policy_guard_total", &[("action", "warned")]), 1.0);
    assert!(program.stderr().contains(r#""event":"policy-guard","action":"warn""#), "{}", program.stderr());
}

#[tokio::test]
async fn a_guard_that_may_roll_back_does_so_once_and_the_unchanged_file_does_not_bring_the_policy_back() {
    let guarded =
        |server: &FaultServer, block: &str| format!("policy: {{ guard: rollback }}\n{}", policy_for(server, block));
    let server = upstream(unhurried()).await;
    let mut program = program(&guarded(&server, "timeouts: { backendRequest: 500ms }")).await;
    let load = warm(&program, GET).await;
    let bad = guarded(&server, "timeouts: { backendRequest: 1ms }");
    program.write_policy(&bad);
    let rolled_back = change(&program, "policy-rolled-back").await;
    assert_eq!((&rolled_back["author"], &rolled_back["revision"]), (&"guard".into(), &3.into()));
    assert!(rolled_back["reason"].to_string().contains("since policy revision 2"), "{rolled_back}");
    let told = change(&program, "policy-guard").await.to_string();
    assert!(told.contains("the file still holds it: its next different content is taken"), "{told}");
    load.stop().await;
    assert_eq!(client(&program).await.get("/").await.status, 200, "the old policy is in force again");

    // The same text once more is nothing new; what differs from it is.
    program.write_policy(&bad);
    let load = warm(&program, GET).await;
    assert_eq!(revision(&program).await, 3);
    program.write_policy(&guarded(&server, "timeouts: { backendRequest: 600ms }"));
    revision_becomes(&program, 4).await;
    load.progress(WARM_UP).await;
    load.stop().await.assert_all(200);
    assert_eq!(changes(&program, "policy-rolled-back").await.len(), 1);
    let metrics = program.metrics().await;
    assert_eq!(metrics.sum("outrigger_policy_guard_total", &[("action", "rolled_back")]), 1.0);
}

#[tokio::test]
async fn a_harmless_policy_is_not_accused_of_the_outage_of_an_upstream_that_it_does_not_touch() {
    let (up, other) = (upstream(unhurried()).await, upstream(unhurried()).await);
    let policy = |timeout: &str| {
        let block = format!("timeouts: {{ backendRequest: {timeout} }}");
        format!("policy: {{ guard: rollback }}\n{}  other:\n    url: {}\n", policy_for(&up, &block), other.url())
    };
    let mut program = program(&policy("500ms")).await;
    let load = warm(&program, GET).await;
    let to_other = warm(&program, "GET / HTTP/1.1\r\nHost: other\r\n\r\n").await;
    other.set(Behaviour::from(Answer::status(500)).after(Duration::from_millis(20)));
    program.write_policy(&policy("600ms"));
    revision_becomes(&program, 2).await;
    // As long as it takes to be sure in the tests above, and again.
    to_other.progress(2 * WARM_UP).await;
    let report = to_other.stop().await;
    assert!(report.with(500) >= WARM_UP, "{:?}", report.statuses);
    load.stop().await.assert_all(200);
    assert_eq!(changes(&program, "policy-guard").await, Vec::<Value>::new());
    assert_eq!(revision(&program).await, 2);
}

#[tokio::test]
async fn a_refused_file_stands_in_the_journal_with_its_reason() {
    let (server, mut program) = proxied(Answer::ok("a"), "").await;
    program.write_policy(&policy_for(&server, "timeuot: { request: 1s }"));
    let refused = change(&program, "policy-refused").await;
    assert!(refused["reason"].to_string().contains("timeuot"), "{refused}");
    assert!(refused["summary"].to_string().contains("revision 1 stays in force"), "{refused}");
    assert_eq!(refused["author"], "file");
}

#[tokio::test]
async fn a_restart_tells_of_a_crash_and_of_another_version() {
    let (_server, mut program) = proxied(Answer::ok("a"), "").await;
    let state = program.config().join("state");
    let journal = state.join("changes.jsonl");
    program.set_environment(vec![("STATE_DIRECTORY", state.display().to_string())]);
    let end = async |program: &mut Program, signal| {
        program.signal(signal);
        program.exit().await;
    };
    end(&mut program, Signal::Terminate).await;
    program.restart().await;
    assert_eq!(change(&program, "process-started").await["reason"], Value::Null, "nothing came before");

    end(&mut program, Signal::Kill).await;
    program.restart().await;
    let started = change(&program, "process-started").await;
    assert!(started["reason"].to_string().contains("ended without saying goodbye"), "{started}");

    end(&mut program, Signal::Terminate).await;
    let version = env!("CARGO_PKG_VERSION");
    let text = fs::read_to_string(&journal).expect("a journal").replace(&format!("\"{version}\""), "\"0.0.7\"");
    fs::write(&journal, text).expect("it is ours");
    program.restart().await;
    let upgraded = change(&program, "process-upgraded").await;
    assert_eq!((&upgraded["reason"], &upgraded["effects"][0]), (&Value::Null, &"the version before was 0.0.7".into()));
    assert!(upgraded["summary"].to_string().contains(version), "{upgraded}");
    assert_eq!(changes(&program, "process-stopped").await.len(), 1);
}
