//! The policy that is tried: one upstream of a policy file.

use http::Method;

use crate::policy::compile::{Compiled, load_bytes};
use crate::policy::routes::{HostPattern, RouteId};
use crate::policy::tls::Protocol;
use crate::policy::{Direction, RoutePolicy, UpstreamPolicy};
use crate::reliability::balance::Balance;
use crate::reliability::sim::system::plan::{RoutePlan, SidecarPlan};

/// One upstream of a policy.
#[derive(Debug)]
pub struct Subject {
    /// The file, as it was named.
    pub file: String,
    compiled: Compiled,
    upstream: usize,
}

/// A request, as far as a policy looks at it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its method.
    pub method: Method,
    /// Its path, without query.
    pub path: String,
    /// Bytes of its body.
    pub body: u64,
    /// It carries an idempotency key.
    pub keyed: bool,
}

/// How a policy treats it.
#[derive(Clone, Copy, Debug)]
pub struct Treated {
    /// Index of its route.
    pub route: usize,
    /// It may be sent twice, by its method or because the route says so.
    pub idempotent: bool,
    /// Its body is held.
    pub replayable: bool,
}

impl Subject {
    /// Compiles a policy and chooses the upstream: the one of that name, or the only one.
    ///
    /// # Errors
    /// What is wrong with the file, or that it does not say which upstream is meant.
    pub fn load(file: &str, bytes: &[u8], upstream: Option<&str>) -> Result<Subject, String> {
        let compiled = load_bytes(file, bytes).map_err(|findings| findings.to_string())?;
        let outbound: Vec<usize> = (0..compiled.policy.upstreams.len())
            .filter(|at| compiled.policy.upstreams[*at].direction == Direction::Outbound)
            .collect();
        let names = || {
            let names: Vec<&str> = compiled.policy.upstreams.iter().map(|upstream| &*upstream.name).collect();
            names.join(", ")
        };
        let all = &compiled.policy.upstreams;
        let chosen = match upstream {
            Some(name) => all.iter().position(|upstream| &*upstream.name == name).ok_or_else(|| {
                format!("{file}: there is no upstream `{name}`\nnext: name one of {} with --upstream", names())
            })?,
            None => match (outbound.as_slice(), all.len()) {
                ([only], _) => *only,
                ([], 1) => 0,
                _ => return Err(format!("{file}: several upstreams\nnext: name one of {} with --upstream", names())),
            },
        };
        Ok(Subject { file: file.to_owned(), compiled, upstream: chosen })
    }

    /// What the policy says of it.
    pub fn upstream(&self) -> &UpstreamPolicy {
        &self.compiled.policy.upstreams[self.upstream]
    }

    /// The same for the simulator. `shared`: requests share connections, where the policy leaves it open.
    pub fn plan(&self, shared: bool) -> SidecarPlan<'_> {
        let upstream = self.upstream();
        SidecarPlan {
            dependency: &upstream.dependency,
            ejection: &upstream.ejection,
            balance: upstream.balance,
            limits: upstream.limits,
            shared: match upstream.protocol {
                Protocol::Http2 => true,
                Protocol::Http1 => false,
                Protocol::Auto => shared,
            },
            slow_start: upstream.slow_start,
            routes: upstream.routes.iter().map(route).collect(),
        }
    }

    /// How it treats a request.
    pub fn treats(&self, wanted: &Wanted) -> Treated {
        let route = self.select(wanted);
        self.of_route(route, wanted)
    }

    /// The same for a route that is known by its name; the default route where there is none of that name.
    pub fn treats_named(&self, name: &str, wanted: &Wanted) -> (Treated, bool) {
        let routes = &self.upstream().routes;
        let found = routes.iter().position(|route| &*route.name == name);
        (self.of_route(found.unwrap_or(routes.len().saturating_sub(1)), wanted), found.is_some())
    }

    fn of_route(&self, route: usize, wanted: &Wanted) -> Treated {
        let Some(policy) = self.upstream().routes.get(route) else {
            return Treated { route, idempotent: false, replayable: false };
        };
        // Somebody who sends a key has asked for once; the contract of the route then decides.
        let keyed = wanted.keyed && policy.idempotency.is_some();
        let idempotent = (policy.retry.all_methods || wanted.method.is_idempotent()) && !keyed;
        Treated { route, idempotent, replayable: wanted.body <= policy.replay_body_max as u64 || wanted.body == 0 }
    }

    /// The route of a request, asked for at this upstream's own host.
    fn select(&self, wanted: &Wanted) -> usize {
        let number = self.upstream as u32;
        for listener in &self.compiled.policy.listeners {
            for entry in listener.table.entries().iter().filter(|entry| entry.upstream == number) {
                let host = match entry.hosts.first() {
                    Some(HostPattern::Exact(name)) => name.to_string(),
                    Some(HostPattern::Suffix(suffix)) => format!("any{suffix}"),
                    None => "localhost".to_owned(),
                };
                match listener.table.select(&host, &wanted.path, &wanted.method) {
                    Some(RouteId { upstream, route }) if upstream == number => return route as usize,
                    _ => {}
                }
            }
        }
        self.upstream().routes.len().saturating_sub(1)
    }

    /// What of this policy the simulation leaves out.
    pub fn notes(&self) -> Vec<String> {
        let upstream = self.upstream();
        let mut notes = Vec::new();
        if upstream.balance == Balance::Hash {
            notes.push("keys that `balance.hashOn` hashes are not known: peak EWMA stands in".to_owned());
        }
        if upstream.health_check.is_some() {
            notes.push("healthCheck: checks are not simulated".to_owned());
        }
        if upstream.routes.iter().any(|route| route.idempotency.is_some()) {
            notes.push("the store of idempotency keys is not simulated: it never fails and costs no time".to_owned());
        }
        notes
    }
}

fn route(policy: &RoutePolicy) -> RoutePlan<'_> {
    let margin = policy.deadline.propagate.then_some(policy.deadline.margin);
    let class = policy.priority.as_ref().map(|priority| priority.class);
    let heeds = policy.priority.as_ref().is_some_and(|priority| priority.header.is_some());
    RoutePlan { timeouts: policy.timeouts, retry: &policy.retry, hedge: policy.hedge.as_ref(), class, heeds, margin }
}
