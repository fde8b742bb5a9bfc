//! Endpoints that are asked how they do.

use outrigger::faults::{Answer, FaultServer, Mode, Script, ServerTls};
use outrigger::testing::certificates::{Authority, Leaf};
use outrigger::testing::{Load, Program, eventually};

use super::{endpoints_when, healthy, its_number, numbered, of, policy, spread, started};
use crate::stage::until;

/// Fast, so that a verdict takes less than a second.
const FAST: &str = "interval: 500ms, timeout: 300ms";

/// Answers with its number, and its checks with this status.
fn checked(number: usize, status: u16) -> Script {
    its_number(number).on_path("/healthz", Answer::status(status))
}

/// Requests that were no checks.
fn requests(server: &FaultServer) -> usize {
    server.observed().seen().iter().filter(|seen| seen.head.target() != "/healthz").count()
}

async fn all_are(program: &Program, states: &[(&FaultServer, &str)]) {
    endpoints_when(program, "the checks have their say", |endpoints| {
        states.iter().all(|(server, state)| healthy(of(endpoints, server)) == *state)
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_fails_its_checks_gets_no_request_and_comes_back() {
    let (servers, endpoints) = numbered(3, |number| checked(number, if number == 0 { 503 } else { 200 })).await;
    let program =
        started(&format!("{endpoints}\nhealthCheck: {{ {FAST} }}\nbalance: {{ by: roundRobin, slowStart: none }}"))
            .await;
    all_are(&program, &[(&servers[0], "unhealthy"), (&servers[1], "healthy"), (&servers[2], "healthy")]).await;
    let seen = spread(&program, 3, 60).await;
    assert_eq!((seen[0], requests(&servers[0])), (0, 0), "{seen:?}");
    let metrics = program.metrics().await;
    let state = |state| [("upstream", "up"), ("state", state)];
    assert_eq!(metrics.sum("outrigger_endpoints", &state("unhealthy")), 1.0);
    assert_eq!(metrics.sum("outrigger_endpoints", &state("available")), 2.0);
    assert!(metrics.sum("outrigger_health_checks_total", &[("result", "failed")]) >= 3.0);
    assert!(metrics.sum("outrigger_health_checks_total", &[("result", "passed")]) >= 2.0);
    assert_eq!(metrics.sum("outrigger_ejections_total", &[]), 0.0, "it has a reason of its own");
    assert!(program.stderr().contains("health-check"), "{}", program.stderr());
    let status = program.admin("/status").await;
    let text = status["verdicts"][0]["text"].as_str().unwrap_or_default();
    assert!(text.contains("1 of 3 endpoints fails its health check: answered 503"), "{text}");
    let asked = servers[0].observed().seen();
    let check = asked.iter().find(|seen| seen.head.target() == "/healthz").expect("a check");
    assert_eq!(check.head.get("host"), Some(servers[0].address().to_string().as_str()));
    assert!(check.head.get("user-agent").is_some_and(|agent| agent.contains("health check")));

    servers[0].set(checked(0, 200));
    all_are(&program, &[(&servers[0], "healthy")]).await;
    assert_eq!(spread(&program, 3, 60).await, [20; 3]);
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_found_before_a_request_meets_it() {
    let (servers, endpoints) = numbered(2, |number| checked(number, 200)).await;
    servers[1].mode(Mode::Refuse).await.expect("the port is ours");
    let program = started(&format!("{endpoints}\nhealthCheck: {{ {FAST} }}")).await;
    all_are(&program, &[(&servers[0], "healthy"), (&servers[1], "unhealthy")]).await;
    assert_eq!(spread(&program, 2, 40).await, [40, 0]);
    assert_eq!(program.metrics().await.sum("outrigger_attempts_total", &[("outcome", "failed")]), 0.0);
    let status = program.admin("/status").await;
    let text = status["verdicts"][0]["text"].as_str().unwrap_or_default();
    assert!(text.contains("1 of 2 endpoints fails its health check: connection refused"), "{text}");
}

#[tokio::test]
async fn checks_that_most_endpoints_fail_are_ignored() {
    let (servers, endpoints) = numbered(3, |number| checked(number, if number == 2 { 200 } else { 500 })).await;
    let program = started(&format!("{endpoints}\nhealthCheck: {{ {FAST} }}\nbalance: {{ by: roundRobin }}")).await;
    all_are(&program, &[(&servers[0], "unhealthy"), (&servers[1], "unhealthy"), (&servers[2], "healthy")]).await;
    assert_eq!(spread(&program, 3, 60).await, [20; 3]);
    assert_eq!(program.metrics().await.sum("outrigger_endpoints_panic", &[("upstream", "up")]), 1.0);
    let status = program.admin("/status").await;
    let text = status["verdicts"][0]["text"].as_str().unwrap_or_default();
    assert!(text.contains("2 of 3 endpoints fail their health check: answered 500 (most do"), "{text}");
}

#[tokio::test]
async fn observed_checks_are_told_and_nobody_sits_out() {
    let (servers, endpoints) = numbered(2, |number| checked(number, if number == 0 { 503 } else { 200 })).await;
    let checks = format!("healthCheck: {{ mode: observe, {FAST} }}");
    let program = started(&format!("{endpoints}\n{checks}\nbalance: {{ by: roundRobin }}")).await;
    all_are(&program, &[(&servers[0], "unhealthy"), (&servers[1], "healthy")]).await;
    assert_eq!(spread(&program, 2, 40).await, [20, 20]);
    assert!(program.stderr().contains("observe"), "{}", program.stderr());
    assert_eq!(program.metrics().await.sum("outrigger_endpoints", &[("state", "unhealthy")]), 1.0);
}

#[tokio::test]
async fn grpc_servers_are_asked_by_the_standard_method() {
    let serving = |status: u8| Script::always(Answer::grpc([[8, status]], 0));
    let (servers, endpoints) = numbered(3, |number| serving(if number == 0 { 2 } else { 1 })).await;
    servers[2].set(Answer::grpc_status(12, "no such method"));
    let program =
        started(&format!("{endpoints}\nhealthCheck: {{ protocol: grpc, service: shop.v1.Ledger, {FAST} }}")).await;
    let seen = endpoints_when(&program, "all are judged", |endpoints| {
        endpoints.iter().filter(|endpoint| healthy(endpoint) == "unhealthy").count() == 2
    })
    .await;
    let cause = |server| of(&seen, server)["health"]["cause"].as_str().unwrap_or_default().to_owned();
    assert_eq!(cause(&servers[0]), "NOT_SERVING");
    assert_eq!(cause(&servers[2]), "answered UNIMPLEMENTED");
    let asked = servers[0].observed().last().expect("a call");
    assert_eq!(asked.head.target(), "/grpc.health.v1.Health/Check");
    let body = asked.body.expect("a message");
    assert_eq!(body.digest.length, 5 + 2 + "shop.v1.Ledger".len() as u64);
}

#[tokio::test]
async fn checks_are_encrypted_as_requests_are() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().expect("a directory"));
    let ca = authority.write(directory.path());
    let identity = authority.issue(&Leaf::server(&["127.0.0.1"]));
    let tls = || ServerTls::of(&identity.chain, &identity.key).alpn(&["h2", "http/1.1"]).build().expect("our own");
    let good = FaultServer::start_tls(tls(), checked(0, 200)).await.expect("a server");
    let bad = FaultServer::start_tls(tls(), checked(1, 503)).await.expect("a server");
    let program = started(&format!(
        "endpoints: [https://{}, https://{}]\ntls: {{ ca: {} }}\nhealthCheck: {{ {FAST} }}",
        good.address(),
        bad.address(),
        ca.display()
    ))
    .await;
    all_are(&program, &[(&good, "healthy"), (&bad, "unhealthy")]).await;
}

#[tokio::test]
async fn what_checks_found_survives_a_reload_and_goes_with_the_block() {
    let (servers, endpoints) = numbered(2, |number| checked(number, if number == 0 { 503 } else { 200 })).await;
    let keys = |block: &str, attempts: u32| {
        policy(&format!("{endpoints}\n{block}\nretry: {{ attempts: {attempts} }}\nbalance: {{ by: roundRobin }}"))
    };
    let block = format!("healthCheck: {{ {FAST} }}");
    let mut program = crate::stage::program(&keys(&block, 1)).await;
    all_are(&program, &[(&servers[0], "unhealthy"), (&servers[1], "healthy")]).await;
    let revision = async |program: &Program| program.metrics().await.sum("outrigger_policy_revision", &[]);
    let before = revision(&program).await;
    program.write_policy(&keys(&block, 2));
    eventually("the reload", async || (revision(&program).await > before).then_some(())).await;
    assert_eq!(spread(&program, 2, 20).await, [0, 20], "also right after the reload");
    program.write_policy(&keys("ejection: {}", 2));
    eventually("checks end with their block", async || {
        let seen = spread(&program, 2, 2).await;
        (seen[0] > 0).then_some(())
    })
    .await;
    endpoints_when(&program, "nothing is said of checks", |endpoints| {
        endpoints.iter().all(|endpoint| endpoint.get("health").is_none())
    })
    .await;
}

#[tokio::test]
async fn a_trip_for_want_of_a_connection_ends_when_checks_connect_again() {
    let (servers, endpoints) = numbered(2, |number| checked(number, 200)).await;
    let program = started(&format!(
        "{endpoints}\nhealthCheck: {{ unhealthy: 100, healthy: 1, {FAST} }}\nretry: {{}}\n\
         ejection: {{ consecutiveFailures: 2, baseDuration: 10m, maxDuration: 10m }}\n\
         balance: {{ by: roundRobin, slowStart: none }}"
    ))
    .await;
    servers[0].mode(Mode::Refuse).await.expect("the port is ours");
    servers[0].close_idle();
    eventually("it is ejected", async || {
        spread(&program, 2, 10).await;
        (program.metrics().await.sum("outrigger_ejections_total", &[]) >= 1.0).then_some(())
    })
    .await;
    servers[0].mode(Mode::Accept).await.expect("the port is ours");
    eventually("it is back long before its time", async || {
        let seen = spread(&program, 2, 10).await;
        (seen[0] > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn servers_that_say_so_before_they_go_cost_no_request_without_a_single_retry() {
    let (servers, endpoints) = numbered(3, |number| checked(number, 200)).await;
    let program = started(&format!("{endpoints}\nhealthCheck: {{ {FAST} }}")).await;
    let load = Load::start(program.listen(), 8, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (number, server) in servers.iter().enumerate() {
        load.progress(50).await;
        server.set(checked(number, 503));
        all_are(&program, &[(server, "unhealthy")]).await;
        until(server, |counts| counts.serving == 0).await;
        server.die().await.expect("the port is ours");
        load.progress(50).await;
        server.set(checked(number, 200));
        server.mode(Mode::Accept).await.expect("the port is ours");
        all_are(&program, &[(server, "healthy")]).await;
        let serves = || server.observed().last().is_some_and(|seen| seen.head.target() != "/healthz");
        eventually("it serves again", async || serves().then_some(())).await;
    }
    load.stop().await.assert_all(200);
    assert_eq!(program.metrics().await.sum("outrigger_attempts_total", &[("kind", "retry")]), 0.0);
}
