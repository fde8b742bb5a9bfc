//! Letters repaired by hand, as an operator types it, against the real program.

use std::process::Command;

use outrigger::faults::{Answer, Behaviour, Mode, Script};
use outrigger::testing::{Program, RedisServer, Signal, eventually};
use serde_json::Value;

use super::{KEYED, KEYLESS, Stage, letters, lost, shared_policy, stage};
use crate::stage::{client, executable, program, until, upstream};

/// What a command said, and its exit code.
struct Said {
    code: Option<i32>,
    text: String,
}

async fn outrigger(program: &Program, arguments: &[&str]) -> Said {
    let mut command = Command::new(executable());
    command.args(["--addr", &program.address("admin").to_string()]).args(arguments).env("NO_COLOR", "1");
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ends").expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Said { code: output.status.code(), text }
}

async fn json(program: &Program, arguments: &[&str]) -> Value {
    let said = outrigger(program, &[arguments, &["-o", "json"]].concat()).await;
    serde_json::from_str(&said.text).unwrap_or_else(|e| panic!("{e}: {}", said.text))
}

async fn pay(program: &Program, key: &str) -> (u16, String) {
    let answer = client(program).await.post("/pay", &format!("Idempotency-Key: \"{key}\"\r\n"), b"12 EUR").await;
    (answer.status, answer.field("idempotency-status").unwrap_or("none").to_owned())
}

