use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, FaultServer, KEY, Script};
use outrigger::testing::{Metrics, Program};

use crate::stage::{client, program, proxied, until, upstream};

/// Longer than any test waits: who is asked here is never heard.
const NEVER: Duration = Duration::from_secs(600);
/// Soon, and long after a healthy answer on loopback.
const HEDGE: &str = "hedge: { delay: 50ms, percent: 20 }";

fn silent() -> Behaviour {
    Behaviour::from(Answer::ok("late")).after(NEVER)
}

/// Two endpoints that take turns, and the program before them; each hundred first attempts earn twenty hedges.
async fn pair(one: impl Into<Script>, other: impl Into<Script>, block: &str) -> ([FaultServer; 2], Program) {
    let servers = [upstream(one).await, upstream(other).await];
    let [a, b] = &servers;
    let policy = format!(
        "upstreams:\n  up:\n    endpoints: [{}, {}]\n    balance: {{ by: roundRobin }}\n    timeouts: {{ request: 60s }}\n    {block}\n",
        a.url(),
        b.url()
    );
    let program = program(&policy).await;
    (servers, program)
}

/// First attempts that were answered in time earn hedges.
async fn earn(program: &Program) {
    let mut client = client(program).await;
    for _ in 0..10 {
        assert_eq!(client.get("/quick").await.status, 200);
    }
}

/// On `/slow` the first request of all is never answered.
fn once_silent() -> Script {
    Script::always(Answer::ok("here"))
}

/// Two endpoints that answer, and hedges that are earned.
async fn earned() -> ([FaultServer; 2], Program) {
    let (servers, program) = pair(once_silent(), once_silent(), HEDGE).await;
    earn(&program).await;
    (servers, program)
}

async fn hedges(program: &Program, result: &str) -> f64 {
    program.metrics().await.sum("outrigger_hedges_total", &[("result", result)])
}

#[tokio::test]
async fn a_slow_answer_is_overtaken_by_a_second_attempt_at_another_endpoint() {
    let (servers, program) = earned().await;
    let [slow, quick] = &servers;
    slow.set(Script::always(silent()));
    let mut client = client(&program).await;
    // Turns: of two requests one at least meets the silent one first, and a hedge takes a turn as well.
    for _ in 0..2 {
        assert_eq!(client.get("/x").await.text(), "here");
    }
    let won = hedges(&program, "won").await;
    assert!(won == 1.0 || won == 2.0, "{won}");
    // Who has lost is let go of: its connection is closed.
    until(slow, |counts| counts.open == 0).await;
    let asked = quick.observed().last().expect("it was asked");
    let metrics = program.metrics().await;
    let attempts = |kind, outcome| metrics.sum("outrigger_attempts_total", &[("kind", kind), ("outcome", outcome)]);
    assert_eq!((attempts("hedge", "success"), attempts("first", "cancelled")), (won, won));
    assert_eq!((attempts("first", "failed"), attempts("retry", "success")), (0.0, 0.0));
    assert_eq!(metrics.sum("outrigger_retries_total", &[("result", "rescued")]), 0.0);
    assert!(metrics.sum("outrigger_hedge_cancelled_seconds_total", &[]) >= 0.05);
    assert!(["1", "2"].contains(&asked.head.get("x-envoy-attempt-count").expect("it is numbered")));
}

#[tokio::test]
async fn a_held_body_is_sent_whole_by_both_attempts() {
    let (servers, program) = earned().await;
    let [slow, quick] = &servers;
    slow.set(Script::always(silent()));
    let mut client = client(&program).await;
    for _ in 0..2 {
        client.send("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef").await;
        assert_eq!(client.answer("PUT").await.text(), "here");
    }
    let won = hedges(&program, "won").await as usize;
    assert!((1..=2).contains(&won), "a hedge takes a turn as well: {won}");
    let whole = |server: &FaultServer| {
        let seen = server.observed().seen().into_iter().filter(|seen| seen.head.method() == "PUT");
        seen.map(|seen| seen.body.map(|body| body.digest.length)).collect::<Vec<_>>()
    };
    assert_eq!((whole(slow), whole(quick)), (vec![Some(6); won], vec![Some(6); 2]));
}

