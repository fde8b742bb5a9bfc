//! How a Pod ends, in both forms of the sidecar.

use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, Hangup, Point, Script};
use outrigger::testing::{Client, Load, eventually, get};
use tokio::task::JoinSet;

use super::pod::Pod;
use super::{APP, outbound, ports};
use crate::stage::{until, upstream};

/// More than any of these tests takes: it ends nothing.
const GRACE: Duration = Duration::from_secs(15);
/// What kubelet grants a native sidecar whose app has used up the grace period.
const HARD_LIMIT: Duration = Duration::from_secs(2);

async fn served(pod: &Pod, times: usize) {
    let app = pod.app.as_ref().expect("an app");
    eventually("calls of the app", async || (app.log().matches("served").count() >= times).then_some(())).await;
}

#[tokio::test]
async fn a_native_sidecar_serves_the_app_to_its_end_and_then_ends_without_waiting() {
    let server = upstream(Answer::ok("x")).await;
    let (head, [listen, _, metrics]) = ports();
    let mut pod = Pod::new(metrics, &[]);
    pod.policy.write(&[("policy.yaml", &format!("{head}drain: {{ timeout: 10m }}\n{}", outbound(&server)))]);
    pod.with_app(APP, &[listen.port().to_string(), "10".to_owned()]);
    pod.start().await;
    served(&pod, 5).await;
    pod.app().terminate();
    assert_eq!(pod.app().exit_within(GRACE).await.code(), Some(0), "{}", pod.app().log());
    assert!(pod.sidecar.runs(), "it is told only now");
    pod.sidecar.terminate();
    assert_eq!(pod.sidecar.exit_within(GRACE).await.code(), Some(0), "{}", pod.sidecar.log());
}

#[tokio::test]
async fn a_plain_sidecar_that_is_told_with_the_app_or_before_it_serves_it_to_its_end() {
    for sidecar_first in [true, false] {
        let server = upstream(Answer::ok("x")).await;
        let (head, [listen, _, metrics]) = ports();
        let mut pod = Pod::new(metrics, &[]);
        pod.policy.write(&[("policy.yaml", &format!("{head}drain: {{ timeout: 10m }}\n{}", outbound(&server)))]);
        pod.with_app(APP, &[listen.port().to_string(), "20".to_owned()]);
        pod.start().await;
        served(&pod, 5).await;
        if sidecar_first {
            pod.sidecar.terminate();
            eventually("readiness ends", async || (!pod.probe("--ready").0).then_some(())).await;
            let calls = pod.app().log().matches("served").count();
            served(&pod, calls + 5).await;
            assert!(pod.probe("--live").0, "a drain is no reason to restart it");
        }
        pod.app().terminate();
        if !sidecar_first {
            pod.sidecar.terminate();
        }
        assert_eq!(pod.app().exit_within(GRACE).await.code(), Some(0), "{}", pod.app().log());
        assert!(pod.app().log().contains("done"));
        assert_eq!(pod.sidecar.exit_within(GRACE).await.code(), Some(0), "{}", pod.sidecar.log());
    }
}

