//! What is wrong with a policy file, where, and how to write it.
//!
//! Three renderings of the same findings: for people (`file:line:column: error: …` with the line and a
//! caret, the form that editors recognise), for programs (JSON), and for GitHub's annotations.

use std::fmt;

use super::lint::Code;
use super::raw::scalar::Position;

/// Characters of a source line that are shown; longer lines are cut around the caret.
const SNIPPET_CHARS: usize = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The policy is not applied.
    Error,
    /// The policy is applied, and probably does not do what was meant.
    Warning,
    /// The policy is applied and does what it says; there is something to know about it.
    Info,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub code: Code,
    pub severity: Severity,
    /// Line 0 = the file as a whole.
    pub position: Position,
    pub message: String,
    /// Stands at the caret: what to write instead.
    pub note: Option<String>,
    /// The other place of a contradiction.
    pub related: Option<(Position, String)>,
    /// The line at `position`, and at `related`.
    snippet: Option<String>,
    related_snippet: Option<String>,
}

impl Diagnostic {
    pub fn new(code: Code, position: Position, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            severity: code.severity(),
            position,
            message: message.into(),
            note: None,
            related: None,
            snippet: None,
            related_snippet: None,
        }
    }

    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    pub fn with_related(mut self, position: Option<Position>, what: impl Into<String>) -> Self {
        self.related = position.map(|position| (position, what.into()));
        self
    }
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Human,
    Json,
    Github,
}

/// Findings of one file, in file order, of all severities together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    file: String,
    findings: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Takes the source lines for the snippets from `text`. Equal findings at one place are said once:
    /// a value in `defaults` is wrong for every upstream, but it is written once.
    pub fn new(file: &str, text: &str, mut findings: Vec<Diagnostic>) -> Self {
        findings.sort_by_key(|f| (f.position, f.severity, f.code));
        findings.dedup_by(|b, a| a.position == b.position && a.code == b.code && a.message == b.message);
        let lines: Vec<&str> = text.lines().collect();
        let line = |position: Position| {
            let index = (position.line as usize).checked_sub(1)?;
            lines.get(index).map(|line| (*line).to_owned())
        };
        for finding in &mut findings {
            finding.snippet = line(finding.position);
            finding.related_snippet = finding.related.as_ref().and_then(|(position, _)| line(*position));
        }
        Diagnostics { file: file.to_owned(), findings }
    }

    /// The same with one more finding about the same text.
    pub fn with(self, text: &str, finding: Option<Diagnostic>) -> Self {
        let findings = self.findings.into_iter().chain(finding).collect();
        Diagnostics::new(&self.file, text, findings)
    }

    pub fn findings(&self) -> &[Diagnostic] {
        &self.findings
    }

    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Errors or warnings; not what is merely worth knowing.
    pub fn has_warnings(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity <= Severity::Warning)
    }

    /// The rendering in `format`, each line ended. Empty without findings, except for JSON: `[]`.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Human => self.human(),
            Format::Json => self.json(),
            Format::Github => self.github(),
        }
    }

    fn human(&self) -> String {
        let mut out = String::new();
        for finding in &self.findings {
            let Diagnostic { severity, message, code, note, related, position, .. } = finding;
            out.push_str(&self.place(*position));
            out.push_str(&format!(" {}: {} [{}]\n", severity.as_str(), printable(message), code.as_str()));
            let note = note.as_deref().unwrap_or_default();
            out.push_str(&snippet(*position, finding.snippet.as_deref(), note));
            if let Some((position, what)) = related {
                out.push_str(&snippet(*position, finding.related_snippet.as_deref(), what));
            }
        }
        out
    }

    fn place(&self, position: Position) -> String {
        match position {
            Position { line: 0, .. } => format!("{}:", self.file),
            Position { line, column } => format!("{}:{line}:{column}:", self.file),
        }
    }

    fn json(&self) -> String {
        let findings: Vec<_> = self
            .findings
            .iter()
            .map(|finding| {
                serde_json::json!({
                    "file": self.file,
                    "line": finding.position.line,
                    "column": finding.position.column,
                    "severity": finding.severity.as_str(),
                    "code": finding.code.as_str(),
                    "message": finding.message,
                    "note": finding.note,
                    "related": finding.related.as_ref().map(|(position, what)| serde_json::json!({
                        "line": position.line, "column": position.column, "message": what,
                    })),
                })
            })
            .collect();
        format!("{:#}\n", serde_json::Value::Array(findings))
    }

    fn github(&self) -> String {
        let mut out = String::new();
        for finding in &self.findings {
            let severity = match finding.severity {
                Severity::Error | Severity::Warning => finding.severity.as_str(),
                // GitHub's word for it.
                Severity::Info => "notice",
            };
            let Position { line, column } = finding.position;
            let file = github_property(&self.file);
            let message = match &finding.note {
                Some(note) => format!("{} ({note})", finding.message),
                None => finding.message.clone(),
            };
            let place = if line == 0 { String::new() } else { format!(",line={line},col={column}") };
            let (title, message) = (finding.code.as_str(), github_data(&message));
            out.push_str(&format!("::{severity} file={file}{place},title={title}::{message}\n"));
        }
        out
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.human().trim_end())
    }
}

