//! What is on the screen, and whether it says what it must.

use super::script::Expect;

/// The lines that are looked at first, and that an answer must stand in.
pub const FIRST_LINES: usize = 4;

/// One look at `outrigger status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its first lines as a terminal shows them.
    pub first_lines: Vec<String>,
    /// Of the whole.
    pub condition: String,
    /// Of the first verdict.
    pub upstream: Option<String>,
    pub cause: Option<String>,
}

impl Seen {
    /// Reads the JSON and the text of one look.
    ///
    /// # Errors
    /// Either is not what `outrigger status` writes.
    pub fn read(json: &str, text: &str) -> Result<Seen, String> {
        let value: serde_json::Value =
            serde_json::from_str(json).map_err(|e| format!("status -o json: {e}: {json}"))?;
        let first = value.pointer("/verdicts/0").cloned().unwrap_or_default();
        let word = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        Ok(Seen {
            first_lines: text.lines().take(FIRST_LINES).map(str::to_owned).collect(),
            condition: word(&value["condition"]).ok_or("status -o json has no condition")?,
            upstream: word(&first["upstream"]),
            cause: word(&first["cause"]),
        })
    }

    /// Whether nobody is accused.
    pub fn is_calm(&self) -> bool {
        self.condition == "healthy"
    }

    /// What of `expect` it does not say; `None` = it says everything.
    pub fn lacks(&self, expect: &Expect) -> Option<String> {
        if self.condition != expect.condition {
            return Some(format!("the condition is {}, not {}", self.condition, expect.condition));
        }
        if self.upstream != expect.upstream {
            return Some(format!("named first is {:?}, not {:?}", self.upstream, expect.upstream));
        }
        if !expect.cause.is_empty() && !self.cause.as_ref().is_some_and(|cause| expect.cause.contains(cause)) {
            return Some(format!("the cause is {:?}, not {}", self.cause, expect.cause.join(" or ")));
        }
        let text = self.first_lines.join("\n").to_lowercase();
        if let Some(missing) = expect.says.iter().find(|words| !text.contains(&words.to_lowercase())) {
            return Some(format!("the first {FIRST_LINES} lines do not say `{missing}`"));
        }
        if let Some(wrong) = expect.never_says.iter().find(|words| text.contains(&words.to_lowercase())) {
            return Some(format!("the first {FIRST_LINES} lines say `{wrong}`"));
        }
        None
    }
}
