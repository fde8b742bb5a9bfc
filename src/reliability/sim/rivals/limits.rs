//! Small models of Netflix's concurrency-limits, from their published formulas: what ours is compared with.

/// A limit under comparison.
pub trait RivalLimit {
    /// One request has ended: its time in seconds, requests in flight when it began, whether it was dropped.
    fn on_sample(&mut self, rtt: f64, in_flight: f64, dropped: bool);

    /// Requests that may be in flight.
    fn limit(&self) -> f64;
}

/// `AIMDLimit`: a tenth off for a drop, one more for an answer while half of the limit is used.
#[derive(Debug)]
pub struct Aimd {
    /// The limit.
    pub limit: f64,
    /// What is slower is a drop, in seconds.
    pub timeout: f64,
    /// Least and most.
    pub range: (f64, f64),
}

impl RivalLimit for Aimd {
    fn on_sample(&mut self, rtt: f64, in_flight: f64, dropped: bool) {
        if dropped || rtt > self.timeout {
            self.limit = (self.limit * 0.9).floor();
        } else if in_flight * 2.0 >= self.limit {
            self.limit += 1.0;
        }
        self.limit = self.limit.clamp(self.range.0, self.range.1);
    }

    fn limit(&self) -> f64 {
        self.limit
    }
}

/// `VegasLimit` without probes.
#[derive(Debug)]
pub struct Vegas {
    limit: f64,
    max: f64,
    /// Fixed bounds of the queue, or None: 3 and 6 times the logarithm of the limit.
    bounds: Option<(f64, f64)>,
    smoothing: f64,
    decrease: fn(f64) -> f64,
    baseline: Option<f64>,
}

/// As the library does it: whole, and at least one.
fn log10(limit: f64) -> f64 {
    limit.max(1.0).log10().floor().max(1.0)
}

impl Vegas {
    /// With the defaults of the library.
    pub fn new(initial: f64, max: f64) -> Vegas {
        let decrease = |limit| limit - log10(limit);
        Vegas { limit: initial, max, bounds: None, smoothing: 1.0, decrease, baseline: None }
    }

    /// With fixed bounds of the queue.
    pub const fn bounds(mut self, alpha: f64, beta: f64) -> Vegas {
        self.bounds = Some((alpha, beta));
        self
    }

    /// With another way to fall.
    pub const fn decrease(mut self, smoothing: f64, decrease: fn(f64) -> f64) -> Vegas {
        self.smoothing = smoothing;
        self.decrease = decrease;
        self
    }
}

impl RivalLimit for Vegas {
    fn on_sample(&mut self, rtt: f64, in_flight: f64, dropped: bool) {
        let limit = self.limit;
        let baseline = match self.baseline {
            Some(known) if known <= rtt => known,
            // The first sample, and a faster one, only say what is possible.
            _ => {
                self.baseline = Some(rtt);
                return;
            }
        };
        let scale = log10(limit);
        let (alpha, beta) = self.bounds.unwrap_or((3.0 * scale, 6.0 * scale));
        let queued = (limit * (1.0 - baseline / rtt)).ceil();
        let next = if dropped {
            (self.decrease)(limit)
        } else if in_flight * 2.0 < limit {
            return;
        } else if queued <= scale {
            limit + beta
        } else if queued < alpha {
            limit + scale
        } else if queued > beta {
            (self.decrease)(limit)
        } else {
            return;
        };
        self.limit = (1.0 - self.smoothing) * limit + self.smoothing * next.clamp(1.0, self.max);
    }

    fn limit(&self) -> f64 {
        self.limit.floor()
    }
}

/// `ExpAvgMeasurement`: a plain mean while it warms up, then an exponential one.
#[derive(Debug)]
pub struct ExpAvg {
    window: f64,
    warm_up: f64,
    count: f64,
    sum: f64,
    /// The average.
    pub value: f64,
}

impl ExpAvg {
    /// Over `window` samples, the first `warm_up` of which are averaged.
    pub const fn new(window: f64, warm_up: f64) -> ExpAvg {
        ExpAvg { window, warm_up, count: 0.0, sum: 0.0, value: 0.0 }
    }

    /// One more.
    pub fn add(&mut self, sample: f64) -> f64 {
        if self.count < self.warm_up {
            self.count += 1.0;
            self.sum += sample;
            self.value = self.sum / self.count;
        } else {
            let factor = 2.0 / (self.window + 1.0);
            self.value = self.value * (1.0 - factor) + sample * factor;
        }
        self.value
    }
}

/// `Gradient2Limit`: the limit follows the ratio of a long average of latency to the last one.
#[derive(Debug)]
pub struct Gradient2 {
    limit: f64,
    range: (f64, f64),
    long: ExpAvg,
}

impl Gradient2 {
    /// Initial, least and most: 20, 20, 200 in the library.
    pub const fn new(initial: f64, range: (f64, f64)) -> Gradient2 {
        Gradient2 { limit: initial, range, long: ExpAvg::new(600.0, 10.0) }
    }
}

