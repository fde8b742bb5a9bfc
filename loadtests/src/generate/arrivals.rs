//! When requests are to be sent.

use std::time::Duration;

use outrigger::reliability::entropy::{Entropy, SplitMix};

use crate::results::Mode;

/// Intended times since the beginning, rising; the same for the same seed. Empty for a closed loop.
pub fn arrivals(mode: Mode, rate: f64, duration: Duration, seed: u64) -> Vec<Duration> {
    let end = duration.as_secs_f64();
    let count = (rate * end * 1.1) as usize;
    let mut times = Vec::with_capacity(count);
    match mode {
        Mode::Closed => {}
        Mode::Constant => {
            let all = (rate * end).ceil() as u64;
            times.extend((0..all).map(|n| Duration::from_secs_f64(n as f64 / rate)).filter(|at| *at < duration));
        }
        Mode::Poisson => {
            let mut entropy = SplitMix::new(seed);
            let mut at = 0.0;
            loop {
                // 1 - u is never 0: `unit` stays below 1.
                at -= (1.0 - entropy.unit()).ln() / rate;
                if at >= end {
                    break;
                }
                times.push(Duration::from_secs_f64(at));
            }
        }
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    #[test]
    fn the_same_seed_gives_the_same_arrivals_and_another_seed_others() {
        let run = |seed| arrivals(Mode::Poisson, 300.0, TEN, seed);
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn poisson_arrivals_have_their_rate_and_exponential_gaps() {
        let times = arrivals(Mode::Poisson, 1_000.0, Duration::from_secs(100), 3);
        // Standard deviation of the count: 316.
        assert!((98_700..=101_300).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted());
        let long = times.windows(2).filter(|w| w[1] - w[0] > Duration::from_millis(1)).count();
        let share = long as f64 / times.len() as f64;
        assert!((share - (-1f64).exp()).abs() < 0.01, "P(gap > mean) is 1/e, found {share}");
    }

    #[test]
    fn constant_arrivals_have_equal_distances() {
        let times = arrivals(Mode::Constant, 4.0, Duration::from_secs(1), 0);
        assert_eq!(times, [0, 250, 500, 750].map(Duration::from_millis));
    }
}
