//! The comparison as text.

use std::io::{self, Write};

use super::{Change, Comparison, Finding, peers_as_well};
use crate::report::metric::{Quantity, Unit, fixed};
use crate::report::sheet::{shown, spread};
use crate::report::summary::Figure;
use crate::report::table::wrapped;
use crate::results::Run;

/// Columns of the terminal.
const WIDTH: usize = 100;

/// Name, start and commit.
pub fn head(run: &Run) -> String {
    let commit = if run.environment.commit.is_empty() { "unknown" } else { &run.environment.commit };
    format!("{} · {} · commit {commit}", run.name, run.started)
}

impl Comparison {
    /// The comparison as text: warnings, a table per scenario, then every regression in a sentence.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for (name, head) in ["A", "B"].iter().zip(&self.heads) {
            writeln!(out, "{name}  {head}")?;
        }
        for warning in &self.warnings {
            paragraph(out, &format!("warning: {warning}"))?;
        }
        if let Some(why) = &self.refused {
            return paragraph(out, &format!("Not compared: {why}."));
        }
        for scenario in self.scenarios.iter().filter(|scenario| !scenario.changes.is_empty()) {
            writeln!(out, "\n{} · {}", scenario.title, scenario.name)?;
            write_changes(&scenario.changes, out)?;
        }
        writeln!(out)?;
        for sentence in self.regressions() {
            paragraph(out, &format!("REGRESSION {sentence}"))?;
        }
        paragraph(out, &self.conclusion())
    }

    /// One sentence per limit that was passed.
    pub fn regressions(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for scenario in &self.scenarios {
            for change in &scenario.changes {
                let Finding::Regression(limit) = change.finding else {
                    continue;
                };
                let mut sentence = format!(
                    "{}: {} {} went from {} to {} ({}); {} is allowed.",
                    scenario.name,
                    change.arm,
                    change.metric.title(),
                    change.metric.show_with_unit(change.values().0),
                    change.metric.show_with_unit(change.values().1),
                    difference(change),
                    limit.shown(change.metric)
                );
                if change.before.rounds < 2 || change.after.rounds < 2 {
                    sentence.push_str(" One round alone: nobody knows the spread.");
                }
                if peers_as_well(scenario, change, limit) {
                    sentence.push_str(" Every peer got worse as well: it may be the machine.");
                }
                sentences.push(sentence);
            }
        }
        sentences
    }

    /// How many changes there are of each kind.
    fn conclusion(&self) -> String {
        let changes = || self.scenarios.iter().flat_map(|scenario| &scenario.changes);
        let count = |is: fn(&Finding) -> bool| changes().filter(|change| is(&change.finding)).count();
        format!(
            "{} figures compared: {} better, {} worse within the limits or without one, {} beyond a limit, {} without a clear difference.",
            changes().count(),
            count(|finding| matches!(finding, Finding::Better)),
            count(|finding| matches!(finding, Finding::Worse)),
            count(|finding| matches!(finding, Finding::Regression(_))),
            count(|finding| matches!(finding, Finding::NoClearDifference)),
        )
    }
}

fn write_changes(changes: &[Change], out: &mut dyn Write) -> io::Result<()> {
    let mut table = vec![["arm", "figure", "A", "B", "change", ""].map(str::to_owned)];
    for (index, change) in changes.iter().enumerate() {
        let repeated = index > 0 && changes[index - 1].arm == change.arm;
        let unit = change.metric.unit().symbol();
        table.push([
            if repeated { String::new() } else { change.arm.clone() },
            format!("{} {unit}", change.metric.head()).trim().to_owned(),
            cell(change, &change.before),
            cell(change, &change.after),
            difference(change),
            word(change),
        ]);
    }
    let width = |column: usize| table.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    for line in &table {
        let [arm, figure, before, after, change, word] = line;
        let text = format!(
            "  {arm:0$}  {figure:1$}  {before:>2$}  {after:>3$}  {change:>4$}  {word}",
            widths[0], widths[1], widths[2], widths[3], widths[4]
        );
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

fn cell(change: &Change, figure: &Figure) -> String {
    let spread = spread(change.metric, figure);
    let value = shown(change.metric, figure);
    if spread.is_empty() { value } else { format!("{value} ({spread})") }
}

/// Shares in points, attempts, counts and recovery as they are, everything else in percent of the old value.
fn difference(change: &Change) -> String {
    let (old, new) = change.values();
    let by = new - old;
    let signed = |text: String| if text.starts_with('−') { text } else { format!("+{text}") };
    if old == new {
        return "=".to_owned();
    }
    let unit = change.metric.unit();
    if !by.is_finite() {
        return "–".to_owned();
    }
    if unit.quantity() == Quantity::Share {
        return format!("{} points", signed(fixed(by * 100.0, 2)));
    }
    match unit {
        Unit::Factor | Unit::Count | Unit::Seconds => signed(change.metric.show_with_unit(by)),
        Unit::Percent
        | Unit::PerRequest
        | Unit::Micros
        | Unit::Millis
        | Unit::Kibibytes
        | Unit::Mebibytes
        | Unit::PerSecond => {
            let share = by / old * 100.0;
            if share.is_finite() { format!("{} %", signed(fixed(share, 1))) } else { "–".to_owned() }
        }
    }
}

fn word(change: &Change) -> String {
    match change.finding {
        Finding::NoClearDifference if change.values().0 == change.values().1 => String::new(),
        Finding::NoClearDifference => "no clear difference".to_owned(),
        Finding::Better => "better".to_owned(),
        Finding::Worse => "worse".to_owned(),
        Finding::Regression(_) => "REGRESSION".to_owned(),
    }
}

fn paragraph(out: &mut dyn Write, text: &str) -> io::Result<()> {
    wrapped(text, WIDTH).iter().try_for_each(|line| writeln!(out, "{line}"))
}
