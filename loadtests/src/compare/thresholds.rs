//! How much worse each figure may get.

use crate::gates;
use crate::report::metric::{Metric, Quantity, fixed};

/// How much worse a figure may get.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// A share of the old value.
    Relative(f64),
    /// In the unit that the figure is kept in; shares in points.
    Absolute(f64),
}

/// How much worse each figure may get; figures without a limit are shown and not judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    limits: Vec<(Metric, Limit)>,
}

impl Default for Thresholds {
    /// CPU + 5 %, p99 + 10 %, memory + 10 %, success − 0.5 points, attempts + 0.05, and not one key more that is
    /// executed twice.
    fn default() -> Thresholds {
        Thresholds {
            limits: vec![
                (Metric::Success, Limit::Absolute(0.005)),
                (Metric::Amplification, Limit::Absolute(0.05)),
                (Metric::P99, Limit::Relative(0.10)),
                (Metric::DuplicatedKeys, Limit::Absolute(0.0)),
                (Metric::Cpu, Limit::Relative(0.05)),
                (Metric::Rss, Limit::Relative(0.10)),
            ],
        }
    }
}

impl Thresholds {
    /// The defaults, changed by `cpu=5%`, `success=0.5%` (points), `amplification=0.05`, `p99=2ms`, `recovery=1s` ….
    ///
    /// # Errors
    /// One sentence that says what is wrong and what was probably meant.
    pub fn parse(changes: &[String]) -> Result<Thresholds, String> {
        let mut thresholds = Thresholds::default();
        for change in changes {
            let (word, amount) =
                change.split_once('=').ok_or_else(|| format!("`{change}` is no threshold: write it like `cpu=5%`"))?;
            let metric = gates::metric(word.trim())?;
            let limit = limit(metric, amount.trim())?;
            thresholds.limits.retain(|(known, _)| *known != metric);
            thresholds.limits.push((metric, limit));
        }
        Ok(thresholds)
    }

    /// The limit of a figure, if it has one.
    pub fn of(&self, metric: Metric) -> Option<Limit> {
        self.limits.iter().find(|(known, _)| *known == metric).map(|(_, limit)| *limit)
    }
}

/// A percentage of anything but a share is a share of the old value.
fn limit(metric: Metric, text: &str) -> Result<Limit, String> {
    match text.strip_suffix('%') {
        Some(number) if metric.unit().quantity() != Quantity::Share => {
            let number = number.trim();
            let plain = number.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            let value = number.parse::<f64>().ok().filter(|value| plain && value.is_finite());
            value
                .map(|value| Limit::Relative(value / 100.0))
                .ok_or_else(|| format!("`{text}` is no percentage: write it like `5%`"))
        }
        Some(_) | None => gates::amount(metric, text).map(|amount| Limit::Absolute(amount.kept)),
    }
}

impl Limit {
    /// Whether the figure got worse by more than this; `worse_by` is positive if it got worse.
    pub fn is_passed(self, before: f64, worse_by: f64) -> bool {
        let allowed = match self {
            Limit::Relative(share) => share * before.abs(),
            Limit::Absolute(amount) => amount,
        };
        // What differs only by the error of binary fractions does not count.
        worse_by > allowed + 1e-9 * before.abs().clamp(1e-3, 1e9)
    }

    /// `5 %`, `0.5 points`, `0.05`.
    pub fn shown(self, metric: Metric) -> String {
        match self {
            Limit::Relative(share) => format!("{} %", without_zeros(share * 100.0)),
            Limit::Absolute(points) if metric.unit().quantity() == Quantity::Share => {
                format!("{} points", without_zeros(points * 100.0))
            }
            Limit::Absolute(amount) => metric.show_with_unit(amount),
        }
    }
}

fn without_zeros(value: f64) -> String {
    let text = fixed(value, 2);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
