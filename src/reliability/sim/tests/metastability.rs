//! S1 to S4: who keeps a stalled server down.

use super::*;
use stall::{Cell, Scenario};

const RUNS_ON_280: Scenario = Scenario { rate: 280.0, cancel: false };
const CANCELLED_280: Scenario = Scenario { rate: 280.0, cancel: true };
const RUNS_ON_240: Scenario = Scenario { rate: 240.0, cancel: false };
const CANCELLED_240: Scenario = Scenario { rate: 240.0, cancel: true };

fn run(contender: &Contender, scenario: Scenario) -> Cell {
    stall::run(contender, scenario, 1, Instant::now())
}

#[test]
fn print_all() {
    for c in [
        Contender::none(),
        Contender::naive_once(),
        Contender::naive(),
        Contender::envoy(),
        Contender::finagle(),
        Contender::finagle_low_floor(),
        Contender::linkerd(),
        Contender::success_deposit(),
        Contender::grpc(),
        Contender::aws(),
        Contender::aws_before_2026(),
        Contender::outrigger(),
        Contender::outrigger_low_floor(),
    ] {
        for s in [RUNS_ON_280, CANCELLED_280, RUNS_ON_240, CANCELLED_240] {
            for seed in [1, 2] {
                let x = stall::run(&c, s, seed, Instant::now());
                print!("{:.2}/{:.2}/{:.3}/{:?}  ", x.stall, x.after, x.success, x.recovery.map_or(-1, |x| x as i32));
            }
        }
        println!("{}", c.name);
    }
}
