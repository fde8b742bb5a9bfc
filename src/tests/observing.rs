use outrigger::faults::{Answer, FaultServer};
use outrigger::testing::{Metrics, Program, eventually};

use crate::stage::{client, executable, program, proxied, upstream};

fn observed(metrics: &Metrics, mechanism: &str) -> f64 {
    metrics.sum("outrigger_observed_total", &[("upstream", "up"), ("mechanism", mechanism)])
}

fn outrigger(program: &Program, words: &[&str]) -> String {
    let admin = program.address("admin").to_string();
    let output = std::process::Command::new(executable()).args(words).args(["--addr", &admin]).output();
    String::from_utf8_lossy(&output.expect("the program starts").stdout).into_owned()
}

#[tokio::test]
async fn a_breaker_and_a_throttle_that_observe_refuse_nothing_and_count_what_they_would_have() {
    let block = "circuitBreaker: { mode: observe, minRequests: 5, openDuration: 60s, maxOpenDuration: 60s }\n\
                 throttle: { window: 10s }";
    let (server, program) = proxied(Answer::status(503), block).await;
    let mut client = client(&program).await;
    for _ in 0..60 {
        assert!(client.get("/").await.field("proxy-status").is_some_and(|said| said.contains("received-status=503")));
    }
    assert_eq!(server.observed().counts().requests, 60, "all were sent");
    let metrics = program.metrics().await;
    // It opens with the fifth or soon after, and would have refused all that came after that.
    let refused = observed(&metrics, "circuitBreaker");
    assert!((40.0..=55.0).contains(&refused), "{refused}");
    assert!(observed(&metrics, "throttle") > 0.0);
    assert!(!metrics.has("outrigger_observed_total", &[("mechanism", "ejection")]), "it enforces");
    let shown = outrigger(&program, &["upstreams", "up"]);
    assert!(shown.contains(&format!("the circuit breaker would have refused {refused} attempts")), "{shown}");
    let status = eventually("the verdict", async || {
        client.get("/").await;
        let status = outrigger(&program, &["status"]);
        status.contains("its circuit breaker only observes, else it would be open").then_some(status)
    })
    .await;
    assert!(!status.contains("requests are refused at once") && !status.contains("throttle refuses"), "{status}");
}

#[tokio::test]
async fn an_ejection_that_observes_takes_nobody_out_and_counts_whom_it_would_have() {
    let servers = [upstream(Answer::status(503)).await, upstream(Answer::ok("")).await, upstream(Answer::ok("")).await];
    let urls: Vec<String> = servers.iter().map(FaultServer::url).collect();
    let policy = format!(
        "upstreams:\n  up:\n    endpoints: [{}]\n    balance: {{ by: roundRobin }}\n    ejection: {{ mode: observe }}\n",
        urls.join(", ")
    );
    let program = program(&policy).await;
    let mut client = client(&program).await;
    for _ in 0..90 {
        client.get("/").await;
    }
    assert_eq!(servers[0].observed().counts().requests, 30, "it keeps its share");
    let metrics = program.metrics().await;
    let would = observed(&metrics, "ejection");
    assert!(would >= 1.0, "{would}");
    assert_eq!(metrics.sum("outrigger_ejections_total", &[]), 0.0);
    let shown = outrigger(&program, &["upstreams", "up"]);
    assert!(shown.contains(&format!("ejection would have taken out an endpoint {would} times")), "{shown}");
}

#[tokio::test]
async fn a_retry_budget_that_observes_denies_nothing_and_counts_what_it_would_have() {
    let retry = "retry: { attempts: 1, codes: [503], backoff: 1ms, maxBackoff: 1ms }";
    let budget = |mode| format!("{retry}\nretryBudget: {{ percent: 10, minPerSecond: 0, mode: {mode} }}");
    let (server, program) = proxied(Answer::status(503), &budget("observe")).await;
    let mut observing = client(&program).await;
    for _ in 0..30 {
        observing.get("/").await;
    }
    assert_eq!(server.observed().counts().requests, 60, "every request was retried");
    let would = observed(&program.metrics().await, "retryBudget");

    let (server, program) = proxied(Answer::status(503), &budget("enforce")).await;
    let mut enforcing = client(&program).await;
    for _ in 0..30 {
        enforcing.get("/").await;
    }
    let denied = 60 - server.observed().counts().requests;
    assert_eq!(would, denied as f64, "as many as an enforced budget denies");
    assert!(!program.metrics().await.has("outrigger_observed_total", &[("mechanism", "retryBudget")]));
}
