//! The files of a policy, looked at before it is run.

use super::{Problem, Registry};
use crate::policy::Policy;

/// What is wrong with files, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Index of the upstream in the policy; of a listener the upstream behind it.
    pub upstream: u32,
    /// They are those of the listener before it.
    pub listener: bool,
    /// What is wrong; `Err` if it is with no file.
    pub problem: Result<Problem, String>,
}

/// Reads every file that the policy names for TLS, as a start does.
pub fn check(policy: &Policy) -> Vec<Found> {
    // Nobody shakes hands here, so that there is nothing to tell.
    let registry = Registry::new(std::sync::Arc::new(|_| {}));
    let mut found = Vec::new();
    for (index, upstream) in policy.upstreams.iter().enumerate() {
        let Some(spec) = &upstream.tls else { continue };
        let of = |problem| Found { upstream: index as u32, listener: false, problem };
        match registry.problems_of_client(spec) {
            Ok(problems) => found.extend(problems.into_iter().map(|problem| of(Ok(problem)))),
            Err(error) => found.push(of(Err(error))),
        }
    }
    for listener in &policy.listeners {
        let Some(spec) = &listener.tls else { continue };
        let upstream = listener.table.entries().first().map_or(0, |entry| entry.upstream);
        let problems = registry.problems_of_server(spec).into_iter();
        found.extend(problems.map(|problem| Found { upstream, listener: true, problem: Ok(problem) }));
    }
    found
}