impl std::error::Error for Diagnostics {}

/// The line and a caret with the note below it.
fn snippet(position: Position, line: Option<&str>, note: &str) -> String {
    let Some(line) = line else {
        return if note.is_empty() { String::new() } else { format!("  = {}\n", printable(note)) };
    };
    let column = (position.column.max(1) - 1) as usize;
    let start = column.saturating_sub(SNIPPET_CHARS * 3 / 4);
    let shown: String = printable(line).chars().skip(start).take(SNIPPET_CHARS).collect();
    let number = position.line.to_string();
    let gutter = " ".repeat(number.len());
    let caret = " ".repeat(column - start);
    let space = if note.is_empty() { "" } else { " " };
    format!("{number} | {}\n{gutter} | {caret}^{space}{}\n", shown.trim_end(), printable(note))
}

/// Control characters out of a file must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn github_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn github_property(text: &str) -> String {
    github_data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version: 1\nupstreams:\n  a: { timeuot: 1s }\n";

    fn one() -> Diagnostics {
        let position = Position { line: 3, column: 8 };
        let finding = Diagnostic::new(Code::UnknownKey, position, "unknown field `timeuot`")
            .with_note("did you mean `timeouts`?");
        Diagnostics::new("p.yaml", TEXT, vec![finding.clone(), finding])
    }

    #[test]
    fn people_get_the_place_the_line_and_a_caret_under_the_word() {
        assert_eq!(
            one().render(Format::Human),
            "p.yaml:3:8: error: unknown field `timeuot` [OR101]\n\
             3 |   a: { timeuot: 1s }\n\
             \x20 |        ^ did you mean `timeouts`?\n"
        );
    }

    #[test]
    fn github_gets_an_annotation_with_its_metacharacters_escaped() {
        let position = Position { line: 1, column: 2 };
        let finding = Diagnostic::new(Code::InvalidValue, position, "50% of\nit");
        let rendered = Diagnostics::new("a,b.yaml", TEXT, vec![finding]).render(Format::Github);
        assert_eq!(rendered, "::error file=a%2Cb.yaml,line=1,col=2,title=OR102::50%25 of%0Ait\n");
    }

    #[test]
    fn what_is_worth_knowing_is_a_notice_for_github_and_no_warning() {
        let finding = Diagnostic::new(Code::KeyBesideLetters, Position { line: 1, column: 2 }, "m");
        let findings = Diagnostics::new("p.yaml", TEXT, vec![finding.clone()]);
        assert!(!findings.has_warnings() && !findings.has_errors() && !findings.is_empty());
        assert!(findings.render(Format::Github).starts_with("::notice file=p.yaml,line=1"));
        assert!(findings.render(Format::Human).starts_with("p.yaml:1:2: info: m [OR038]"));
        let warning = Diagnostic::new(Code::AdminExposed, Position { line: 1, column: 2 }, "m");
        assert!(Diagnostics::new("p.yaml", TEXT, vec![finding, warning]).has_warnings());
    }

    #[test]
    fn json_carries_place_code_and_note() {
        let value: serde_json::Value = serde_json::from_str(&one().render(Format::Json)).unwrap();
        assert_eq!(value.as_array().unwrap().len(), 1, "the same finding twice is said once");
        assert_eq!(value[0]["line"], 3);
        assert_eq!(value[0]["code"], "OR101");
        assert_eq!(value[0]["note"], "did you mean `timeouts`?");
    }

    #[test]
    fn a_file_cannot_send_escape_sequences_to_the_terminal() {
        let position = Position { line: 1, column: 1 };
        let finding = Diagnostic::new(Code::InvalidValue, position, "bad \u{1b}[2J");
        let rendered = Diagnostics::new("p", "\u{1b}[31m: x\n", vec![finding]).render(Format::Human);
        assert!(!rendered.contains('\u{1b}'), "{rendered:?}");
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let line = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let finding = Diagnostic::new(Code::InvalidValue, Position { line: 1, column: 5001 }, "m");
        let rendered = Diagnostics::new("p", &line, vec![finding]).render(Format::Human);
        let lines: Vec<&str> = rendered.lines().collect();
        assert!(lines[1].len() < 200);
        assert_eq!(lines[1].find('X'), lines[2].find('^'));
    }
}
