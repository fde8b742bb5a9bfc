//! A new policy meets the living state: keep, add, retire. What survives a reload is decided here.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::HeaderValue;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::checks::{self, Checking, Places};
use super::line::Speech;
use super::set::Shape;
use super::view::RateLimitView;
use super::{Events, Upstream, resolve};
use crate::clock;
use crate::policy::{Direction, Listener, Policy, RoutePolicy, Target, UpstreamPolicy, duration};
use crate::reliability::balance::Balance;
use crate::reliability::efficacy::RouteNumber;
use crate::telemetry::metrics::{Metrics, RouteMeters};
use crate::telemetry::traces::Plan;
use crate::tls::{self, Acceptor, Connector};
use crate::wire::discover::Resolver;

/// A policy with everything a request needs resolved: upstreams and metric handles by index.
pub struct Snapshot {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Its revision, counted from 1.
    pub revision: u64,
    /// Parallel to `policy.upstreams`.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Parallel to `policy.upstreams`: how they are spoken to.
    pub speeches: Vec<Arc<Speech>>,
    /// Parallel to `policy.listeners`; `None` for those in clear.
    pub acceptors: Vec<Option<Arc<Acceptor>>>,
    /// Parallel to `policy.upstreams` and their routes.
    pub meters: Vec<Vec<Arc<RouteMeters>>>,
    /// Parallel to `policy.upstreams` and their routes; `None` for those that neither retry nor hedge.
    pub ledgers: Vec<Vec<Option<RouteNumber>>>,
    /// Some calls inherit from the inbound request of their trace (`deadline.fromTrace`).
    pub inherits: bool,
    /// Which requests are exported as traces. None = no span is made.
    pub tracing: Option<Arc<Plan>>,
    /// Name under which we speak in `Proxy-Status`: `outrigger` or `outrigger/NAME`.
    pub proxy_name: String,
}

/// Every upstream alive, by direction and name.
pub struct Registry {
    alive: Mutex<HashMap<(Direction, Arc<str>), Entry>>,
    metrics: Arc<Metrics>,
    tls: Arc<tls::Registry>,
    events: Events,
    resolver: Arc<Resolver>,
    /// How many health checks run at once.
    places: Places,
    /// Where names are looked up: not on the data plane's runtime.
    control: Handle,
}

/// Parallel to a policy's upstreams, and to its listeners.
type Encryption = (Vec<Option<Arc<Connector>>>, Vec<Option<Arc<Acceptor>>>);

struct Entry {
    upstream: Arc<Upstream>,
    target: Target,
    shape: Shape,
    speech: Arc<Speech>,
    resolving: Option<AbortHandle>,
    /// What its endpoints are asked, and the task that asks.
    checking: Option<(Checking, AbortHandle)>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(task) = &self.resolving {
            task.abort();
        }
        if let Some((_, task)) = &self.checking {
            task.abort();
        }
    }
}

impl Registry {
    /// An empty registry. `control`: the runtime for name look-ups.
    pub fn new(metrics: Arc<Metrics>, tls: Arc<tls::Registry>, events: Events, control: Handle) -> Registry {
        let resolver = {
            let _inside = control.enter();
            Arc::new(Resolver::from_system())
        };
        Registry { alive: Mutex::default(), metrics, tls, events, resolver, places: checks::places(), control }
    }

    /// Brings the living state in line with `policy`.
    ///
    /// Kept where direction and name stay: budget, breaker, throttle, limits in use, totals, the ledgers of
    /// routes that stay, and every
    /// endpoint whose address stays (with its connections, latency and ejection).
    ///
    /// # Errors
    /// A sentence that names a certificate or key that cannot be used. Nothing has changed then.
    pub fn reconcile(&self, policy: Arc<Policy>, revision: u64) -> Result<Snapshot, String> {
        let (connectors, acceptors) = self.encryption(&policy)?;
        let now = clock::now();
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = policy.upstreams.iter().zip(connectors);
        let (upstreams, speeches): (Vec<Arc<Upstream>>, Vec<Arc<Speech>>) =
            wanted.map(|(wanted, connector)| self.upstream(&mut alive, wanted, connector, now)).unzip();
        let names: HashSet<(Direction, &str)> = policy.upstreams.iter().map(|u| (u.direction, &*u.name)).collect();
        alive.retain(|(direction, name), entry| {
            let wanted = names.contains(&(*direction, &**name));
            if !wanted {
                entry.upstream.retire();
            }
            wanted
        });
        drop(alive);
        let meters = policy
            .upstreams
            .iter()
            .map(|u| u.routes.iter().map(|r| self.metrics.route(u.direction, &u.name, &r.name)).collect())
            .collect();
        let pairs = policy.upstreams.iter().zip(&upstreams);
        let ledgers = pairs.map(|(wanted, upstream)| upstream.keep_ledgers(&wanted.routes, now)).collect();
        let proxy_name = policy.name.as_ref().map_or_else(|| "outrigger".to_owned(), |n| format!("outrigger/{n}"));
        let inherits = policy.upstreams.iter().flat_map(|u| &u.routes).any(|route| route.deadline.from_trace);
        let tracing = None;
        Ok(Snapshot {
            policy,
            revision,
            upstreams,
            speeches,
            acceptors,
            meters,
            ledgers,
            inherits,
            tracing,
            proxy_name,
        })
    }

