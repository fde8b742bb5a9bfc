//! Model M1: failures that just are. One sidecar, attempts that take no time, no backoff.
//!
//! It shows what a policy costs when nothing gets worse by retrying, and what it buys.

use super::client::{Contender, Job, Move};
use super::exponential;
use crate::reliability::backoff::{Backoff, Jitter};
use crate::reliability::classify::Outcome;
use crate::reliability::efficacy::Helpfulness;
use crate::reliability::entropy::{Entropy, SplitMix};
use std::time::{Duration, Instant};

/// Requests per second.
const RATE: f64 = 14.0;
/// Seconds simulated, and how many of them are discarded.
const HORIZON: f64 = 360.0;
const WARM_UP: f64 = 60.0;

/// One column of the table.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Share of first attempts that fail.
    pub first_fails: f64,
    /// Share of retries that fail.
    pub retry_fails: f64,
}

impl Scenario {
    /// Every attempt fails with the same probability.
    pub const fn all(fails: f64) -> Self {
        Scenario { first_fails: fails, retry_fails: fails }
    }

    /// A part of the endpoints is dead and a retry goes elsewhere.
    pub const fn elsewhere(fails: f64) -> Self {
        Scenario { first_fails: fails, retry_fails: 0.0 }
    }
}

/// One cell of the table.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Attempts per request.
    pub amplification: f64,
    /// Share of requests that succeeded in the end.
    pub success: f64,
    /// Retries, and how many of them succeeded.
    pub retries: u64,
    /// Retries that turned a failure into a success.
    pub rescued: u64,
    /// Whether its retries help, as Outrigger sees it at the end; None of others.
    pub helpfulness: Option<Helpfulness>,
}

/// Runs one cell.
pub fn run(contender: &Contender, scenario: Scenario, seed: u64, start: Instant) -> Cell {
    let backoff = Backoff { base: Duration::ZERO, cap: Duration::ZERO, jitter: Jitter::None, ..Backoff::default() };
    let policy = contender.policy(backoff);
    let mut sidecar = contender.sidecar(start);
    let (mut arrivals, mut fates) = (SplitMix::new(seed), SplitMix::new(seed ^ 0x5EED));
    let mut jitter = SplitMix::new(!seed);
    let (mut requests, mut attempts, mut succeeded, mut rescued) = (0u64, 0u64, 0u64, 0u64);
    let mut now = Duration::ZERO;
    loop {
        now += exponential(RATE, &mut arrivals);
        if now.as_secs_f64() >= HORIZON {
            break;
        }
        let mut job = Job::new(&policy, Duration::from_secs(1), now, &sidecar);
        let (mut sent, mut success) = (0u64, false);
        while job.next(now, &mut sidecar, &mut jitter) == Move::Send {
            let fails = if sent == 0 { scenario.first_fails } else { scenario.retry_fails };
            sent += 1;
            success = fates.unit() >= fails;
            let outcome = Outcome::answered(if success { 200 } else { 503 });
            job.ended(now, outcome, Duration::ZERO, &mut sidecar, &mut jitter);
        }
        if now.as_secs_f64() >= WARM_UP {
            requests += 1;
            attempts += sent;
            succeeded += u64::from(success);
            rescued += u64::from(success && sent > 1);
        }
    }
    let per_request = |count: u64| count as f64 / requests.max(1) as f64;
    Cell {
        amplification: per_request(attempts),
        success: per_request(succeeded),
        retries: attempts - requests,
        rescued,
        helpfulness: sidecar.helpfulness(now),
    }
}
