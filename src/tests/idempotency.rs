mod late;
mod published_bugs;
mod resolving;
mod shared;

use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, FaultServer, Hangup, KeepAlive, Point, Script};
use outrigger::testing::{Answer as Received, Client, Program, Signal, eventually, free_address};
use tempfile::TempDir;

use crate::stage::{client, program, until, upstream};

/// One upstream, the program in front of it, and where its keys are kept.
struct Stage {
    server: FaultServer,
    program: Program,
    _directory: TempDir,
}

fn policy(url: &str, directory: &TempDir, idempotency: &str, upstream: &str) -> String {
    let path = directory.path().join("outrigger.db");
    let upstream: String = upstream.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "accessLog: {{ sampleRatio: 1.0 }}\nstores: {{ embedded: {{ path: {} }} }}\nupstreams:\n  up:\n    url: {url}\n{upstream}    routes:\n    \
         - {{ name: pay, match: {{ path: /pay }}, idempotency: {{ principal: none, {idempotency} }} }}\n",
        path.display()
    )
}

async fn stage(script: impl Into<Script>, idempotency: &str, block: &str) -> Stage {
    let server = upstream(script).await;
    let directory = tempfile::tempdir().expect("a directory");
    let program = program(&policy(&server.url(), &directory, idempotency, block)).await;
    Stage { server, program, _directory: directory }
}

impl Stage {
    async fn pay(&self, key: &str, body: &str) -> Received {
        pay(&mut client(&self.program).await, key, body).await
    }
}

async fn pay(client: &mut Client, key: &str, body: &str) -> Received {
    client.post("/pay", &format!("Idempotency-Key: \"{key}\"\r\n"), body.as_bytes()).await
}

fn told(answer: &Received) -> (u16, &str) {
    (answer.status, answer.field("idempotency-status").unwrap_or("nothing"))
}

fn receipt() -> Answer {
    Answer::status(201).body("receipt").field("Location", "/payments/7").field("Set-Cookie", "session=1")
}

/// Reads the request to its end, then resets the connection: it took effect, and nobody is told.
fn lost() -> Behaviour {
    Behaviour::hang_up(Hangup::Reset, Point::Body)
}

