mod server;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use outrigger::faults::{Answer, FaultServer};
use outrigger::testing::{Client, Program, eventually, get};
use serde_json::Value;

use crate::stage::{executable, program, upstream};
use server::Prometheus;

/// A dependency that fails behind a breaker, one that fails and is retried, one that does well, the program in front of
/// them, and who watches it.
struct Scene {
    policy: String,
    failing: [Client; 2],
    well: Client,
    program: Program,
    prometheus: Prometheus,
    _servers: [FaultServer; 2],
}

impl Scene {
    async fn start() -> Scene {
        let servers = [upstream(Answer::status(503)).await, upstream(Answer::ok("")).await];
        // Open for moments only, so that it opens again and again: a breaker that probes counts as open all the while.
        let breaker = "{ minRequests: 5, failurePercent: 50, openDuration: 500ms, maxOpenDuration: 500ms }";
        let policy = format!(
            "upstreams:\n  payments:\n    url: {failing}\n    circuitBreaker: {breaker}\n  \
             ledger:\n    url: {failing}\n    listen: %ledger%\n    retry: {{}}\n  \
             quotes:\n    url: {well}\n    listen: %quotes%\n",
            failing = servers[0].url(),
            well = servers[1].url()
        );
        let program = program(&policy).await;
        let prometheus = Prometheus::start(program.address("metrics")).await;
        let failing = [Client::connect(program.listen()).await, Client::connect(program.address("ledger")).await];
        let well = Client::connect(program.address("quotes")).await;
        Scene { policy, failing, well, program, prometheus, _servers: servers }
    }

    /// Some traffic, until `look` finds in Prometheus what it looks for.
    async fn see<T>(&mut self, what: &str, look: impl AsyncFn(&Prometheus) -> Option<T>) -> T {
        eventually(what, async || {
            for client in &mut self.failing {
                assert_eq!(client.get("/").await.status, 503);
            }
            assert_eq!(self.well.get("/").await.status, 200);
            look(&self.prometheus).await
        })
        .await
    }
}

#[tokio::test]
async fn a_real_prometheus_scrapes_a_native_sidecar_and_the_rules_see_what_is_wrong() {
    let mut scene = Scene::start().await;
    let up = scene.see("the target is up", async |p| p.query("up == 1").await.pop()).await;
    assert_eq!(
        (&up.0["job"], &up.0["namespace"], &up.0["pod"]),
        (&"checkout".into(), &"shop".into(), &"checkout-0".into())
    );

    let bad = format!("{}    timeuot: 1s\n", scene.policy);
    scene.program.write_policy(&bad);
    scene
        .see("the rate of requests", async |p| {
            p.value("upstream:outrigger_requests:rate5m{upstream=\"quotes\"} > 0").await
        })
        .await;
    scene
        .see("which dependency fails and which does not", async |p| {
            let share = async |name: &str| {
                p.value(&format!("upstream:outrigger_request_errors:ratio_rate5m{{upstream=\"{name}\"}}")).await
            };
            (share("payments").await == Some(1.0) && share("quotes").await == Some(0.0)).then_some(())
        })
        .await;
    let amplified = "upstream:outrigger_amplification:ratio_rate5m{upstream=\"ledger\"} > 1";
    scene.see("that retries add load", async |p| p.value(amplified).await).await;

    for (alert, summary) in [
        ("OutriggerCircuitOpen", "payments: the circuit breaker of 1 sidecar(s) of checkout is open"),
        ("OutriggerPolicyReloadFailed", "checkout: 1 sidecar(s) refused the policy last offered"),
    ] {
        let what = format!("{alert} waits for its time");
        let found = scene
            .see(&what, async |p| {
                let alerts = p.api("/api/v1/alerts").await["alerts"].as_array().cloned().unwrap_or_default();
                alerts.into_iter().find(|one| one["labels"]["alertname"] == alert)
            })
            .await;
        assert_eq!(found["state"], "pending", "{found}");
        let said = found["annotations"]["summary"].as_str().unwrap_or_default();
        assert!(said.starts_with(summary), "{found}");
        let link = format!("docs/runbook.md#{}", alert.to_lowercase());
        assert_eq!(found["annotations"]["runbook_url"], link, "{found}");
    }
    every_rule_is_healthy(&scene.prometheus).await;

    // Without traffic both say the same.
    let own = scene.program.metrics().await.sum("outrigger_requests_total", &[]);
    eventually("all requests are counted", async || {
        let scraped = scene.prometheus.value("sum(outrigger_requests_total)").await;
        (scraped == Some(own)).then_some(())
    })
    .await;
}

