//! costs in time next to the same request sent directly.
//!
//! `cargo bench --bench request_path` measures (a minute); without `--bench` it runs a few requests only, to
//! prove that it works. Times are wall clock on this machine: compare the lines of one run with each other.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a bench reads the clock, and ends if it cannot run"
)]

use std::time::{Duration, Instant};

use outrigger::faults::{Answer, Behaviour, FaultServer, Mode, Script};
use outrigger::testing::{Client, Load, Program, Report};

/// `timeouts.request` of the black holes.
const DEADLINE: Duration = Duration::from_millis(200);
const GET: &str = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

fn main() {
    let full = std::env::args().any(|arg| arg == "--bench");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        black_holes(if full { 60 } else { 2 }).await;
        added_time(if full { 20_000 } else { 20 }).await;
    });
}

async fn program(server: &FaultServer, block: &str) -> Program {
    let policy = format!("upstreams:\n  up:\n    url: {}\n    {block}\n", server.url());
    // As the tests: another build may be named.
    let built = || env!("CARGO_BIN_EXE_outrigger").to_owned();
    Program::start(&std::env::var("OUTRIGGER_UNDER_TEST").unwrap_or_else(|_| built()), &policy).await
}

/// 16 clients at once, each asking again and again for an answer that never comes.
async fn black_holes(each: u64) {
    println!("lateness of the 504 behind a deadline of {} ms", DEADLINE.as_millis());
    let block = format!("timeouts: {{ request: {0}ms, connect: {0}ms }}", DEADLINE.as_millis());
    for (name, mode) in [("no answer", Mode::Accept), ("no connection", Mode::BlackHole)] {
        let server = FaultServer::start(Script::from(Behaviour::stall())).await.expect("an upstream");
        server.mode(mode).await.expect("the mode");
        let program = program(&server, &block).await;
        let report = Load::run(program.listen(), 16, each, GET).await;
        report.assert_all(504);
        let late = |share| report.quantile(share).saturating_sub(DEADLINE);
        print_row(name, &report, late(0.5), late(0.99), late(1.0));
    }
}

/// One client, one request after the other.
async fn added_time(requests: u64) {
    println!("time of one GET over a kept connection, one at a time");
    let server = FaultServer::start(Script::from(Answer::ok("hello"))).await.expect("an upstream");
    let program = program(&server, "retry: { attempts: 2 }\n    circuitBreaker: {}").await;
    // Interleaved, so that both meet the same machine.
    for _ in 0..2 {
        for (name, address) in [("direct", server.address()), ("through outrigger", program.listen())] {
            let report = sequential(address, requests / 2).await;
            print_row(name, &report, report.quantile(0.5), report.quantile(0.99), report.quantile(0.999));
        }
    }
}

async fn sequential(address: std::net::SocketAddr, requests: u64) -> Report {
    let mut client = Client::connect(address).await;
    let mut report = Report::default();
    for _ in 0..requests {
        let begin = Instant::now();
        let status = client.get("/").await.status;
        report.latencies.push(begin.elapsed());
        *report.statuses.entry(status).or_default() += 1;
    }
    report.assert_all(200);
    report
}

fn print_row(name: &str, report: &Report, p50: Duration, p99: Duration, top: Duration) {
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    println!(
        "  {name:<18} {:>6} requests   p50 {:>7.3} ms   p99 {:>7.3} ms   worst {:>7.3} ms",
        report.answers(),
        ms(p50),
        ms(p99),
        ms(top)
    );
}
