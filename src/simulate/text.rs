//! A comparison for people.

use std::fmt::Write as _;

use super::compare::{Comparison, Judged, Row, Verdict};
use super::estimate::Estimate;
use super::measure::{Measure, Unit};

/// A figure in its unit, without it.
fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Percent | Unit::PerHundred => format!("{value:.2}"),
        Unit::Factor => format!("{value:.3}"),
        Unit::Millis if value.abs() >= 100.0 => format!("{value:.0}"),
        Unit::Millis => format!("{value:.1}"),
        Unit::Seconds | Unit::Count => format!("{value:.1}"),
    }
}

const fn sign(unit: Unit) -> &'static str {
    match unit {
        Unit::Percent => " %",
        Unit::Factor => " x",
        Unit::Millis => " ms",
        Unit::Seconds => " s",
        Unit::PerHundred => " /100",
        Unit::Count => "",
    }
}

/// Of a difference: percentages differ by points.
const fn sign_of_difference(unit: Unit) -> &'static str {
    match unit {
        Unit::Percent => " points",
        other => sign(other),
    }
}

fn with_interval(Estimate { mean, plus_minus }: Estimate, unit: Unit) -> String {
    let mut text = number(mean, unit);
    if let Some(half) = plus_minus {
        let _ = write!(text, " ±{}", number(half, unit));
    }
    text
}

/// `97.61 ±0.12 %`. `never`: plays that had no end of their trouble.
pub fn estimate(value: Option<Estimate>, unit: Unit, never: usize) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let mut text = with_interval(value, unit);
    text.push_str(sign(unit));
    if never > 0 {
        let _ = write!(text, ", {never}x never");
    }
    text
}

/// What a row says of the difference.
pub fn difference(row: &Row) -> String {
    let Some(difference) = row.difference else { return String::new() };
    let unit = row.measure.unit();
    if difference.mean == 0.0 {
        return "same".to_owned();
    }
    let plus = if difference.mean > 0.0 { "+" } else { "" };
    let told = format!("{plus}{}{}", with_interval(difference, unit), sign_of_difference(unit));
    match row.judged {
        Some(Judged::Better) => format!("{told}  better"),
        Some(Judged::Worse) => format!("{told}  WORSE"),
        None if !difference.is_clear() => format!("{told}  within chance"),
        None => told,
    }
}

/// The whole, as a table with a sentence before it.
pub fn render(comparison: &Comparison) -> String {
    let Comparison { title, load, seconds, plays, seed, endpoints, .. } = comparison;
    let mut text = format!("{title}\n{load}, {endpoints} endpoint{}, {seconds} s", plural(*endpoints));
    let _ = writeln!(text, "; {plays} play{} from seed {seed}", plural(*plays as usize));
    for span in &comparison.trouble {
        let _ = writeln!(text, "  {}: {} s to {} s", span.label, span.from, span.to);
    }
    for (role, policy) in roles(comparison).into_iter().zip(&comparison.policies) {
        let _ = writeln!(text, "{role}: {} (upstream {})", policy.file, policy.upstream);
    }
    let _ = writeln!(text, "\n{}\n", sentence(comparison));
    table(&mut text, comparison);
    if !comparison.notes.is_empty() {
        text.push_str("\nNot simulated, or assumed:\n");
        for note in &comparison.notes {
            let _ = writeln!(text, "  {note}");
        }
    }
    text
}

fn roles(comparison: &Comparison) -> Vec<&'static str> {
    if comparison.policies.len() > 1 { vec!["old", "new"] } else { vec!["policy"] }
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn table(text: &mut String, comparison: &Comparison) {
    let compared = comparison.policies.len() > 1;
    if compared {
        let _ = writeln!(text, "{:<22}{:>24}{:>24}  difference", "", "old", "new");
    }
    for row in comparison.rows.iter().filter(|row| row.is_told()) {
        let unit = row.measure.unit();
        let (old, new) = (estimate(row.old, unit, row.never_old), estimate(row.new, unit, row.never_new));
        let name = row.measure.name();
        let _ = match compared {
            true => writeln!(text, "{name:<22}{old:>24}{new:>24}  {}", difference(row)),
            false => writeln!(text, "{name:<22}{new:>24}"),
        };
    }
    for row in &comparison.denied {
        let (old, new) = (estimate(row.old, Unit::PerHundred, 0), estimate(row.new, Unit::PerHundred, 0));
        let name = format!("denied: {}", row.reason);
        let _ = match compared {
            true => writeln!(text, "{name:<22}{old:>24}{new:>24}"),
            false => writeln!(text, "{name:<22}{new:>24}"),
        };
    }
}

/// What to make of it.
pub fn sentence(comparison: &Comparison) -> String {
    let told = |what: Judged| {
        let rows = comparison.rows.iter().filter(|row| row.judged == Some(what));
        let one = |row: &Row| {
            let (name, unit) = (row.measure.name(), row.measure.unit());
            let mean = row.difference.map_or(0.0, |difference| difference.mean);
            let plus = if mean > 0.0 { "+" } else { "" };
            format!("{name} {plus}{}{}", number(mean, unit), sign_of_difference(unit))
        };
        rows.map(one).collect::<Vec<_>>().join(", ")
    };
    let of = |measure: Measure| comparison.rows.iter().find(|row| row.measure == measure).and_then(|row| row.new);
    match comparison.verdict {
        Verdict::Alone => {
            let success = estimate(of(Measure::Success), Unit::Percent, 0);
            format!(
                "{success} of requests succeed at {} attempts each.",
                estimate(of(Measure::Amplification), Unit::Factor, 0)
            )
        }
        Verdict::NoDifference => "No difference beyond chance.".to_owned(),
        Verdict::Better => format!("The new policy is better: {}.", told(Judged::Better)),
        Verdict::Worse => format!("The new policy is WORSE: {}.", told(Judged::Worse)),
        Verdict::Mixed => {
            format!("The new policy is better in {}; WORSE in {}.", told(Judged::Better), told(Judged::Worse))
        }
    }
}