#[tokio::test]
async fn an_app_that_does_not_let_go_is_served_until_the_drain_is_over_and_loses_no_request() {
    let server = upstream(Behaviour::from(Answer::ok("x")).after(Duration::from_millis(20))).await;
    let (head, [listen, _, metrics]) = ports();
    let mut pod = Pod::new(metrics, &[]);
    pod.policy.write(&[("policy.yaml", &format!("{head}drain: {{ timeout: 2s }}\n{}", outbound(&server)))]);
    pod.start().await;
    let load = Load::start(listen, 4, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    load.progress(20).await;
    pod.sidecar.terminate();
    // It still serves: 40 answers on four connections take longer than the answers in flight.
    load.progress(40).await;
    assert_eq!(pod.sidecar.exit_within(GRACE).await.code(), Some(0), "{}", pod.sidecar.log());
    let report = load.stop().await;
    assert_eq!((report.failed, report.with(200)), (0, report.answers()), "{:?}", report.failures);
}

#[tokio::test]
async fn callers_are_served_while_they_still_come_and_none_of_them_is_lost() {
    let app = upstream(Behaviour::from(Answer::ok("x")).after(Duration::from_millis(20))).await;
    let (head, [_, inbound, metrics]) = ports();
    let head = head.replace(&format!("admin: {{ listen: {inbound} }}"), "admin: { listen: none }");
    let policy = format!(
        "{head}drain: {{ delay: 1s, timeout: 10m }}\ninbound:\n  listen: {inbound}\n  forward: {}\n",
        app.url()
    );
    let mut pod = Pod::new(metrics, &[]);
    pod.policy.write(&[("policy.yaml", &policy)]);
    pod.start().await;
    // With a connection for each request: who comes late must still be let in.
    let load = Load::start(inbound, 4, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    load.progress(20).await;
    pod.sidecar.terminate();
    eventually("readiness ends", async || (!pod.probe("--ready").0).then_some(())).await;
    // The other Pods have heard of it now, and send no more.
    load.progress(12).await;
    let report = load.stop().await;
    report.assert_all(200);
    assert_eq!(pod.sidecar.exit_within(GRACE).await.code(), Some(0), "{}", pod.sidecar.log());
    assert_eq!(app.observed().counts().abandoned, 0);
}

#[tokio::test]
async fn nobody_is_waited_for_once_the_app_refuses_its_callers() {
    let app = upstream(Answer::ok("x")).await;
    let (head, [_, _, metrics]) = ports();
    let inbound = outrigger::testing::free_address();
    let policy = format!(
        "{head}drain: {{ delay: 10m, timeout: 10m }}\ninbound:\n  listen: {inbound}\n  forward: {}\n",
        app.url()
    );
    let mut pod = Pod::new(metrics, &[]);
    pod.policy.write(&[("policy.yaml", &policy)]);
    pod.start().await;
    assert_eq!(get(inbound, "/").await.expect("an answer").status, 200);
    pod.sidecar.terminate();
    eventually("readiness ends", async || (!pod.probe("--ready").0).then_some(())).await;
    assert!(pod.sidecar.runs(), "the app still serves");
    app.die().await.expect("the port closes");
    assert_eq!(pod.sidecar.exit_within(GRACE).await.code(), Some(0), "{}", pod.sidecar.log());
}

/// Keys and letters on an emptyDir; the key that seals them is a Secret.
fn keeping(pod: &Pod, head: &str, url: &str) -> String {
    let (store, seal) = (pod.path("store/outrigger.db"), pod.path("secret/seal"));
    format!(
        "{head}drain: {{ timeout: 10m }}\nstores: {{ embedded: {{ path: {} }} }}\ndeadLetter: {{ keyFile: {} }}\nupstreams:\n  \
         up:\n    url: {url}\n    timeouts: {{ request: 10m, backendRequest: 10m }}\n    routes:\n    \
         - {{ name: pay, match: {{ pathPrefix: /pay }}, idempotency: {{ principal: none }}, deadLetter: {{}} }}\n",
        store.display(),
        seal.display()
    )
}

const SEAL: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

/// What one caller was told.
#[derive(Default)]
struct Told {
    stored: Vec<String>,
    letters: Vec<String>,
}

/// Pays with one key after the other until the sidecar has gone; a fifth of them ends nobody knows how.
async fn pay(listen: std::net::SocketAddr, worker: usize) -> Told {
    let mut told = Told::default();
    for number in 0.. {
        let key = format!("k-{worker}-{number}");
        let path = if number % 5 == 4 { "/pay/lost" } else { "/pay" };
        let Ok(mut client) = Client::try_connect(listen).await else { return told };
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nIdempotency-Key: \"{key}\"\r\nContent-Length: 1\r\n\r\n1");
        if client.try_send(head).await.is_err() {
            return told;
        }
        let Ok(Some(answer)) = client.try_answer("POST").await else { return told };
        match answer.field("outrigger-dead-letter") {
            Some(letter) => told.letters.push(letter.to_owned()),
            None if answer.field("idempotency-status") == Some("stored") => told.stored.push(key),
            None => panic!("{}: {}", answer.status, answer.text()),
        }
    }
    told
}

/// A pod that keeps records and letters, its addresses for traffic and for operators, and a request that never ends.
async fn occupied(upstream: &str) -> (Pod, [std::net::SocketAddr; 2], Client) {
    let (head, [listen, admin, metrics]) = ports();
    let mut pod = Pod::new(metrics, &[]);
    pod.secret.write(&[("seal", SEAL)]);
    pod.policy.write(&[("policy.yaml", &keeping(&pod, &head, upstream))]);
    pod.start().await;
    let stuck = Client::connect(listen).await;
    stuck.send("GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n").await;
    (pod, [listen, admin], stuck)
}

#[tokio::test]
async fn killed_two_seconds_after_its_sigterm_it_has_lost_nothing_that_it_told_anybody() {
    let slow = Behaviour::from(Answer::status(201).body("receipt")).after(Duration::from_millis(5));
    let script = Script::always(slow)
        .on_path("/pay/lost", Behaviour::hang_up(Hangup::Reset, Point::Body))
        .on_path("/stuck", Behaviour::stall());
    let server = upstream(script).await;
    let (mut pod, [listen, admin], _stuck) = occupied(&server.url()).await;
    let mut callers: JoinSet<Told> = (0..8).map(|worker| pay(listen, worker)).collect();
    until(&server, |c| c.requests > 100).await;
    pod.sidecar.terminate();
    let ended = pod.sidecar.exit_within(HARD_LIMIT).await;
    assert_eq!(ended.code(), None, "traffic that never ends: it had to be killed");
    let mut told = Told::default();
    while let Some(one) = callers.join_next().await {
        let one = one.expect("a caller");
        told.stored.extend(one.stored);
        told.letters.extend(one.letters);
    }
    assert!(told.stored.len() > 50 && told.letters.len() > 10, "{} {}", told.stored.len(), told.letters.len());

    pod.start().await;
    let mut client = Client::connect(listen).await;
    for key in &told.stored {
        let again = client.post("/pay", &format!("Idempotency-Key: \"{key}\"\r\n"), b"1").await;
        let status = again.field("idempotency-status");
        assert_eq!((again.status, status), (201, Some("replayed")), "{key}: {}", again.text());
        let executions = server.observed().executions(key) + server.observed().executions(&format!("\"{key}\""));
        assert_eq!(executions, 1, "{key}");
    }
    for letter in &told.letters {
        let shown = get(admin, &format!("/dead-letters/{letter}")).await.expect("an answer");
        assert_eq!(shown.status, 200, "{letter}: {}", shown.text());
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_file_before_traffic_has_ended() {
    let script = Script::always(Answer::status(201)).on_path("/stuck", Behaviour::stall());
    let server = upstream(script).await;
    let (mut pod, [listen, _], _stuck) = occupied(&server.url()).await;
    let mut client = Client::connect(listen).await;
    let marked = format!("Idempotency-Key: \"k\"\r\nX-Body: {}\r\n", "x".repeat(16));
    assert_eq!(client.post("/pay", &marked, b"1").await.status, 201);
    let file = pod.path("store/outrigger.db");
    // The name of the route stands in the record.
    let has_record = || std::fs::read(&file).expect("a file").windows(6).any(|bytes| bytes == b"up/pay");
    assert!(!has_record(), "so far it is in the log only");
    pod.sidecar.terminate();
    eventually("the record is in the file", async || has_record().then_some(())).await;
    assert!(pod.sidecar.runs(), "a request is still in flight");
}
