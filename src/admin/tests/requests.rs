//! The life of single requests, and the live view.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stage::Stage;
use crate::reliability::attempts::{Denied, Kind, Stop};
use crate::reliability::idempotency::KeyStatus;
use crate::reliability::{Failure, Sent};
use crate::telemetry::metrics::{AttemptEnd, RequestOutcome};
use crate::telemetry::stories::taps::{Glimpse, TAPS_MAX};
use crate::telemetry::stories::tests::rescued;
use crate::telemetry::stories::told::Told;
use crate::telemetry::trace_context::TraceContext;

const GLIMPSE: Glimpse<'static> = Glimpse { upstream: Some("payments"), route: Some("charge"), troubled: true };

fn keep(stage: &Stage, told: Told) {
    stage.process().stories.keep(Arc::new(told));
}

fn trace(number: u128) -> crate::telemetry::trace_context::TraceId {
    TraceContext::create(number, false).trace_id()
}

async fn sentences(told: Told) -> Vec<String> {
    let stage = Stage::healthy().await;
    let id = trace(77);
    keep(&stage, Told { trace_id: id, ..told });
    let story = stage.get(&format!("/requests/{id}")).await.json();
    stage.stop().await;
    story["sentences"].as_array().unwrap().iter().map(|s| s.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_rescued_request_is_told_step_by_step() {
    let stage = Stage::healthy().await;
    let story = stage.get("/requests/r1").await.json();
    let expected = [
        "GET /pay/7 went out by route payments/charge of policy revision 7.",
        "Attempt 1 to 10.2.3.4:8080 answered 503 after 12 ms.",
        "Waited 31 ms before the next attempt.",
        "Attempt 2, a retry, to 10.2.3.4:8080 answered 200 after 9.0 ms.",
        "The client got 200 after 52 ms: a retry saved the request.",
    ];
    assert_eq!(story["sentences"], serde_json::json!(expected));
    assert_eq!(story["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!((&story["requestId"], &story["kept"]), (&"r1".into(), &"troubled".into()));
    assert_eq!((&story["deadlineMs"], &story["durationMs"]), (&1_000.0.into(), &52.0.into()));
    let second = &story["attempts"][1];
    assert_eq!((&second["atMs"], &second["backoffMs"], &second["leftMs"]), (&43.0.into(), &31.0.into(), &957.0.into()));
    stage.stop().await;
}

#[tokio::test]
async fn a_refusal_says_by_whom_and_that_nothing_was_sent() {
    let refused = |failure| Told {
        attempts: Box::default(),
        outcome: RequestOutcome::Refused,
        status: Some(503),
        failure: Some((failure, Sent::No)),
        stop: None,
        ..rescued()
    };
    let said = sentences(refused(Failure::CircuitOpen)).await;
    assert_eq!(
        said[1..],
        [
            "It was refused by the circuit breaker of payments: The circuit breaker of this dependency is open \
             (circuit-open).",
            "The client got 503 after 52 ms.",
            "Nothing of it was sent to payments.",
        ]
    );
    let said = sentences(refused(Failure::QueueTimeout)).await;
    assert!(said[1].starts_with("It was refused by the limits of payments: "), "{said:?}");
}

#[tokio::test]
async fn every_denied_retry_and_every_end_has_its_sentence() {
    let failed = || Told { outcome: RequestOutcome::UpstreamError, status: Some(503), ..rescued() };
    for denied in Denied::ALL {
        let said = sentences(Told { denied: Some(denied), stop: Some(Stop::Denied(denied)), ..failed() }).await;
        let line = said.iter().find(|line| line.starts_with("No further attempt: ")).unwrap();
        assert!(line.ends_with(&format!("({}).", denied.token())), "{line}");
    }
    let ends = [
        (Stop::AttemptsSpent, "No further attempt: the policy allows 2 in all, and they are used up."),
        (Stop::DeadlinePassed, "No further attempt: the deadline of the request passed before there could be one."),
        (Stop::Answered, "No further attempt: the policy of this route does not repeat what ended so."),
    ];
    for (stop, line) in ends {
        let said = sentences(Told { stop: Some(stop), ..failed() }).await;
        assert!(said.iter().any(|said| said == line), "{said:?}");
    }
    let mut ends = Vec::new();
    for status in KeyStatus::ALL {
        let said = sentences(Told { key: Some(status), ..failed() }).await;
        ends.push(said.last().unwrap().clone());
    }
    ends.sort();
    ends.dedup();
    assert_eq!(ends.len(), KeyStatus::ALL.len(), "{ends:?}");
}

#[tokio::test]
async fn what_is_not_kept_is_a_404_that_says_what_is() {
    let stage = Stage::healthy().await;
    let reply = stage.get("/requests/ffffffffffffffffffffffffffffffff").await;
    assert_eq!(reply.problem(404), "unknown-request");
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("the last 2000 troubled requests") && detail.contains("now there are 1 and 0"), "{detail}");
    assert!(stage.get("/requests/r").await.json()["next"].as_str().unwrap().contains("at least 8 digits"));
    for number in [1, 2] {
        keep(&stage, Told { trace_id: trace((0xabcd_1234 << 96) + number), ..rescued() });
    }
    let reply = stage.get("/requests/abcd1234").await;
    assert_eq!(reply.problem(409), "ambiguous-request");
    assert!(reply.json()["detail"].as_str().unwrap().contains("abcd1234000000000000000000000002"));
    stage.stop().await;
}

#[tokio::test]
async fn requests_with_the_same_id_come_with_the_one_that_had_trouble() {
    let stage = Stage::healthy().await;
    keep(&stage, Told { kept: Some(crate::telemetry::stories::told::Kept::Sampled), ..rescued() });
    let story = stage.get("/requests/r1").await.json();
    assert_eq!((&story["kept"], &story["also"][0]["kept"]), (&"troubled".into(), &"sampled".into()));
    stage.stop().await;
}

#[tokio::test]
async fn the_list_is_newest_first_and_takes_filters() {
    let stage = Stage::healthy().await;
    let failed = || Told { outcome: RequestOutcome::Failed, upstream: Some("search".into()), ..rescued() };
    keep(&stage, Told { trace_id: trace(2), ..failed() });
    keep(&stage, Told { trace_id: trace(3), kept: Some(crate::telemetry::stories::told::Kept::Slow), ..failed() });
    let ids = async |query: &str| -> Vec<String> {
        let listed = stage.get(&format!("/requests{query}")).await.json();
        let lines = listed["requests"].as_array().unwrap().clone();
        lines.iter().map(|line| line["traceId"].as_str().unwrap()[31..].to_owned()).collect()
    };
    assert_eq!(ids("").await, ["3", "2", "c"]);
    assert_eq!(ids("?limit=1").await, ["3"]);
    assert_eq!(ids("?outcome=troubled").await, ["2", "c"]);
    assert_eq!(ids("?outcome=failed&upstream=search").await, ["3", "2"]);
    assert_eq!(ids("?outcome=success").await, ["c"]);
    for wrong in ["?outcome=bad", "?limit=0", "?limit=1001", "?colour=red"] {
        assert_eq!(stage.get(&format!("/requests{wrong}")).await.problem(400), "invalid-request");
    }
    let kept = stage.get("/requests").await.json()["kept"].clone();
    assert_eq!((&kept["troubled"], &kept["others"], &kept["troubledMax"]), (&2.into(), &1.into(), &2_000.into()));
    stage.stop().await;
}

/// Opens a tap and waits until it says so.
async fn tap(stage: &Stage, query: &str) -> TcpStream {
    let mut stream = TcpStream::connect(stage.admin).await.unwrap();
    let request = format!("GET /tap{query} HTTP/1.1\r\nhost: {}\r\n\r\n", stage.admin);
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = until(&mut stream, ": listening").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
    stream
}

/// Reads until `mark` has come.
async fn until(stream: &mut TcpStream, mark: &str) -> String {
    let mut text = String::new();
    while !text.contains(mark) {
        let mut bytes = [0; 4096];
        let count = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut bytes)).await.unwrap().unwrap();
        assert!(count > 0, "ended without {mark}: {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    text
}

#[tokio::test]
async fn a_tap_shows_stories_and_what_it_lost_and_ends_at_its_limit() {
    let stage = Stage::healthy().await;
    let mut stream = tap(&stage, "?errors=true&limit=201").await;
    let taps = Arc::clone(&stage.process().stories.taps);
    let now = Instant::now();
    for _ in 0..250 {
        taps.show(&GLIMPSE, now, || Arc::new(Told { kept: None, ..rescued() }));
        taps.show(&Glimpse { troubled: false, ..GLIMPSE }, now, || panic!("nobody wants it"));
    }
    let text = until(&mut stream, "event: lost").await;
    assert!(text.contains("data: {\"traceId\":\"0af7651916cd43dd8448eb211c80319c\""), "{text}");
    assert!(text.contains("event: lost\ndata: {\"slow\":0,\"rate\":50}\n\n"), "{text}");
    taps.show(&GLIMPSE, now + Duration::from_secs(2), || Arc::new(rescued()));
    let end = until(&mut stream, "\r\n0\r\n\r\n").await;
    assert!(end.contains("\"kept\":\"troubled\""), "{end}");
    stage.stop().await;
}

#[tokio::test]
async fn a_fifth_tap_is_refused_until_one_is_closed() {
    let stage = Stage::healthy().await;
    let mut open = Vec::new();
    for _ in 0..TAPS_MAX {
        open.push(tap(&stage, "").await);
    }
    assert_eq!(stage.get("/tap").await.problem(503), "taps-taken");
    open.clear();
    let taps = Arc::clone(&stage.process().stories.taps);
    while taps.watched() {
        tokio::task::yield_now().await;
    }
    drop(tap(&stage, "?limit=1").await);
    for wrong in ["?limit=0", "?errors=maybe", "?since=1m"] {
        assert_eq!(stage.get(&format!("/tap{wrong}")).await.problem(400), "invalid-request");
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_hedge_that_was_sooner_is_told_as_such_and_the_other_one_as_overtaken() {
    let rescued = rescued();
    let mut attempts = rescued.attempts.to_vec();
    (attempts[0].elapsed, attempts[0].end) = (Duration::from_millis(55), AttemptEnd::Cancelled);
    (attempts[1].kind, attempts[1].at) = (Kind::Hedge, Duration::from_millis(46));
    let said = sentences(Told { attempts: attempts.into(), ..rescued }).await;
    let expected = [
        "Attempt 1 to 10.2.3.4:8080 was given up after 55 ms: the other one had answered.",
        "Attempt 2, in parallel to a slow one, to 10.2.3.4:8080 answered 200 after 9.0 ms.",
        "The client got 200 after 52 ms: the second attempt was sooner there than the first.",
    ];
    assert_eq!(said[1..], expected);
}
