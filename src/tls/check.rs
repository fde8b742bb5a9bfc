//! The files of a policy, looked at before it is run.

use std::sync::Arc;

use super::{Problem, Registry};
use crate::policy::Policy;
use crate::policy::tls::{ClientTls, ServerTls};

/// What is wrong with files, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose they are.
    pub owner: Owner,
    /// What is wrong; `Err` if it is with no file.
    pub problem: Result<Problem, String>,
}

/// Whose files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Of the upstream with this index in the policy.
    Upstream(u32),
    /// Of the listener before it.
    Listener(u32),
    /// Of the admin API.
    Admin,
    /// Of the shared store.
    Redis,
}

/// Reads every file that the policy names for TLS, as a start does.
pub fn check(policy: &Policy) -> Vec<Found> {
    // Nobody shakes hands here, so that there is nothing to tell.
    let registry = Registry::new(Arc::new(|_| {}));
    let mut found = Vec::new();
    for (index, upstream) in policy.upstreams.iter().enumerate() {
        let Some(spec) = &upstream.tls else { continue };
        found.extend(of_client(&registry, Owner::Upstream(index as u32), spec));
    }
    if let Some(spec) = policy.stores.redis.as_ref().and_then(|redis| redis.tls.as_ref()) {
        found.extend(of_client(&registry, Owner::Redis, spec));
    }
    if let Some(spec) = policy.admin_access.tls.as_ref().filter(|_| policy.admin.is_some()) {
        found.extend(of_server(&registry, Owner::Admin, spec));
    }
    for listener in &policy.listeners {
        let Some(spec) = &listener.tls else { continue };
        let upstream = listener.table.entries().first().map_or(0, |entry| entry.upstream);
        found.extend(of_server(&registry, Owner::Listener(upstream), spec));
    }
    found
}

fn of_client(registry: &Registry, owner: Owner, spec: &Arc<ClientTls>) -> Vec<Found> {
    match registry.problems_of_client(spec) {
        Ok(problems) => problems.into_iter().map(|problem| Found { owner, problem: Ok(problem) }).collect(),
        Err(error) => vec![Found { owner, problem: Err(error) }],
    }
}

fn of_server(registry: &Registry, owner: Owner, spec: &Arc<ServerTls>) -> Vec<Found> {
    let problems = registry.problems_of_server(spec).into_iter();
    problems.map(|problem| Found { owner, problem: Ok(problem) }).collect()
}
