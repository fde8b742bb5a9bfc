//! What a person sees while a run goes on: one line that moves on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};

use crate::results::Round;
use crate::scenario::Scenario;

/// Cells of the bar.
const CELLS: usize = 24;

/// Writes to standard error.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    /// `2/11 steady`
    scenario: String,
    /// `round 1/3 envoy`
    turn: String,
    noted: Vec<String>,
}

impl Progress {
    /// Of the `number`th of `all` scenarios.
    pub fn new(scenario: &Scenario, number: usize, all: usize) -> Progress {
        let name = format!("{number}/{all} {}", scenario.name);
        let progress = Progress {
            terminal: std::io::stderr().is_terminal(),
            scenario: name,
            turn: String::new(),
            noted: Vec::new(),
        };
        progress.line(&format!("{}: {}", progress.scenario, scenario.title));
        progress
    }

    /// The arm's turn in a round begins.
    pub fn turn(&mut self, round: u32, rounds: u32, arm: &str) {
        self.turn = format!("round {round}/{rounds} {arm}");
        self.show("starting");
    }

    /// A second has passed.
    pub fn second(&mut self, second: u32, of: u32, ok: u64, failed: u64) {
        self.show(&format!("{} {second}/{of} s  ok {ok}  failed {failed}", bar(second, of)));
    }

    /// The turn is over.
    pub fn played(&mut self, round: &Round) {
        let client = &round.client;
        let failed = client.intended.saturating_sub(client.ok);
        let mut line = format!("  {}: ok {}, failed {failed}", self.turn, client.ok);
        if !round.invalid.is_empty() {
            line.push_str("  invalid: ");
            line.push_str(&round.invalid.join("; "));
        }
        self.line(&line);
    }

    /// Something to know that spoils nothing.
    pub fn note(&mut self, text: &str) {
        self.line(&format!("  {}: {text}", self.turn));
    }

    /// As [`Progress::note`], once in a scenario.
    pub fn note_once(&mut self, text: &str) {
        if !self.noted.iter().any(|noted| noted == text) {
            self.noted.push(text.to_owned());
            self.note(text);
        }
    }

    /// The scenario is over.
    pub fn finish(&mut self, invalid: &[String]) {
        for reason in invalid {
            self.line(&format!("  INVALID: {reason}"));
        }
    }

    fn show(&self, what: &str) {
        if self.terminal {
            // A terminal that went away is no reason to end a run.
            let _ = write!(std::io::stderr(), "\r\x1b[K  {}  {}  {what}", self.scenario, self.turn);
        }
    }

    fn line(&self, text: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        let _ = writeln!(std::io::stderr(), "{clear}{text}");
    }
}

fn bar(done: u32, of: u32) -> String {
    let filled = (CELLS * done.min(of) as usize).checked_div(of as usize).unwrap_or(CELLS);
    format!("[{}{}]", "#".repeat(filled), "-".repeat(CELLS - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_with_time_and_never_overflows() {
        assert_eq!(bar(0, 10), format!("[{}]", "-".repeat(CELLS)));
        assert_eq!(bar(5, 10), format!("[{}{}]", "#".repeat(12), "-".repeat(12)));
        assert_eq!(bar(11, 10), format!("[{}]", "#".repeat(CELLS)));
        assert_eq!(bar(0, 0), format!("[{}]", "#".repeat(CELLS)));
    }
}
