use outrigger::faults::{Answer, FaultServer};
use outrigger::testing::{Answer as Received, Client, Program};

use crate::stage::{client, executable, program, proxied, upstream};

/// No window ends while a test runs.
const BY_TENANT: &str = "by: \"header:X-Tenant\", requests: 3, per: 1h";

/// An app, and the program in front of it that limits its callers.
async fn limited(limit: &str, routes: &str) -> (FaultServer, Program, Client) {
    let app = upstream(Answer::ok("done").field("RateLimit", "\"app\";r=9;t=9")).await;
    let policy = format!(
        "inbound:\n  listen: %inbound%\n  forward: {}\n  rateLimit: {{ {limit} }}\n  routes: [{routes}]\n",
        app.url()
    );
    let program = program(&policy).await;
    let client = Client::connect(program.address("inbound")).await;
    (app, program, client)
}

async fn ask(client: &mut Client, path: &str, fields: &str) -> Received {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: app\r\n{fields}\r\n")).await;
    client.answer("GET").await
}

async fn statuses(client: &mut Client, fields: &str, requests: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..requests {
        statuses.push(ask(client, "/", fields).await.status);
    }
    statuses
}

fn outrigger(program: &Program, words: &[&str]) -> String {
    let admin = program.address("admin").to_string();
    let output = std::process::Command::new(executable()).args(words).args(["--addr", &admin]).output();
    String::from_utf8_lossy(&output.expect("the program starts").stdout).into_owned()
}

#[tokio::test]
async fn a_caller_beyond_its_rate_is_refused_and_told_when_to_come_back_and_others_are_not() {
    let (app, program, mut client) = limited(BY_TENANT, "").await;
    assert_eq!(statuses(&mut client, "X-Tenant: a\r\n", 3).await, [200; 3]);
    let answer = ask(&mut client, "/", "X-Tenant: a\r\n").await;
    let problem = answer.json();
    assert_eq!((answer.status, problem["reason"].as_str()), (429, Some("rate-limited")), "{problem}");
    assert_eq!((problem["side"].as_str(), problem["sent"].as_str()), (Some("client"), Some("no")), "{problem}");
    assert_eq!(answer.field("proxy-status"), Some("outrigger; error=http_request_error"));
    assert_eq!(answer.field("ratelimit-policy"), Some("\"per-caller\";q=3;w=3600"));
    let told = answer.field("ratelimit").expect("what is left");
    let seconds: u64 = told.strip_prefix("\"per-caller\";r=0;t=").and_then(|t| t.parse().ok()).expect(told);
    let after: u64 = answer.field("retry-after").and_then(|t| t.parse().ok()).expect("Retry-After");
    assert!(after == seconds && (3_000..=7_200).contains(&after), "{after}, {told}");
    assert_eq!(statuses(&mut client, "X-Tenant: b\r\n", 4).await, [200, 200, 200, 429]);
    assert_eq!(app.observed().counts().requests, 6);

    let labels = [("direction", "inbound"), ("upstream", "app"), ("route", "default"), ("mode", "enforce")];
    assert_eq!(program.metrics().await.sum("outrigger_rate_limited_total", &labels), 2.0);
    let status = outrigger(&program, &["status"]);
    let said = "Callers of app/default send more than 3 requests per 1h: 2 were refused since the start.";
    assert!(status.contains(said), "{status}");
    assert!(status.contains("Everything is healthy"), "what callers do is no fault of the app: {status}");
    let verdict = program.admin("/status").await["verdicts"][0]["text"].to_string();
    assert!(verdict.contains("callers of its route default send more than 3 requests per 1h"), "{verdict}");
    let shown = outrigger(&program, &["upstreams", "app"]);
    assert!(shown.contains("route default: 3 per 1h by header:x-tenant; refused 2 requests"), "{shown}");
    assert!(program.stdout().contains("\"outrigger.reason\":\"rate-limited\""), "{}", program.stdout());
}

#[tokio::test]
async fn a_refusal_waits_for_no_body_and_takes_no_place() {
    let app = upstream(outrigger::faults::Behaviour::stall()).await;
    let policy = format!(
        "inbound:\n  listen: %inbound%\n  forward: {}\n  limits: {{ requests: 1, pending: 0 }}\n  \
         timeouts: {{ request: 10m }}\n  rateLimit: {{ requests: 1, per: 1h }}\n",
        app.url()
    );
    let program = program(&policy).await;
    let first = Client::connect(program.address("inbound")).await;
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    crate::stage::until(&app, |counts| counts.serving == 1).await;
    // All places are taken, and of this body nothing ever comes.
    let mut second = Client::connect(program.address("inbound")).await;
    second.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").await;
    assert_eq!(second.answer("POST").await.status, 429);
    assert_eq!(app.observed().counts().requests, 1);
}

#[tokio::test]
async fn who_leaves_the_header_out_or_sends_two_shares_one_limit_with_all_who_do() {
    let (app, _program, mut client) = limited(BY_TENANT, "").await;
    assert_eq!(statuses(&mut client, "", 2).await, [200; 2]);
    assert_eq!(statuses(&mut client, "X-Tenant: a\r\nX-Tenant: b\r\n", 2).await, [200, 429]);
    assert_eq!(statuses(&mut client, "X-Tenant: \r\n", 1).await, [429]);
    assert_eq!(statuses(&mut client, "X-Tenant: a\r\n", 1).await, [200]);
    assert_eq!(app.observed().counts().requests, 4);
}

