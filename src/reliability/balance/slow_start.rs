//! Slow start: an endpoint that has just come gets little at first, and more each second.
//!
//! A fresh process has cold caches, an empty connection pool and code that is not compiled yet. The others keep what
//! they had: nobody gets more than twice an equal share because others are new (envoy issue 26290), and a set in which
//! all are new is not slowed at all.

use std::time::Duration;

/// The weight to begin with.
const FLOOR: f64 = 0.1;
/// An established endpoint gets at most so many times an equal share.
const SURGE_MAX: f64 = 2.0;

/// Weight of an endpoint `since` it came, of a slow start that takes `window`: Envoy's formula with aggression 1.
pub fn ramp(since: Duration, window: Duration) -> f64 {
    if since >= window {
        return 1.0;
    }
    (since.as_secs_f64() / window.as_secs_f64()).max(FLOOR)
}

/// What becomes of ramps in the company of the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Company {
    /// the highest ramp of all: where all are new, the oldest is the measure
    pub top: f64,
    /// how far weights are raised towards 1, so that the established ones do not surge
    pub lift: f64,
}

impl Company {
    /// `ramps` of those that take traffic. None = all weigh the same.
    pub fn of(ramps: impl Iterator<Item = f64> + Clone) -> Option<Company> {
        let top = ramps.clone().fold(0.0, f64::max);
        let (count, sum) = ramps.fold((0.0, 0.0), |(count, sum), ramp| (count + 1.0, sum + ramp / top));
        if top <= 0.0 || sum >= count - 1e-9 {
            return None;
        }
        let least = count / SURGE_MAX;
        let lift = if sum < least { (least - sum) / (count - sum) } else { 0.0 };
        Some(Company { top, lift })
    }

    /// Weight in this company, 0 to 1: the probability with which a draw is accepted.
    pub fn weight(&self, ramp: f64) -> f64 {
        let own = (ramp / self.top).min(1.0);
        own + (1.0 - own) * self.lift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    /// Shares of traffic that follow from ramps.
    fn shares(ramps: &[f64]) -> Vec<f64> {
        let company = Company::of(ramps.iter().copied());
        let weights: Vec<f64> = ramps.iter().map(|ramp| company.map_or(1.0, |company| company.weight(*ramp))).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).collect()
    }

    #[test]
    fn p6_the_ramp_is_envoys_with_aggression_1() {
        let at = |seconds| ramp(Duration::from_secs(seconds), WINDOW);
        assert_eq!((at(0), at(30), at(60)), (0.1, 0.5, 1.0));
        assert_eq!((at(3), at(90)), (0.1, 1.0));
        assert_eq!(ramp(Duration::ZERO, Duration::ZERO), 1.0);
    }

    #[test]
    fn a_set_in_which_all_are_new_is_not_slowed() {
        assert_eq!(Company::of([0.1; 5].into_iter()), None);
        assert_eq!(Company::of([1.0; 5].into_iter()), None);
        assert_eq!(Company::of(std::iter::empty()), None);
        // Nor one in which the first came a little before the others.
        let found = shares(&[0.12, 0.1, 0.1]);
        assert!(found.iter().all(|share| (share - 1.0 / 3.0).abs() < 0.05), "{found:?}");
    }

    #[test]
    fn who_came_first_among_the_new_does_not_surge() {
        for old in 1..=10 {
            for new in 0..=20 {
                for ramp in [0.1, 0.3, 0.7] {
                    let mut ramps = vec![1.0; old];
                    ramps.extend(vec![ramp; new]);
                    let fair = 1.0 / (old + new) as f64;
                    let found = shares(&ramps);
                    assert!(found[0] <= fair * SURGE_MAX + 1e-9, "{old} old, {new} new at {ramp}: {}", found[0]);
                    // Nor does anybody who was there before get more than before.
                    assert!(found[0] <= 1.0 / old as f64 + 1e-9);
                }
            }
        }
    }

    #[test]
    fn of_a_scale_out_from_3_to_6_the_new_ones_begin_with_a_tenth_of_what_an_old_one_gets() {
        let found = shares(&[1.0, 1.0, 1.0, 0.1, 0.1, 0.1]);
        assert!((found[0] / found[5] - 10.0).abs() < 1e-9, "{found:?}");
        assert!(found[0] < 1.0 / 3.0, "an old one never has more than before");
    }
}
