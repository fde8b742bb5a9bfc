//! Jitter of others: where their delays lie.

use crate::reliability::entropy::{Entropy, SplitMix};

/// gRPC (gRFC A6): a factor around the exponential.
fn grpc(initial: f64, multiplier: f64, max: f64, retry: i32, entropy: &mut impl Entropy) -> f64 {
    (initial * multiplier.powi(retry)).min(max) * entropy.between(0.8, 1.2)
}

/// Polly, simple: a quarter to either side.
fn polly_simple(delay: f64, entropy: &mut impl Entropy) -> f64 {
    delay * entropy.between(0.75, 1.25)
}

/// Polly, DecorrelatedJitterV2: differences of a smooth curve at a random place of each step, scaled so that the median
/// stays where the exponential is.
struct PollyV2 {
    before: f64,
}

impl PollyV2 {
    fn delay(&mut self, base: f64, retry: i32, entropy: &mut impl Entropy) -> f64 {
        let t = f64::from(retry) + entropy.unit();
        let curve = t.exp2() * (4.0 * t).sqrt().tanh();
        let step = (curve - self.before).max(0.0);
        self.before = curve;
        step * base / 1.4
    }
}

/// Least and most of many.
fn range(mut sample: impl FnMut(&mut SplitMix) -> f64) -> (f64, f64) {
    let mut entropy = SplitMix::new(4);
    (0..20_000).map(|_| sample(&mut entropy)).fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)))
}

fn fills(found: (f64, f64), low: f64, high: f64) -> bool {
    let slack = (high - low) / 100.0;
    found.0 >= low && found.1 <= high && found.0 < low + slack && found.1 > high - slack
}

#[test]
fn j4_grpc_spreads_by_a_fifth_and_polly_by_a_quarter() {
    for (retry, expected) in [(0, 1.0), (1, 1.6), (2, 2.56), (20, 120.0)] {
        let found = range(|entropy| grpc(1.0, 1.6, 120.0, retry, entropy));
        assert!(fills(found, 0.8 * expected, 1.2 * expected), "{retry}: {found:?}");
    }
    let found = range(|entropy| polly_simple(2.0, entropy));
    assert!(fills(found, 1.5, 2.5), "{found:?}");
}

#[test]
fn j4_pollys_second_decorrelated_jitter_stays_below_four_times_the_exponential() {
    let (mut entropy, mut longest) = (SplitMix::new(4), [0.0f64; 6]);
    for _ in 0..20_000 {
        let mut v2 = PollyV2 { before: 0.0 };
        for (retry, longest) in (0i32..).zip(&mut longest) {
            let delay = v2.delay(1.0, retry, &mut entropy);
            assert!(delay >= 0.0 && delay < 4.0 * f64::from(retry).exp2(), "{retry}: {delay}");
            *longest = longest.max(delay);
        }
    }
    assert!(longest.windows(2).all(|pair| pair[1] > 1.5 * pair[0]), "it grows: {longest:?}");
}
