//! Upstreams and their routes, and the app behind `inbound`.

use std::collections::HashSet;
use std::time::Duration;

use http::Method;

use super::Context;
use super::blocks::OUTBOUND_LIMITS;
use super::idempotency::Callers;
use super::read::{Layer, Layered, Reader, check_name, list};
use super::target;
use crate::policy::diagnostic::Diagnostic;
use crate::policy::lint::Code;
use crate::policy::raw::scalar::{At, Host, Key, Method as MethodKind, Path, Position, Text};
use crate::policy::raw::{self, Defaults};
use crate::policy::routes::{HostPattern, PathMatch, RouteMatch};
use crate::policy::tls::{ClientCert, OWN};
use crate::policy::{Direction, FixedEndpoint, ProxyStatus, RoutePolicy, Target, UpstreamPolicy};
use crate::reliability::adaptive::Algorithm;
use crate::reliability::dependency::DependencyPolicy;

/// The route that takes what no other route does.
pub const DEFAULT_ROUTE: &str = "default";
/// The inbound target.
pub const APP: &str = "app";
/// Endpoints of one list.
const ENDPOINTS_MAX: usize = 1_000;
/// Bytes of a path in a match.
const PATH_BYTES_MAX: usize = 1_024;

/// A compiled upstream with what its listener needs.
#[derive(Debug)]
pub(super) struct Compiled<'a> {
    pub(super) policy: UpstreamPolicy,
    pub(super) routes: Vec<RouteMatch>,
    /// None for the app.
    pub(super) raw: Option<&'a raw::Upstream>,
    /// Where its name stands.
    pub(super) position: Position,
}

