//! What each path answers.

use std::time::Duration;

use super::stage::letters::letter;
use super::stage::{Order, Process, Stage, closed, exchange};
use crate::admin::api::{CircuitAction, Condition, Readiness};
use crate::admin::control::{ChangesFilter, CircuitOrder, Refused, ReloadOrder, RollbackOrder};

#[tokio::test]
async fn status_answers_everything_at_once_with_stable_keys() {
    let stage = Stage::healthy().await;
    let reply = stage.get("/status").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let status = reply.json();
    let mut keys: Vec<&str> = status.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = [
        "certificates",
        "changes",
        "condition",
        "draining",
        "name",
        "pid",
        "policy",
        "readiness",
        "repairs",
        "retries",
        "summary",
        "upstreams",
        "uptimeSeconds",
        "verdicts",
        "version",
    ];
    assert_eq!(keys, expected);
    assert_eq!(status["name"], "checkout");
    assert_eq!(status["uptimeSeconds"], 7_500);
    assert_eq!(status["condition"], "healthy");
    assert_eq!(status["policy"]["revision"], 7);
    assert_eq!(status["policy"]["ageSeconds"], 240);
    assert_eq!(status["policy"]["reload"]["failed"], false);
    assert_eq!(status["upstreams"][0]["limits"]["inFlightMax"], 256);
    assert_eq!(status["changes"][0]["kind"], "policy-applied");
    assert_eq!(status["verdicts"][0]["text"], "payments is healthy: 1,204 requests since the start, 99.9% succeeded.");
    assert_eq!(status["summary"].as_array().map(Vec::len), Some(4));
    assert_eq!(
        status["summary"][0],
        "Everything is healthy: 1 upstream, 1,204 requests since the start, 99.9% succeeded."
    );

    assert_eq!(status["repairs"][0]["upstream"], "payments");
    stage.stop().await;
}

#[tokio::test]
async fn status_is_as_bad_as_its_worst_verdict_and_says_it_first() {
    let mut process = Process::healthy();
    process.policy.policy.reload.failed = true;
    process.policy.policy.reload.error = Some("policy.yaml:7:30: unknown field `timeuot`\n7 | x".to_owned());
    process.verdicts[0].condition = Condition::Failing;
    let stage = Stage::of(process).await;
    let status = stage.get("/status").await.json();
    assert_eq!(status["condition"], "failing");
    assert_eq!(status["verdicts"][0]["upstream"], "payments");
    assert_eq!(
        status["verdicts"][1]["text"],
        "The policy file is refused, revision 7 stays in force: policy.yaml:7:30: unknown field `timeuot`."
    );
    stage.stop().await;
}

#[tokio::test]
async fn each_part_of_the_state_has_its_own_path() {
    let stage = Stage::healthy().await;
    assert_eq!(stage.get("/upstreams").await.json()["upstreams"][0]["name"], "payments");
    assert_eq!(stage.get("/upstreams/payments").await.json()["totals"]["rescued"], 33);
    let endpoints = stage.get("/endpoints").await.json();
    assert_eq!(endpoints["upstreams"][0]["endpoints"][1]["address"], "10.2.3.5:8080");
    assert_eq!(stage.get("/circuits").await.json()["circuits"][0]["circuit"]["state"], "closed");
    assert_eq!(stage.get("/budgets").await.json()["budgets"][0]["budget"]["remainingRatio"], 0.8);
    let policy = stage.get("/policy").await.json();
    assert_eq!(policy["text"], "version: 1\nupstreams: {}\n");
    assert_eq!(policy["policy"]["revision"], 7);
    assert_eq!(stage.get("/policy/history").await.json()["revisions"][0]["current"], true);
    stage.stop().await;
}

#[tokio::test]
async fn retries_are_judged_for_all_upstreams_or_one() {
    let stage = Stage::healthy().await;
    let all = stage.get("/retries").await.json();
    assert_eq!(
        (&all["retries"][0]["class"], &all["retries"][1]["class"]),
        (&serde_json::Value::Null, &"timeout".into())
    );
    assert_eq!(all["retries"][1]["efficiencyHigh"], 0.0341);
    assert_eq!(stage.get("/retries?upstream=payments").await.json(), all);
    let reply = stage.get("/retries?upstream=paymets").await;
    assert_eq!(reply.problem(404), "unknown-upstream");
    assert_eq!(stage.get("/retries?route=charge").await.problem(400), "invalid-request");
    stage.stop().await;
}

#[tokio::test]
async fn an_unknown_upstream_is_answered_with_the_names_there_are() {
    let stage = Stage::healthy().await;
    let reply = stage.get("/upstreams/paymets").await;
    assert_eq!(reply.problem(404), "unknown-upstream");
    assert_eq!(reply.json()["next"], "use one of: payments");
    stage.stop().await;
}

