//! Randomness as an argument.

/// A source of uniform random numbers. Two implementations: the process's generator (seeded from the
/// system) and [`SplitMix`] with a fixed seed for tests and simulation.
pub trait Entropy {
    /// 64 uniform random bits.
    fn next_u64(&mut self) -> u64;

    /// Uniform in `[0, 1)`.
    fn unit(&mut self) -> f64 {
        // 53 bits: the precision of f64, so that 1.0 is never reached.
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `[low, high)`; `low` if the range is empty.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low).max(0.0) * self.unit()
    }

    /// Uniform in `0..n`; 0 if `n` is 0.
    fn below(&mut self, n: usize) -> usize {
        // Multiply-shift (Lemire): no division, bias below 2^-32 for n < 2^32.
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, good enough for jitter and balancing.
#[derive(Clone, Debug)]
pub struct SplitMix(u64);

impl SplitMix {
    /// The same seed gives the same numbers.
    pub const fn new(seed: u64) -> Self {
        SplitMix(seed)
    }
}

impl Entropy for SplitMix {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u64);
    impl Entropy for Fixed {
        fn next_u64(&mut self) -> u64 {
            self.0
        }
    }

    #[test]
    fn both_ends_of_the_generator_stay_in_range() {
        assert_eq!(Fixed(0).unit(), 0.0);
        assert!(Fixed(u64::MAX).unit() < 1.0);
        assert_eq!(Fixed(u64::MAX).below(7), 6);
        assert_eq!(Fixed(0).below(7), 0);
        assert_eq!(Fixed(u64::MAX).below(0), 0);
        assert_eq!(Fixed(5).between(2.0, 1.0), 2.0);
    }
}
