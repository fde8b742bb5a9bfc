//! Conditions of a scenario file, and whether they hold: `success >= 99.5%`, `cpu <= 1.00x haproxy`.

use crate::results::{ArmRun, Gate, ScenarioRun};

/// One condition, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
}

impl Condition {
    /// Reads `[arm:] figure operator bound`.
    ///
    /// # Errors
    /// One sentence that says what is wrong and what was probably meant.
    pub fn parse(text: &str) -> Result<Condition, String> {
        Ok(Condition { text: text.trim().to_owned() })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it speaks of this arm: of the named one, and without a name of every `outrigger…`.
    pub fn applies_to(&self, _arm: &str) -> bool {
        todo!()
    }

    /// Judges the arm by the medians of its valid rounds.
    pub fn judge(&self, _arm: &ArmRun, _direct: Option<&ArmRun>, _scenario: &ScenarioRun) -> Gate {
        todo!()
    }
}

/// Every condition, judged for every arm of the scenario that it speaks of.
pub fn judge_all(_conditions: &[Condition], _scenario: &ScenarioRun) -> Vec<Gate> {
    todo!()
}