/// None may be left without an evaluation, and none may have failed.
async fn every_rule_is_healthy(prometheus: &Prometheus) {
    let rules = eventually("an evaluation of every rule", async || {
        let groups = prometheus.api("/api/v1/rules").await["groups"].as_array().cloned().unwrap_or_default();
        let rules: Vec<Value> =
            groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect();
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")).then_some(rules)
    })
    .await;
    let sick: Vec<_> = rules.iter().filter(|rule| rule["health"] != "ok").collect();
    assert!(sick.is_empty(), "{sick:#?}");
}

/// Queries of the dashboard, variables filled in as Grafana does when all are chosen.
fn dashboard() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/outrigger.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let dashboard: Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let mut queries = Vec::new();
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for panel in items(&dashboard["panels"]) {
        queries.extend(items(&panel["targets"]).iter().map(|t| (panel["title"].to_string(), t["expr"].clone())));
    }
    queries.extend(items(&dashboard["annotations"]["list"]).iter().map(|a| (a["name"].to_string(), a["expr"].clone())));
    let variables =
        [("$__rate_interval", "1m"), ("$__range", "1h"), ("$namespace", ".*"), ("$job", ".*"), ("$upstream", ".*")];
    let filled = |expr: Value| {
        let expr = expr.as_str().expect("a query").to_owned();
        variables.iter().fold(expr, |expr, (name, value)| expr.replace(name, value))
    };
    queries.into_iter().map(|(title, expr)| (title, filled(expr))).collect()
}

/// What this scene has nothing to show for: no letters, no keys, no change of addresses, nothing out of order.
const QUIET: [&str; 12] = [
    "outrigger_dlq_",
    "outrigger_idempotency_total",
    "outrigger_unrouted_requests_total",
    "outrigger_endpoint_set_changes_total",
    "outrigger_endpoints_panic",
    "outrigger_resolve_failed",
    "outrigger_retry_budget_gated",
    // Of parts of the program that register nothing before there is something to count.
    "outrigger_policy_guard_total",
    "outrigger_retry_attempts_total",
    "outrigger_retry_verdict",
    "outrigger_spans_dropped_total",
    "outrigger_upstream_condition",
];

#[tokio::test]
async fn every_panel_of_the_dashboard_shows_what_a_sidecar_in_trouble_does() {
    let mut scene = Scene::start().await;
    let queries = dashboard();
    assert!(queries.len() > 40, "the queries were not found");
    for (title, expr) in &queries {
        // A query that Prometheus refuses ends the test with its words.
        let found = scene.prometheus.query(expr).await;
        if found.is_empty() && !QUIET.iter().any(|name| expr.contains(name)) {
            let what = format!("{title} shows something: {expr}");
            scene.see(&what, async |p| p.query(expr).await.pop()).await;
        }
    }
}

#[tokio::test]
async fn promtool_finds_no_fault_with_the_page_of_a_sidecar_in_trouble() {
    let mut scene = Scene::start().await;
    scene.see("a retry", async |p| p.value("sum(outrigger_attempts_total{kind=\"retry\"}) > 0").await).await;
    let page = get(scene.program.address("metrics"), "/metrics").await.expect("an answer").text();
    let promtool =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut promtool = promtool.unwrap_or_else(|e| panic!("cannot start promtool ({e}): `make tools` installs it"));
    promtool.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("its end");
    assert!(output.status.success(), "{}\n{page}", String::from_utf8_lossy(&output.stderr));
}

/// `outrigger …` in backticks, with the names that alerts fill in. Line breaks are those of the text.
fn commands(text: &str) -> Vec<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let quoted = text.split('`').skip(1).step_by(2).filter(|part| part.starts_with("outrigger "));
    let named = |part: &str| {
        let part = part.replace("{{ $labels.upstream }}", "payments");
        part.replace("REVISION", "7").replace("IP:", "127.0.0.1:").replace("ID", "0000002a")
    };
    quoted.map(named).collect()
}

#[test]
fn every_command_that_an_alert_or_the_runbook_tells_to_type_exists() {
    let mut all = std::collections::BTreeSet::new();
    for name in ["deploy/prometheus/rules.yaml", "docs/runbook.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        // The head of the rules quotes commands of other programs.
        all.extend(commands(text.split_once("groups:").map_or(text.as_str(), |(_, rest)| rest)));
    }
    assert!(all.len() > 15, "the commands were not found: {all:?}");
    for command in all {
        let words = command.split(' ').skip(1).filter(|word| !word.ends_with('…') || *word == "…");
        let output = Command::new(executable()).args(words).arg("--help").output().expect("the program starts");
        assert!(output.status.success(), "`{command}`: {}", String::from_utf8_lossy(&output.stderr));
    }
}
