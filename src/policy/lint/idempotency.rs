//! Deduplication that is configured and does not do what it is there for.

use std::path::Path;

use http::Method;

use super::{Code, Lint};
use crate::policy::idempotency::{ForwardKey, OnStoreError};
use crate::policy::origin::PROCESS;
use crate::policy::raw::scalar::Position;
use crate::policy::{Direction, Policy, RoutePolicy, UpstreamPolicy, duration};
use crate::reliability::classify::Contract;

/// Folders that do not outlive the machine or the container.
const TEMPORARY: [&str; 2] = ["/tmp", "/dev/shm"];

impl Lint<'_> {
    pub(super) fn stores(&mut self, policy: &Policy) {
        let Some(path) = policy.stores.embedded.as_ref().map(|embedded| embedded.path.as_path()) else { return };
        if TEMPORARY.iter().any(|folder| path.starts_with(Path::new(folder))) {
            let position = self.origins.position(PROCESS, None, "stores.embedded.path");
            let letters = if policy.dead_letters.is_some() { ", and dead letters with it" } else { "" };
            let message = format!("{} is in a folder that is emptied{letters}", path.display());
            self.report(Code::StoreIsTemporary, position, message);
        }
    }

    pub(super) fn idempotency(&mut self, index: u32, upstream: &UpstreamPolicy, number: u32, route: &RoutePolicy) {
        let at = |key| self.origins.position(index, Some(number), key);
        let label = format!("{}/{}", upstream.name, route.name);
        let contract_at = at("idempotency.contract");
        let Some(policy) = &route.idempotency else {
            if upstream.direction == Direction::Inbound && contract_at.is_some() {
                let message = format!("{label}: inbound never retries, so a contract alone has no effect");
                self.report(Code::ContractWithoutEffect, contract_at, message);
            }
            return;
        };
        let mut found: Vec<(Code, Option<Position>, String)> = Vec::new();
        if policy.on_store_error == OnStoreError::Open {
            let message = format!("{label}: duplicates are executed while the store is down");
            found.push((Code::DuplicatesIfStoreIsDown, at("idempotency.onStoreError"), message));
        }
        if policy.forward_key == ForwardKey::Strip && route.retry.contract == Contract::Dedupes {
            let message = format!("{label}: the contract is dedupes, and forwardKey: strip takes the key away");
            found.push((Code::KeyNotForwarded, at("idempotency.forwardKey"), message));
        }
        if policy.ttl < route.timeouts.request {
            let (ttl, request) = (duration::print(policy.ttl), duration::print(route.timeouts.request));
            let message = format!("{label}: the answer is forgotten after {ttl}, and the request may take {request}");
            let position = at("idempotency.ttl").or_else(|| at("timeouts.request"));
            found.push((Code::ForgottenTooEarly, position, message));
        }
        for (code, position, message) in found {
            self.report(code, position, message);
        }
    }

    /// `place`: index and number of the route. `methods`: what it matches; empty = any.
    pub(super) fn keyed_methods(
        &mut self,
        place: (u32, u32),
        upstream: &UpstreamPolicy,
        methods: &[Method],
        route: &RoutePolicy,
    ) {
        let Some(policy) = &route.idempotency else { return };
        if !methods.is_empty() && !methods.iter().any(|method| policy.methods.contains(method)) {
            let list = |methods: &[Method]| methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            let (matched, keyed) = (list(methods), list(&policy.methods));
            let message =
                format!("{}/{} matches {matched} only, and keys count for {keyed}", upstream.name, route.name);
            let at = |key| self.origins.position(place.0, Some(place.1), key);
            let position = at("idempotency.methods").or_else(|| at("idempotency"));
            self.report(Code::NothingDeduplicated, position, message);
        }
    }
}
