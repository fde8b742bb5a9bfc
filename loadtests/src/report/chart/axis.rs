//! Scales and their ticks.

use crate::report::metric::fixed;

/// A scale with ticks, bounded on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub min: f64,
    pub max: f64,
    /// Logarithmic; both bounds are above 0 then.
    pub log: bool,
    pub ticks: Vec<(f64, String)>,
    pub unit: String,
}

impl Axis {
    /// Where a value lies: 0.0 at the minimum, 1.0 at the maximum, never outside.
    pub fn place(&self, value: f64) -> f64 {
        let (value, min, max) =
            if self.log { (value.max(1e-300).ln(), self.min.ln(), self.max.ln()) } else { (value, self.min, self.max) };
        let place = (value - min) / (max - min);
        if place.is_nan() { 0.0 } else { place.clamp(0.0, 1.0) }
    }

    /// Seconds of the measured part.
    pub fn seconds(length: f64) -> Axis {
        let length = if length.is_finite() && length > 0.0 { length } else { 1.0 };
        let step = step_of(length, 8);
        Axis { min: 0.0, max: length, log: false, ticks: ticks(0.0, length, step), unit: "seconds".to_owned() }
    }

    /// Shares up to 100 %, from a round share at or below `least`.
    pub fn percent(least: f64) -> Axis {
        let floors = [0.999, 0.99, 0.95, 0.9, 0.8, 0.5];
        let min = floors.into_iter().find(|floor| least >= *floor).unwrap_or(0.0);
        let step = (1.0 - min) / 5.0;
        let decimals = if min > 0.99 { 2 } else { usize::from(min > 0.9) };
        let ticks = (0..=5).map(|tick| {
            let at = min + f64::from(tick) * step;
            (at, fixed(at * 100.0, decimals))
        });
        Axis { min, max: 1.0, log: false, ticks: ticks.collect(), unit: "%".to_owned() }
    }

    /// Attempts per request: from 1 (or below, if there were fewer) to a round number above the greatest.
    pub fn factor(least: f64, greatest: f64) -> Axis {
        let low = if least.is_finite() && least < 0.95 { 0.0 } else { 0.9 };
        let high = if greatest.is_finite() { greatest.clamp(1.2, 1e6) } else { 1.2 };
        let step = step_of(high - low, 6);
        let (min, max) = ((low / step).floor() * step, (high / step - 1e-9).ceil() * step);
        Axis { min, max, log: false, ticks: ticks(min, max, step), unit: "×".to_owned() }
    }

    /// Milliseconds, logarithmic, between round numbers (1, 2, 5) that hold both values.
    pub fn millis(least: f64, greatest: f64) -> Axis {
        let bound = |value: f64, fallback: f64| {
            if value.is_finite() && value > 0.0 { value.clamp(1e-3, 1e7) } else { fallback }
        };
        let (least, greatest) = (bound(least, 1.0), bound(greatest, 10.0));
        let steps: Vec<f64> =
            (-3..=7).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power))).collect();
        let first = steps.iter().rposition(|step| *step <= least * 1.000_001).unwrap_or(0);
        let last =
            steps.iter().position(|step| *step >= greatest / 1.000_001).unwrap_or(steps.len() - 1).max(first + 3);
        let chosen = steps.get(first..=last.min(steps.len() - 1)).unwrap_or(&steps);
        // Whole powers of ten alone, where all would be too many.
        let decades = chosen.len() > 9;
        let power = |step: &f64| (step.log10() - step.log10().round()).abs() < 1e-9;
        let ticks = chosen.iter().filter(|step| !decades || power(step)).map(|step| (*step, plain(*step)));
        let (min, max) = (chosen[0], chosen[chosen.len() - 1]);
        Axis { min, max, log: true, ticks: ticks.collect(), unit: "ms".to_owned() }
    }

    /// Percentiles by the number of nines: 0 (fastest), 90, 99, 99.9 % at equal distances.
    pub fn nines(most: f64) -> Axis {
        let most = if most.is_finite() { most.clamp(1.0, 6.0) } else { 1.0 };
        let names = ["0", "90", "99", "99.9", "99.99", "99.999", "99.9999"];
        let mut ticks: Vec<(f64, String)> =
            names.iter().enumerate().map(|(at, name)| (at as f64, (*name).to_owned())).collect();
        ticks.push((2_f64.log10(), "50".to_owned()));
        ticks.retain(|(at, _)| *at <= most + 1e-9);
        Axis { min: 0.0, max: most, log: false, ticks, unit: "percentile of the answered requests".to_owned() }
    }
}