impl Context {
    pub(super) fn upstreams<'a>(&mut self, file: &'a raw::File) -> Vec<Compiled<'a>> {
        let no_defaults = Defaults::default();
        let defaults = file.defaults.value().unwrap_or(&no_defaults);
        self.check_defaults(file, defaults);
        let mut compiled: Vec<Compiled<'a>> = Vec::new();
        let upstreams = file.upstreams.value().map(|named| named.0.as_slice()).unwrap_or_default();
        for (index, (name, upstream)) in upstreams.iter().enumerate() {
            if let Err(message) = check_name(&name.value) {
                self.report(Code::InvalidValue, name.position, message);
            }
            if name.value == APP {
                let message = "`app` is reserved: it is the name of the inbound target";
                self.report(Code::InvalidValue, name.position, message);
            }
            compiled.push(self.upstream(index as u32, name, &upstream.value, defaults, &file.proxy_status));
        }
        if let Some(at) = file.inbound.get() {
            compiled.push(self.inbound(compiled.len() as u32, &at.value, at.position));
        }
        if compiled.is_empty() {
            let position = file.upstreams.position().unwrap_or(Position { line: 1, column: 1 });
            self.report(
                Code::InvalidValue,
                position,
                "nothing to do: the policy has neither `upstreams` nor `inbound`",
            );
        }
        compiled
    }

    /// Reads `defaults` by itself, so that a wrong value is reported even where every upstream overrides it.
    fn check_defaults(&mut self, file: &raw::File, defaults: &Defaults) {
        let Some(position) = file.defaults.position() else { return };
        if file.upstreams.value().is_none_or(|named| named.0.is_empty()) {
            self.report(Code::UnusedDefaults, position, "`defaults` are merged under upstreams, and there is none");
        }
        let none = raw::Upstream::default();
        let mut scratch = Context::new(self.environment);
        let blocks = Blocks { name: "", own: &none, defaults, process: &file.proxy_status };
        blocks.route(&mut scratch.reader(0, Some(0)), DEFAULT_ROUTE, &raw::Route::default());
        blocks.dependency(&mut scratch.reader(0, None), Duration::from_secs(15), Duration::from_secs(15));
        let mut reader = scratch.reader(0, None);
        reader.ejection(blocks.layered(|u| &u.ejection, |d| &d.ejection));
        let layered = blocks.layered(|u| &u.balance, |d| &d.balance);
        let (balance, _) = reader.balance(layered);
        reader.slow_start(layered, balance);
        reader.zones(layered, balance);
        reader.health_check(blocks.layered(|u| &u.health_check, |d| &d.health_check));
        let limits_block = blocks.layered(|u| &u.limits, |d| &d.limits);
        let limits = reader.limits(limits_block, OUTBOUND_LIMITS);
        reader.overload(limits_block, limits, Algorithm::Aimd, raw::Mode::Enforce);
        let kept = blocks.layered(|u| &u.keep_alive, |d| &d.keep_alive);
        reader.keep_alive(kept, limits);
        reader.max_age(kept.pick(|k| &k.max_age));
        reader.client_block(&OWN, blocks.layered(|u| &u.tls, |d| &d.tls));
        self.findings.append(&mut scratch.findings);
    }

    fn upstream<'a>(
        &mut self,
        index: u32,
        name: &At<String>,
        own: &'a raw::Upstream,
        defaults: &Defaults,
        process: &Key<raw::ProxyStatus>,
    ) -> Compiled<'a> {
        let blocks = Blocks { name: &name.value, own, defaults, process };
        let target = self.target(name, own);
        let scheme = self.scheme(own);
        // A url that is an address is a list of one endpoint.
        for position in [own.url.position(), own.endpoints.position()].into_iter().flatten() {
            for key in ["url", "endpoints"] {
                self.reader(index, None).note(key, position, Layer::Own);
            }
        }
        let given = own.routes.value().map(Vec::as_slice).unwrap_or_default();
        let (matches, mut routes) = self.routes(index, given, |reader, name, route| blocks.route(reader, name, route));
        let mut reader = self.reader(index, Some(given.len() as u32));
        routes.push(blocks.route(&mut reader, DEFAULT_ROUTE, &raw::Route::default()));
        let longest = |of: fn(&RoutePolicy) -> Duration| routes.iter().map(of).max().unwrap_or_default();
        let request = longest(|route| route.timeouts.request);
        let attempt = longest(|route| route.timeouts.backend_request.unwrap_or(route.timeouts.request));
        let mut reader = self.reader(index, None);
        let limits_block = blocks.layered(|u| &u.limits, |d| &d.limits);
        let limits = reader.limits(limits_block, OUTBOUND_LIMITS);
        let limits = reader.overload(limits_block, limits, Algorithm::Aimd, raw::Mode::Enforce);
        let layered = blocks.layered(|u| &u.balance, |d| &d.balance);
        let (balance, hash_on) = reader.balance(layered);
        let (slow_start, zones) = (reader.slow_start(layered, balance), reader.zones(layered, balance));
        let kept = blocks.layered(|u| &u.keep_alive, |d| &d.keep_alive);
        let keep_alive = reader.keep_alive(kept, limits);
        let connection_age_max = reader.max_age(kept.pick(|k| &k.max_age));
        let preserve = |word: &raw::HostHeader| match word {
            raw::HostHeader::Upstream => Ok(false),
            raw::HostHeader::Preserve => Ok(true),
        };
        let host_header = own.host_header.get().map(|at| (at, Layer::Own));
        let preserve_host = reader.take("hostHeader", host_header, preserve, false);
        let dependency = blocks.dependency(&mut reader, request, attempt);
        let ejection = reader.ejection(blocks.layered(|u| &u.ejection, |d| &d.ejection));
        let health_check = reader.health_check(blocks.layered(|u| &u.health_check, |d| &d.health_check));
        let policy = UpstreamPolicy {
            name: name.value.as_str().into(),
            direction: Direction::Outbound,
            target,
            preserve_host,
            balance,
            hash_on,
            limits,
            dependency,
            ejection,
            health_check,
            slow_start,
            zones,
            connection_age_max,
            connect_timeout: routes.last().map(|route| route.timeouts.connect).unwrap_or_default(),
            idle_connections_max: keep_alive.0,
            idle_connection_timeout: keep_alive.1,
            tls: reader.client_tls(scheme, own.tls.get(), blocks.layered(|u| &u.tls, |d| &d.tls)),
            protocol: reader.protocol(&own.protocol, Some(&defaults.protocol)),
            client_cert: ClientCert::Pass,
            routes,
        };
        Compiled { policy, routes: matches, raw: Some(own), position: name.position }
    }

    fn target(&mut self, name: &At<String>, own: &raw::Upstream) -> Target {
        let nowhere = Target::Fixed(Vec::new());
        match (own.url.get(), own.endpoints.get()) {
            (Some(url), None) => target::from_url(&url.value.text).unwrap_or_else(|message| {
                self.report(Code::InvalidValue, url.position, message);
                nowhere
            }),
            (None, Some(list)) => Target::Fixed(self.endpoints(list)),
            (Some(url), Some(list)) => {
                let finding =
                    Diagnostic::new(Code::InvalidValue, list.position, "an upstream has either url or endpoints")
                        .with_related(Some(url.position), "it has a url already");
                self.findings.push(finding);
                nowhere
            }
            (None, None) => {
                let message = format!("upstream `{}` has neither `url` nor `endpoints`", name.value);
                self.report(Code::InvalidValue, name.position, message);
                nowhere
            }
        }
    }

    fn endpoints(&mut self, list: &At<Vec<At<Text<raw::scalar::UpstreamUrl>>>>) -> Vec<FixedEndpoint> {
        let mut endpoints: Vec<FixedEndpoint> = Vec::new();
        if list.value.is_empty() || list.value.len() > ENDPOINTS_MAX {
            let message = format!("{} endpoints: between 1 and {ENDPOINTS_MAX} are possible", list.value.len());
            self.report(Code::InvalidValue, list.position, message);
            return endpoints;
        }
        let mut known = HashSet::new();
        for at in &list.value {
            match target::endpoint(&at.value.text) {
                Ok(endpoint) if !known.insert(endpoint.addr) => {
                    self.report(Code::Duplicate, at.position, format!("endpoint {} stands here twice", endpoint.addr));
                }
                Ok(endpoint) => endpoints.push(endpoint),
                Err(message) => self.report(Code::InvalidValue, at.position, message),
            }
        }
        endpoints
    }

    /// Compiles the routes given; the default route is the caller's.
    pub(super) fn routes<R: RawRoute>(
        &mut self,
        upstream: u32,
        given: &[At<R>],
        compile: impl Fn(&mut Reader<'_>, &str, &R) -> RoutePolicy,
    ) -> (Vec<RouteMatch>, Vec<RoutePolicy>) {
        let mut seen: HashSet<&str> = HashSet::new();
        // One more for the default route.
        let (mut matches, mut routes) = (Vec::with_capacity(given.len()), Vec::with_capacity(given.len() + 1));
        for (index, at) in given.iter().enumerate() {
            let (name, wanted) = (at.value.name(), at.value.matches());
            let mut reader = self.reader(upstream, Some(index as u32));
            reader.note("route", name.position().unwrap_or(at.position), Layer::Own);
            match name.get() {
                None => reader.refuse(at.position, "a route needs a name: it is its label in metrics and logs"),
                Some(name) => {
                    if let Err(message) = check_name(&name.value.text) {
                        reader.refuse(name.position, message);
                    } else if name.value.text == DEFAULT_ROUTE {
                        reader.refuse(name.position, "`default` is the route that takes what no other route does");
                    } else if !seen.insert(&name.value.text) {
                        let message = format!("two routes are named `{}`", name.value.text);
                        reader.report(Diagnostic::new(Code::Duplicate, name.position, message));
                    }
                }
            }
            if !wanted.is_given() {
                reader.refuse(at.position, "a route needs a match: without one it would be the default route");
            }
            matches.push(reader.route_match(wanted.get()));
            let name = name.value().map_or("", |name| name.text.as_str());
            routes.push(compile(&mut reader, name, &at.value));
        }
        (matches, routes)
    }
}