    /// What encrypted upstreams and listeners need. Reads files.
    fn encryption(&self, policy: &Policy) -> Result<Encryption, String> {
        let of_upstream = |upstream: &UpstreamPolicy| {
            let name = &upstream.name;
            let connector = upstream.tls.as_ref().map(|spec| self.tls.connector(name, spec)).transpose();
            connector.map_err(|error| format!("upstreams.{name}.tls: {error}"))
        };
        let of_listener = |listener: &Listener| {
            let Some(spec) = &listener.tls else { return Ok(None) };
            let upstream = listener.table.entries().first().and_then(|e| policy.upstreams.get(e.upstream as usize));
            let name = upstream.map_or_else(|| Arc::from("app"), |upstream| Arc::clone(&upstream.name));
            self.tls.acceptor(&name, spec).map(Some).map_err(|error| format!("inbound.tls: {error}"))
        };
        let connectors: Result<_, String> = policy.upstreams.iter().map(of_upstream).collect();
        let acceptors: Result<_, String> = policy.listeners.iter().map(of_listener).collect();
        Ok((connectors?, acceptors?))
    }

    fn upstream(
        &self,
        alive: &mut HashMap<(Direction, Arc<str>), Entry>,
        wanted: &UpstreamPolicy,
        connector: Option<Arc<Connector>>,
        now: Instant,
    ) -> (Arc<Upstream>, Arc<Speech>) {
        let shape = Shape { hash: wanted.balance == Balance::Hash, zones: wanted.zones.clone() };
        let entry = alive.entry((wanted.direction, Arc::clone(&wanted.name))).or_insert_with(|| {
            let meters = self.metrics.upstream(wanted.direction, &wanted.name);
            let upstream = Arc::new(Upstream::new(wanted, meters, Arc::clone(&self.events), now));
            // An impossible target, so that the first comparison below differs.
            let target = Target::Fixed(Vec::new());
            let shape = shape.clone();
            Entry { upstream, target, shape, speech: Arc::default(), resolving: None, checking: None }
        });
        entry.upstream.decide(|d| d.reconfigure(&wanted.dependency, now));
        if entry.target != wanted.target || entry.shape != shape {
            entry.target = wanted.target.clone();
            entry.shape = shape;
            self.follow_target(entry, now);
        }
        entry.speech = entry.speech.or_next(connector, wanted.protocol);
        self.follow_checks(entry, wanted, now);
        (Arc::clone(&entry.upstream), Arc::clone(&entry.speech))
    }

    fn follow_target(&self, entry: &mut Entry, now: Instant) {
        if let Some(old) = entry.resolving.take() {
            old.abort();
        }
        match &entry.target {
            Target::Fixed(fixed) => {
                let addresses: Vec<_> =
                    fixed.iter().filter_map(|f| Some((f.addr, HeaderValue::from_str(&f.authority).ok()?))).collect();
                entry.upstream.set_endpoints(&addresses, &entry.shape, now);
            }
            Target::Dns { host, port, authority } => {
                // The compiler of the policy has checked the authority; an odd one must still not panic.
                let authority =
                    HeaderValue::from_str(authority).unwrap_or_else(|_| HeaderValue::from_static("invalid"));
                let task = resolve::keep_resolved(
                    Arc::downgrade(&entry.upstream),
                    Arc::clone(&self.resolver),
                    host.clone(),
                    *port,
                    authority,
                    entry.shape.clone(),
                );
                entry.resolving = Some(self.control.spawn(task).abort_handle());
            }
        }
    }

    /// Checks go on as they are while the block and what is spoken stay. With another block they begin anew, and what
    /// was found holds until they have found something; without one it is forgotten.
    fn follow_checks(&self, entry: &mut Entry, wanted: &UpstreamPolicy, now: Instant) {
        let upstream = &entry.upstream;
        let checking = wanted
            .health_check
            .as_ref()
            .map(|policy| Checking { policy: Arc::clone(policy), speech: Arc::clone(&entry.speech) });
        if entry.checking.as_ref().map(|(before, _)| before) == checking.as_ref() {
            return;
        }
        let before = entry.checking.take();
        if let Some((_, task)) = &before {
            task.abort();
        }
        match checking {
            None => upstream.forget_checks(),
            Some(checking) => {
                if before.is_some_and(|(before, _)| before.policy != checking.policy) {
                    upstream.check_anew(&checking, now);
                }
                let task = checks::keep_checked(Arc::downgrade(upstream), checking.clone(), Arc::clone(&self.places));
                entry.checking = Some((checking, self.control.spawn(task).abort_handle()));
            }
        }
    }

    /// Every upstream alive.
    pub fn find(&self, name: &str) -> Option<Arc<Upstream>> {
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        alive.values().find(|e| &*e.upstream.name == name).map(|e| Arc::clone(&e.upstream))
    }
}

impl Snapshot {
    /// What operators see of every upstream.
    pub fn views(&self) -> Vec<super::view::UpstreamView> {
        let now = clock::now();
        let all = self.upstreams.iter().zip(&self.policy.upstreams).zip(&self.meters);
        let view = |((upstream, policy), meters): ((&Arc<Upstream>, &UpstreamPolicy), &Vec<Arc<RouteMeters>>)| {
            let mut view = upstream.view(policy, now);
            let routes = policy.routes.iter().zip(meters);
            view.rate_limits = routes.filter_map(|(route, meters)| rate_limit(route, meters, now)).collect();
            view
        };
        all.map(view).collect()
    }
}

fn rate_limit(route: &RoutePolicy, meters: &RouteMeters, now: Instant) -> Option<RateLimitView> {
    let limit = route.rate_limit.as_ref()?;
    let (refused, would_refuse, last) = meters.limited_so_far();
    Some(RateLimitView {
        route: route.name.to_string(),
        by: limit.by.to_string(),
        mode: limit.mode().to_owned(),
        requests: limit.rate.requests,
        per: duration::print(limit.rate.per),
        burst: limit.rate.burst,
        refused,
        would_refuse,
        last_seconds_ago: last.map(|last| now.saturating_duration_since(last).as_secs()),
    })
}
