//! How long to wait before a retry.

use super::entropy::Entropy;
use std::time::Duration;

/// How a delay is spread, so that clients which failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// `U(0, v)`: the fewest calls under contention. The default.
    Full,
    /// `v/2 + U(0, v/2)`: never retries at once.
    Equal,
    /// `v` itself. For tests and for upstreams that spread their callers themselves.
    None,
}

/// `retry.backoff`, `retry.maxBackoff`, `retry.jitter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Delay before the first retry, before jitter; doubles with each. Default 25 ms.
    pub base: Duration,
    /// The delay never grows beyond this. Default 250 ms.
    pub cap: Duration,
    /// How the delay is spread.
    pub jitter: Jitter,
    /// `base` after an overload answer (429, or 503 with Retry-After). Default 250 ms.
    pub overload_base: Duration,
    /// `cap` after an overload answer. Default 2 s.
    pub overload_cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            base: Duration::from_millis(25),
            cap: Duration::from_millis(250),
            jitter: Jitter::Full,
            overload_base: Duration::from_millis(250),
            overload_cap: Duration::from_secs(2),
        }
    }
}

impl Backoff {
    /// The delay before retry number `retries + 1`.
    ///
    /// `hint` is the server's Retry-After (the caller caps it at 300 s). It is a minimum: 0 to 10 % are
    /// added, never taken away, because a server that names a time expects nobody before it.
    pub fn delay(&self, retries: u32, overload: bool, hint: Option<Duration>, entropy: &mut impl Entropy) -> Duration {
        let (base, cap) = if overload { (self.overload_base, self.overload_cap) } else { (self.base, self.cap) };
        let ceiling = base.saturating_mul(1u32 << retries.min(31)).min(cap);
        let delay = match self.jitter {
            Jitter::Full => share(ceiling, entropy),
            Jitter::Equal => ceiling / 2 + share(ceiling / 2, entropy),
            Jitter::None => ceiling,
        };
        match hint {
            Some(hint) => {
                let least = delay.max(hint);
                least.saturating_add(share(least / 10, entropy))
            }
            None => delay,
        }
    }
}

/// Uniform in `[0, whole)`. In integers: a huge configured delay must not panic in a float conversion.
fn share(whole: Duration, entropy: &mut impl Entropy) -> Duration {
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(((u128::from(entropy.next_u64()) * u128::from(nanos)) >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::entropy::SplitMix;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn samples(backoff: Backoff, retries: u32) -> (Duration, Duration, Duration) {
        let mut entropy = SplitMix::new(4);
        let all: Vec<_> = (0..20_000).map(|_| backoff.delay(retries, false, None, &mut entropy)).collect();
        let (Some(low), Some(high)) = (all.iter().min(), all.iter().max()) else { unreachable!() };
        (*low, *high, all.iter().sum::<Duration>() / 20_000)
    }

    #[test]
    fn full_jitter_is_uniform_from_zero_to_the_doubling_ceiling() {
        for (retries, ceiling) in [(0, 25), (1, 50), (2, 100), (3, 200), (4, 250), (40, 250)] {
            let (low, high, mean) = samples(Backoff::default(), retries);
            assert!(low < MS && high < ceiling * MS && high > ceiling * MS * 99 / 100);
            let half = ceiling * MS / 2;
            assert!(mean.abs_diff(half) < half / 50, "{retries}: {mean:?}");
        }
    }

    #[test]
    fn equal_jitter_keeps_half_and_none_keeps_all() {
        let (low, high, _) = samples(Backoff { jitter: Jitter::Equal, ..Backoff::default() }, 1);
        assert!(low >= 25 * MS && high < 50 * MS);
        let (low, high, _) = samples(Backoff { jitter: Jitter::None, ..Backoff::default() }, 1);
        assert_eq!((low, high), (50 * MS, 50 * MS));
    }

    #[test]
    fn overload_has_a_longer_backoff_of_its_own() {
        let fixed = Backoff { jitter: Jitter::None, ..Backoff::default() };
        let mut entropy = SplitMix::new(1);
        let delays: Vec<_> = (0..5).map(|n| fixed.delay(n, true, None, &mut entropy).as_millis()).collect();
        assert_eq!(delays, [250, 500, 1000, 2000, 2000]);
    }

    #[test]
    fn a_hint_never_shortens_the_backoff() {
        let fixed = Backoff { jitter: Jitter::None, ..Backoff::default() };
        let delay = fixed.delay(3, false, Some(MS), &mut SplitMix::new(1));
        assert!((200 * MS..=220 * MS).contains(&delay), "{delay:?}");
    }

    proptest! {
        #[test]
        fn a_hint_is_never_undercut_and_exceeded_by_ten_percent_at_most(
            hint in 0u32..300_000, retries in 0u32..12, overload: bool, seed: u64,
        ) {
            let hint = hint * MS;
            let backoff = Backoff::default();
            let delay = backoff.delay(retries, overload, Some(hint), &mut SplitMix::new(seed));
            let cap = if overload { backoff.overload_cap } else { backoff.cap };
            prop_assert!(delay >= hint);
            prop_assert!(delay <= hint.max(cap) * 11 / 10);
        }

        #[test]
        fn no_configuration_overflows(base: u64, cap: u64, retries: u32, hint: u64, seed: u64) {
            let huge = Backoff {
                base: Duration::from_secs(base), cap: Duration::from_secs(cap), ..Backoff::default()
            };
            let delay = huge.delay(retries, false, Some(Duration::from_secs(hint)), &mut SplitMix::new(seed));
            prop_assert!(delay >= Duration::from_secs(hint));
        }
    }
}