fn heard(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

/// The only letter, whole.
async fn only(program: &Program) -> Value {
    let all = json(program, &["dlq", "ls", "--state", "all"]).await;
    let id = all["letters"][0]["id"].as_str().unwrap_or_else(|| panic!("no letter: {all}")).to_owned();
    assert_eq!(all["total"], 1, "{all}");
    json(program, &["dlq", "show", &id]).await
}

async fn id(program: &Program) -> String {
    only(program).await["id"].as_str().expect("a number").to_owned()
}

/// What the change journal has of operators' orders, newest first: summaries with their reasons.
async fn ordered(program: &Program) -> Vec<String> {
    let answer = json(program, &["changes", "--kind", "manual"]).await;
    let changes = answer["changes"].as_array().expect("a list of changes");
    let text = |change: &Value, key: &str| change[key].as_str().unwrap_or_default().to_owned();
    changes.iter().map(|change| format!("{}: {}", text(change, "summary"), text(change, "reason"))).collect()
}

fn executed(stage: &Stage) -> u64 {
    stage.server.observed().counts().executed
}

#[tokio::test]
async fn what_was_not_executed_is_replayed_and_its_client_gets_that_answer() {
    for (route, again) in [(KEYED, "replayed"), (KEYLESS, "none")] {
        let stage = stage(Answer::status(201).body("receipt"), route, "").await;
        stage.server.die().await.expect("it dies");
        assert_eq!(pay(&stage.program, "k").await.0, 502);
        let id = id(&stage.program).await;
        stage.server.mode(Mode::Accept).await.expect("it is back");
        let said = outrigger(&stage.program, &["dlq", "replay", &id, "--reason", "it is back"]).await;
        assert_eq!(said.code, Some(0), "{}", said.text);
        let seen = stage.server.observed().last().expect("a request");
        assert_eq!(seen.head.get("outrigger-replay"), Some(format!("{id};n=1").as_str()));
        assert_eq!(only(&stage.program).await["state"], "replayed");
        assert_eq!(executed(&stage), 1);
        if route == KEYED {
            assert_eq!(pay(&stage.program, "k").await, heard(201, again));
            assert_eq!(executed(&stage), 1, "safe against the client's own next try");
        }
        let twice = outrigger(&stage.program, &["dlq", "replay", &id, "--reason", "again"]).await;
        assert_eq!(twice.code, Some(1), "{}", twice.text);
        let expected = format!("up/pay: dead letter {id} sent again and answered: it is back");
        assert_eq!(ordered(&stage.program).await, [expected], "what was refused is no change");
    }
}

#[tokio::test]
async fn the_clients_own_next_try_makes_a_replay_superfluous() {
    let stage = stage(Answer::status(201), KEYED, "").await;
    stage.server.die().await.expect("it dies");
    assert_eq!(pay(&stage.program, "k").await, heard(502, "not-stored"));
    let id = id(&stage.program).await;
    stage.server.mode(Mode::Accept).await.expect("it is back");
    assert_eq!(pay(&stage.program, "k").await, heard(201, "stored"));
    assert_eq!(only(&stage.program).await["state"], "superseded");
    let said = outrigger(&stage.program, &["dlq", "replay", &id, "--reason", "too late"]).await;
    assert!(said.code == Some(1) && said.text.contains("superseded"), "{}", said.text);
    assert_eq!(executed(&stage), 1, "nothing was sent");
}

#[tokio::test]
async fn what_may_have_been_executed_is_replayed_only_by_who_takes_that_upon_herself() {
    let script = || Script::sequence([lost()], Answer::status(201));
    for route in [KEYED, KEYLESS] {
        let stage = stage(script(), route, "").await;
        pay(&stage.program, "k").await;
        let id = id(&stage.program).await;
        let said = outrigger(&stage.program, &["dlq", "replay", &id, "--reason", "try"]).await;
        assert!(said.code == Some(1) && said.text.contains("--accept-duplicate-risk"), "{}", said.text);
        assert_eq!(executed(&stage), 1);
        let risky = ["dlq", "replay", &id, "--accept-duplicate-risk", "--reason", "the customer agrees"];
        let said = outrigger(&stage.program, &risky).await;
        assert_eq!(said.code, Some(0), "{}", said.text);
        assert_eq!((executed(&stage), &only(&stage.program).await["state"]), (2, &"replayed".into()));
        let audit = outrigger(&stage.program, &["audit"]).await.text;
        assert!(audit.contains("the customer agrees") && audit.contains("intact"), "{audit}");
        if route == KEYED {
            assert!(audit.contains("accept-duplicate-risk"), "{audit}");
            assert_eq!(pay(&stage.program, "k").await, heard(201, "replayed"));
        }
    }
}

#[tokio::test]
async fn a_replay_that_fails_again_leaves_the_letter_open_with_what_is_known_now() {
    let stage =
        stage(Answer::status(201), "idempotency: { principal: none }, retry: { attempts: 0 }, deadLetter: {}", "")
            .await;
    stage.server.die().await.expect("it dies");
    pay(&stage.program, "k").await;
    let id = id(&stage.program).await;
    let said = outrigger(&stage.program, &["dlq", "replay", &id, "--reason", "still closed?"]).await;
    assert_eq!(said.code, Some(1), "{}", said.text);
    let letter = only(&stage.program).await;
    assert_eq!(
        (&letter["state"], &letter["class"], &letter["replays"]),
        (&"open".into(), &"not-executed".into(), &1.into())
    );
    stage.server.set(lost());
    stage.server.mode(Mode::Accept).await.expect("it is back");
    let said = outrigger(&stage.program, &["dlq", "replay", &id, "--reason", "now?"]).await;
    assert_eq!(said.code, Some(1), "{}", said.text);
    let letter = only(&stage.program).await;
    assert_eq!(
        (&letter["state"], &letter["class"], &letter["replays"]),
        (&"open".into(), &"unknown".into(), &2.into())
    );
    assert_eq!(pay(&stage.program, "k").await, heard(409, "unknown"));
}

#[tokio::test]
async fn a_letter_is_settled_by_what_was_found_out_and_so_is_its_key() {
    for (found, again) in [("executed", "replayed"), ("not-executed", "stored")] {
        let stage = stage(Script::sequence([lost()], Answer::status(201)), KEYED, "").await;
        pay(&stage.program, "k").await;
        let id = id(&stage.program).await;
        let said = outrigger(&stage.program, &["dlq", "resolve", &id, "--as", found, "--reason", "asked them"]).await;
        assert_eq!(said.code, Some(0), "{}", said.text);
        assert_eq!(only(&stage.program).await["state"], "resolved");
        let entries = ordered(&stage.program).await;
        assert!(
            entries.len() == 1 && entries[0].contains("resolved as") && entries[0].contains("asked them"),
            "{entries:?}"
        );
        assert_eq!(pay(&stage.program, "k").await.1, again);
    }
}

#[tokio::test]
async fn what_was_under_way_when_the_program_was_killed_is_a_letter_that_can_be_replayed() {
    let slow = Behaviour::stall();
    let route = "idempotency: { principal: none, contract: dedupes }, deadLetter: { capture: send }";
    let mut stage = stage(slow, route, "").await;
    let paying = client(&stage.program).await;
    paying.send("POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 6\r\n\r\n12 EUR").await;
    until(&stage.server, |c| c.executed == 1).await;
    stage.program.signal(Signal::Kill);
    stage.program.exit().await;
    stage.server.set(Answer::status(201).body("receipt"));
    stage.program.restart().await;
    let letter = only(&stage.program).await;
    assert_eq!((&letter["cause"], &letter["class"]), (&"process-ended".into(), &"unknown".into()), "{letter}");
    let id = letter["id"].as_str().expect("a number");
    // The upstream recognises the key: nothing can happen twice.
    let said = outrigger(&stage.program, &["dlq", "replay", id, "--reason", "it recognises keys"]).await;
    assert_eq!(said.code, Some(0), "{}", said.text);
    let seen = stage.server.observed().last().expect("a request");
    assert_eq!(
        (seen.head.get("idempotency-key"), seen.body.as_ref().map(|body| body.digest.length)),
        (Some("k"), Some(6))
    );
    assert_eq!(pay(&stage.program, "k").await, heard(201, "replayed"));
}

#[tokio::test]
async fn many_letters_are_replayed_one_after_another_and_the_plan_says_so_before() {
    let stage = stage(Answer::status(201), KEYED, "").await;
    stage.server.die().await.expect("it dies");
    for key in ["a", "b", "c"] {
        assert_eq!(pay(&stage.program, key).await.0, 502);
    }
    stage.server.mode(Mode::Accept).await.expect("it is back");
    let plan = json(&stage.program, &["dlq", "replay", "--route", "up/pay", "--dry-run"]).await;
    assert_eq!((&plan["letters"], &plan["safe"], &plan["sends"]), (&3.into(), &3.into(), &3.into()), "{plan}");
    assert_eq!(executed(&stage), 0, "a plan sends nothing");
    let unsure = outrigger(&stage.program, &["dlq", "replay", "--route", "up/pay", "--reason", "x"]).await;
    assert!(unsure.code == Some(2) && unsure.text.contains("--yes"), "{}", unsure.text);
    let many = ["dlq", "replay", "--route", "up/pay", "--yes", "--rate", "50", "--reason", "it is back", "--wait"];
    let said = outrigger(&stage.program, &many).await;
    assert_eq!(said.code, Some(0), "{}", said.text);
    assert_eq!(executed(&stage), 3);
    let entries = ordered(&stage.program).await;
    assert!(
        entries.len() == 1 && entries[0].contains("of 3 dead letters begun, 50 a second: it is back"),
        "{entries:?}"
    );
    for key in ["a", "b", "c"] {
        assert_eq!(pay(&stage.program, key).await, heard(201, "replayed"));
    }
    let jobs = json(&stage.program, &["replay", "ls"]).await;
    assert_eq!(
        (&jobs["replays"][0]["state"], &jobs["replays"][0]["replayed"]),
        (&"finished".into(), &3.into()),
        "{jobs}"
    );
    stage.program.metrics_when("the gauge", |m| m.sum("outrigger_dlq_entries", &[("state", "replayed")]) == 3.0).await;
}

#[tokio::test]
async fn a_replay_of_many_stops_when_the_upstream_does_not_serve_and_goes_on_after_a_restart() {
    let mut stage = stage(Answer::status(201), KEYED, "").await;
    stage.server.die().await.expect("it dies");
    for key in 0..6 {
        pay(&stage.program, &format!("k{key}")).await;
    }
    let many = ["dlq", "replay", "--route", "up/pay", "--yes", "--rate", "100", "--stop-after", "2", "--reason", "r"];
    let said = outrigger(&stage.program, &[&many[..], &["--wait"]].concat()).await;
    assert_ne!(said.code, Some(0), "{}", said.text);
    let jobs = json(&stage.program, &["replay", "ls"]).await;
    assert_eq!((&jobs["replays"][0]["state"], &jobs["replays"][0]["failed"]), (&"stopped".into(), &2.into()), "{jobs}");
    assert!(letters(&stage.program).await.iter().all(|letter| letter["state"] == "open"));
    // Slow enough to be caught in the middle.
    stage.server.mode(Mode::Accept).await.expect("it is back");
    let slow = ["dlq", "replay", "--route", "up/pay", "--yes", "--rate", "2", "--reason", "r"];
    assert_eq!(outrigger(&stage.program, &slow).await.code, Some(0));
    until(&stage.server, |c| c.executed >= 1).await;
    stage.program.signal(Signal::Kill);
    stage.program.exit().await;
    stage.program.restart().await;
    eventually("all are sent", async || (executed(&stage) >= 6).then_some(())).await;
    let ended = async || {
        let jobs = json(&stage.program, &["replay", "ls"]).await;
        (jobs["replays"][0]["state"] == "finished").then_some(jobs)
    };
    eventually("the job ends", ended).await;
    for key in 0..6 {
        let (status, word) = pay(&stage.program, &format!("k{key}")).await;
        // The one that was under way when the program was killed may be unknown; none was sent twice.
        assert!((status, word.as_str()) == (201, "replayed") || (status, word.as_str()) == (409, "unknown"));
        assert_eq!(stage.server.observed().executions(&format!("\"k{key}\"")), 1, "k{key}");
    }
}

#[tokio::test]
async fn letters_are_dropped_read_and_exported_and_all_of_it_is_audited() {
    let stage = stage(Answer::status(500).body("no"), KEYLESS, "").await;
    for key in ["a", "b"] {
        pay(&stage.program, key).await;
    }
    let all = json(&stage.program, &["dlq", "ls"]).await;
    let first = all["letters"][0]["id"].as_str().expect("a number").to_owned();
    let body = outrigger(&stage.program, &["dlq", "body", &first, "--reason", "look"]).await;
    assert_eq!((body.code, body.text.as_str()), (Some(0), "12 EUR"));
    let export = outrigger(&stage.program, &["dlq", "export"]).await;
    assert_eq!(export.text.lines().count(), 2, "{}", export.text);
    assert!(!export.text.contains("12 EUR"), "{}", export.text);
    let one = outrigger(&stage.program, &["dlq", "drop", &first, "--reason", "a test"]).await;
    assert_eq!(one.code, Some(0), "{}", one.text);
    let rest = outrigger(&stage.program, &["dlq", "drop", "--route", "up", "--yes", "--reason", "all tests"]).await;
    assert_eq!(rest.code, Some(0), "{}", rest.text);
    assert_eq!(json(&stage.program, &["dlq", "ls"]).await["total"], 0);
    let entries = ordered(&stage.program).await;
    assert!(entries.len() == 2 && entries[0].contains("given up: all tests"), "{entries:?}");
    let audit = outrigger(&stage.program, &["audit"]).await.text;
    for reason in ["look", "a test", "all tests"] {
        assert!(audit.contains(reason), "{audit}");
    }
}

#[tokio::test]
async fn a_letter_whose_key_replicas_share_is_replayed_and_let_go() {
    let redis = RedisServer::start().await;
    let server = upstream(Script::sequence([lost()], Answer::status(201))).await;
    let directory = tempfile::tempdir().expect("a directory");
    let program = program(&shared_policy(&server.url(), &directory, &redis)).await;
    assert_eq!(pay(&program, "k").await, heard(502, "unknown"));
    let id = id(&program).await;
    let refused = outrigger(&program, &["dlq", "replay", &id, "--reason", "try"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.text);
    let risky = ["dlq", "replay", &id, "--accept-duplicate-risk", "--reason", "agreed"];
    let said = outrigger(&program, &risky).await;
    assert_eq!(said.code, Some(0), "{}", said.text);
    let letter = only(&program).await;
    assert_eq!((&letter["state"], &letter["key"]["pinned"]), (&"replayed".into(), &false.into()), "{letter}");
    assert_eq!(pay(&program, "k").await, heard(201, "replayed"));
    assert_eq!(server.observed().counts().executed, 2);
}

#[tokio::test]
async fn a_later_answer_of_a_key_that_replicas_share_closes_its_letter_here() {
    let redis = RedisServer::start().await;
    let server = upstream(Answer::status(201)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let program = program(&shared_policy(&server.url(), &directory, &redis)).await;
    server.die().await.expect("it dies");
    assert_eq!(pay(&program, "k").await.0, 502);
    server.mode(Mode::Accept).await.expect("it is back");
    assert_eq!(pay(&program, "k").await, heard(201, "stored"));
    let letter = only(&program).await;
    assert_eq!((&letter["state"], &letter["key"]["pinned"]), (&"superseded".into(), &false.into()), "{letter}");
}

#[tokio::test]
async fn a_letter_that_another_replica_has_served_meanwhile_is_not_sent_again() {
    let redis = RedisServer::start().await;
    let server = upstream(Answer::status(201)).await;
    let (here, there) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let of = |directory| shared_policy(&server.url(), directory, &redis);
    let (first, second) = (program(&of(&here)).await, program(&of(&there)).await);
    server.die().await.expect("it dies");
    assert_eq!(pay(&first, "k").await.0, 502);
    server.mode(Mode::Accept).await.expect("it is back");
    assert_eq!(pay(&second, "k").await, heard(201, "stored"));
    let id = id(&first).await;
    let said = outrigger(&first, &["dlq", "replay", &id, "--reason", "it is back"]).await;
    assert_eq!(said.code, Some(0), "{}", said.text);
    assert_eq!((server.observed().counts().executed, &only(&first).await["state"]), (1, &"superseded".into()));
}

#[tokio::test]
async fn a_letter_that_lacks_what_it_takes_is_never_sent() {
    let top = "deadLetter: { capture: { maxBody: 1B } }\n";
    let stage = stage(lost(), KEYLESS, top).await;
    pay(&stage.program, "k").await;
    let id = id(&stage.program).await;
    let said = outrigger(&stage.program, &["dlq", "replay", &id, "--accept-duplicate-risk", "--reason", "x"]).await;
    assert!(said.code == Some(1) && said.text.contains("maxBody"), "{}", said.text);
    assert_eq!(executed(&stage), 1);
}