impl RivalLimit for Gradient2 {
    fn on_sample(&mut self, rtt: f64, in_flight: f64, _dropped: bool) {
        let long = self.long.add(rtt);
        if long / rtt > 2.0 {
            self.long.value *= 0.95;
        }
        if in_flight < self.limit / 2.0 {
            return;
        }
        let gradient = (1.5 * long / rtt).clamp(0.5, 1.0);
        let next = self.limit * gradient + 4.0;
        self.limit = (self.limit * 0.8 + next * 0.2).clamp(self.range.0, self.range.1);
    }

    fn limit(&self) -> f64 {
        self.limit.floor()
    }
}

/// Partitions of a limit: each has its share for certain, and borrows only while the whole is not full.
#[derive(Debug)]
pub struct Partitions {
    limit: u32,
    /// Guaranteed, and in use.
    parts: Vec<(u32, u32)>,
}

impl Partitions {
    /// `shares` of `limit`, rounded up, at least one each.
    pub fn new(limit: u32, shares: &[f64]) -> Partitions {
        let part = |share: &f64| ((f64::from(limit) * share).ceil().max(1.0) as u32, 0);
        Partitions { limit, parts: shares.iter().map(part).collect() }
    }

    /// A slot for one partition.
    pub fn acquire(&mut self, part: usize) -> bool {
        let used: u32 = self.parts.iter().map(|(_, used)| used).sum();
        let Some((share, mine)) = self.parts.get_mut(part) else { return false };
        let granted = used < self.limit || *mine < *share;
        *mine += u32::from(granted);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASELINE: f64 = 0.010;

    #[test]
    fn l1_a_drop_takes_a_tenth_off() {
        let mut aimd = Aimd { limit: 30.0, timeout: 5.0, range: (20.0, 200.0) };
        aimd.on_sample(0.001, 1.0, true);
        assert_eq!(aimd.limit(), 27.0);
        aimd.on_sample(0.001, 14.0, false);
        assert_eq!(aimd.limit(), 28.0);
        aimd.on_sample(0.001, 13.0, false);
        assert_eq!(aimd.limit(), 28.0, "less than half is used");
    }

    #[test]
    fn l2_vegas_rises_falls_and_holds() {
        for (rtt, in_flight, expected) in [(BASELINE, 11.0, 16.0), (0.050, 11.0, 9.0), (0.014, 14.0, 10.0)] {
            let mut vegas = Vegas::new(10.0, 20.0).bounds(3.0, 6.0);
            vegas.on_sample(BASELINE, 1.0, false);
            assert_eq!(vegas.limit(), 10.0);
            vegas.on_sample(rtt, in_flight, false);
            assert_eq!(vegas.limit(), expected, "{rtt}");
        }
    }

    #[test]
    fn l3_vegas_rises_by_six_logarithms_of_a_large_limit() {
        let mut vegas = Vegas::new(10_000.0, 20_000.0);
        vegas.on_sample(BASELINE, 5_000.0, false);
        vegas.on_sample(BASELINE, 6_000.0, false);
        assert_eq!(vegas.limit(), 10_024.0);
    }

    #[test]
    fn l4_a_fall_by_half_is_smoothed_and_an_average_warms_up() {
        for (smoothing, expected) in [(0.5, [75.0, 56.0]), (1.0, [50.0, 25.0])] {
            let mut vegas = Vegas::new(100.0, 200.0).decrease(smoothing, |limit| limit / 2.0);
            vegas.on_sample(BASELINE, 100.0, false);
            for limit in expected {
                vegas.on_sample(BASELINE, 100.0, true);
                assert_eq!(vegas.limit(), limit);
            }
        }
        let mut average = ExpAvg::new(100.0, 10.0);
        for n in 0..10 {
            let expected = 10.0 + f64::from(n) / 2.0;
            assert!((average.add(10.0 + f64::from(n)) - expected).abs() < 0.1);
        }
        assert!((average.add(100.0) - 16.2).abs() < 0.1);
    }

    #[test]
    fn l5_partitions_have_their_share_and_borrow_while_there_is_room() {
        let grants = |partitions: &mut Partitions, part| (0..100).filter(|_| partitions.acquire(part)).count();
        let mut both = Partitions::new(10, &[0.3, 0.7]);
        assert_eq!((0..3).filter(|_| both.acquire(0)).count(), 3);
        assert_eq!(grants(&mut both, 1), 7);
        assert!(!both.acquire(0));
        let mut batch_first = Partitions::new(10, &[0.3, 0.7]);
        assert_eq!(grants(&mut batch_first, 0), 10, "batch alone takes all");
        assert_eq!(grants(&mut batch_first, 1), 7, "live still gets what it was promised");
    }

    #[test]
    fn gradient2_grows_while_latency_is_flat_and_halves_at_most() {
        let mut limit = Gradient2::new(20.0, (20.0, 200.0));
        (0..1_000).for_each(|_| limit.on_sample(BASELINE, limit.limit, false));
        assert_eq!(limit.limit(), 200.0);
        limit.on_sample(10.0 * BASELINE, 200.0, false);
        // 0.8 x 200 + 0.2 x (200 x 0.5 + 4)
        assert!((limit.limit - 180.8).abs() < 0.1, "{}", limit.limit);
    }
}
