//! Request and policy to a route, or a refusal.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;

use super::hygiene;
use crate::policy::routes::RouteId;
use crate::policy::{Listener, RoutePolicy, UpstreamPolicy};
use crate::reliability::efficacy::RouteNumber;
use crate::upstreams::Upstream;
use crate::upstreams::line::Speech;
use crate::upstreams::reconcile::Snapshot;

/// Where a request goes and how it is treated.
#[derive(Clone, Copy)]
pub struct Route<'a> {
    /// By index.
    pub id: RouteId,
    /// What the policy says of the upstream.
    pub upstream: &'a UpstreamPolicy,
    /// What the policy says of the route.
    pub policy: &'a RoutePolicy,
    /// The upstream's living state.
    pub state: &'a Arc<Upstream>,
    /// How it is spoken to.
    pub speech: &'a Arc<Speech>,
    /// Where its retries are counted.
    pub ledger: Option<RouteNumber>,
}

/// The listener of `addr`, if the policy still has it.
pub fn listener(snapshot: &Snapshot, addr: SocketAddr) -> Option<&Listener> {
    snapshot.policy.listeners.iter().find(|l| l.addr == addr)
}

/// The route with this index.
pub fn of(snapshot: &Snapshot, id: RouteId) -> Option<Route<'_>> {
    let upstream = snapshot.policy.upstreams.get(id.upstream as usize)?;
    Some(Route {
        id,
        upstream,
        policy: upstream.routes.get(id.route as usize)?,
        state: snapshot.upstreams.get(id.upstream as usize)?,
        speech: snapshot.speeches.get(id.upstream as usize)?,
        ledger: *snapshot.ledgers.get(id.upstream as usize)?.get(id.route as usize)?,
    })
}

/// The route of `request`, or `None` if no upstream matches.
pub fn select<'a, B>(snapshot: &'a Snapshot, listener: &Listener, request: &Request<B>) -> Option<Route<'a>> {
    let path = request.uri().path();
    let id = listener.table.select(hygiene::requested_host(request), path, request.method())?;
    of(snapshot, id)
}
