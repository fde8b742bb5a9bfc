//! Text -> mirror. Bounds what a file may cost, and says in our words what is wrong with it.

use crate::policy::raw::scalar::Position;
use crate::policy::words::similar;
use crate::policy::yaml::{Bounds, indenting_tab};
use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

use super::raw;
use super::read::Finding;

/// Far more than a scenario of some screens.
const FILE_BYTES_MAX: usize = 256 * 1024;
const BOUNDS: Bounds = Bounds { depth: 16, nodes: 20_000, aliases: 100 };

/// Reads the file's structure, or says the first thing that is not our format.
pub(super) fn parse(text: &str) -> Result<raw::File, Finding> {
    let whole = |message: String| Finding { position: Position::default(), message };
    if text.len() > FILE_BYTES_MAX {
        return Err(whole(format!("the file has {} bytes; at most {FILE_BYTES_MAX} are read", text.len())));
    }
    if text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "---") {
        return Err(whole("the file is empty: begin with a copy of loadtests/scenarios/steady.yaml".to_owned()));
    }
    serde_saphyr::from_str_with_options(text, BOUNDS.options()).map_err(|error| with_tabs(finding(&error), text))
}

/// A tab in the indentation is the likeliest reason for what a parser says about it.
fn with_tabs(finding: Finding, text: &str) -> Finding {
    let lines = [finding.position.line, finding.position.line.saturating_sub(1)];
    let column_of_tab = |number: u32| indenting_tab(text.lines().nth((number as usize).checked_sub(1)?)?);
    match lines.into_iter().find_map(|line| Some(Position { line, column: column_of_tab(line)? })) {
        Some(position) => Finding { position, message: "a tab; indent with spaces".to_owned() },
        None => finding,
    }
}

fn finding(error: &Error) -> Finding {
    let error = error.without_snippet();
    let position = error.location().map(Position::from).unwrap_or_default();
    let message = match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown("key", field, expected),
        Error::DuplicateMappingKey { key, .. } => {
            format!("key `{}` is written twice in one block", key.as_deref().unwrap_or("?"))
        }
        Error::NullIntoString { .. } => "a key has no value: write one, or remove the key".to_owned(),
        Error::MultipleDocuments { .. } => "a scenario is one YAML document; a second one begins here".to_owned(),
        Error::AliasError { error, .. } => finding(error).message,
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            format!("expected {}, found {unexpected}", ours(expected))
        }
        Error::Unexpected { expected, .. } => format!("expected {}", ours(expected)),
        // The parser's own error type may grow: its text is good enough for the rest.
        other => UserMessageFormatter.format_message(other).into_owned(),
    };
    Finding { position, message }
}

/// Names of Rust types and parser events are no words for the writer of a scenario.
fn ours(expected: &str) -> &str {
    match expected {
        _ if expected.contains("such as") => expected,
        _ if ["struct", "mapping", "map"].iter().any(|word| expected.contains(word)) => {
            "a block of keys, each with a colon and a value"
        }
        _ if expected.contains("sequence") => "a list, such as [a, b]",
        _ if expected.contains("scalar") || expected.contains("string") => "a single value",
        other => other,
    }
}

/// What stands after a word that is not known where it is.
pub(super) fn unknown(what: &str, word: &str, expected: &[&str]) -> String {
    let hint = similar(word, expected).map(|ours| format!("; did you mean `{ours}`?")).unwrap_or_default();
    format!("unknown {what} `{word}`, expected one of {}{hint}", expected.join(", "))
}