/// The layers of one upstream.
#[derive(Clone, Copy)]
struct Blocks<'a> {
    name: &'a str,
    own: &'a raw::Upstream,
    defaults: &'a Defaults,
    process: &'a Key<raw::ProxyStatus>,
}

impl<'a> Blocks<'a> {
    fn layered<B>(
        &self,
        own: impl Fn(&'a raw::Upstream) -> &'a Key<B>,
        defaults: impl Fn(&'a Defaults) -> &'a Key<B>,
    ) -> Layered<'a, B> {
        Layered::new(own(self.own).get(), defaults(self.defaults).get())
    }

    fn route(&self, reader: &mut Reader<'_>, name: &str, route: &raw::Route) -> RoutePolicy {
        let timeouts = self.layered(|u| &u.timeouts, |d| &d.timeouts);
        let retry = self.layered(|u| &u.retry, |d| &d.retry);
        let deadline = self.layered(|u| &u.deadline, |d| &d.deadline);
        let priority = self.layered(|u| &u.priority, |d| &d.priority);
        let rate = Layered::new(self.own.rate_limit.get(), None).under(route.rate_limit.get());
        let status = [
            (&route.proxy_status, Layer::Own),
            (&self.own.proxy_status, Layer::Own),
            (&self.defaults.proxy_status, Layer::Defaults),
            (self.process, Layer::Own),
        ];
        if let Some(position) = route.retry.position() {
            reader.note("retry", position, Layer::Own);
        }
        let contract = reader.contract(route.idempotency.get());
        let retry_block = retry.under(route.retry.get());
        let (retry, max_body) = reader.retry(retry_block, contract);
        if let Some(position) = route.hedge.position() {
            reader.note("hedge", position, Layer::Own);
        }
        let hedge = reader.hedge(self.layered(|u| &u.hedge, |d| &d.hedge).under(route.hedge.get()));
        let keys = reader.deduplication(route.idempotency.get(), Callers::App);
        let compiled = RoutePolicy {
            name: name.into(),
            timeouts: reader.timeouts(timeouts.under(route.timeouts.get())),
            replay_body_max: if retry.retries > 0 || hedge.is_some() { max_body } else { 0 },
            retry,
            hedge,
            deadline: reader.deadline(deadline.under(route.deadline.get())),
            priority: reader.priority(priority.under(route.priority.get())),
            proxy_status: reader.proxy_status(&status, ProxyStatus::Full),
            dead_letter: reader.dead_letter(route.dead_letter.get(), self.name, name, keys.as_deref()),
            idempotency: keys,
            rate_limit: reader.rate_limit(rate, route.rate_limit.is_given(), Callers::App),
        };
        reader.check_holdout(retry_block, &compiled);
        compiled
    }

    fn dependency(&self, reader: &mut Reader<'_>, request: Duration, attempt: Duration) -> DependencyPolicy {
        let budget = reader.budget(self.layered(|u| &u.retry_budget, |d| &d.retry_budget));
        let breaker = reader.breaker(self.layered(|u| &u.circuit_breaker, |d| &d.circuit_breaker), attempt);
        let throttle = reader.throttle(self.layered(|u| &u.throttle, |d| &d.throttle), request, breaker.as_ref());
        DependencyPolicy { budget, breaker, throttle }
    }
}

/// What outbound and inbound routes have in common.
pub(super) trait RawRoute {
    fn name(&self) -> &Key<Text<raw::scalar::Name>>;
    fn matches(&self) -> &Key<raw::RouteMatch>;
}

impl RawRoute for raw::Route {
    fn name(&self) -> &Key<Text<raw::scalar::Name>> {
        &self.name
    }
    fn matches(&self) -> &Key<raw::RouteMatch> {
        &self.matches
    }
}

impl RawRoute for raw::InboundRoute {
    fn name(&self) -> &Key<Text<raw::scalar::Name>> {
        &self.name
    }
    fn matches(&self) -> &Key<raw::RouteMatch> {
        &self.matches
    }
}

impl Reader<'_> {
    fn route_match(&mut self, wanted: Option<&At<raw::RouteMatch>>) -> RouteMatch {
        let block = Layered::own(wanted);
        let exact = |text: &Text<Path>| path(text).map(|p| PathMatch::Exact(p.into()));
        let prefix = |text: &Text<Path>| path(text).map(|p| PathMatch::Prefix(p.into()));
        let (path_found, prefix_found) = (block.pick(|m| &m.path), block.pick(|m| &m.path_prefix));
        if let (Some(_), Some((at, _))) = (path_found, prefix_found) {
            self.refuse(at.position, "a match has either path or pathPrefix");
        }
        let path_match = self.take("match.path", path_found, exact, PathMatch::Any);
        let path_match = match path_match {
            PathMatch::Any => self.take("match.pathPrefix", prefix_found, prefix, PathMatch::Any),
            given @ (PathMatch::Exact(_) | PathMatch::Prefix(_)) => given,
        };
        let methods = self.given_list("match.methods", block.pick(|m| &m.methods), method);
        let hosts = self.given_list("match.hosts", block.pick(|m| &m.hosts), host);
        RouteMatch { path: path_match, methods, hosts }
    }

