//! A scenario as it is played: the file that `outrigger simulate` reads as well, with its conditions.

#[cfg(test)]
mod tests;

use std::ops::{Deref, DerefMut};

pub use outrigger::simulate::scenario::{
    Abandoned, Fault, FaultKind, Latency, LoadPlan, Protocol, ResetPoint, Sides, Tls, UpstreamPlan,
};
#[cfg(test)]
pub use outrigger::simulate::scenario::{Between, PolicyNeeds};

use crate::gates::Condition;
use crate::results;

/// What is played, compiled.
#[derive(Debug)]
pub struct Scenario {
    /// Load, upstream, faults.
    pub plan: outrigger::simulate::scenario::Scenario,
    /// What is asked of the figures.
    pub gates: Vec<Condition>,
}

impl Deref for Scenario {
    type Target = outrigger::simulate::scenario::Scenario;

    fn deref(&self) -> &Self::Target {
        &self.plan
    }
}

impl DerefMut for Scenario {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.plan
    }
}

impl Scenario {
    /// Reads a file; `file` stands in the findings, and its stem is the name.
    ///
    /// # Errors
    /// Everything wrong with it, one `file:line:column: sentence` per line.
    pub fn parse(text: &str, file: &str) -> Result<Scenario, String> {
        let check = |gate: &str| Condition::parse(gate).map(drop);
        let plan = outrigger::simulate::scenario::Scenario::parse(text, file, &check)?;
        if plan.faults.iter().any(|fault| fault.kind == FaultKind::Absent) {
            return Err(format!("{file}: `absent` can be simulated and not played: use `dead`"));
        }
        let gates = plan.gates.iter().map(|gate| Condition::parse(gate)).collect::<Result<_, _>>()?;
        Ok(Scenario { plan, gates })
    }

    /// The load in the words of a run.
    pub fn results_load(&self) -> results::Load {
        let load = &self.load;
        results::Load {
            mode: load.arrivals,
            rate: (load.arrivals != results::Mode::Closed).then_some(load.rate),
            connections: load.connections,
            protocol: load.protocol.as_str().to_owned(),
            tls: load.tls.as_str().to_owned(),
            idle: load.idle,
            method: load.method.clone(),
            path: load.path.clone(),
            body_bytes: load.body,
            answer_bytes: self.upstream.answer,
            keyed: load.keyed,
            timeout_s: load.timeout.as_secs_f64(),
        }
    }

    /// The fault script in the words of a run.
    pub fn fault_spans(&self) -> Vec<results::FaultSpan> {
        let span = |fault: &Fault| results::FaultSpan {
            label: fault.label(self.upstream.endpoints),
            from_s: fault.at.as_secs_f64(),
            to_s: fault.until.as_secs_f64(),
        };
        self.faults.iter().map(span).collect()
    }

    /// Whether a client means harm.
    pub fn attacked(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.kind, FaultKind::RapidReset { .. }))
    }

    /// Whether the proxy is told to reload: an arm that cannot do it cannot play.
    pub fn reloads(&self) -> bool {
        self.faults.iter().any(|fault| fault.kind == FaultKind::Reload)
    }
}
