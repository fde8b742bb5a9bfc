//! Faults: their words.

use super::{Fault, FaultKind, ResetPoint};

impl Fault {
    /// What happens and where, for a chart: `dead (1 of 3)`.
    pub fn label(&self, endpoints: u32) -> String {
        let what = self.kind.label();
        match self.endpoints.len() {
            0 => what,
            n if n == endpoints as usize => what,
            n => format!("{what} ({n} of {endpoints})"),
        }
    }
}

impl FaultKind {
    /// The word of the file.
    pub const fn word(&self) -> &'static str {
        match self {
            FaultKind::Dead => "dead",
            FaultKind::BlackHole => "blackHole",
            FaultKind::Stall => "stall",
            FaultKind::Errors { .. } => "errors",
            FaultKind::Slow { .. } => "slow",
            FaultKind::Reset { .. } => "reset",
            FaultKind::SlowBody { .. } => "slowBody",
            FaultKind::Reload => "reload",
        }
    }

    fn label(&self) -> String {
        match self {
            FaultKind::Dead => "dead".to_owned(),
            FaultKind::BlackHole => "black hole".to_owned(),
            FaultKind::Stall => "stall".to_owned(),
            FaultKind::Errors { ratio, status } => format!("{} % {status}", percent(*ratio)),
            FaultKind::Slow { .. } => "slow".to_owned(),
            FaultKind::Reset { ratio, point: ResetPoint::Before } => format!("{} % reset before", percent(*ratio)),
            FaultKind::Reset { ratio, point: ResetPoint::After } => format!("{} % reset after", percent(*ratio)),
            FaultKind::SlowBody { .. } => "slow bodies".to_owned(),
            FaultKind::Reload => "reload".to_owned(),
        }
    }
}

/// Without needless decimals.
fn percent(ratio: f64) -> f64 {
    (ratio * 1000.0).round() / 10.0
}
