//! Ejection by comparison with peers, its panic rule, and the slow start after it.

use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, Script};
use outrigger::testing::{Load, Program, eventually};

use super::{its_number, numbered, policy, spread, started};
use crate::stage::client;

/// So many answers in a hundred are errors that say nothing of a connection: they count in the rate alone.
fn ill(number: usize, share: f64) -> Script {
    Script::share(share, Answer::status(500), Answer::ok(number.to_string()), 7)
}

async fn send(program: &Program, requests: usize) {
    let mut client = client(program).await;
    for _ in 0..requests {
        client.get("/").await;
    }
}

async fn ejections(program: &Program) -> f64 {
    program.metrics().await.sum("outrigger_ejections_total", &[("upstream", "up")])
}

const IN_TURN: &str = "balance: { by: roundRobin }\nejection: { baseDuration: 10m, maxDuration: 10m }";

#[tokio::test]
async fn an_endpoint_whose_rate_alone_is_ill_is_ejected_when_its_peers_do_better() {
    let (servers, endpoints) = numbered(3, |number| ill(number, if number == 0 { 0.7 } else { 0.05 })).await;
    let program = started(&format!("{endpoints}\n{IN_TURN}")).await;
    send(&program, 120).await;
    assert_eq!(ejections(&program).await, 1.0);
    let met = servers[0].observed().counts().requests;
    assert!((20..=40).contains(&met), "twenty samples decide, and it met {met} requests");
    send(&program, 60).await;
    assert_eq!(servers[0].observed().counts().requests, met, "it sits out");
}

#[tokio::test]
async fn nobody_is_ejected_by_rate_when_all_are_ill_alike() {
    let (servers, endpoints) = numbered(3, |number| ill(number, 0.7)).await;
    let program = started(&format!("{endpoints}\n{IN_TURN}")).await;
    send(&program, 300).await;
    assert_eq!(ejections(&program).await, 0.0);
    for server in &servers {
        assert_eq!(server.observed().counts().requests, 100);
    }
}

#[tokio::test]
async fn in_panic_tripped_endpoints_get_requests_and_count_as_tripped() {
    let bad = |number: usize| if number < 2 { Script::always(Answer::status(503)) } else { its_number(number) };
    let (servers, endpoints) = numbered(3, bad).await;
    let program = started(&format!("{endpoints}\n{IN_TURN}")).await;
    // The first to trip sits out; with the second, fewer than half are well.
    eventually("the panic", async || {
        send(&program, 10).await;
        (program.metrics().await.sum("outrigger_endpoints_panic", &[("upstream", "up")]) == 1.0).then_some(())
    })
    .await;
    let before: Vec<u64> = servers.iter().map(|server| server.observed().counts().requests).collect();
    send(&program, 30).await;
    let met: Vec<u64> = servers.iter().zip(before).map(|(s, before)| s.observed().counts().requests - before).collect();
    assert_eq!(met, [10; 3], "ejection is ignored");
    assert_eq!(program.metrics().await.sum("outrigger_endpoints", &[("state", "ejected")]), 0.0);
}

#[tokio::test]
async fn an_endpoint_that_joins_others_starts_slowly() {
    let (servers, _) = numbered(3, its_number).await;
    let keys = |count: usize, slow_start: &str| {
        let urls: Vec<String> = servers.iter().take(count).map(|server| server.url()).collect();
        policy(&format!("endpoints: [{}]\nbalance: {{ by: roundRobin, slowStart: {slow_start} }}", urls.join(", ")))
    };
    for (slow_start, least, most) in [("10m", 1, 45), ("none", 95, 105)] {
        let mut program = crate::stage::program(&keys(2, slow_start)).await;
        let whole = spread(&program, 3, 60).await;
        assert_eq!(whole, [30, 30, 0], "a set in which all are new is not slowed");
        program.write_policy(&keys(3, slow_start));
        eventually("the third one", async || {
            let view = program.admin("/upstreams/up").await;
            (view["endpoints"].as_array().map(Vec::len) == Some(3)).then_some(())
        })
        .await;
        let seen = spread(&program, 3, 300).await;
        assert!((least..=most).contains(&seen[2]), "slowStart: {slow_start}: {seen:?}");
        assert!(seen[0].abs_diff(seen[1]) < 60, "the others share what is left: {seen:?}");
    }
}

/// linkerd issue 11669: a pod that fails at once looks like the fastest one, and draws traffic and retries.
#[tokio::test]
async fn p5_a_pod_that_fails_at_once_gets_little_traffic_and_costs_hardly_a_request() {
    let well = |number: usize| Script::always(Behaviour::from(its_answer(number)).after(Duration::from_millis(100)));
    let (servers, endpoints) = numbered(3, well).await;
    let program = started(&format!("{endpoints}\nretry: {{ attempts: 1, codes: [500, 502, 503, 504] }}")).await;
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    Load::run(program.listen(), 40, 5, get).await.assert_all(200);
    let before: Vec<u64> = servers.iter().map(|server| server.observed().counts().requests).collect();
    servers[0].set(Answer::status(500));
    let report = Load::run(program.listen(), 40, 100, get).await;
    let met: Vec<u64> = servers.iter().zip(before).map(|(s, before)| s.observed().counts().requests - before).collect();
    let share = met[0] as f64 / met.iter().sum::<u64>() as f64;
    assert!(share < 0.05, "the bad pod met {share:.3} of all: {met:?}");
    let success = report.with(200) as f64 / report.answers() as f64;
    assert!(success >= 0.999, "{success}: {:?} {:?}", report.statuses, report.failures);
}

fn its_answer(number: usize) -> Answer {
    Answer::ok(number.to_string())
}
