use std::time::Duration;

use outrigger::faults::{Answer, Behaviour};
use outrigger::testing::{Load, Program, Signal, eventually, get};

use crate::stage::{client, executable, policy_for, program, proxied, until, upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_drain_under_load_drops_nothing_and_ends_with_0() {
    // Slow enough that every connection has a request in flight at almost any moment.
    let slow = Behaviour::from(Answer::ok("hello")).after(Duration::from_millis(30));
    let (server, mut program) = proxied(slow, "").await;
    let load = Load::start(program.listen(), 16, GET);
    load.progress(50).await;
    program.signal(Signal::Interrupt);
    assert_eq!(program.exit().await.code(), Some(0));
    let report = load.stop().await;
    assert_eq!((report.failed, report.with(200)), (0, report.answers()), "{:?}", report.failures);
    let counts = until(&server, |c| c.open == 0).await;
    assert_eq!((counts.abandoned, counts.answered), (0, report.answers()), "no request was cut on its way");
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_an_end_by_hand() {
    let server = upstream(Answer::ok("")).await;
    let mut program = program(&format!("drain: {{ timeout: 10m }}\n{}", policy_for(&server, ""))).await;
    let mut idle = client(&program).await;
    assert_eq!(idle.get("/").await.status, 200);
    program.signal(Signal::Interrupt);
    assert_eq!(program.exit().await.code(), Some(0));
    idle.closed().await;
}

#[tokio::test]
async fn a_draining_program_is_not_ready_finishes_its_request_and_closes_the_connection() {
    let server = upstream(Behaviour::from(Answer::ok("done")).after(Duration::from_secs(1))).await;
    let mut program = program(&format!("drain: {{ timeout: 10m }}\n{}", policy_for(&server, ""))).await;
    let mut busy = client(&program).await;
    busy.send(GET).await;
    until(&server, |c| c.serving == 1).await;
    program.signal(Signal::Interrupt);
    let metrics = program.address("metrics");
    eventually("not ready", async || {
        let answer = get(metrics, "/readyz").await;
        answer.is_none_or(|answer| answer.status == 503).then_some(())
    })
    .await;
    let answer = busy.answer("GET").await;
    assert_eq!(answer.text(), "done");
    busy.closed().await;
    assert_eq!(program.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_drain_ends_when_its_time_is_over() {
    let server = upstream(Behaviour::stall()).await;
    let policy = format!("drain: {{ timeout: 200ms }}\n{}", policy_for(&server, "timeouts: { request: 10m }"));
    let mut program = program(&policy).await;
    let busy = client(&program).await;
    busy.send(GET).await;
    until(&server, |c| c.serving == 1).await;
    program.signal(Signal::Terminate);
    program.exit().await;
}

#[tokio::test]
async fn a_second_signal_forces_the_end() {
    let server = upstream(Behaviour::stall()).await;
    let policy = format!("drain: {{ timeout: 10m }}\n{}", policy_for(&server, "timeouts: { request: 10m }"));
    let mut program = program(&policy).await;
    let busy = client(&program).await;
    busy.send(GET).await;
    until(&server, |c| c.serving == 1).await;
    program.signal(Signal::Interrupt);
    let listen = program.listen();
    eventually("the listener closes", async || {
        outrigger::testing::Client::try_connect(listen).await.is_err().then_some(())
    })
    .await;
    program.signal(Signal::Terminate);
    program.exit().await;
}

#[tokio::test]
async fn a_policy_with_a_mistake_is_refused_at_start_with_its_line_and_the_right_word() {
    let mut program =
        Program::spawn(&executable(), "upstreams:\n  up:\n    url: http://127.0.0.1:1\n    timeuot: { request: 1s }\n");
    assert_eq!(program.exit().await.code(), Some(2));
    let stderr = program.stderr();
    // Four lines of prelude come before the text above.
    assert!(stderr.contains("policy.yaml:8"), "{stderr}");
    assert!(stderr.contains("timeuot") && stderr.contains("timeouts"), "{stderr}");
}

#[tokio::test]
async fn a_missing_policy_and_a_taken_address_are_reported_at_start() {
    let mut missing = Program::spawn_at(&executable(), "", "policy.yaml", |_, _| {});
    assert_eq!(missing.exit().await.code(), Some(2));
    assert!(missing.stderr().contains("policy.yaml"), "{}", missing.stderr());

    let server = upstream(Answer::ok("")).await;
    let policy = format!(
        "version: 1\nlisten: {}\nadmin: {{ listen: %admin% }}\nmetrics: {{ listen: %metrics% }}\n{}",
        server.address(),
        policy_for(&server, "")
    );
    let mut taken = Program::spawn(&executable(), &policy);
    let code = taken.exit().await.code();
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
    assert!(taken.stderr().contains(&server.address().to_string()), "{}", taken.stderr());
}
