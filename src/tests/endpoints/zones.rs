//! Endpoints of our own zone first.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, FaultServer, Mode, Script};
use outrigger::testing::{Load, Program, eventually, free_address};

use super::{its_number, spread, started};

/// Two endpoints in our zone and two elsewhere.
async fn two_zones(script: impl Fn(usize) -> Script) -> Vec<FaultServer> {
    let mut servers = Vec::new();
    for (number, ip) in [[127, 0, 1, 1], [127, 0, 1, 2], [127, 0, 2, 1], [127, 0, 2, 2]].into_iter().enumerate() {
        let address = SocketAddr::from((Ipv4Addr::from(ip), free_address().port()));
        servers.push(FaultServer::start_on(address, script(number)).await.expect("a free port"));
    }
    servers
}

async fn at_home(servers: &[FaultServer], keys: &str) -> Program {
    let urls: Vec<String> = servers.iter().map(FaultServer::url).collect();
    let zones = "zone: { local: a, zones: { a: [127.0.1.0/24], b: [127.0.2.0/24] } }";
    started(&format!(
        "endpoints: [{}]\nbalance: {{ by: leastRequest, slowStart: none, {zones} }}\n{keys}",
        urls.join(", ")
    ))
    .await
}

async fn attempts(program: &Program, zone: &str) -> f64 {
    program.metrics().await.sum("outrigger_zone_attempts_total", &[("upstream", "up"), ("zone", zone)])
}

#[tokio::test]
async fn requests_stay_in_our_zone_while_it_is_well_and_leave_it_as_far_as_it_is_not() {
    let servers = two_zones(its_number).await;
    let program = at_home(&servers, "retry: {}\nejection: { baseDuration: 10m, maxDuration: 10m }").await;
    let seen = spread(&program, 4, 100).await;
    assert_eq!(seen[2] + seen[3], 0, "{seen:?}");
    assert!(seen[0] > 10 && seen[1] > 10, "{seen:?}");
    assert_eq!((attempts(&program, "local").await, attempts(&program, "elsewhere").await), (100.0, 0.0));

    // Half of it is left, and 70% would be enough: what is missing leaves, 2 of 7.
    servers[0].mode(Mode::Refuse).await.expect("the port is ours");
    servers[0].close_idle();
    eventually("the ejection", async || {
        spread(&program, 4, 10).await;
        (program.metrics().await.sum("outrigger_ejections_total", &[]) >= 1.0).then_some(())
    })
    .await;
    let seen = spread(&program, 4, 400).await;
    let left = (seen[2] + seen[3]) as f64 / 400.0;
    assert!(seen[0] == 0 && (left - 2.0 / 7.0).abs() < 0.1, "{seen:?}");
}

#[tokio::test]
async fn a_zone_that_is_down_costs_no_request() {
    let servers = two_zones(its_number).await;
    let program = at_home(&servers, "retry: {}").await;
    spread(&program, 4, 20).await;
    for server in &servers[..2] {
        server.mode(Mode::Refuse).await.expect("the port is ours");
        server.close_idle();
    }
    let seen = spread(&program, 4, 200).await;
    assert_eq!(seen[2] + seen[3], 200, "{seen:?}");
}

#[tokio::test]
async fn a_zone_that_is_overrun_hands_requests_on() {
    // At home an answer takes a quarter of a second, and elsewhere none.
    let slow = |number: usize| {
        let answer = Answer::ok(number.to_string());
        let wait = Duration::from_millis(if number < 2 { 250 } else { 0 });
        Script::always(Behaviour::from(answer).after(wait))
    };
    let servers = two_zones(slow).await;
    let program = at_home(&servers, "timeouts: { request: 10s, backendRequest: 5s }").await;
    let load = Load::start(program.listen(), 40, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    load.progress(400).await;
    load.stop().await.assert_all(200);
    let (local, elsewhere) = (attempts(&program, "local").await, attempts(&program, "elsewhere").await);
    assert!(local > 0.0 && elsewhere > local, "{local} stayed, {elsewhere} left");
}
