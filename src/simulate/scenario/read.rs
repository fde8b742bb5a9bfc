//! Reading of single values, and the findings about them.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::policy::raw::scalar::{Key, Position};
use crate::policy::{duration, size};

use super::parse::unknown;

/// Findings told at once; who has more begins with these.
const FINDINGS_MAX: usize = 20;

/// Something wrong at a place; line 0 = the file as a whole.
#[derive(Debug)]
pub(super) struct Finding {
    pub position: Position,
    pub message: String,
}

/// Everything wrong with one file.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub fn add(&mut self, position: Position, message: impl Into<String>) {
        self.0.push(Finding { position, message: message.into() });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One `file:line:column: sentence` per line, in the order of the file.
    pub fn render(mut self, file: &str) -> String {
        self.0.sort_by_key(|finding| finding.position);
        let line = |finding: &Finding| match finding.position {
            Position { line: 0, .. } => format!("{file}: {}", finding.message),
            Position { line, column } => format!("{file}:{line}:{column}: {}", finding.message),
        };
        self.0.iter().take(FINDINGS_MAX).map(line).collect::<Vec<_>>().join("\n")
    }

    /// The value of a key; `None` if it is not written, or wrong, which is then noted.
    pub fn take<T, V>(&mut self, key: &Key<T>, read: impl FnOnce(&T) -> Result<V, String>) -> Option<V> {
        let at = key.get()?;
        read(&at.value).map_err(|message| self.add(at.position, message)).ok()
    }

    /// The same for a key that must be written in the block at `block`.
    pub fn need<T, V>(
        &mut self,
        (name, example): (&str, &str),
        block: Position,
        key: &Key<T>,
        read: impl FnOnce(&T) -> Result<V, String>,
    ) -> Option<V> {
        if !key.is_given() {
            self.add(block, format!("`{name}` is missing: write for example `{example}`"));
        }
        self.take(key, read)
    }
}

/// A duration within bounds.
pub(super) fn time(range: RangeInclusive<Duration>) -> impl FnOnce(&String) -> Result<Duration, String> {
    move |text| {
        let value = duration::parse(text)?;
        let (low, high) = (duration::print(*range.start()), duration::print(*range.end()));
        if range.contains(&value) { Ok(value) } else { Err(format!("`{text}` is not within {low} to {high}")) }
    }
}

/// A size of at most `most` bytes.
pub(super) fn bytes(most: u64) -> impl FnOnce(&String) -> Result<u64, String> {
    move |text| {
        let value = size::parse(text)?;
        if value <= most { Ok(value) } else { Err(format!("`{text}` is more than {}", size::print(most))) }
    }
}

/// A number within bounds.
pub(super) fn number<N: FromStr + PartialOrd + Display>(
    range: RangeInclusive<N>,
) -> impl FnOnce(&String) -> Result<N, String> {
    move |text| {
        let wrong = || format!("`{text}` is not a number from {} to {}", range.start(), range.end());
        let value = text.parse::<N>().map_err(|_| wrong())?;
        if range.contains(&value) { Ok(value) } else { Err(wrong()) }
    }
}

/// `33%`, as 0.33.
pub(super) fn percent(text: &String) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a share: write a percentage, such as 33%");
    let value: f64 = text.strip_suffix('%').ok_or_else(wrong)?.trim_end().parse().map_err(|_| wrong())?;
    if (0.0..=100.0).contains(&value) { Ok(value / 100.0) } else { Err(format!("`{text}` is not within 0% to 100%")) }
}

pub(super) fn flag(text: &String) -> Result<bool, String> {
    text.parse().map_err(|_| format!("`{text}` is neither true nor false"))
}

/// One of these words.
pub(super) fn word<V: Copy>(what: &str, words: &[(&str, V)]) -> impl FnOnce(&String) -> Result<V, String> {
    move |text| {
        let found = words.iter().find(|(word, _)| word == text).map(|(_, value)| *value);
        found.ok_or_else(|| unknown(what, text, &words.iter().map(|(word, _)| *word).collect::<Vec<_>>()))
    }
}

/// A line of text that a table can show.
pub(super) fn line(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 1_000 || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err("write 1 to 1000 characters of text".to_owned());
    }
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}