#[tokio::test]
async fn observed_everything_passes_and_what_would_not_is_counted() {
    let (app, program, mut client) = limited(&format!("{BY_TENANT}, mode: observe"), "").await;
    assert_eq!(statuses(&mut client, "X-Tenant: a\r\n", 10).await, [200; 10]);
    assert_eq!(app.observed().counts().requests, 10);
    let metrics = program.metrics().await;
    assert_eq!(metrics.sum("outrigger_rate_limited_total", &[("mode", "observe")]), 7.0);
    assert!(!metrics.has("outrigger_rate_limited_total", &[("mode", "enforce")]));
    let shown = outrigger(&program, &["upstreams", "app"]);
    assert!(shown.contains("would have refused 7 requests"), "{shown}");
}

#[tokio::test]
async fn what_is_left_is_told_with_every_answer_beside_what_the_app_says() {
    let (_app, _program, mut client) = limited(&format!("{BY_TENANT}, tellLimits: true"), "").await;
    for left in [2, 1, 0] {
        let answer = ask(&mut client, "/", "X-Tenant: a\r\n").await;
        let told: Vec<&str> = answer.head.all("ratelimit").collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0] == "\"app\";r=9;t=9" && told[1].starts_with(&format!("\"per-caller\";r={left};t=")),
            "{told:?}"
        );
        assert_eq!(answer.field("ratelimit-policy"), Some("\"per-caller\";q=3;w=3600"));
    }
    let (_app, _program, mut client) = limited(BY_TENANT, "").await;
    assert_eq!(ask(&mut client, "/", "X-Tenant: a\r\n").await.field("ratelimit-policy"), None, "not asked for");
}

#[tokio::test]
async fn a_route_with_a_block_of_its_own_is_counted_apart_and_one_with_none_is_not_limited() {
    let routes = "{ name: search, match: { path: /search }, rateLimit: { requests: 1 } }, \
                  { name: health, match: { path: /health }, rateLimit: { mode: none } }, \
                  { name: other, match: { path: /other } }";
    let (_app, _program, mut client) = limited(BY_TENANT, routes).await;
    let mut seen = Vec::new();
    for path in ["/search", "/search", "/", "/other", "/", "/other", "/"] {
        seen.push(ask(&mut client, path, "X-Tenant: a\r\n").await.status);
    }
    assert_eq!(seen, [200, 429, 200, 200, 200, 429, 429]);
    for _ in 0..10 {
        assert_eq!(ask(&mut client, "/health", "X-Tenant: a\r\n").await.status, 200);
    }
}

#[tokio::test]
async fn a_caller_of_grpc_is_told_that_its_share_is_exhausted_and_when_there_is_more() {
    let (_app, _program, mut client) = limited("requests: 1, per: 1h", "").await;
    let fields = "Content-Type: application/grpc\r\nTE: trailers\r\n";
    client.post("/shop.Cart/Add", fields, b"\0\0\0\0\x02hi").await;
    // By address: another connection is no other caller.
    let mut again = Client::connect(_program.address("inbound")).await;
    let answer = again.post("/shop.Cart/Add", fields, b"\0\0\0\0\x02hi").await;
    assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("8")), "RESOURCE_EXHAUSTED");
    let wait: u64 = answer.field("grpc-retry-pushback-ms").and_then(|ms| ms.parse().ok()).expect("a pushback");
    assert!(wait > 3_000_000, "{wait}");
    assert_eq!(answer.field("ratelimit-policy"), Some("\"per-caller\";q=1;w=3600"));
}

#[tokio::test]
async fn what_a_dependency_allows_the_app_is_kept_and_counts_survive_a_reload() {
    let block = "rateLimit: { requests: 2, per: 1h }";
    let (server, mut program) = proxied(Answer::ok(""), block).await;
    let mut client = client(&program).await;
    assert_eq!(
        [client.get("/").await.status, client.get("/").await.status, client.get("/").await.status],
        [200, 200, 429]
    );
    program.write_policy(&crate::stage::policy_for(&server, &format!("{block}\ntimeouts: {{ request: 14s }}")));
    program.metrics_when("the reload", |m| m.sum("outrigger_policy_revision", &[]) == 2.0).await;
    let mut client = Client::connect(program.listen()).await;
    assert_eq!(client.get("/").await.status, 429);
    let allow = "rateLimit: { requests: 4, per: 1h }";
    program.write_policy(&crate::stage::policy_for(&server, allow));
    program.metrics_when("the reload", |m| m.sum("outrigger_policy_revision", &[]) == 3.0).await;
    assert_eq!(
        [client.get("/").await.status, client.get("/").await.status, client.get("/").await.status],
        [200, 200, 429]
    );
    assert_eq!(server.observed().counts().requests, 4);
}

#[tokio::test]
async fn ten_thousand_names_make_no_memory() {
    let (_app, program, mut client) = limited("by: \"header:X-Tenant\", requests: 1000000, per: 1h", "").await;
    let mut name = 0_u64;
    let mut burst = async |requests: u64| {
        // Pipelined, so that what is measured is not the time of the way.
        for _ in 0..requests / 50 {
            let heads: String = (name..name + 50)
                .map(|name| format!("GET / HTTP/1.1\r\nHost: a\r\nX-Tenant: caller-{name}\r\n\r\n"))
                .collect();
            name += 50;
            client.send(heads).await;
            for _ in 0..50 {
                assert_eq!(client.answer("GET").await.status, 200);
            }
        }
    };
    burst(2_000).await;
    let before = program.rss();
    burst(10_000).await;
    let grown = program.rss().saturating_sub(before);
    // 10,000 names in a list would be about a megabyte; a story is kept of one request in a hundred.
    assert!(grown < 1 << 20, "{grown} bytes for 10,000 callers");
}