#[tokio::test]
async fn changes_take_a_span_a_limit_an_upstream_and_a_kind_and_nothing_else() {
    let stage = Stage::healthy().await;
    assert_eq!(stage.get("/changes").await.json()["changes"][0]["revision"], 7);
    assert_eq!(stage.get("/changes?since=30m&limit=5").await.status, 200);
    assert_eq!(stage.get("/changes?upstream=payments&kind=policy").await.status, 200);
    let asked = [
        Order::Changes(ChangesFilter { limit: 100, ..ChangesFilter::default() }),
        Order::Changes(ChangesFilter { since: Some(Duration::from_secs(1_800)), limit: 5, ..ChangesFilter::default() }),
        Order::Changes(ChangesFilter {
            limit: 100,
            upstream: Some("payments".to_owned()),
            kind: Some("policy".to_owned()),
            since: None,
        }),
    ];
    assert_eq!(stage.orders(), asked);
    for wrong in
        ["since=30", "since=1d", "limit=0", "limit=1001", "limit=x", "sinse=30m", "since=1m&since=2m", "kind=x"]
    {
        assert_eq!(stage.get(&format!("/changes?{wrong}")).await.problem(400), "invalid-request", "{wrong}");
    }
    assert_eq!(stage.orders().len(), 3);
    stage.stop().await;
}

