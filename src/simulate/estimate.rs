//! What several runs say together: a mean, and how far it can be trusted.

use serde::Serialize;

/// Of the t distribution, two sides, 95 %: by degrees of freedom, from 1 on.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// Beyond the table.
const NORMAL: f64 = 1.960;

/// A mean and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Of the runs that had a value.
    pub mean: f64,
    /// Half the width of the interval; `None` of a single run.
    pub plus_minus: Option<f64>,
}

impl Estimate {
    /// None = no run had a value.
    pub fn of(values: &[f64]) -> Option<Estimate> {
        let count = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count;
        let freedom = values.len() - 1;
        if freedom == 0 {
            return Some(Estimate { mean, plus_minus: None });
        }
        let spread = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / freedom as f64;
        let student = STUDENT.get(freedom - 1).copied().unwrap_or(NORMAL);
        Some(Estimate { mean, plus_minus: Some(student * (spread / count).sqrt()) })
    }

    /// Whether zero lies outside of the interval: of a difference, whether there is one.
    pub fn is_clear(&self) -> bool {
        self.plus_minus.is_some_and(|half| self.mean.abs() > half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_t_distribution() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        // s = 1.29099, t(3) = 3.182.
        assert!((estimate.mean - 2.5).abs() < 1e-12 && (estimate.plus_minus.unwrap() - 2.054).abs() < 1e-3);
        assert!(estimate.is_clear());
        assert!(!Estimate::of(&[-1.0, 2.0, 3.0, -4.0]).unwrap().is_clear());
    }

    #[test]
    fn one_run_says_nothing_of_chance_and_none_says_nothing() {
        assert_eq!(Estimate::of(&[2.0]), Some(Estimate { mean: 2.0, plus_minus: None }));
        assert!(!Estimate::of(&[2.0]).unwrap().is_clear());
        assert_eq!(Estimate::of(&[]), None);
    }
}
