//! Two runs side by side: what changed, what is only noise, and what got worse by more than is allowed.

use std::io::{self, Write};

use crate::results::Run;

/// How much worse each figure may get.
#[derive(Clone, Debug, Default)]
pub struct Thresholds;

impl Thresholds {
    /// The defaults, changed by `cpu=5%`, `success=0.5%`, `amplification=0.05`, `p99=2ms` ….
    ///
    /// # Errors
    /// One sentence that says what is wrong and what was probably meant.
    pub fn parse(_changes: &[String]) -> Result<Thresholds, String> {
        todo!()
    }
}

/// What [`compare`] found.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Why the two runs cannot be compared at all; nothing else is filled then (exit code 2).
    pub refused: Option<String>,
}

impl Comparison {
    /// Whether a threshold was passed (exit code 1).
    pub fn regressed(&self) -> bool {
        todo!()
    }

    /// The comparison as text.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn print(&self, _out: &mut dyn Write) -> io::Result<()> {
        todo!()
    }
}

/// Compares run `b` (the new one) with run `a` (the base).
pub fn compare(_a: &Run, _b: &Run, _thresholds: &Thresholds) -> Comparison {
    todo!()
}
