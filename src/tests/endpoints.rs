mod ages;
mod checks;
mod churn;
mod ejection;
mod zones;

use outrigger::faults::{Answer, FaultServer, Script};
use outrigger::testing::{Program, eventually};
use serde_json::Value;

use crate::stage::{client, program, upstream};

/// As many upstreams, each answering with its number, and what they are written as in `endpoints`.
async fn numbered(count: usize, script: impl Fn(usize) -> Script) -> (Vec<FaultServer>, String) {
    let mut servers = Vec::new();
    for number in 0..count {
        servers.push(upstream(script(number)).await);
    }
    let urls: Vec<String> = servers.iter().map(FaultServer::url).collect();
    (servers, format!("endpoints: [{}]", urls.join(", ")))
}

fn its_number(number: usize) -> Script {
    Script::always(Answer::ok(number.to_string()))
}

/// One upstream, `up`, with these keys, one a line.
fn policy(keys: &str) -> String {
    let lines: String = keys.lines().map(|line| format!("    {line}\n")).collect();
    format!("upstreams:\n  up:\n{lines}")
}

/// How many of `requests` each of `count` endpoints answers; panics if one is not answered with 200.
async fn spread(program: &Program, count: usize, requests: usize) -> Vec<usize> {
    let mut client = client(program).await;
    let mut seen = vec![0; count];
    for _ in 0..requests {
        let answer = client.get("/").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let number: usize = answer.text().parse().expect("a number");
        seen[number] += 1;
    }
    seen
}

/// What operators see of the endpoints of `up`, once it is `so`.
async fn endpoints_when(program: &Program, why: &str, so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    eventually(why, async || {
        let view = program.admin("/upstreams/up").await;
        let endpoints = view["endpoints"].as_array().cloned().unwrap_or_default();
        so(&endpoints).then_some(endpoints)
    })
    .await
}

fn healthy(endpoint: &Value) -> &str {
    endpoint["health"]["state"].as_str().unwrap_or_default()
}

/// The endpoint of a server among those that operators see.
fn of<'a>(endpoints: &'a [Value], server: &FaultServer) -> &'a Value {
    let address = server.address().to_string();
    endpoints.iter().find(|endpoint| endpoint["address"] == address).unwrap_or(&Value::Null)
}

async fn started(keys: &str) -> Program {
    program(&policy(keys)).await
}
