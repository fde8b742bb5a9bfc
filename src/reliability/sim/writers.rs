//! Model M3: contending writers, after the simulator behind AWS's advice on jitter.
//!
//! Each client reads a version and writes it back; the write wins only if nobody wrote in between. All
//! start at once, so the backoff alone decides how fast the crowd disperses.

use super::{Timeline, normal_ms};
use crate::reliability::backoff::{Backoff, Jitter};
use crate::reliability::entropy::{Entropy, SplitMix};
use std::time::Duration;

/// How long a client waits after a lost write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Not at all.
    Zero,
    /// Our own backoff with this jitter.
    Ours(Jitter),
    /// `min(cap, U(base, 3 * previous))`: needs state, and buys nothing at one or two retries.
    Decorrelated,
}

/// First delay before jitter.
const BASE: Duration = Duration::from_millis(5);
/// Largest delay before jitter.
const CAP: Duration = Duration::from_secs(2);

/// Result of one run, or the mean of several.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Milliseconds until the last client has written.
    pub time_ms: f64,
    /// Writes tried, over all clients.
    pub calls: f64,
}

#[derive(Clone, Copy)]
enum Event {
    /// A read reaches the server.
    Read(usize),
    /// A write of what was read as this version reaches the server.
    Write(usize, u64),
    /// The answer to a write is back: won or lost.
    Answer(usize, bool),
}

/// Mean over `runs` runs with `clients` clients each.
pub fn run(clients: usize, delay: Delay, runs: u32, seed: u64) -> Cell {
    let mut entropy = SplitMix::new(seed);
    let mut sum = Cell { time_ms: 0.0, calls: 0.0 };
    for _ in 0..runs {
        let cell = run_once(clients, delay, &mut entropy);
        sum.time_ms += cell.time_ms;
        sum.calls += cell.calls;
    }
    Cell { time_ms: sum.time_ms / f64::from(runs), calls: sum.calls / f64::from(runs) }
}

fn run_once(clients: usize, delay: Delay, entropy: &mut impl Entropy) -> Cell {
    let mut timeline = Timeline::default();
    let mut failures = vec![0u32; clients];
    let mut previous = vec![BASE; clients];
    let (mut version, mut calls, mut last) = (0u64, 0u32, Duration::ZERO);
    for client in 0..clients {
        timeline.at(trip(entropy), Event::Read(client));
    }
    while let Some((now, event)) = timeline.pop() {
        match event {
            // There and back, and on again with the write.
            Event::Read(client) => timeline.at(now + trip(entropy) + trip(entropy), Event::Write(client, version)),
            Event::Write(client, read) => {
                calls += 1;
                let won = read == version;
                version += u64::from(won);
                timeline.at(now + trip(entropy), Event::Answer(client, won));
            }
            Event::Answer(_, true) => last = now,
            Event::Answer(client, false) => {
                failures[client] += 1;
                let wait = match delay {
                    Delay::Zero => Duration::ZERO,
                    Delay::Ours(jitter) => {
                        let backoff = Backoff { base: BASE, cap: CAP, jitter, ..Backoff::default() };
                        backoff.delay(failures[client], false, None, entropy)
                    }
                    Delay::Decorrelated => decorrelated(previous[client], entropy),
                };
                previous[client] = wait;
                timeline.at(now + wait + trip(entropy), Event::Read(client));
            }
        }
    }
    Cell { time_ms: last.as_secs_f64() * 1000.0, calls: f64::from(calls) }
}

/// The next decorrelated delay.
pub fn decorrelated(previous: Duration, entropy: &mut impl Entropy) -> Duration {
    let high = previous.as_secs_f64() * 3.0;
    Duration::from_secs_f64(entropy.between(BASE.as_secs_f64(), high)).min(CAP)
}

fn trip(entropy: &mut impl Entropy) -> Duration {
    normal_ms(10.0, 2.0, entropy)
}
