//! Text -> raw mirror. Bounds what a file may cost, and says in our words what is wrong with it.

use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

use super::FILE_BYTES_MAX;
use crate::policy::diagnostic::Diagnostic;
use crate::policy::lint::Code;
use crate::policy::raw;
use crate::policy::raw::scalar::Position;
use crate::policy::words::{Hint, hint};
use crate::policy::yaml::{Bounds, indenting_tab};

const BOUNDS: Bounds = Bounds {
    // Deeper than any policy: upstreams / name / routes / route / retry / codes / code.
    depth: 32,
    // About twenty nodes per route, 10,000 routes.
    nodes: 400_000,
    // Anchors are a convenience for a few repeated blocks.
    aliases: 1_000,
};

/// Reads the file's structure.
///
/// # Errors
/// The first thing that is not YAML, or not our format.
pub(super) fn parse(text: &str) -> Result<raw::File, Box<Diagnostic>> {
    let whole_file = |message: String| Box::new(Diagnostic::new(Code::Syntax, Position::default(), message));
    if text.len() > FILE_BYTES_MAX {
        return Err(whole_file(format!("the file has {} bytes; at most {FILE_BYTES_MAX} are read", text.len())));
    }
    if is_blank(text) {
        return Err(whole_file("the file is empty: `outrigger init` prints a policy to begin with".to_owned()));
    }
    serde_saphyr::from_str_with_options(text, BOUNDS.options())
        .map_err(|error| Box::new(finding(&error).with_context(text)))
}

impl Diagnostic {
    /// What only the text around the place tells: a tab in the indentation, and which block was meant.
    fn with_context(mut self, text: &str) -> Self {
        let line = |number: u32| text.lines().nth((number as usize).checked_sub(1)?);
        if self.code == Code::Syntax {
            // The parser may notice a tab only on the line after it.
            let here = [self.position.line, self.position.line.saturating_sub(1)];
            let tab = here.into_iter().find_map(|number| Some((number, indenting_tab(line(number)?)?)));
            if let Some((line, column)) = tab {
                self.position = Position { line, column };
                self.message = "a tab; indent with spaces".to_owned();
            }
        } else if self.note.as_deref() == Some(EMPTY_BLOCK) {
            let key = line(self.position.line).and_then(|line| key_before(line, self.position.column));
            self.note = key.and_then(switch).or(self.note);
        }
        self
    }
}

/// The key whose value begins at `column`.
fn key_before(line: &str, column: u32) -> Option<&str> {
    let (start, _) = line.char_indices().nth((column as usize).checked_sub(1)?)?;
    let (before, value) = line.split_at(start);
    // A key without a value: nobody tried a word.
    if ["null", "~"].iter().any(|nothing| value.starts_with(nothing)) {
        return None;
    }
    let before = before.trim_end().strip_suffix(':')?;
    before.rsplit(|c: char| !c.is_alphanumeric()).next()
}

/// How a block that can be switched is written.
fn switch(key: &str) -> Option<String> {
    let off = match key {
        "circuitBreaker" | "throttle" | "healthCheck" => "`mode: none`",
        "retry" => "`attempts: 0`",
        _ => return None,
    };
    Some(format!("to switch it on: `{key}: {{}}`; to switch it off: leave it out, or {off}"))
}

fn is_blank(text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "---" || line == "...")
}

/// The parser's error in our words.
fn finding(error: &Error) -> Diagnostic {
    let error = error.without_snippet();
    let position = error.location().map(Position::from).unwrap_or_default();
    match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown(Code::UnknownKey, "key", field, expected, position),
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            unknown(Code::InvalidValue, "value", variant, expected, position)
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("?");
            Diagnostic::new(Code::UnknownKey, position, format!("key `{key}` is written twice in one block"))
        }
        Error::NullIntoString { .. } => Diagnostic::new(Code::InvalidValue, position, "a key has no value"),
        Error::MultipleDocuments { .. } => {
            Diagnostic::new(Code::Syntax, position, "a policy is one YAML document; a second one begins here")
        }
        Error::AliasError { error, .. } => {
            let mut inner = finding(error);
            inner.position = position;
            inner
        }
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            let finding = Diagnostic::new(
                Code::InvalidValue,
                position,
                format!("expected {}, found {unexpected}", ours(expected)),
            );
            if expected.contains("struct") { finding.with_note(EMPTY_BLOCK) } else { finding }
        }
        Error::Unexpected { expected, .. } => {
            let finding = Diagnostic::new(Code::InvalidValue, position, format!("expected {}", ours(expected)));
            if expected.contains("map") { finding.with_note(EMPTY_BLOCK) } else { finding }
        }
        // The parser's own error type may grow: its text is good enough for the rest.
        other => Diagnostic::new(Code::Syntax, position, UserMessageFormatter.format_message(other).into_owned()),
    }
}

/// What this version speaks.
const SPOKEN: &str = "HTTP/1.1 and HTTP/2, with and without TLS";

const EMPTY_BLOCK: &str = "a block without keys is written {}";

/// Names of Rust types and parser events are no words for the writer of a policy.
fn ours(expected: &str) -> &str {
    match expected {
        _ if ["struct", "mapping", "map"].iter().any(|word| expected.contains(word)) => "a block of keys",
        _ if expected.contains("sequence") => "a list, such as [a, b]",
        _ if expected.contains("scalar") || expected.contains("string") => "a single value",
        other => other,
    }
}

fn unknown(code: Code, what: &str, word: &str, expected: &[&str], position: Position) -> Diagnostic {
    match hint(word, expected) {
        Some(Hint::Later) => {
            let message =
                format!("`{word}` is not supported by this version ({SPOKEN}; see README, State of this version)");
            Diagnostic::new(Code::NotSupported, position, message).with_note("remove it: nothing is silently ignored")
        }
        found => {
            let list = expected.join(", ");
            let finding = Diagnostic::new(code, position, format!("unknown {what} `{word}`, expected one of {list}"));
            match found {
                Some(Hint::Instead(text)) => finding.with_note(text),
                Some(Hint::Later) | None => finding,
            }
        }
    }
}
