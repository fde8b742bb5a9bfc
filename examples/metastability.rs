//! How much load do retries add, and does the system come back? In virtual time, in seconds.
//!
//! ```text
//! cargo run --release --no-default-features --example metastability
//! ```

use outrigger::reliability::sim::client::Contender;
use outrigger::reliability::sim::{stall, steady};
use std::time::Instant;

const STEADY_SEED: u64 = 3;
const STALL_SEED: u64 = 1;

#[expect(clippy::disallowed_methods, reason = "how long the simulation itself takes")]
fn main() {
    let start = Instant::now();
    let contenders = [
        Contender::none(),
        Contender::naive(),
        Contender::grpc(),
        Contender::aws(),
        Contender::envoy(),
        Contender::finagle(),
        Contender::linkerd(),
        Contender::outrigger(),
    ];
    print_steady(&contenders, start);
    println!();
    print_stall(&contenders, start);
}

/// Attempts per request / percent of requests that succeed.
fn print_steady(contenders: &[Contender], start: Instant) {
    println!("Steady failures: 14 rps from one sidecar, up to 3 retries");
    println!("attempts per request / success in %; p = share of attempts that fail");
    println!("(attempts take no time here, so a limit on concurrency such as Envoy's never binds)");
    println!();
    let shares = [0.05, 0.1, 0.2, 0.33, 0.5, 1.0];
    print!("{:<20}", "");
    for share in shares {
        print!("{:>12}", format!("p = {:.0} %", share * 100.0));
    }
    println!("{:>24}", "1/3 dead, others well");
    for contender in contenders {
        print!("{:<20}", contender.name);
        for share in shares {
            print!("{:>12}", steady_cell(contender, steady::Scenario::all(share), start));
        }
        println!("{:>24}", steady_cell(contender, steady::Scenario::elsewhere(1.0 / 3.0), start));
    }
}

fn steady_cell(contender: &Contender, scenario: steady::Scenario, start: Instant) -> String {
    let cell = steady::run(contender, scenario, STEADY_SEED, start);
    format!("{:.2}/{:.1}", cell.amplification, cell.success * 100.0)
}

/// Amplification during and after the stall, success long after it, and when it is over.
fn print_stall(contenders: &[Contender], start: Instant) {
    println!("Stall: 240 rps on a server for 300 rps, which stands still for 10 s; 20 sidecars");
    println!("attempts per request during the stall / in the 20 s after it, success 100 s after it,");
    println!("seconds until 95 % of requests succeed again");
    println!();
    println!("{:<20}{:>36}{:>36}", "", "timed-out work runs on", "timed-out work is cancelled");
    for contender in contenders {
        print!("{:<20}", contender.name);
        for cancel in [false, true] {
            let cell = stall::run(contender, stall::Scenario { rate: 240.0, cancel }, STALL_SEED, start);
            let recovery = cell.recovery.map_or("never".to_owned(), |seconds| format!("{seconds} s"));
            let text = format!("{:.2} / {:.2}  {:>5.1} %  {recovery:>6}", cell.stall, cell.after, cell.success * 100.0);
            print!("{text:>36}");
        }
        println!();
    }
}
