//! The report as text.

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use crate::gates;
use crate::report::facts;
use crate::report::metric::Metric;
use crate::report::sheet::{COST, Column, Head, Line, Row, Sheet, rows, sheet};
use crate::report::verdict::{Standing, verdicts};
use crate::results::{Run, ScenarioRun};

/// Columns of the terminal.
const WIDTH: usize = 100;

/// Letters of a reason, and reasons of one arm, that are repeated in a report; run.json has them all.
const REASON: usize = 240;
const REASONS: usize = 2;

/// Between two columns of a table.
const GAP: usize = 2;

/// What the terminal shows of effect and latency; the page has more.
const EFFECT: &[Column] = &[
    Column::Figure(Metric::Success),
    Column::Figure(Metric::Amplification),
    Column::Figure(Metric::Recovery),
    Column::Figure(Metric::ExecutionsPerKey),
    Column::Figure(Metric::DuplicatedKeys),
    Column::Figure(Metric::P50),
    Column::Figure(Metric::P99),
    Column::Figure(Metric::P50Added),
    Column::Figure(Metric::P99Added),
    Column::Figure(Metric::P99Moved),
    Column::Figure(Metric::FailureP99),
];

/// Whether text may be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    Yes,
    No,
}

/// What a piece of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ink {
    Strong,
    Faint,
    Good,
    Bad,
}