#[tokio::test]
async fn a_post_is_not_sent_twice_and_it_is_told_why() {
    let late = Behaviour::from(Answer::ok("late")).after(Duration::from_millis(120));
    let (servers, program) = earned().await;
    servers.iter().for_each(|server| server.set(Script::always(late.clone())));
    assert_eq!(client(&program).await.post("/x", "", b"pay").await.text(), "late");
    let posts = |server: &FaultServer| server.observed().seen().iter().filter(|s| s.head.method() == "POST").count();
    assert_eq!(servers.iter().map(posts).sum::<usize>(), 1);
    let metrics = program.metrics().await;
    let reason = [("result", "suppressed"), ("reason", "not-idempotent")];
    assert_eq!(metrics.sum("outrigger_hedges_total", &reason), 1.0);
}

#[tokio::test]
async fn observed_nothing_is_sent_twice_and_what_would_have_been_is_counted() {
    let late = Behaviour::from(Answer::ok("late")).after(Duration::from_millis(120));
    let block = "hedge: { delay: 50ms, percent: 20, mode: observe }";
    let (servers, program) = pair(once_silent(), once_silent(), block).await;
    earn(&program).await;
    servers.iter().for_each(|server| server.set(Script::always(late.clone())));
    assert_eq!(client(&program).await.get("/x").await.text(), "late");
    assert_eq!((hedges(&program, "observed").await, hedges(&program, "won").await), (1.0, 0.0));
    assert_eq!(program.metrics().await.sum("outrigger_attempts_total", &[("kind", "hedge")]), 0.0);
}

#[tokio::test]
async fn if_both_fail_a_retry_follows() {
    let block = "hedge: { delay: 50ms, percent: 20 }\n    retry: { attempts: 1, backoff: 1ms, maxBackoff: 2ms }";
    let (servers, program) = pair(once_silent(), once_silent(), block).await;
    earn(&program).await;
    let busy = || Behaviour::from(Answer::status(503)).after(Duration::from_millis(200));
    servers.iter().for_each(|server| server.set(Script::sequence([busy()], Answer::ok("third"))));
    assert_eq!(client(&program).await.get("/x").await.text(), "third");
    let metrics = program.metrics().await;
    let attempts = |kind| metrics.sum("outrigger_attempts_total", &[("kind", kind), ("direction", "outbound")]);
    assert_eq!((attempts("hedge"), attempts("retry")), (1.0, 1.0));
    assert_eq!(metrics.sum("outrigger_retries_total", &[("result", "rescued")]), 1.0);
    assert_eq!(hedges(&program, "lost").await, 1.0);
}

#[tokio::test]
async fn a_client_that_leaves_while_two_attempts_fly_ends_both() {
    let (servers, program) = earned().await;
    servers.iter().for_each(|server| server.set(Script::always(silent())));
    let client = client(&program).await;
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for server in &servers {
        until(server, |counts| counts.requests >= 6).await;
    }
    drop(client);
    for server in &servers {
        until(server, |counts| counts.open == 0).await;
    }
    let lost = |metrics: &Metrics| metrics.sum("outrigger_hedges_total", &[("result", "lost")]) == 1.0;
    program.metrics_when("the hedge is lost", lost).await;
}

#[tokio::test]
async fn of_a_tail_of_one_in_a_hundred_nothing_is_left_for_one_more_in_twenty() {
    // One of a hundred answers never comes; without hedges those requests would end at their deadline.
    let tail = |seed| Script::share(0.01, silent(), Answer::ok("here"), seed);
    let block = "hedge: { delay: p95, minDelay: 20ms }";
    let (servers, program) = pair(Answer::ok("here"), Answer::ok("here"), block).await;
    let mut client = client(&program).await;
    for _ in 0..300 {
        assert_eq!(client.get("/x").await.status, 200);
    }
    // Found once a second at most.
    let known = |metrics: &Metrics| metrics.sum("outrigger_hedge_delay_seconds", &[]) >= 0.02;
    program.metrics_when("the percentile is known", known).await;
    let [one, other] = &servers;
    one.set(tail(1));
    other.set(tail(2));
    for number in 0..600 {
        assert_eq!(client.get("/x").await.text(), "here", "request {number}");
    }
    let metrics = program.metrics().await;
    let sent = metrics.sum("outrigger_attempts_total", &[("kind", "hedge")]);
    let first = metrics.sum("outrigger_attempts_total", &[("kind", "first")]);
    assert!(sent >= 1.0 && sent <= 0.05 * first, "{sent} hedges of {first}");
    assert_eq!(metrics.sum("outrigger_requests_total", &[("outcome", "success")]), 900.0);
}

