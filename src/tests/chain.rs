//! What outbound calls inherit from the request that they are made for, with an app in between that passes on
//! `traceparent` and nothing else.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use outrigger::faults::message;
use outrigger::faults::{Answer, Behaviour, FaultServer, Script};
use outrigger::testing::{Answer as Received, Client, Program, eventually};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::{client, program, until, upstream};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// An app that calls its dependency once for each request.
struct App {
    address: SocketAddr,
    /// Where it calls: the outbound listener of the sidecar beside it.
    dependency: Arc<OnceLock<SocketAddr>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl App {
    /// `marker`: what the answer says of retries goes on to its caller.
    async fn start(marker: bool) -> App {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let dependency: Arc<OnceLock<SocketAddr>> = Arc::default();
        let next = Arc::clone(&dependency);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&next), marker));
            }
        });
        App { address, dependency, task }
    }
}

async fn serve(stream: TcpStream, next: Arc<OnceLock<SocketAddr>>, marker: bool) {
    let (mut inbox, outbox) = message::split(stream);
    while let Ok(Some(head)) = inbox.head().await {
        let Some(next) = next.get() else { return };
        let Ok(mut call) = Client::try_connect(*next).await else { return };
        let trace = head.get("traceparent").map_or_else(String::new, |trace| format!("traceparent: {trace}\r\n"));
        call.send(format!("GET / HTTP/1.1\r\nHost: dependency\r\n{trace}\r\n")).await;
        let Ok(Some(answer)) = call.try_answer("GET").await else { return };
        let mark = answer.field("x-outrigger-retry").filter(|_| marker);
        let mark = mark.map_or_else(String::new, |mark| format!("x-outrigger-retry: {mark}\r\n"));
        let text = format!("HTTP/1.1 {} As It Is\r\n{mark}Content-Length: 0\r\n\r\n", answer.status);
        if outbox.write(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Four attempts, and a budget that does not stop them.
fn retrying(to: impl std::fmt::Display, from_trace: bool) -> String {
    format!(
        "upstreams:\n  next:\n    url: http://{to}\n    timeouts: {{ request: 2m, backendRequest: 30s }}\n    \
         retry: {{ attempts: 3, codes: [503], backoff: 40ms, maxBackoff: 40ms, jitter: none }}\n    \
         retryBudget: {{ mode: observe }}\n    deadline: {{ fromTrace: {from_trace} }}\n"
    )
}

/// An app with a sidecar on both sides of it.
async fn layer(to: SocketAddr, from_trace: bool, marker: bool) -> (App, Program) {
    let app = App::start(marker).await;
    let inbound =
        format!("inbound: {{ listen: %inbound%, forward: 'http://{}', timeouts: {{ request: 2m }} }}\n", app.address);
    let program = program(&format!("accessLog: {{ sampleRatio: 1.0 }}\n{inbound}{}", retrying(to, from_trace))).await;
    app.dependency.set(program.listen()).expect("set once");
    (app, program)
}

/// Attempts that a dead backend gets of one request through three Outriggers with apps in between.
async fn attempts_of_one_request(from_trace: bool, marker: bool) -> u64 {
    let backend = upstream(Answer::ok("")).await;
    let (_third_app, third) = layer(backend.address(), from_trace, marker).await;
    let (_second_app, second) = layer(third.address("inbound"), from_trace, marker).await;
    let first = program(&retrying(second.address("inbound"), from_trace)).await;
    let mut client = client(&first).await;
    // Retries have helped before: the hold on those that do not is not what is looked at here.
    let flip = (0..80).map(|number| if number % 2 == 0 { Answer::status(503) } else { Answer::ok("") });
    backend.set(Script::sequence(flip, Answer::ok("")));
    for _ in 0..40 {
        assert_eq!(ask(&mut client).await.status, 200);
    }
    backend.set(Answer::status(503));
    let before = backend.observed().counts().requests;
    assert_eq!(ask(&mut client).await.status, 503);
    backend.observed().counts().requests - before
}

async fn ask(client: &mut Client) -> Received {
    client.send("GET / HTTP/1.1\r\nHost: next\r\n\r\n").await;
    client.answer("GET").await
}

/// Row B14.
#[tokio::test]
async fn three_layers_make_64_attempts_of_one_with_the_trace_10_and_with_the_marker_4() {
    assert_eq!(attempts_of_one_request(false, false).await, 64);
    assert_eq!(attempts_of_one_request(true, false).await, 10);
    assert_eq!(attempts_of_one_request(true, true).await, 4);
}

async fn stalled(from_trace: bool) -> (FaultServer, App, Program, Client) {
    let backend = upstream(Behaviour::stall()).await;
    let (app, program) = layer(backend.address(), from_trace, false).await;
    let client = Client::connect(program.address("inbound")).await;
    (backend, app, program, client)
}

fn granted(backend: &FaultServer) -> u64 {
    let seen = backend.observed().last().expect("a request").head;
    seen.get("x-envoy-expected-rq-timeout-ms").and_then(|ms| ms.parse().ok()).expect("the time that is left")
}

fn request(milliseconds: u64) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: app\r\ntraceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n\
         x-envoy-expected-rq-timeout-ms: {milliseconds}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_call_ends_no_later_than_the_request_that_it_is_made_for_and_says_why() {
    let (backend, _app, program, mut client) = stalled(true).await;
    client.send(request(700)).await;
    until(&backend, |counts| counts.serving == 1).await;
    assert!(granted(&backend) <= 700, "{} ms", granted(&backend));
    assert_eq!(client.answer("GET").await.status, 504);
    until(&backend, |counts| counts.abandoned == 1).await;
    eventually("the line of the call", async || {
        let lines = program.stdout();
        let line = lines.lines().find(|line| line.contains("\"outrigger.direction\":\"outbound\""))?;
        assert!(line.contains("\"outrigger.deadline_from\":\"trace\"") && line.contains(TRACE), "{line}");
        let inbound = lines.lines().find(|line| line.contains("\"outrigger.direction\":\"inbound\""))?;
        assert!(inbound.contains("\"outrigger.deadline_from\":\"caller\""), "{inbound}");
        Some(())
    })
    .await;
}

#[tokio::test]
async fn of_two_requests_of_one_trace_the_later_deadline_holds() {
    let (backend, _app, program, first) = stalled(true).await;
    first.send(request(60_000)).await;
    until(&backend, |counts| counts.serving == 1).await;
    let second = Client::connect(program.address("inbound")).await;
    second.send(request(5_000)).await;
    until(&backend, |counts| counts.serving == 2).await;
    assert!((5_001..=60_000).contains(&granted(&backend)), "{} ms: whose call it is is not known", granted(&backend));
}

#[tokio::test]
async fn unless_it_is_asked_for_nothing_is_inherited_and_never_from_a_request_that_is_over() {
    let (backend, _app, _program, client) = stalled(false).await;
    client.send(request(5_000)).await;
    until(&backend, |counts| counts.serving == 1).await;
    assert!(granted(&backend) > 5_000, "{} ms", granted(&backend));

    let (backend, _app, program, mut client) = stalled(true).await;
    backend.set(Answer::ok(""));
    client.send(request(5_000)).await;
    assert_eq!(client.answer("GET").await.status, 200);
    // The inbound request has ended, as soon as its record is written.
    program.metrics_when("its end", |m| m.sum("outrigger_requests_total", &[("upstream", "app")]) == 1.0).await;
    let mut late = Client::connect(program.listen()).await;
    late.send(format!("GET / HTTP/1.1\r\nHost: next\r\ntraceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n\r\n")).await;
    assert_eq!(late.answer("GET").await.status, 200);
    assert!(granted(&backend) > 5_000, "{} ms", granted(&backend));
}
