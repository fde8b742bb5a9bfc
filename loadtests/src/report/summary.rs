//! Medians and spread over the valid rounds of an arm.

use crate::results::{ArmRun, ScenarioRun};

/// Figures of one arm in one scenario.
#[derive(Clone, Debug, Default)]
pub struct Summary;

/// Summarises the valid rounds of `arm`; latencies added over `direct` are taken round by round.
pub fn summary(_arm: &ArmRun, _direct: Option<&ArmRun>, _scenario: &ScenarioRun) -> Summary {
    todo!()
}
