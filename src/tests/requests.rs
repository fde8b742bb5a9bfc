use std::process::{Command, Output, Stdio};
use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, Script};
use outrigger::testing::{Client, Program, eventually, get};
use serde_json::Value;

use crate::stage::{client, executable, policy_for, program, proxied, upstream};

const RETRY: &str = "retry: { attempts: 2, codes: [503], backoff: 20ms, maxBackoff: 40ms }";

fn command(program: &Program, words: &[&str]) -> Command {
    let mut command = Command::new(executable());
    command.args(words).arg("--addr").arg(program.address("admin").to_string());
    command.env_remove("OUTRIGGER_ADDR").stdin(Stdio::null());
    command
}

async fn say(program: &Program, words: &[&str]) -> Output {
    let mut command = command(program, words);
    tokio::task::spawn_blocking(move || command.output().expect("the command runs")).await.expect("it ends")
}

/// What `why` prints, if it finds the request.
async fn why(program: &Program, words: &[&str]) -> Option<String> {
    let said = say(program, words).await;
    (said.status.code() == Some(0)).then(|| String::from_utf8_lossy(&said.stdout).into_owned())
}

#[tokio::test]
async fn a_rescued_request_is_told_by_why_under_each_of_its_names() {
    let (server, program) = proxied(Script::sequence([Answer::status(503)], Answer::ok("good")), RETRY).await;
    let mut client = client(&program).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    client
        .send(format!(
            "GET /pay?token=s3cret HTTP/1.1\r\nHost: a\r\nx-request-id: order-17\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\n\r\n"
        ))
        .await;
    assert_eq!(client.answer("GET").await.text(), "good");
    for words in [&["why", trace][..], &["why", "0af76519"], &["why", "order-17"], &["why", "--last"]] {
        let text = eventually("the story", async || why(&program, words).await).await;
        let mut steps = text.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
        let mut next = || steps.next().unwrap_or_default().to_owned();
        assert!(next().ends_with("1. GET /pay went out by route up/default of policy revision 1."), "{text}");
        let first = format!("2. Attempt 1 to {} answered 503 after ", server.address());
        assert!(next().contains(&first), "{text}");
        assert!(next().contains("3. Waited "), "{text}");
        assert!(next().contains("4. Attempt 2, a retry, to "), "{text}");
        assert!(
            next().contains("5. The client got 200 after ") && text.contains("a retry saved the request"),
            "{text}"
        );
        assert!(text.contains("x-request-id order-17") && !text.contains("s3cret"), "{text}");
    }
    // The line of the same request says the same.
    let line: Value = eventually("a line", async || {
        program.stdout().lines().find(|line| line.contains(trace)).and_then(|line| serde_json::from_str(line).ok())
    })
    .await;
    assert_eq!(line["http.request.header.x-request-id"], "order-17");
    assert!(line["outrigger.attempts"][1]["backoff_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{line}");
}

#[tokio::test]
async fn an_unknown_id_exits_1_and_the_newest_trouble_is_found_without_one() {
    let (_server, program) = proxied(Answer::status(500), RETRY).await;
    let said = say(&program, &["why", "ffffffffffffffffffffffffffffffff"]).await;
    assert_eq!(said.status.code(), Some(1));
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(text.contains("is kept. Kept in memory are the last 2000 troubled requests"), "{text}");
    assert_eq!(say(&program, &["why", "--last"]).await.status.code(), Some(1));
    assert_eq!(client(&program).await.get("/").await.status, 500);
    let text = eventually("the story", async || why(&program, &["why", "--last", "--upstream", "up"]).await).await;
    assert!(text.contains("the policy of this route does not repeat what ended so"), "{text}");
    assert!(text.contains("The client got the upstream's own 500 after "), "{text}");
}

#[tokio::test]
async fn an_answer_that_is_slow_for_its_upstream_is_kept_though_nothing_drew_it() {
    let script = Script::always(Answer::ok("")).on_path("/slow", Behaviour::from(Answer::ok("")).after(SLOW));
    let server = upstream(script).await;
    let policy = format!("accessLog: {{ sampleRatio: 0.0 }}\n{}", policy_for(&server, ""));
    let program = program(&policy).await;
    let mut client = client(&program).await;
    // The measure is taken every few seconds; until then slow answers must stay rare, or the p99 is one of them.
    let line = eventually("a slow request", async || {
        for _ in 0..250 {
            client.get("/fast").await;
        }
        client.get("/slow").await;
        program.admin("/requests").await["requests"].as_array()?.first().cloned()
    })
    .await;
    assert_eq!((&line["kept"], &line["path"]), (&"slow".into(), &"/slow".into()));
}

const SLOW: Duration = Duration::from_millis(80);

#[tokio::test]
async fn a_tap_sees_requests_as_they_end() {
    let (_server, program) = proxied(Answer::ok(""), "").await;
    let mut tap = command(&program, &["tap", "--route", "up/default", "--limit", "3", "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("a tap");
    let mut client = client(&program).await;
    // Nobody says from outside when it has begun to listen: requests go on until it has enough.
    let status = eventually("the end of the tap", async || {
        client.get("/seen").await;
        tap.try_wait().expect("its state")
    })
    .await;
    assert_eq!(status.code(), Some(0));
    let said = tap.wait_with_output().expect("its lines");
    let lines: Vec<Value> =
        String::from_utf8_lossy(&said.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["path"] == "/seen" && line["outcome"] == "success"), "{lines:?}");
}

/// A connection to the admin API with an open tap, of which nothing is read.
async fn tapped(program: &Program, query: &str) -> Client {
    let tap = Client::connect(program.address("admin")).await;
    tap.send(format!("GET /tap{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await;
    tap
}

#[tokio::test]
async fn a_tap_that_nobody_reads_slows_no_request_and_says_later_what_is_missing() {
    const REQUESTS: u64 = 3_000;
    let (_server, program) = proxied(Answer::ok(""), "").await;
    let mut tap = tapped(&program, "").await;
    let head = tap.head().await.expect("a head").expect("an answer");
    assert_eq!(head.status().expect("a status"), 200);
    let mut client = client(&program).await;
    for _ in 0..REQUESTS {
        assert_eq!(client.get("/").await.status, 200);
    }
    let mut text = String::new();
    while !text.contains("event: lost") {
        let bytes = tap.bytes(1).await;
        assert!(!bytes.is_empty(), "the tap ended: {text}");
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    // It goes on, and its story is as complete as before.
    assert!(text.contains("\"sentences\":["), "{text}");
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn nothing_secret_is_in_lines_events_stories_taps_or_answers() {
    const CANARIES: [&str; 7] =
        ["c4nary-auth", "c4nary-cookie", "c4nary-query", "c4nary-key", "c4nary-body", "c4nary-answer", "c4nary-field"];
    let answer = Answer::status(503).body("c4nary-answer").field("Set-Cookie", "s=c4nary-cookie");
    let server = upstream(answer).await;
    let directory = tempfile::tempdir().expect("a directory");
    let policy = format!(
        "accessLog: {{ sampleRatio: 1.0 }}\nstores: {{ embedded: {{ path: {} }} }}\nupstreams:\n  up:\n    url: {}\n    \
         {RETRY}\n    routes:\n    - {{ name: pay, match: {{ path: /pay }}, idempotency: {{ principal: none }}, deadLetter: {{}} }}\n",
        directory.path().join("outrigger.db").display(),
        server.url()
    );
    let program = program(&policy).await;
    let mut tap = tapped(&program, "?limit=3").await;
    tap.head().await.expect("a head").expect("an answer");
    let fields = "Idempotency-Key: \"c4nary-key\"\r\nAuthorization: Bearer c4nary-auth\r\nCookie: s=c4nary-cookie\r\n\
                  X-Api-Key: c4nary-field\r\nx-request-id: visible\r\n";
    let mut client = client(&program).await;
    for path in ["/pay?token=c4nary-query", "/other?token=c4nary-query", "/pay?token=c4nary-query"] {
        assert_eq!(client.post(path, fields, b"c4nary-body").await.status, 503, "{path}");
    }
    let mut told = eventually("three stories", async || {
        let listed = program.admin("/requests").await;
        (listed["requests"].as_array()?.len() == 3).then(|| listed.to_string())
    })
    .await;
    let mut live = String::new();
    while live.matches("data: ").count() < 3 {
        let bytes = tap.bytes(1).await;
        assert!(!bytes.is_empty(), "the tap ended: {live}");
        live.push_str(&String::from_utf8_lossy(&bytes));
    }
    told.push_str(&live);
    for path in ["/requests/visible", "/status", "/changes", "/upstreams", "/audit", "/metrics"] {
        let answer = get(program.address("admin"), path).await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
        told.push_str(&answer.text());
    }
    told.push_str(&why(&program, &["why", "visible"]).await.expect("a story"));
    eventually("three lines", async || (program.stdout().lines().count() >= 3).then_some(())).await;
    told.push_str(&program.stdout());
    told.push_str(&program.stderr());
    assert!(told.contains("visible") && told.contains("It is kept as dead letter "), "{told}");
    for canary in CANARIES {
        let at = told.find(canary);
        assert!(at.is_none(), "{canary}: {:?}", at.map(|at| &told[at.saturating_sub(200)..at + 20]));
    }
}