/// A round step that divides the length into at most so many parts.
fn step_of(length: f64, parts: u32) -> f64 {
    let rough = length / f64::from(parts);
    let power = 10_f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * power >= rough * 0.999_999).unwrap_or(10.0);
    digit * power
}

fn ticks(min: f64, max: f64, step: f64) -> Vec<(f64, String)> {
    let decimals = if step >= 1.0 { 0 } else { (-step.log10()).ceil() as usize };
    let count = ((max - min) / step + 1e-6).floor().clamp(0.0, 50.0) as u32;
    (0..=count).map(|tick| min + f64::from(tick) * step).map(|at| (at, fixed(at, decimals))).collect()
}

/// Without needless zeros.
fn plain(value: f64) -> String {
    if value >= 1.0 { fixed(value, 0) } else { fixed(value, 3).trim_end_matches('0').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, name)| name.as_str()).collect()
    }

    #[test]
    fn seconds_have_round_steps() {
        assert_eq!(names(&Axis::seconds(30.0)), ["0", "5", "10", "15", "20", "25", "30"]);
        assert_eq!(names(&Axis::seconds(45.0)), ["0", "10", "20", "30", "40"]);
        assert_eq!(names(&Axis::seconds(2.0)), ["0.0", "0.5", "1.0", "1.5", "2.0"]);
    }

    #[test]
    fn percent_begins_close_below_the_least_value() {
        assert_eq!(names(&Axis::percent(0.667)), ["50", "60", "70", "80", "90", "100"]);
        assert_eq!(names(&Axis::percent(0.96)), ["95.0", "96.0", "97.0", "98.0", "99.0", "100.0"]);
        assert_eq!(names(&Axis::percent(1.0)), ["99.90", "99.92", "99.94", "99.96", "99.98", "100.00"]);
        assert_eq!(names(&Axis::percent(0.1))[0], "0");
    }

    #[test]
    fn attempts_begin_about_one_unless_there_were_fewer() {
        assert_eq!(names(&Axis::factor(1.0, 1.31)), ["0.9", "1.0", "1.1", "1.2", "1.3", "1.4"]);
        assert_eq!(names(&Axis::factor(0.2, 4.0)), ["0", "1", "2", "3", "4"]);
    }

    #[test]
    fn milliseconds_show_every_step_of_a_short_range_and_powers_of_ten_of_a_long_one() {
        assert_eq!(names(&Axis::millis(0.3, 1.7)), ["0.2", "0.5", "1", "2"]);
        assert_eq!(names(&Axis::millis(0.2, 900.0)), ["1", "10", "100", "1000"]);
        assert_eq!(names(&Axis::millis(1.0, 1.0)), ["1", "2", "5", "10"]);
    }

    #[test]
    fn percentiles_stand_at_equal_distances_by_their_nines() {
        let axis = Axis::nines(4.0);
        assert!((axis.place(2.0) - 0.5).abs() < 1e-9);
        assert_eq!(names(&axis), ["0", "90", "99", "99.9", "99.99", "50"]);
    }

    #[test]
    fn no_value_lies_outside_and_no_axis_is_broken_by_odd_bounds() {
        for axis in [
            Axis::seconds(f64::NAN),
            Axis::percent(f64::NAN),
            Axis::factor(f64::NAN, f64::INFINITY),
            Axis::millis(f64::NAN, 0.0),
            Axis::millis(1e30, 1e30),
            Axis::nines(f64::NAN),
        ] {
            assert!(axis.min < axis.max && axis.ticks.len() >= 2, "{axis:?}");
            for value in [f64::NAN, f64::NEG_INFINITY, -1.0, 0.0, 1e300] {
                assert!((0.0..=1.0).contains(&axis.place(value)), "{axis:?} {value}");
            }
        }
    }
}
