//! Endpoints that come and go with their name, under load.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, FaultServer, Script};
use outrigger::testing::{Load, NameServer, Program, eventually, free_address};

use crate::stage::{executable, until};

/// As many servers on one port, each on an address of its own.
async fn servers(count: u8, script: impl Fn(u8) -> Script) -> (Vec<FaultServer>, u16) {
    let port = free_address().port();
    let mut servers = Vec::new();
    for number in 0..count {
        let address = SocketAddr::from((ip(number), port));
        servers.push(FaultServer::start_on(address, script(number)).await.expect("a free port"));
    }
    (servers, port)
}

fn ip(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 3, number + 1)
}

async fn program(names: &NameServer, port: u16, keys: &str) -> Program {
    let policy = format!("upstreams:\n  up:\n    url: http://up.test:{port}\n    {keys}\n");
    let environment = vec![("OUTRIGGER_TEST_NAME_SERVER", names.address().to_string())];
    Program::start_in(&executable(), &policy, environment).await
}

/// The addresses that the program knows.
async fn known(program: &Program) -> Vec<String> {
    let view = program.admin("/upstreams/up").await;
    let endpoints = view["endpoints"].as_array().cloned().unwrap_or_default();
    endpoints.iter().map(|e| e["address"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn follows(program: &Program, port: u16, numbers: &[u8]) {
    let expected: Vec<String> =
        numbers.iter().map(|number| SocketAddr::from((ip(*number), port)).to_string()).collect();
    eventually("the name is looked up again", async || (known(program).await == expected).then_some(())).await;
}

/// Rounds of a set of three out of six that moves on by one each time.
async fn churn(keys: &str) {
    let pace = |_| Script::always(Behaviour::from(Answer::ok("well")).after(Duration::from_millis(5)));
    let (servers, port) = servers(6, pace).await;
    let set = |round: u8| {
        let mut numbers: Vec<u8> = (0..3).map(|at| (round + at) % 6).collect();
        numbers.sort_unstable();
        numbers
    };
    let addresses = |numbers: &[u8]| numbers.iter().map(|number| ip(*number)).collect::<Vec<_>>();
    let names = NameServer::start(&addresses(&set(0))).await.expect("a name server");
    let program = program(&names, port, keys).await;
    let load = Load::start(program.listen(), 8, "GET / HTTP/1.1\r\nHost: up.test\r\n\r\n");
    follows(&program, port, &set(0)).await;
    for round in 1..=8 {
        load.progress(100).await;
        let (old, new) = (set(round - 1), set(round));
        names.set(&addresses(&new));
        follows(&program, port, &new).await;
        let gone = old.iter().find(|number| !new.contains(number)).expect("one goes");
        // Nothing is cut, and nothing is kept: its connections end when what is under way has ended.
        let counts = until(&servers[usize::from(*gone)], |counts| counts.open == 0).await;
        assert_eq!(counts.abandoned, 0, "{counts:?}");
        let come = new.iter().find(|number| !old.contains(number)).expect("one comes");
        let before = servers[usize::from(*come)].observed().counts().answered;
        until(&servers[usize::from(*come)], |counts| counts.answered > before).await;
    }
    load.stop().await.assert_all(200);
    assert!(names.asked() >= 8);
}

#[tokio::test]
async fn endpoints_come_and_go_under_load_and_no_request_fails() {
    churn("limits: { requests: 64 }").await;
}

#[tokio::test]
async fn shared_connections_to_endpoints_that_go_finish_what_they_carry() {
    churn("protocol: http2").await;
}

#[tokio::test]
async fn a_request_that_is_under_way_to_an_endpoint_that_goes_is_answered() {
    for keys in ["limits: { requests: 64 }", "protocol: http2"] {
        let slow = |number: u8| {
            let wait = Duration::from_millis(if number == 0 { 3_000 } else { 0 });
            Script::always(Behaviour::from(Answer::ok(number.to_string())).after(wait))
        };
        let (servers, port) = servers(2, slow).await;
        let names = NameServer::start(&[ip(0)]).await.expect("a name server");
        let program = program(&names, port, &format!("{keys}\n    timeouts: {{ backendRequest: 10s }}")).await;
        let mut client = crate::stage::client(&program).await;
        let asking = async { client.get("/").await };
        let moving = async {
            until(&servers[0], |counts| counts.serving == 1).await;
            names.set(&[ip(1)]);
            follows(&program, port, &[1]).await;
        };
        let (answer, ()) = tokio::join!(asking, moving);
        assert_eq!((answer.status, answer.text().as_str()), (200, "0"), "{keys}");
        assert_eq!(client.get("/").await.text(), "1", "{keys}");
        until(&servers[0], |counts| counts.open == 0).await;
    }
}

#[tokio::test]
async fn forty_reloads_that_exchange_endpoints_cost_no_request() {
    let pace = |_| Script::always(Behaviour::from(Answer::ok("well")).after(Duration::from_millis(2)));
    let (servers, _) = servers(6, pace).await;
    let policy = |round: usize| {
        // Another pair each time, and never one of the pair before.
        let urls: Vec<String> = (0..2).map(|at| servers[(round * 2 + at) % 6].url()).collect();
        format!("upstreams:\n  up:\n    endpoints: [{}]\n", urls.join(", "))
    };
    let mut program = crate::stage::program(&policy(0)).await;
    let load = Load::start(program.listen(), 8, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for round in 1..=40 {
        let new = &servers[round * 2 % 6];
        let before = new.observed().counts().answered;
        program.write_policy(&policy(round));
        until(new, |counts| counts.answered > before).await;
        let gone = &servers[(round - 1) * 2 % 6];
        until(gone, |counts| counts.open == 0).await;
    }
    load.stop().await.assert_all(200);
    for server in &servers {
        assert_eq!(server.observed().counts().abandoned, 0);
    }
}