fn slow(answer: Answer) -> Behaviour {
    Behaviour::from(answer).after(Duration::from_millis(300))
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_answer_and_is_executed_once() {
    let stage = stage(receipt(), "required: true", "").await;
    let first = stage.pay("k1", "12 EUR").await;
    assert_eq!(told(&first), (201, "stored"));
    assert_eq!((first.field("set-cookie"), first.field("idempotency-replayed")), (Some("session=1"), None));
    for _ in 0..3 {
        let again = stage.pay("k1", "12 EUR").await;
        assert_eq!((told(&again), again.text()), ((201, "replayed"), "receipt".to_owned()));
        assert_eq!(again.field("idempotency-replayed"), Some("true"));
        assert_eq!(again.field("location"), Some("/payments/7"));
        assert_eq!(again.field("set-cookie"), None, "belongs to who asked first");
    }
    assert_eq!(stage.server.observed().executions("k1") + stage.server.observed().executions("\"k1\""), 1);
    assert_eq!(told(&stage.pay("k2", "12 EUR").await), (201, "stored"));
}

#[tokio::test]
async fn an_answer_that_is_kept_is_asked_for_in_no_coding() {
    let stage = stage(receipt(), "required: true", "").await;
    let fields = "Idempotency-Key: k\r\nAccept-Encoding: gzip, br\r\n";
    client(&stage.program).await.post("/pay", fields, b"1").await;
    let seen = stage.server.observed().last().expect("one request");
    assert_eq!(seen.head.get("accept-encoding"), Some("identity"), "the next one with this key may not know gzip");
}

#[tokio::test]
async fn requests_with_one_key_reach_one_endpoint() {
    let servers = [upstream(Answer::ok("a")).await, upstream(Answer::ok("b")).await, upstream(Answer::ok("c")).await];
    let endpoints: Vec<String> = servers.iter().map(outrigger::faults::FaultServer::url).collect();
    let text = format!(
        "upstreams:\n  up:\n    endpoints: [{}]\n    balance: {{ by: hash, hashOn: 'header:Idempotency-Key' }}\n",
        endpoints.join(", ")
    );
    let program = program(&text).await;
    let mut answers = std::collections::HashSet::new();
    for key in 0..30 {
        let mut of_key = std::collections::HashSet::new();
        for _ in 0..3 {
            let answer = client(&program).await.post("/pay", &format!("Idempotency-Key: \"k{key}\"\r\n"), b"1").await;
            of_key.insert(answer.text());
        }
        assert_eq!(of_key.len(), 1, "k{key} reached {of_key:?}");
        answers.extend(of_key);
    }
    assert_eq!(answers.len(), 3, "and all endpoints have their share");
}

#[tokio::test]
async fn the_key_may_be_quoted_or_bare_and_is_passed_on_as_it_came() {
    let stage = stage(receipt(), "required: true", "").await;
    assert_eq!(told(&stage.pay("k", "1").await).1, "stored");
    let bare = client(&stage.program).await.post("/pay", "Idempotency-Key: k\r\n", b"1").await;
    assert_eq!(told(&bare).1, "replayed");
    let seen = stage.server.observed().last().expect("one request");
    assert_eq!(seen.head.get("idempotency-key"), Some("\"k\""));
}

#[tokio::test]
async fn another_request_under_the_same_key_is_refused_also_while_the_first_one_runs() {
    let stage = stage(slow(receipt()), "inFlight: reject", "").await;
    let mut first = client(&stage.program).await;
    first.send("POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 1\r\n\r\n1").await;
    until(&stage.server, |c| c.serving == 1).await;
    for (path, body) in [("/pay", "2"), ("/pay?dry=1", "1")] {
        let other = client(&stage.program).await.post(path, "Idempotency-Key: k\r\n", body.as_bytes()).await;
        assert_eq!((told(&other), &*other.json()["reason"].to_string()), ((422, "mismatch"), "\"key-reused\""));
    }
    let typed = "Idempotency-Key: k\r\nContent-Type: text/plain\r\n";
    assert_eq!(client(&stage.program).await.post("/pay", typed, b"1").await.status, 422);
    let same = stage.pay("k", "1").await;
    assert_eq!((told(&same), same.field("retry-after")), ((409, "in-flight"), Some("1")));
    assert_eq!(told(&first.answer("POST").await), (201, "stored"));
    assert_eq!(stage.server.observed().counts().executed, 1);
}

#[tokio::test]
async fn duplicates_in_flight_wait_and_share_the_answer() {
    let stage = stage(slow(receipt()), "inFlight: wait", "").await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(client(&stage.program).await);
    }
    let asked = clients.into_iter().map(|mut client| tokio::spawn(async move { pay(&mut client, "k", "1").await }));
    let mut words = Vec::new();
    for answer in asked.collect::<Vec<_>>() {
        let answer = answer.await.expect("an answer");
        assert_eq!((answer.status, answer.text()), (201, "receipt".to_owned()));
        words.push(told(&answer).1.to_owned());
    }
    words.sort();
    assert_eq!(words.iter().filter(|word| *word == "stored").count(), 1, "{words:?}");
    assert_eq!(words.iter().filter(|word| *word == "replayed").count(), 7, "{words:?}");
    assert_eq!(stage.server.observed().counts().executed, 1);
}

#[tokio::test]
async fn a_request_whose_end_is_lost_is_unknown_and_not_executed_again() {
    for contract in ["opaque", "atomic5xx"] {
        let script = Script::sequence([lost()], receipt());
        let stage = stage(script, &format!("contract: {contract}"), "retry: { attempts: 2 }").await;
        let first = stage.pay("k", "1").await;
        assert_eq!((told(&first), first.json()["sent"].as_str()), ((502, "unknown"), Some("maybe")), "{contract}");
        let again = stage.pay("k", "1").await;
        assert_eq!((told(&again), again.field("retry-after")), ((409, "unknown"), None));
        assert_eq!((&again.json()["reason"], &again.json()["sent"]), (&"outcome-unknown".into(), &"maybe".into()));
        assert_eq!(stage.server.observed().counts().executed, 1, "{contract}");
    }
}