#[tokio::test]
async fn over_http2_the_stream_of_the_loser_is_reset_and_its_connection_stays() {
    let block = format!("protocol: http2\n    {HEDGE}");
    let (servers, program) = pair(once_silent(), once_silent(), &block).await;
    earn(&program).await;
    let [slow, _] = &servers;
    slow.set(Script::always(silent()));
    let mut client = client(&program).await;
    for _ in 0..2 {
        assert_eq!(client.get("/x").await.text(), "here");
    }
    let counts = until(slow, |counts| counts.resets >= 1 && counts.serving == 0).await;
    assert_eq!((counts.open, counts.accepted), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn a_post_is_hedged_with_its_key_where_its_upstream_recognises_it_and_the_policy_says_so() {
    let block = "routes: [{ name: pay, match: { path: /pay }, idempotency: { contract: dedupes }, hedge: { delay: 50ms, percent: 20, unsafe: true } }]";
    let (servers, program) = pair(once_silent(), once_silent(), block).await;
    let mut client = client(&program).await;
    for number in 0..10 {
        assert_eq!(client.post("/pay", &format!("{KEY}: w{number}\r\n"), b"x").await.status, 200);
    }
    // Ten turns are over, so it is the turn of the first one again. It takes long; the other one says that the request is
    // being worked on, which is no answer.
    let [one, other] = &servers;
    let (first, second) = if one.address() < other.address() { (one, other) } else { (other, one) };
    first.set(Behaviour::from(Answer::ok("done")).after(Duration::from_millis(300)));
    second.set(Answer::status(409));
    assert_eq!(client.post("/pay", &format!("{KEY}: k\r\n"), b"x").await.text(), "done");
    assert_eq!(servers.iter().map(|server| server.observed().executions("k")).sum::<u64>(), 2);
}

#[tokio::test]
async fn a_request_that_is_deduplicated_here_has_one_sender_at_a_time() {
    let late = Behaviour::from(Answer::ok("late")).after(Duration::from_millis(150));
    let block = "routes: [{ name: pay, match: { path: /pay }, idempotency: { contract: dedupes, principal: none }, hedge: { delay: 50ms, percent: 20, unsafe: true } }]";
    let directory = tempfile::tempdir().expect("a directory");
    let servers = [upstream(once_silent()).await, upstream(once_silent()).await];
    let [a, b] = &servers;
    let policy = format!(
        "stores: {{ embedded: {{ path: {}/outrigger.db }} }}\nupstreams:\n  up:\n    endpoints: [{}, {}]\n    {block}\n",
        directory.path().display(),
        a.url(),
        b.url()
    );
    let program = program(&policy).await;
    let mut client = client(&program).await;
    for number in 0..10 {
        assert_eq!(client.post("/pay", &format!("{KEY}: w{number}\r\n"), b"x").await.status, 200);
    }
    servers.iter().for_each(|server| server.set(Script::always(late.clone())));
    assert_eq!(client.post("/pay", &format!("{KEY}: k\r\n"), b"x").await.text(), "late");
    assert_eq!(servers.iter().map(|server| server.observed().executions("k")).sum::<u64>(), 1);
    assert_eq!(program.metrics().await.sum("outrigger_attempts_total", &[("kind", "hedge")]), 0.0);
}

#[tokio::test]
async fn with_one_endpoint_there_is_nowhere_to_go_and_operators_are_told() {
    let late = Behaviour::from(Answer::ok("late")).after(Duration::from_millis(120));
    let (server, program) = proxied(Answer::ok("here"), HEDGE).await;
    earn(&program).await;
    server.set(Script::always(late));
    assert_eq!(client(&program).await.get("/x").await.text(), "late");
    let view = program.admin("/upstreams/up").await;
    let hedges = &view["hedges"][0];
    assert_eq!(hedges["suppressed"], serde_json::json!([["no-other-endpoint", 1]]), "{view}");
    assert_eq!((hedges["delayMs"].as_f64(), hedges["firstAttempts"].as_u64()), (Some(50.0), Some(11)));
}