    /// A list that matches nothing if it is empty, and is refused for that.
    pub(super) fn given_list<T, V>(
        &mut self,
        key: &'static str,
        found: Option<(&At<Vec<At<T>>>, Layer)>,
        read: impl Fn(&T) -> Result<V, String>,
    ) -> Vec<V> {
        if let Some((at, _)) = found
            && at.value.is_empty()
        {
            self.refuse(at.position, "an empty list matches nothing: leave the key out to match everything");
        }
        self.take_list(key, list(found), read, Vec::new())
    }
}

pub(super) fn path(text: &Text<Path>) -> Result<String, String> {
    let path = &text.text;
    if !path.starts_with('/') {
        return Err(format!("`{path}` is not a path: write /{path}"));
    }
    if path.contains(['?', '#']) || path.len() > PATH_BYTES_MAX || path.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return Err(format!("a path has no query, no blanks and at most {PATH_BYTES_MAX} bytes"));
    }
    if path.contains('*') {
        return Err(format!("`{path}`: wildcards are not supported; use pathPrefix, which matches whole segments"));
    }
    Ok(path.clone())
}

pub(super) fn host(text: &Text<Host>) -> Result<HostPattern, String> {
    let wrong =
        || format!("`{}` is not a host: write api.example.com, api.example.com:8080 or *.example.com", text.text);
    HostPattern::parse(&text.text).ok_or_else(wrong)
}

pub(super) fn method(text: &Text<MethodKind>) -> Result<Method, String> {
    let upper = text.text.to_ascii_uppercase();
    if upper != text.text {
        return Err(format!("methods are written in capitals: {upper}"));
    }
    Method::from_bytes(text.text.as_bytes()).map_err(|_| format!("`{}` is not a method", text.text))
}
