//! The app behind `inbound`: an upstream of one endpoint that is never retried or balanced.

use std::sync::Arc;
use std::time::Duration;

use super::blocks::INBOUND_LIMITS;
use super::idempotency::Callers;
use super::read::{Layer, Layered, Reader};
use super::upstreams::{APP, Compiled, DEFAULT_ROUTE};
use super::{Context, target};
use crate::policy::lint::Code;
use crate::policy::raw;
use crate::policy::raw::scalar::Position;
use crate::policy::{Direction, FixedEndpoint, ProxyStatus, RoutePolicy, Target, UpstreamPolicy};
use crate::reliability::adaptive::Algorithm;
use crate::reliability::balance::Balance;
use crate::reliability::dependency::DependencyPolicy;
use crate::reliability::limit::Limits;

impl Context {
    pub(super) fn inbound<'a>(&mut self, index: u32, inbound: &raw::Inbound, position: Position) -> Compiled<'a> {
        let app = self.app(inbound, position);
        self.reader(index, None).note("forward", inbound.forward.position().unwrap_or(position), Layer::Own);
        if let Some(at) = inbound.deadline.value().and_then(|deadline| deadline.from_trace.get()) {
            let message =
                "fromTrace belongs to upstreams, or to defaults: inbound requests are where deadlines come from";
            self.report(Code::InvalidValue, at.position, message);
        }
        let given = inbound.routes.value().map(Vec::as_slice).unwrap_or_default();
        let asks = inbound.tls.value().is_some_and(|tls| tls.client_ca.is_given());
        let callers = if asks { Callers::Verified } else { Callers::Strangers };
        let compile = |reader: &mut Reader<'_>, name: &str, route: &raw::InboundRoute| {
            let contract = reader.contract(route.idempotency.get());
            let keys = reader.deduplication(route.idempotency.get(), callers);
            let rate = Layered::new(inbound.rate_limit.get(), None).under(route.rate_limit.get());
            RoutePolicy {
                name: name.into(),
                timeouts: reader
                    .inbound_timeouts(Layered::new(inbound.timeouts.get(), None).under(route.timeouts.get())),
                retry: reader.retry(Layered::own(None), contract).0,
                hedge: None,
                replay_body_max: 0,
                deadline: reader.deadline(Layered::own(inbound.deadline.get())),
                priority: reader.priority(Layered::new(inbound.priority.get(), None).under(route.priority.get())),
                proxy_status: reader.proxy_status(&[(&inbound.proxy_status, Layer::Own)], ProxyStatus::Basic),
                dead_letter: reader.dead_letter(route.dead_letter.get(), APP, name, keys.as_deref()),
                idempotency: keys,
                rate_limit: reader.rate_limit(rate, route.rate_limit.is_given(), callers),
            }
        };
        let (matches, mut routes) = self.routes(index, given, compile);
        let mut reader = self.reader(index, Some(given.len() as u32));
        routes.push(compile(&mut reader, DEFAULT_ROUTE, &raw::InboundRoute::default()));
        let mut reader = self.reader(index, None);
        let limits_block = Layered::own(inbound.limits.get());
        let limits = reader.limits(limits_block, INBOUND_LIMITS);
        let limits = reader.overload(limits_block, limits, Algorithm::Correlated, raw::Mode::Observe);
        let policy = UpstreamPolicy {
            name: Arc::from(APP),
            direction: Direction::Inbound,
            target: Target::Fixed(app.into_iter().collect()),
            preserve_host: true,
            balance: Balance::RoundRobin,
            hash_on: None,
            // `connections` caps clients, on the listener. Towards the app there is one for each request.
            limits: Limits { connections: limits.requests, ..limits },
            dependency: DependencyPolicy { budget: reader.budget(Layered::own(None)), breaker: None, throttle: None },
            ejection: reader.ejection(Layered::own(None)),
            health_check: None,
            slow_start: None,
            zones: None,
            connection_age_max: None,
            connect_timeout: routes.last().map(|route| route.timeouts.connect).unwrap_or_default(),
            idle_connections_max: limits.requests,
            idle_connection_timeout: Duration::from_secs(30),
            tls: None,
            client_cert: reader.client_cert(inbound.tls.get()),
            protocol: reader.protocol(&inbound.protocol, None),
            routes,
        };
        Compiled { policy, routes: matches, raw: None, position }
    }

    fn app(&mut self, inbound: &raw::Inbound, position: Position) -> Option<FixedEndpoint> {
        let Some(at) = inbound.forward.get() else {
            self.report(Code::InvalidValue, position, "inbound needs `forward`: where the app listens");
            return None;
        };
        match target::forward(&at.value.text) {
            Ok(app) if app.addr.ip().is_loopback() => Some(app),
            Ok(app) => {
                let message =
                    format!("{} is not loopback: inbound stands in front of the app on this machine", app.addr);
                self.report(Code::ForwardNotLoopback, at.position, message);
                None
            }
            Err(message) => {
                self.report(Code::InvalidValue, at.position, message);
                None
            }
        }
    }
}
