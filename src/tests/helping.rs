use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use outrigger::faults::{Answer, Behaviour, Hangup, Mode, Script, message};
use outrigger::testing::{Program, eventually};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::stage::{client, executable, policy_for, program, proxied, until, upstream};

/// One retry at once, and a budget that is seldom the reason for none.
const RETRY: &str = "retry: { attempts: 1, codes: [503], backoff: 1ms, maxBackoff: 1ms }\n\
                     retryBudget: { percent: 100, minPerSecond: 100 }";

/// `outrigger retries up -o json`: the reports, and the exit code.
async fn retries(program: &Program) -> (Vec<Value>, Option<i32>) {
    let mut command = Command::new(executable());
    command.args(["--addr", &program.address("admin").to_string(), "retries", "up", "-o", "json"]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ends").expect("it starts");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    (answer["retries"].as_array().expect("a list").clone(), output.status.code())
}

/// The report of this class; "" = all together.
async fn report(program: &Program, class: &str) -> Value {
    let (reports, _) = retries(program).await;
    let found = reports.iter().find(|report| report["class"].as_str().unwrap_or_default() == class);
    found.unwrap_or_else(|| panic!("no report of `{class}`: {reports:?}")).clone()
}

#[tokio::test]
async fn retries_that_rescue_nothing_are_named_and_held_to_probes_also_over_a_reload() {
    let (server, mut program) = proxied(Answer::status(503), RETRY).await;
    let mut client = client(&program).await;
    // 35 wasted retries prove it; those that the budget allows come slower once its own gate is shut.
    let held = "denied;reason=efficacy";
    eventually("a retry that is held", async || {
        (client.get("/").await.field("x-outrigger-retry") == Some(held)).then_some(())
    })
    .await;
    let (reports, code) = retries(&program).await;
    assert_eq!((reports.len(), code), (2, Some(1)), "{reports:?}");
    for report in &reports {
        assert_eq!((&report["verdict"], &report["gated"]), (&"not-helping".into(), &true.into()), "{report}");
        assert!(report["text"].as_str().is_some_and(|text| text.contains("one probe per 10 s")), "{report}");
        assert_eq!(report["rescued"], 0);
        assert!(report["retries"].as_u64() >= Some(35), "{report}");
    }
    assert_eq!(reports[1]["class"], "error");

    program.write_policy(&policy_for(&server, &format!("{RETRY}\ntimeouts: {{ request: 14s }}")));
    eventually("the reload", async || (program.admin("/policy").await["policy"]["revision"] == 2).then_some(())).await;
    let (before, began) = (server.observed().counts().requests, Instant::now());
    for _ in 0..300 {
        client.get("/").await;
    }
    let made = server.observed().counts().requests - before - 300;
    assert!(made <= 1 + began.elapsed().as_secs() / 5, "{made} retries of 300 requests");

    let metrics = program.metrics().await;
    assert!(metrics.sum("outrigger_retries_total", &[("reason", "efficacy")]) >= 299.0 - made as f64);
    let verdict = |word| metrics.sum("outrigger_retry_verdict", &[("upstream", "up"), ("verdict", word)]);
    assert_eq!((verdict("not-helping"), verdict("helping")), (1.0, 0.0));
    assert!(metrics.sum("outrigger_retry_attempts_total", &[("result", "wasted")]) >= 35.0);
    assert_eq!(metrics.sum("outrigger_retry_attempts_total", &[("result", "rescued")]), 0.0);
    eventually("the event", async || {
        let told = program.stderr();
        told.lines().any(|line| line.contains("\"event\":\"retries\"") && line.contains("-> not-helping")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn with_one_of_three_endpoints_dead_retries_help_and_are_not_held() {
    let (dead, a, b) = (upstream(Answer::ok("")).await, upstream(Answer::ok("")).await, upstream(Answer::ok("")).await);
    dead.mode(Mode::Refuse).await.expect("the port is ours");
    let policy = format!(
        "upstreams:\n  up:\n    endpoints: [{}, {}, {}]\n    balance: {{ by: roundRobin }}\n    \
         ejection: {{ mode: observe }}\n    retry: {{ attempts: 1, backoff: 1ms, maxBackoff: 1ms }}\n",
        dead.url(),
        a.url(),
        b.url()
    );
    let program = program(&policy).await;
    let mut client = client(&program).await;
    for _ in 0..120 {
        assert_eq!(client.get("/").await.status, 200);
    }
    let (reports, code) = retries(&program).await;
    assert_eq!(code, Some(0), "{reports:?}");
    let connect = report(&program, "connect").await;
    assert_eq!((&connect["verdict"], &connect["gated"]), (&"helping".into(), &false.into()), "{connect}");
    assert_eq!((&connect["requests"], &connect["elsewhereEfficiency"]), (&120.into(), &1.0.into()), "{connect}");
    let retried = connect["retries"].as_u64().expect("a number");
    // A retry takes its turn, too: every second first attempt meets the dead one.
    assert!((30..=60).contains(&retried) && connect["rescued"] == retried, "{connect}");
    let metrics = program.metrics().await;
    assert_eq!(metrics.sum("outrigger_retries_total", &[("reason", "efficacy")]), 0.0, "never held");
    assert_eq!(metrics.sum("outrigger_retry_verdict", &[("upstream", "up"), ("verdict", "helping")]), 1.0);
}

/// Amplification over the next requests.
async fn amplification(program: &Program, requests: u32) -> f64 {
    let sums = async || {
        let metrics = program.metrics().await;
        ["outrigger_attempts_total", "outrigger_requests_total"].map(|name| metrics.sum(name, &[("upstream", "up")]))
    };
    let before = sums().await;
    let mut client = client(program).await;
    for _ in 0..requests {
        client.get("/").await;
    }
    // The last one is counted when its answer has ended.
    let wanted = before[1] + f64::from(requests);
    program.metrics_when("the last one", |m| m.sum("outrigger_requests_total", &[("upstream", "up")]) == wanted).await;
    let after = sums().await;
    (after[0] - before[0]) / (after[1] - before[1])
}

#[tokio::test]
async fn where_no_retry_ever_helps_four_attempts_fall_to_hardly_more_than_one() {
    let block = RETRY.replace("attempts: 1", "attempts: 3");
    let (_server, program) = proxied(Answer::status(503), &block).await;
    assert!(amplification(&program, 5).await > 2.0, "before anything is known they are made");
    let mut client = client(&program).await;
    eventually("a retry that is held", async || {
        let mark = client.get("/").await.field("x-outrigger-retry").map(str::to_owned);
        (mark.as_deref() == Some("denied;reason=efficacy")).then_some(())
    })
    .await;
    let load = amplification(&program, 400).await;
    assert!(load <= 1.05, "{load}");
    let report = report(&program, "").await;
    assert_eq!((&report["verdict"], &report["gated"]), (&"not-helping".into(), &true.into()), "{report}");
}

/// A dependency whose first attempts succeed in seven of ten cases, and whose retries in six of ten: by a lot of its
/// own, which depends on nothing that the program does.
struct Dice {
    address: std::net::SocketAddr,
    retries: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Dice {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dice {
    async fn start() -> Dice {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (state, retries) = (Arc::new(AtomicU64::new(17)), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&retries);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Dice::serve(stream, Arc::clone(&state), Arc::clone(&counted)));
            }
        });
        Dice { address, retries, task }
    }

    async fn serve(stream: TcpStream, state: Arc<AtomicU64>, retries: Arc<AtomicU64>) {
        let (mut inbox, outbox) = message::split(stream);
        while let Ok(Some(head)) = inbox.head().await {
            let first = head.get("x-envoy-attempt-count") == Some("1");
            retries.fetch_add(u64::from(!first), Ordering::Relaxed);
            let drawn = lot(state.fetch_add(1, Ordering::Relaxed));
            let good = drawn < if first { 0.7 } else { TRUTH };
            let answer = if good { "200 OK" } else { "503 Service Unavailable" };
            if outbox.write(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// How often a retry succeeds, in truth.
const TRUTH: f64 = 0.6;

/// Evenly from 0 to 1, by the number of the draw (SplitMix64).
fn lot(number: u64) -> f64 {
    let mut z = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[tokio::test]
async fn the_control_group_measures_what_retries_add_and_helpful_ones_are_never_held() {
    let dice = Dice::start().await;
    let policy = format!(
        "upstreams:\n  up:\n    url: http://{}\n    \
         retry: {{ attempts: 1, codes: [503], backoff: 1ms, maxBackoff: 1ms, jitter: none, holdoutPercent: 10 }}\n    \
         retryBudget: {{ mode: observe }}\n",
        dice.address
    );
    let program = program(&policy).await;
    let mut client = client(&program).await;
    let mut requests = 0;
    let report = loop {
        for _ in 0..250 {
            client.get("/").await;
        }
        requests += 250;
        let report = report(&program, "").await;
        if report["holdout"]["control"].as_u64() >= Some(25) {
            break report;
        }
        assert!(requests < 5_000, "{report}");
    };
    let holdout = &report["holdout"];
    let number = |name: &str| holdout[name].as_f64().unwrap_or_else(|| panic!("no {name}: {holdout}"));
    // Of the control group nobody is retried, so that what retries add is how often they succeed. By chance alone the
    // bounds miss the truth in one run of twenty: twice as wide they miss it in one of ten thousand.
    let (low, high, found) = (number("effectLowPercent"), number("effectHighPercent"), number("effectPercent"));
    let (below, above) = (found - 2.0 * (found - low), found + 2.0 * (high - found));
    assert!((below..=above).contains(&(TRUTH * 100.0)), "{below} to {above}, and {holdout}");
    assert!(low > 30.0 && high - low < 40.0, "{holdout}");
    assert_eq!(number("controlSucceeded"), 0.0, "{holdout}");
    let share = number("control") / (number("control") + number("treated"));
    assert!((0.04..=0.18).contains(&share), "a tenth by lot: {holdout}");
    assert_eq!((&report["verdict"], &report["gated"]), (&"helping".into(), &false.into()), "{report}");
    assert_eq!(report["retries"].as_u64(), Some(dice.retries.load(Ordering::Relaxed)), "{report}");
    let metrics = program.metrics().await;
    assert_eq!(metrics.sum("outrigger_retries_total", &[("reason", "efficacy")]), 0.0);
    assert_eq!(metrics.sum("outrigger_retries_total", &[("reason", "holdout")]), number("control"));
}

/// The first attempt fails; the retry meets `then`. Waits for it, and leaves once `seen` holds.
async fn abandoned(then: impl Into<Behaviour>, read: bool) -> Value {
    let (server, program) = proxied(Script::sequence([Answer::status(503)], then), RETRY).await;
    let mut client = client(&program).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until(&server, |counts| counts.requests == 2).await;
    if read {
        // An answer that breaks off may do so before its head is there; then the connection has ended.
        let _ = client.head().await;
    }
    drop(client);
    eventually("the end of the request", async || {
        let report = program.admin("/retries").await["retries"].get(1)?.clone();
        (report["wasted"] == 1).then_some(report)
    })
    .await
}

#[tokio::test]
async fn a_retry_whose_client_has_gone_is_wasted() {
    let report = abandoned(Behaviour::stall(), false).await;
    assert_eq!((&report["retries"], &report["rescued"]), (&1.into(), &0.into()), "{report}");
}

#[tokio::test]
async fn a_rescue_that_is_not_delivered_is_wasted_too() {
    let endless = Answer::ok("").huge(1 << 40);
    let report = abandoned(endless, true).await;
    assert_eq!((&report["retries"], &report["rescued"]), (&1.into(), &0.into()), "{report}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_rescue() {
    let cut = Answer::ok("0123456789").cut(4, Hangup::Reset);
    let report = abandoned(cut, true).await;
    assert_eq!((&report["retries"], &report["rescued"]), (&1.into(), &0.into()), "{report}");
}

#[tokio::test]
async fn the_control_group_is_drawn_by_lot_not_retried_and_told() {
    let block = "retry: { attempts: 1, codes: [503], backoff: 1ms, maxBackoff: 1ms, holdoutPercent: 10 }\n\
                 retryBudget: { percent: 100, minPerSecond: 1000 }";
    // Every first attempt fails, and every retry succeeds: the client sends one request at a time.
    let (server, program) = proxied(Script::sequence(flip(2_000), Answer::ok("")), block).await;
    let mut client = client(&program).await;
    let (mut held, mut requests) = (0, 0);
    while held < 3 {
        requests += 1;
        let answer = client.get("/").await;
        if answer.field("x-outrigger-retry") == Some("denied;reason=holdout") {
            assert_eq!(answer.status, 503);
            held += 1;
        }
        assert!(requests < 900, "{held} of {requests} held out");
    }
    assert!(server.observed().counts().requests < 2_000);
    let report = report(&program, "").await;
    let holdout = &report["holdout"];
    assert_eq!(holdout["percent"], 10.0, "{report}");
    assert_eq!((&holdout["control"], &holdout["controlSucceeded"]), (&3.into(), &0.into()), "{report}");
    assert!(holdout["effectPercent"].as_f64() > Some(20.0), "{report}");
}

/// Failure and success in turn.
fn flip(count: usize) -> Vec<Answer> {
    (0..count).map(|number| if number % 2 == 0 { Answer::status(503) } else { Answer::ok("") }).collect()
}