#[tokio::test]
async fn reload_and_rollback_reach_the_process_with_their_author() {
    let stage = Stage::healthy().await;
    let reloaded = stage.post("/policy/reload", "").await.json();
    assert_eq!((&reloaded["revision"], &reloaded["changed"]), (&8.into(), &false.into()));
    stage.post("/policy/reload", r#"{"author":"alice"}"#).await;
    let rolled_back = stage.post("/policy/rollback", r#"{"revision":5,"reason":" INC-42 ","author":"bob"}"#).await;
    assert_eq!(rolled_back.status, 200);
    let expected = [
        Order::Reload(ReloadOrder { author: "admin-api".to_owned() }),
        Order::Reload(ReloadOrder { author: "alice".to_owned() }),
        Order::Rollback(RollbackOrder { revision: 5, reason: "INC-42".to_owned(), author: "bob".to_owned() }),
    ];
    assert_eq!(stage.orders(), expected);
    stage.stop().await;
}

type Refusal = fn(String) -> Refused;

#[tokio::test]
async fn a_refused_order_states_its_exact_error() {
    let stage = Stage::healthy().await;
    let cases: [(Refusal, &str, u16, &str); 4] = [
        (Refused::Policy, "policy.yaml:7:30: unknown field `timeuot`", 422, "policy-refused"),
        (Refused::Unknown, "revision 5 is not kept, 6 and 7 are", 404, "unknown-target"),
        (Refused::Conflict, "a reload is under way", 409, "conflict"),
        (Refused::Failed, "journal: no space left on device", 500, "failed"),
    ];
    for (refused, detail, status, token) in cases {
        stage.process().refuse = Some(refused(detail.to_owned()));
        let reply = stage.post("/policy/rollback", r#"{"revision":5,"reason":"x"}"#).await;
        assert_eq!(reply.problem(status), token);
        assert_eq!(reply.json()["detail"], detail);
        assert!(reply.json()["type"].as_str().unwrap().starts_with("https://outrigger.dev/problems/"));
        let listed = reply.json()["next"] == "`outrigger policy history` lists the revisions";
        assert_eq!(listed, status == 404, "only a revision that is not kept sends the reader to the list");
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_refused_order_about_a_key_says_what_became_of_it() {
    let stage = Stage::healthy().await;
    let cases: [(Refusal, u16, &str); 4] = [
        (Refused::UnknownKey, 404, "unknown-key"),
        (Refused::Settled, 409, "nothing-to-resolve"),
        (Refused::Invalid, 400, "invalid-request"),
        (Refused::Store, 503, "store-unavailable"),
    ];
    for (refused, status, token) in cases {
        stage.process().refuse = Some(refused("because".to_owned()));
        let body = r#"{"upstream":"payments","route":"charge","key":"k","as":"executed","reason":"x"}"#;
        let reply = stage.post("/idempotency/resolve", body).await;
        assert_eq!((reply.problem(status).as_str(), &reply.json()["detail"]), (token, &"because".into()));
    }
    stage.stop().await;
}

#[tokio::test]
async fn circuits_are_held_for_a_bounded_time_and_reset() {
    let stage = Stage::healthy().await;
    let held = stage.post("/circuits/payments", r#"{"action":"open","ttl":"90s","reason":"INC-42"}"#).await.json();
    assert_eq!(held["upstream"], "payments");
    assert_eq!(held["circuit"]["held"], "open");
    stage.post("/circuits/payments", r#"{"action":"close","reason":"INC-42"}"#).await;
    stage.post("/circuits/payments", r#"{"action":"reset","reason":"over","author":"bob"}"#).await;
    let order = |action, seconds, reason: &str, author: &str| {
        Order::Circuit(CircuitOrder {
            upstream: "payments".to_owned(),
            action,
            ttl: Duration::from_secs(seconds),
            reason: reason.to_owned(),
            author: author.to_owned(),
        })
    };
    let expected = [
        order(CircuitAction::Open, 90, "INC-42", "admin-api"),
        order(CircuitAction::Close, 600, "INC-42", "admin-api"),
        order(CircuitAction::Reset, 600, "over", "bob"),
    ];
    assert_eq!(stage.orders(), expected);
    stage.stop().await;
}

#[tokio::test]
async fn probes_answer_in_words_and_on_request_in_json() {
    let stage = Stage::healthy().await;
    let json = |path: &str, addr| format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\naccept: application/json\r\n");
    for path in ["/livez", "/readyz", "/healthz"] {
        let (admin, metrics) = (stage.get(path).await, probe(&stage, path).await);
        assert_eq!((admin.status, admin.body.as_str()), (200, "ok\n"), "{path}");
        assert_eq!((metrics.status, metrics.body.as_str()), (200, "ok\n"), "{path}");
    }
    stage.process().readiness =
        Readiness { ready: false, reasons: vec!["draining".to_owned(), "inbound is not bound".to_owned()] };
    for path in ["/readyz", "/healthz"] {
        let reply = probe(&stage, path).await;
        assert_eq!((reply.status, reply.body.as_str()), (503, "draining\ninbound is not bound\n"), "{path}");
    }
    let reasons = exchange(stage.metrics, &json("/readyz", stage.metrics), "").await.json();
    assert_eq!(reasons, serde_json::json!({ "ready": false, "reasons": ["draining", "inbound is not bound"] }));
    assert_eq!(probe(&stage, "/livez").await.status, 200, "not being ready is no reason to be restarted");
    stage.stop().await;
}

#[tokio::test]
async fn a_failing_dependency_never_fails_a_probe() {
    let mut process = Process::healthy();
    process.views[0].circuit = Some(crate::upstreams::view::CircuitView { state: "open".to_owned(), ..closed() });
    let stage = Stage::of(process).await;
    assert_eq!(probe(&stage, "/readyz").await.status, 200);
    stage.stop().await;
}

#[tokio::test]
async fn the_metrics_listener_answers_any_host_but_only_its_four_paths() {
    let stage = Stage::healthy().await;
    let scrape = exchange(stage.metrics, "GET /metrics HTTP/1.1\r\nhost: checkout.shop.svc:4491\r\n", "").await;
    assert_eq!(scrape.status, 200);
    assert_eq!(scrape.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(scrape.body, "# TYPE outrigger_requests_total counter\n");
    for path in ["/", "/status", "/policy", "/upstreams", "/circuits/payments", "/policy/reload"] {
        let reply = probe(&stage, path).await;
        assert_eq!(reply.problem(404), "unknown-path", "{path}");
        assert_eq!(reply.json()["paths"], serde_json::json!(["/metrics", "/livez", "/readyz", "/healthz"]));
    }
    let head = stage.post_head("/policy/reload");
    assert_eq!(exchange(stage.metrics, &head, "{}").await.problem(404), "unknown-path");
    assert_eq!(stage.orders(), []);
    stage.stop().await;
}

async fn probe(stage: &Stage, path: &str) -> super::stage::Reply {
    exchange(stage.metrics, &format!("GET {path} HTTP/1.1\r\nhost: 10.1.2.3:4491\r\n"), "").await
}

#[tokio::test]
async fn the_index_and_the_404_list_every_path() {
    let stage = Stage::healthy().await;
    let index = stage.get("/").await;
    let missing = stage.get("/statsu").await;
    assert_eq!(missing.problem(404), "unknown-path");
    let listed = missing.json()["paths"].clone();
    for (method, path, _) in crate::admin::PATHS {
        assert!(index.body.lines().any(|line| line.starts_with(method) && line.contains(path)), "{path}");
        assert!(listed.as_array().unwrap().contains(&path.into()), "{path}");
        let letter = path.replace("/dead-letters/{id}", &format!("/dead-letters/{}", letter(1).id));
        let concrete = letter.replace("{name}", "payments").replace("{id}", "r1");
        if path == "/tap" {
            // Its answer does not end: see the tests of single requests.
            continue;
        }
        if (method, path) == ("GET", "/recording") {
            assert_eq!(stage.get(path).await.problem(404), "no-recording");
            continue;
        }
        let status = match method {
            "GET" => stage.get(&concrete).await.status,
            _ => stage.post(&concrete, r#"{"wrong":1}"#).await.status,
        };
        assert_eq!(status, if method == "GET" { 200 } else { 400 }, "{path} is routed");
    }
    stage.stop().await;
}