impl Colours {
    fn paint(self, ink: Ink, text: &str) -> String {
        let code = match (self, ink) {
            (Colours::No, _) => return text.to_owned(),
            (Colours::Yes, Ink::Strong) => "1",
            (Colours::Yes, Ink::Faint) => "2",
            (Colours::Yes, Ink::Good) => "32",
            (Colours::Yes, Ink::Bad) => "1;31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Prints the run.
///
/// # Errors
/// Those of `out`.
pub fn write(run: &Run, out: &mut dyn Write, colours: Colours) -> io::Result<()> {
    writeln!(out, "{}", colours.paint(Ink::Strong, &format!("{} · {}", run.name, run.started)))?;
    paragraph(out, "", &facts::machine(run))?;
    paragraph(out, "", &facts::method(run))?;
    for skipped in &run.skipped {
        paragraph(out, "", &format!("skipped: {} ({})", skipped.arm, skipped.reason))?;
    }
    for arm in run.arms.iter().filter(|arm| !arm.lacks.is_empty()) {
        paragraph(out, "", &format!("{} lacks: {}", arm.name, arm.lacks.join(", ")))?;
    }
    for scenario in &run.scenarios {
        writeln!(out)?;
        write_scenario(scenario, out, colours)?;
    }
    write_ending(run, out, colours)
}

fn write_scenario(scenario: &ScenarioRun, out: &mut dyn Write, colours: Colours) -> io::Result<()> {
    writeln!(out, "{} · {}", colours.paint(Ink::Strong, &scenario.title), scenario.name)?;
    for why in &scenario.invalid {
        for line in wrapped(&format!("INVALID, do not use these figures: {}", shortened(why)), WIDTH - 2) {
            writeln!(out, "  {}", colours.paint(Ink::Bad, &line))?;
        }
    }
    for verdict in verdicts(scenario) {
        let text = match verdict.badge().as_str() {
            "" => verdict.text.clone(),
            badge => format!("{badge}: {}", verdict.text),
        };
        let ink = match verdict.standing {
            Some((_, Standing::Behind)) => Ink::Bad,
            Some((_, Standing::Ahead)) => Ink::Good,
            Some((_, Standing::Level)) | None => Ink::Strong,
        };
        for line in wrapped(&text, WIDTH - 2) {
            writeln!(out, "  {}", colours.paint(ink, &line))?;
        }
    }
    paragraph(out, "  ", &facts::load(scenario))?;
    for fault in facts::faults(scenario) {
        paragraph(out, "  ", &fault)?;
    }
    let rows = rows(scenario);
    write_sheet(&sheet(scenario, &rows, EFFECT), out, colours)?;
    // Where something fails, what a request costs is another request's cost: the page has it.
    if scenario.faults.is_empty() {
        write_sheet(&sheet(scenario, &rows, COST), out, colours)?;
    }
    let remarks = remarks(scenario, &rows);
    if !remarks.is_empty() || !scenario.gates.is_empty() {
        writeln!(out)?;
    }
    for line in remarks {
        paragraph(out, "  ", &line)?;
    }
    for gate in &scenario.gates {
        let (ink, word) = match (gate.moot, gate.passed) {
            (true, _) => (Ink::Faint, "not judged"),
            (false, true) => (Ink::Good, "passed    "),
            (false, false) => (Ink::Bad, "FAILED    "),
        };
        writeln!(out, "  {} {}  {}: {}", colours.paint(ink, word), gate.condition, gate.arm, gates::outcome(gate))?;
    }
    Ok(())
}

/// Arms that could not play, and rounds that do not count.
pub fn remarks(scenario: &ScenarioRun, rows: &[Row<'_>]) -> Vec<String> {
    let unable =
        scenario.arms.iter().filter_map(|arm| Some(format!("{} did not play: {}", arm.arm, arm.unable.as_ref()?)));
    let left_out = |row: &&Row<'_>| row.summary.invalid > 0 && !row.invalid;
    let discarded = rows.iter().filter(left_out).map(|row| {
        let mut reasons: Vec<&str> =
            row.arm.rounds.iter().flat_map(|round| &round.invalid).map(String::as_str).collect();
        reasons.sort_unstable();
        reasons.dedup();
        let more = reasons.len().saturating_sub(REASONS);
        let mut said: Vec<String> = reasons.into_iter().take(REASONS).map(shortened).collect();
        if more > 0 {
            said.push(format!("and {more} more"));
        }
        let total = row.summary.valid + row.summary.invalid;
        format!("{}: {} of {total} rounds left out: {}", row.arm.arm, row.summary.invalid, said.join("; "))
    });
    unable.chain(discarded).collect()
}

fn write_ending(run: &Run, out: &mut dyn Write, colours: Colours) -> io::Result<()> {
    let tally = facts::tally(run);
    writeln!(out)?;
    let ink = if tally.failed > 0 || tally.invalid > 0 { Ink::Bad } else { Ink::Strong };
    for line in wrapped(&tally.sentence(), WIDTH) {
        writeln!(out, "{}", colours.paint(ink, &line))?;
    }
    paragraph(
        out,
        "",
        "Medians of the valid rounds, least–greatest round behind them. Latency is of answered requests.",
    )
}

/// A table with an empty line before it; nothing without columns.
fn write_sheet(sheet: &Sheet, out: &mut dyn Write, colours: Colours) -> io::Result<()> {
    if sheet.heads.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let spreads = spreads_that_fit(sheet);
    let texts = |text: fn(&Head) -> &String| -> Vec<String> {
        let heads = sheet.heads.iter().zip(&spreads);
        heads.map(|(head, spread)| with_spread(text(head), "", *spread)).collect()
    };
    let cells = |line: &Line| -> Vec<String> {
        let cells = line.cells.iter().zip(&spreads);
        cells.map(|(cell, spread)| with_spread(&cell.value, &cell.spread, *spread)).collect()
    };
    let heads = [texts(|head| &head.text), texts(|head| &head.unit)];
    let table: Vec<Vec<String>> = sheet.lines.iter().map(cells).collect();
    let width_of = |column: usize| {
        let cells = heads.iter().chain(&table).map(|line| line[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..sheet.heads.len()).map(width_of).collect();
    let first = first_width(sheet);
    for head in &heads {
        writeln!(out, "{}", colours.paint(Ink::Faint, &line_of(&format!("{:first$}", ""), head, &widths)))?;
    }
    for (row, texts) in sheet.lines.iter().zip(&table) {
        let line = line_of(&format!("{:first$}", name_of(row)), texts, &widths);
        writeln!(out, "{}", if row.ours { colours.paint(Ink::Strong, &line) } else { line })?;
    }
    Ok(())
}

/// One line of a table: a name, then cells that end where their column ends.
fn line_of(name: &str, cells: &[String], widths: &[usize]) -> String {
    let mut line = format!("  {name}");
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(&format!("{:GAP$}{cell:>width$}", ""));
    }
    line.truncate(line.trim_end().len());
    line
}

/// How wide the spread of each column may be: 0 for those that must do without, so that the table fits into [`WIDTH`].
/// Columns on the left come first.
fn spreads_that_fit(sheet: &Sheet) -> Vec<usize> {
    let widest = |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
    let columns = sheet.heads.iter().enumerate().map(|(column, head)| {
        let values = &mut sheet.lines.iter().map(|line| &line.cells[column].value);
        let bare = widest(&mut values.chain([&head.text, &head.unit]));
        let spread = widest(&mut sheet.lines.iter().map(|line| &line.cells[column].spread));
        // A space and two parentheses go with it.
        (bare, if spread > 0 { spread + 3 } else { 0 })
    });
    let columns: Vec<(usize, usize)> = columns.collect();
    let bare: usize = columns.iter().map(|(bare, _)| bare + GAP).sum();
    let mut free = WIDTH.saturating_sub(2 + first_width(sheet) + bare);
    columns
        .into_iter()
        .map(|(_, more)| {
            let granted = if more <= free { more } else { 0 };
            free -= granted;
            granted
        })
        .collect()
}

/// The value, then its spread in parentheses, padded so that values of a column end at the same place.
fn with_spread(value: &str, spread: &str, width: usize) -> String {
    match (width, spread) {
        (0, _) => value.to_owned(),
        (_, "") => format!("{value}{:width$}", ""),
        (_, spread) => format!("{value}{:<width$}", format!(" ({spread})")),
    }
}

fn first_width(sheet: &Sheet) -> usize {
    sheet.lines.iter().map(|line| name_of(line).chars().count()).max().unwrap_or(0)
}

fn name_of(line: &Line) -> String {
    format!("{}{}", line.arm, if line.invalid { " (invalid)" } else { "" })
}

/// A reason may be the whole output of a program.
pub fn shortened(reason: &str) -> String {
    if reason.chars().count() <= REASON {
        reason.to_owned()
    } else {
        reason.chars().take(REASON).chain(['…']).collect()
    }
}

/// Text in lines of [`WIDTH`].
fn paragraph(out: &mut dyn Write, indent: &str, text: &str) -> io::Result<()> {
    wrapped(text, WIDTH - indent.len()).iter().try_for_each(|line| writeln!(out, "{indent}{line}"))
}

/// Broken at spaces; longer words stand alone.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}