#[tokio::test]
async fn an_upstream_that_deduplicates_is_asked_again_with_the_same_key() {
    let script = Script::sequence([lost(), lost()], receipt());
    let stage = stage(script, "contract: dedupes", "retry: { attempts: 1, backoff: 1ms }").await;
    // Its own retry, and then the client's.
    assert_eq!(told(&stage.pay("k", "1").await), (502, "unknown"));
    assert_eq!(told(&stage.pay("k", "1").await), (201, "stored"));
    let keys: Vec<_> =
        stage.server.observed().seen().iter().map(|s| s.head.get("idempotency-key").map(str::to_owned)).collect();
    assert_eq!(keys, vec![Some("\"k\"".to_owned()); 3]);
}

#[tokio::test]
async fn without_a_key_an_upstream_that_deduplicates_gets_one_for_all_attempts() {
    let script = Script::sequence([lost()], receipt());
    let stage = stage(script, "contract: dedupes", "retry: { attempts: 1, backoff: 1ms }").await;
    let answer = client(&stage.program).await.post("/pay", "", b"1").await;
    assert_eq!(told(&answer), (201, "nothing"));
    let keys: Vec<_> =
        stage.server.observed().seen().iter().map(|s| s.head.get("idempotency-key").map(str::to_owned)).collect();
    assert_eq!((keys.len(), keys[0].as_deref().map(str::len)), (2, Some(38)));
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn what_was_provably_not_sent_frees_the_key() {
    let directory = tempfile::tempdir().expect("a directory");
    let address = free_address();
    let program = program(&policy(&format!("http://{address}"), &directory, "required: true", "")).await;
    let mut client = client(&program).await;
    assert_eq!(told(&pay(&mut client, "k", "1").await), (502, "not-stored"));
    let server = FaultServer::start_on(address, receipt()).await.expect("the upstream comes up");
    assert_eq!(told(&pay(&mut client, "k", "1").await), (201, "stored"));
    assert_eq!(server.observed().counts().executed, 1);
}

#[tokio::test]
async fn refusals_are_passed_on_and_not_kept() {
    let script = Script::sequence([Answer::status(429), Answer::status(401)], receipt());
    let stage = stage(script, "required: true", "").await;
    assert_eq!(told(&stage.pay("k", "1").await), (429, "not-stored"));
    assert_eq!(told(&stage.pay("k", "1").await), (401, "not-stored"));
    assert_eq!(told(&stage.pay("k", "1").await), (201, "stored"));
}

#[tokio::test]
async fn a_server_error_is_kept_or_freed_by_the_contract() {
    let script = || Script::sequence([Answer::status(500).body("oh")], receipt());
    let opaque = stage(script(), "contract: opaque", "").await;
    assert_eq!(told(&opaque.pay("k", "1").await), (500, "stored"));
    let again = opaque.pay("k", "1").await;
    assert_eq!((told(&again), again.text()), ((500, "replayed"), "oh".to_owned()));
    let atomic = stage(script(), "contract: atomic5xx", "").await;
    assert_eq!(told(&atomic.pay("k", "1").await), (500, "not-stored"));
    assert_eq!(told(&atomic.pay("k", "1").await), (201, "stored"));
}

#[tokio::test]
async fn a_client_that_leaves_does_not_cancel_what_was_sent() {
    let stage = stage(slow(receipt()), "required: true", "").await;
    let leaver = client(&stage.program).await;
    leaver.send("POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: \"k\"\r\nContent-Length: 1\r\n\r\n1").await;
    until(&stage.server, |c| c.serving == 1).await;
    leaver.reset_on_drop();
    drop(leaver);
    let again = stage.pay("k", "1").await;
    assert_eq!((told(&again), again.text()), ((201, "replayed"), "receipt".to_owned()));
    let counts = stage.server.observed().counts();
    assert_eq!((counts.executed, counts.abandoned), (1, 0));
}

#[tokio::test]
async fn answers_survive_a_kill_and_what_was_sent_at_that_moment_is_unknown() {
    let script = Script::from(receipt()).on_path("/pay?slow", Behaviour::stall());
    let mut stage = stage(script, "required: true", "timeouts: { request: 1m }").await;
    assert_eq!(told(&stage.pay("done", "1").await), (201, "stored"));
    let caught = client(&stage.program).await;
    caught.send("POST /pay?slow HTTP/1.1\r\nHost: a\r\nIdempotency-Key: caught\r\nContent-Length: 1\r\n\r\n1").await;
    until(&stage.server, |c| c.executed == 2).await;
    stage.program.signal(Signal::Kill);
    stage.program.exit().await;
    stage.program.restart().await;
    assert_eq!(told(&stage.pay("done", "1").await), (201, "replayed"));
    let mut again = client(&stage.program).await;
    again.send("POST /pay?slow HTTP/1.1\r\nHost: a\r\nIdempotency-Key: caught\r\nContent-Length: 1\r\n\r\n1").await;
    assert_eq!(told(&again.answer("POST").await), (409, "unknown"));
    assert_eq!(stage.server.observed().counts().executed, 2);
}

#[tokio::test]
async fn a_finished_key_is_replayed_while_the_breaker_is_open() {
    let script = Script::sequence([receipt()], Answer::status(503));
    let breaker = "circuitBreaker: { minRequests: 3, openDuration: 1m, maxOpenDuration: 1m }";
    let stage = stage(script, "required: true", breaker).await;
    assert_eq!(told(&stage.pay("k", "1").await), (201, "stored"));
    eventually("an open breaker", async || {
        let answer = client(&stage.program).await.get("/").await;
        (answer.status == 503 && answer.text().contains("circuit-open")).then_some(())
    })
    .await;
    assert_eq!(told(&stage.pay("k", "1").await), (201, "replayed"));
    // A new key is refused, and stays free.
    assert_eq!(told(&stage.pay("new", "1").await), (503, "not-stored"));
}

#[tokio::test]
async fn an_answer_that_is_too_large_to_keep_passes_whole_and_is_not_executed_again() {
    for answer in [Answer::ok("x".repeat(5_000)), Answer::ok("x".repeat(5_000)).chunked()] {
        let stage = stage(answer, "maxStoredBody: 4KiB", "").await;
        let first = stage.pay("k", "1").await;
        assert_eq!((told(&first), first.text().len()), ((200, "stored"), 5_000));
        let again = eventually("the record is settled", async || {
            let answer = stage.pay("k", "1").await;
            (answer.json()["reason"] != "in-progress").then_some(answer)
        })
        .await;
        assert_eq!((told(&again), &again.json()["reason"]), ((409, "replayed"), &"response-not-retained".into()));
        assert_eq!(stage.server.observed().counts().executed, 1);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_unknown_outcome() {
    let cut = Answer::ok("x".repeat(1_000)).cut(10, Hangup::Reset);
    let stage = stage(Script::sequence([cut], receipt()), "required: true", "").await;
    assert_eq!(told(&stage.pay("k", "1").await), (502, "unknown"));
    assert_eq!(told(&stage.pay("k", "1").await), (409, "unknown"));
}

#[tokio::test]
async fn a_key_that_is_missing_repeated_or_malformed_is_the_callers_mistake() {
    let stage = stage(receipt(), "required: true", "").await;
    for (fields, reason) in [
        ("", "key-missing"),
        ("Idempotency-Key: \r\n", "key-malformed"),
        ("Idempotency-Key: \"a\r\n", "key-malformed"),
        ("Idempotency-Key: a\r\nIdempotency-Key: a\r\n", "key-malformed"),
    ] {
        let answer = client(&stage.program).await.post("/pay", fields, b"1").await;
        assert_eq!((answer.status, answer.json()["reason"].as_str()), (400, Some(reason)), "{fields:?}");
    }
    assert_eq!(stage.server.observed().counts().requests, 0);
    let upstream = stage.program.admin("/upstreams/up").await;
    assert_eq!(upstream["totals"]["requestsFailed"], 0, "not the upstream's fault: {upstream}");
    // A safe method needs none, and one that it brings is not looked at.
    let mut reader = client(&stage.program).await;
    reader.send("GET /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: \"a\r\n\r\n").await;
    assert_eq!(told(&reader.answer("GET").await), (201, "ignored"));
}

#[tokio::test]
async fn callers_do_not_see_each_others_answers() {
    let server = upstream(Script::sequence([Answer::ok("of alice"), Answer::ok("of bob")], Answer::status(500))).await;
    let directory = tempfile::tempdir().expect("a directory");
    let text = policy(&server.url(), &directory, "required: true", "")
        .replace("principal: none", "principal: header:X-Tenant");
    let program = program(&text).await;
    let mut client = client(&program).await;
    for tenant in ["alice", "bob"] {
        for word in ["stored", "replayed"] {
            let fields = format!("Idempotency-Key: k\r\nX-Tenant: {tenant}\r\n");
            let answer = client.post("/pay", &fields, b"1").await;
            assert_eq!((told(&answer), answer.text()), ((200, word), format!("of {tenant}")));
        }
    }
    let nobody = client.post("/pay", "Idempotency-Key: k\r\n", b"1").await;
    assert_eq!((nobody.status, nobody.json()["reason"].as_str()), (400, Some("key-of-nobody")));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_or_by_policy_passed_without_deduplication() {
    let body = "x".repeat(3_000);
    let reject = stage(receipt(), "maxBody: 2KiB", "").await;
    assert_eq!(reject.pay("k", &body).await.status, 413);
    assert_eq!(reject.server.observed().counts().requests, 0);
    let bypass = stage(receipt(), "maxBody: 2KiB, oversize: bypass", "").await;
    for _ in 0..2 {
        assert_eq!(told(&bypass.pay("k", &body).await), (201, "bypassed"));
    }
    assert_eq!(bypass.server.observed().counts().executed, 2);
}

#[tokio::test]
async fn a_body_that_finds_no_memory_is_refused_for_now_whatever_the_policy_says_of_large_ones() {
    for oversize in ["reject", "bypass"] {
        let server = upstream(receipt()).await;
        let directory = tempfile::tempdir().expect("a directory");
        let text = policy(&server.url(), &directory, &format!("oversize: {oversize}"), "");
        let program = program(&format!("limits: {{ replayBytes: 1KiB }}\n{text}")).await;
        let crowded = pay(&mut client(&program).await, "k", &"x".repeat(2_000)).await;
        assert_eq!((crowded.status, crowded.json()["reason"].as_str()), (503, Some("overloaded")), "{oversize}");
        assert_eq!((crowded.field("retry-after"), crowded.json()["sent"].as_str()), (Some("1"), Some("no")));
        assert_eq!(server.observed().counts().requests, 0);
        assert_eq!(told(&pay(&mut client(&program).await, "k", "12 EUR").await), (201, "stored"), "the key is free");
    }
}

#[tokio::test]
async fn a_kept_connection_that_closes_as_a_keyed_request_arrives_does_not_send_it_twice() {
    // PUT is idempotent by its method; with a key somebody has asked for once.
    let race = Script::sequence([Behaviour::from(Answer::ok("warm")), lost()], receipt()).keep_alive(KeepAlive {
        requests: None,
        idle: None,
        announced: true,
    });
    let stage = stage(race, "methods: [POST, PUT]", "").await;
    let mut client = client(&stage.program).await;
    assert_eq!(client.get("/").await.text(), "warm");
    client.send("PUT /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 1\r\n\r\n1").await;
    assert_eq!(told(&client.answer("PUT").await), (502, "unknown"));
    assert_eq!(stage.server.observed().counts().requests, 2);
}

#[tokio::test]
async fn what_became_of_keys_is_counted_and_logged() {
    let stage = stage(receipt(), "required: true", "").await;
    stage.pay("k", "1").await;
    stage.pay("k", "1").await;
    let metrics = stage.program.metrics().await;
    for result in ["stored", "replayed"] {
        assert_eq!(
            metrics.sum("outrigger_idempotency_total", &[("route", "pay"), ("result", result)]),
            1.0,
            "{result}"
        );
    }
    eventually("log lines", async || {
        stage.program.stdout().contains("\"outrigger.idempotency\":\"replayed\"").then_some(())
    })
    .await;
    assert!(!stage.program.stdout().contains("\"k\""), "keys are in no log");
}
