//! A collector that is away, slow or silent touches no traffic.

use std::time::{Duration, Instant};

use outrigger::faults::Answer;
use outrigger::testing::{BOUND, Load, Program, Signal, free_address};

use super::collector::Collector;
use super::{get, policy, soon};
use crate::stage::{executable, upstream};

#[tokio::test]
async fn while_no_collector_listens_traffic_flows_and_the_loss_is_counted_and_told_once() {
    let server = upstream(Answer::ok("")).await;
    let collector = Collector::start_on(free_address()).await;
    let text = policy(&collector, "", &server.url(), "");
    drop(collector);
    let mut environment = soon();
    environment.push(("OTEL_BSP_EXPORT_TIMEOUT", "100".to_owned()));
    let program = Program::start_in(&executable(), &text, environment).await;
    for _ in 0..3 {
        assert_eq!(get(&program, "").await.status, 200);
        let lost =
            |m: &outrigger::testing::Metrics| m.sum("outrigger_spans_dropped_total", &[("reason", "export-failed")]);
        let before = lost(&program.metrics().await);
        program.metrics_when("another loss", |m| lost(m) > before || lost(m) >= 6.0).await;
    }
    assert_eq!(program.stderr().matches("\"export-failed\"").count(), 1, "{}", program.stderr());
    assert!(program.metrics().await.sum("outrigger_span_exports_failed_total", &[]) >= 1.0);
}

#[tokio::test]
async fn a_silent_collector_costs_spans_and_not_time() {
    let server = upstream(Answer::ok("")).await;
    let collector = Collector::start().await;
    collector.hang();
    let mut environment = soon();
    environment.push(("OTEL_BSP_MAX_QUEUE_SIZE", "64".to_owned()));
    let policy = policy(&collector, "", &server.url(), "");
    let mut program = Program::start_in(&executable(), &policy, environment).await;
    let load = Load::start(program.listen(), 4, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let full =
        |m: &outrigger::testing::Metrics| m.sum("outrigger_spans_dropped_total", &[("reason", "queue-full")]) > 100.0;
    program.metrics_when("a full queue", full).await;
    let report = load.stop().await;
    assert_eq!((report.failed, report.answers()), (0, report.with(200)), "{:?}", report.failures);
    assert_eq!(program.metrics().await.sum("outrigger_spans_exported_total", &[]), 0.0);
    // The end waits for it two seconds, and no longer.
    let began = Instant::now();
    program.signal(Signal::Terminate);
    assert!(program.exit().await.success());
    assert!(began.elapsed() < BOUND / 2, "{:?}", began.elapsed());
    assert!(began.elapsed() >= Duration::from_secs(2), "it was given its chance: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_collector_that_is_busy_gets_its_batch_later() {
    let server = upstream(Answer::ok("")).await;
    let collector = Collector::start().await;
    collector.answer(&[503]);
    let program = Program::start_in(&executable(), &policy(&collector, "", &server.url(), ""), soon()).await;
    get(&program, "").await;
    collector.spans(2).await;
    assert_eq!(collector.requests(), 2);
    assert_eq!(program.metrics().await.sum("outrigger_span_exports_failed_total", &[]), 1.0);
}

/// CPU time per request in three settings; run by hand with OUTRIGGER_UNDER_TEST=a release build.
#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn measure() {
    let server = upstream(Answer::ok("hello")).await;
    let collector = Collector::start().await;
    let plain = format!("upstreams: {{ up: {{ url: '{}' }} }}\n", server.url());
    let none = policy(&collector, ", sampleRatio: 0.0", &server.url(), "");
    let all = policy(&collector, ", sampleRatio: 1.0", &server.url(), "");
    for round in 0..3 {
        for (name, text) in [("off", &plain), ("ratio 0", &none), ("ratio 1", &all)] {
            let environment = vec![("OTEL_BSP_MAX_QUEUE_SIZE", "100000".to_owned())];
            let program = Program::start_in(&executable(), text, environment).await;
            let request = "GET /item/1 HTTP/1.1\r\nHost: a\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n";
            Load::run(program.listen(), 4, 500, request).await;
            let cpu = async || program.metrics().await.sum("process_cpu_seconds_total", &[]);
            let before = cpu().await;
            Load::run(program.listen(), 4, 10_000, request).await;
            let each = (cpu().await - before) / 40_000.0 * 1e6;
            let metrics = program.metrics().await;
            let (out, lost) = ("outrigger_spans_exported_total", "outrigger_spans_dropped_total");
            println!(
                "{round} {name}: {each:.1} us, {} exported, {} dropped",
                metrics.sum(out, &[]),
                metrics.sum(lost, &[])
            );
        }
    }
}
