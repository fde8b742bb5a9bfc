//! What is looked at before a request may take a place or have its body read: how much its caller sends, whether it
//! goes round in circles, and how much time it has.

use std::time::Instant;

use http::{HeaderMap, Request};

use super::Proxy;
use super::admit::{self, Refusal};
use super::connection::Connection;
use super::hygiene::{self, Present};
use super::record::{Quota, Record};
use super::route::Route;
use crate::policy::Direction;
use crate::reliability::Failure;
use crate::reliability::inheritance::Inherited;
use crate::reliability::rate::Judged;

impl Proxy {
    /// What its caller sends is counted, and too much of it refused: before its body is read, and before it takes a place.
    pub(super) fn count(
        &self,
        connection: &Connection,
        route: &Route<'_>,
        headers: &HeaderMap,
        record: &mut Record,
    ) -> Result<(), Refusal> {
        let Some(limit) = &route.policy.rate_limit else { return Ok(()) };
        let now = record.started();
        match self.callers.judge(limit, (record.snapshot(), route), connection, headers, now) {
            Judged::Passes { left, resets } => {
                record.quota = limit.tell.then_some(Quota { left, resets });
                Ok(())
            }
            Judged::Refused { wait } => {
                record.limited(limit.observe);
                if limit.observe {
                    return Ok(());
                }
                record.quota = Some(Quota { left: 0, resets: wait });
                Err(Refusal::later(Failure::RateLimited, wait))
            }
        }
    }

    /// No loop, and time left: its deadline.
    pub(super) fn enter<B>(
        &self,
        connection: &Connection,
        route: &Route<'_>,
        request: &Request<B>,
        present: Present,
        record: &mut Record,
    ) -> Result<Instant, Failure> {
        if hygiene::is_loop(request.headers(), present, &self.identity(route).mark) {
            return Err(Failure::LoopDetected);
        }
        let inherited = self.inherited(route, record);
        let traced = inherited.map(|inherited| inherited.deadline);
        let (deadline, from) = admit::deadline(route.policy, request.headers(), present, record.started(), traced)?;
        connection.set_deadline(deadline);
        record.deadline_from = from;
        let attempt = match inherited {
            // What the app says itself is meant for this very call.
            Some(inherited) if !present.attempt() => inherited.attempt,
            _ => hygiene::inbound_attempt(request.headers(), present),
        };
        record.attempt_of_caller = attempt;
        if record.snapshot().inherits && route.upstream.direction == Direction::Inbound && record.is_trace_told() {
            record.traced = self.traced.enter(record.trace.id(), Inherited { deadline, attempt });
        }
        Ok(deadline)
    }

    /// What the request inherits from the one that it is made for.
    fn inherited(&self, route: &Route<'_>, record: &Record) -> Option<Inherited> {
        let wanted = route.policy.deadline.from_trace && record.trace.inherited();
        wanted.then(|| self.traced.of(record.trace.id(), record.started())).flatten()
    }
}
