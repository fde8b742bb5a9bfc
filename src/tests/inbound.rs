use outrigger::faults::{Answer, Behaviour, FaultServer, Hangup, Mode, Point};
use outrigger::testing::{Client, Program};

use crate::stage::{program, until, upstream};

/// An app and the program in front of it.
async fn app(behaviour: impl Into<outrigger::faults::Script>, block: &str) -> (FaultServer, Program, Client) {
    let server = upstream(behaviour).await;
    let lines: String = block.lines().map(|line| format!("  {line}\n")).collect();
    let policy = format!("inbound:\n  listen: %inbound%\n  forward: {}\n{lines}", server.url());
    let program = program(&policy).await;
    let client = Client::connect(program.address("inbound")).await;
    (server, program, client)
}

#[tokio::test]
async fn the_app_sees_the_host_that_its_caller_meant() {
    let (server, _program, mut client) = app(Answer::ok("from the app"), "").await;
    assert_eq!(client.get("/").await.text(), "from the app");
    let seen = server.observed().last().expect("a request").head;
    assert_eq!(seen.all("host").collect::<Vec<_>>(), ["app.test"]);
}

#[tokio::test]
async fn callers_learn_what_failed_but_not_where() {
    let (server, _program, mut client) = app(Answer::ok(""), "").await;
    server.mode(Mode::Refuse).await.expect("the port is ours");
    let answer = client.get("/").await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (502, Some("connection_refused")));
    assert_eq!(answer.field("proxy-status"), Some("outrigger; error=connection_refused"));
    assert!(!answer.text().contains(&server.address().to_string()), "{}", answer.text());
}

#[tokio::test]
async fn nothing_is_retried_towards_the_app() {
    for behaviour in [Behaviour::hang_up(Hangup::Reset, Point::Body), Answer::status(503).into()] {
        let (server, _program, mut client) = app(behaviour, "").await;
        assert!(client.get("/").await.status >= 500);
        assert_eq!(server.observed().counts().requests, 1);
    }
}

#[tokio::test]
async fn a_deadline_of_the_caller_and_one_of_the_policy_both_hold() {
    let (server, _program, mut client) = app(Behaviour::stall(), "timeouts: { request: 200ms }").await;
    assert_eq!(client.get("/").await.status, 504);
    until(&server, |c| c.abandoned == 1).await;

    let (server, _program, client) = app(Behaviour::stall(), "timeouts: { request: 10m }").await;
    let mut client = client;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nx-envoy-expected-rq-timeout-ms: 200\r\n\r\n").await;
    assert_eq!(client.answer("GET").await.status, 504);
    until(&server, |c| c.abandoned == 1).await;
}
