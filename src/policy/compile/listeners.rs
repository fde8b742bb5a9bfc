//! Addresses, and the routes reachable through each.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::Context;
use super::read::{self, Layer, PROCESS};
use super::upstreams::{self, Compiled};
use crate::policy::diagnostic::Diagnostic;
use crate::policy::lint::Code;
use crate::policy::raw;
use crate::policy::raw::scalar::Position;
use crate::policy::routes::{Entry, HostPattern, RouteTable};
use crate::policy::tls::OWN;
use crate::policy::{Direction, Listener, Target};

/// `listen`.
const SHARED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4400);
/// `inbound.listen`.
const INBOUND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 4401);
/// Client connections of an outbound listener: the app is alone there.
const OUTBOUND_CONNECTIONS: u32 = 1_024;

/// Addresses in use, by port.
type Ports = HashMap<u16, Vec<Taken>>;

/// An address in use, for what, and where that is written.
struct Taken {
    addr: SocketAddr,
    what: String,
    position: Option<Position>,
}

impl Context {
    pub(super) fn listeners(
        &mut self,
        file: &raw::File,
        upstreams: &[Compiled<'_>],
        admin: Option<SocketAddr>,
        metrics: Option<SocketAddr>,
    ) -> Vec<Listener> {
        let mut listeners = Vec::new();
        let mut taken = Ports::new();
        for (what, addr) in [("admin.listen", admin), ("metrics.listen", metrics)] {
            let position = self.origins.position(PROCESS, None, what);
            if let Some(addr) = addr {
                self.take_address(&mut taken, Taken { addr, what: what.to_owned(), position }, Code::AdminPortTaken);
            }
        }
        listeners.extend(self.shared_listener(file, upstreams, &mut taken));
        for (index, upstream) in upstreams.iter().enumerate() {
            listeners.extend(match upstream.raw {
                Some(raw) => self.own_listener(index as u32, upstream, raw, &mut taken),
                None => self.inbound_listener(index as u32, upstream, file.inbound.value(), &mut taken),
            });
        }
        listeners
    }

    /// Refuses an address that something else listens on already. Port 0 is any free port.
    fn take_address(&mut self, taken: &mut Ports, new: Taken, code: Code) {
        let overlaps = |a: IpAddr, b: IpAddr| a == b || a.is_unspecified() || b.is_unspecified();
        if new.addr.port() == 0 {
            return;
        }
        let taken = taken.entry(new.addr.port()).or_default();
        if let Some(old) = taken.iter().find(|old| overlaps(old.addr.ip(), new.addr.ip())) {
            let code =
                if old.what.ends_with(".listen") && old.position.is_none() { Code::AdminPortTaken } else { code };
            let message = format!("{} of {} is taken by {} ({})", new.addr, new.what, old.what, old.addr);
            let position = new.position.or(old.position).unwrap_or_default();
            let finding = Diagnostic::new(code, position, message).with_related(old.position, "taken here");
            self.findings.push(finding);
        }
        taken.push(new);
    }

    fn shared_listener(&mut self, file: &raw::File, upstreams: &[Compiled<'_>], taken: &mut Ports) -> Option<Listener> {
        let members: Vec<(u32, &Compiled<'_>, &raw::Upstream)> = upstreams
            .iter()
            .enumerate()
            .filter_map(|(index, upstream)| Some((index as u32, upstream, upstream.raw?)))
            .filter(|(_, _, raw)| !raw.listen.is_given())
            .collect();
        let listen = file.listen.get();
        if members.is_empty() {
            if let Some(at) = listen {
                let message = "nothing is reachable through `listen`: every upstream has a listener of its own";
                self.report(Code::UnusedListener, at.position, message);
            }
            return None;
        }
        let found = listen.map(|at| (at, Layer::Own));
        let addr = self.process().take("listen", found, |text| read::address(&text.text), SHARED);
        let position = listen.map(|at| at.position);
        self.take_address(taken, Taken { addr, what: "`listen`".to_owned(), position }, Code::PortTaken);
        let idle = members.iter().map(|(_, upstream, _)| idle(upstream)).max().unwrap_or_default();
        let hosts = self.hosts(&members);
        let entries = members
            .iter()
            .zip(hosts)
            .map(|((index, upstream, raw), hosts)| {
                let prefix = raw.matches.value().and_then(|wanted| wanted.path_prefix.get()).map(|at| (at, Layer::Own));
                let read = |text: &_| upstreams::path(text).map(|path| Some(path.into_boxed_str()));
                let path_prefix = self.reader(*index, None).take("match.pathPrefix", prefix, read, None);
                Entry { upstream: *index, hosts, path_prefix, routes: upstream.routes.clone() }
            })
            .collect();
        let table = self.table(entries, upstreams);
        let direction = Direction::Outbound;
        Some(Listener { addr, direction, table, connections_max: OUTBOUND_CONNECTIONS, idle, age_max: None, tls: None })
    }

    /// The hosts by which each member is found. Written ones first; a member without any is found by its
    /// name, and by the host of its url where no other member is. A single member gets everything.
    fn hosts(&mut self, members: &[(u32, &Compiled<'_>, &raw::Upstream)]) -> Vec<Vec<HostPattern>> {
        let mut written: Vec<Option<Vec<HostPattern>>> = Vec::new();
        for (index, _, raw) in members {
            let Some(wanted) = raw.matches.get() else {
                written.push(if members.len() == 1 { Some(Vec::new()) } else { None });
                continue;
            };
            let (hosts, prefix) = (wanted.value.hosts.get(), wanted.value.path_prefix.is_given());
            let mut reader = self.reader(*index, None);
            if hosts.is_none() && !prefix {
                reader.refuse(wanted.position, "a match needs hosts or pathPrefix");
            }
            written.push(Some(reader.given_list("match.hosts", hosts.map(|at| (at, Layer::Own)), upstreams::host)));
        }
        let claims: HashSet<&HostPattern> = written.iter().flatten().flatten().collect();
        let implied: Vec<[Option<HostPattern>; 3]> = members.iter().map(|(_, upstream, _)| implied(upstream)).collect();
        let unwritten = || written.iter().zip(&implied).filter(|(written, _)| written.is_none());
        // Names are unique among themselves, and beat the hosts of others' urls.
        let names: HashSet<&HostPattern> = unwritten().filter_map(|(_, [name, ..])| name.as_ref()).collect();
        let mut by_url: HashMap<&HostPattern, usize> = HashMap::new();
        for (_, [_, hosts @ ..]) in unwritten() {
            hosts.iter().flatten().for_each(|host| *by_url.entry(host).or_default() += 1);
        }
        let free = |host: &HostPattern| !claims.contains(host);
        let mut found = Vec::new();
        for (written, [name, hosts @ ..]) in written.iter().zip(&implied) {
            found.push(match written {
                Some(hosts) => hosts.clone(),
                None => {
                    let by_name = name.iter().filter(|name| free(name));
                    let unique =
                        |host: &&HostPattern| free(host) && by_url.get(*host) == Some(&1) && !names.contains(*host);
                    by_name.chain(hosts.iter().flatten().filter(unique)).cloned().collect()
                }
            });
        }
        for (((_, upstream, _), written), hosts) in members.iter().zip(&written).zip(&found) {
            if hosts.is_empty() && written.is_none() {
                let message =
                    format!("upstream `{}` cannot be told apart from others: give it a match", upstream.policy.name);
                self.report(Code::Ambiguous, upstream.position, message);
            }
        }
        found
    }

    fn own_listener(
        &mut self,
        index: u32,
        upstream: &Compiled<'_>,
        raw: &raw::Upstream,
        taken: &mut Ports,
    ) -> Option<Listener> {
        let at = raw.listen.get()?;
        if let Some(position) = raw.matches.position() {
            let message =
                "match has no effect: everything that arrives at this upstream's own listener is meant for it";
            self.report(Code::InvalidValue, position, message);
        }
        let port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let addr =
            self.reader(index, None).take("listen", Some((at, Layer::Own)), |text| read::address(&text.text), port);
        let what = format!("upstream `{}`", upstream.policy.name);
        self.take_address(taken, Taken { addr, what, position: Some(at.position) }, Code::PortTaken);
        let table = self.single(index, upstream);
        let (direction, connections_max) = (Direction::Outbound, OUTBOUND_CONNECTIONS);
        Some(Listener { addr, direction, table, connections_max, idle: idle(upstream), age_max: None, tls: None })
    }

    fn inbound_listener(
        &mut self,
        index: u32,
        app: &Compiled<'_>,
        inbound: Option<&raw::Inbound>,
        taken: &mut Ports,
    ) -> Option<Listener> {
        let inbound = inbound?;
        let found = inbound.listen.get().map(|at| (at, Layer::Own));
        let mut reader = self.reader(index, None);
        let addr = reader.take("listen", found, |text| read::address(&text.text), INBOUND);
        let default = super::blocks::INBOUND_LIMITS;
        let limits = reader.limits(read::Layered::own(inbound.limits.get()), default);
        let age = inbound.keep_alive.value().and_then(|kept| kept.max_age.get()).map(|at| (at, Layer::Own));
        let age_max = reader.max_age(age);
        let tls = reader.server_tls(&OWN, inbound.tls.get());
        let position = inbound.listen.position().or(Some(app.position));
        self.take_address(taken, Taken { addr, what: "inbound".to_owned(), position }, Code::PortTaken);
        let (table, direction) = (self.single(index, app), Direction::Inbound);
        let (connections_max, idle) = (limits.connections, idle(app));
        Some(Listener { addr, direction, table, connections_max, idle, age_max, tls })
    }

    fn single(&mut self, index: u32, upstream: &Compiled<'_>) -> RouteTable {
        let entry = Entry { upstream: index, hosts: Vec::new(), path_prefix: None, routes: upstream.routes.clone() };
        self.table(vec![entry], &[])
    }

    fn table(&mut self, entries: Vec<Entry>, upstreams: &[Compiled<'_>]) -> RouteTable {
        let (table, unreachable, ambiguous) = RouteTable::build(entries);
        for route in unreachable {
            let position = self.origins.position(route.upstream, Some(route.route), "route").unwrap_or_default();
            let message = "no request reaches this route: an earlier one matches the same path, hosts and methods";
            self.report(Code::UnreachableRoute, position, message);
        }
        for clash in ambiguous {
            let name = |index: u32| upstreams.get(index as usize).map(|u| (u.policy.name.to_string(), u.position));
            if let (Some((first, first_at)), Some((second, at))) = (name(clash.first), name(clash.second)) {
                let host = match clash.host {
                    Some(HostPattern::Exact(host)) => format!("host {host}"),
                    Some(HostPattern::Suffix(host)) => format!("host *{host}"),
                    None => "any host".to_owned(),
                };
                let message = format!("upstreams `{first}` and `{second}` match the same requests: {host}, same path");
                let finding = Diagnostic::new(Code::Ambiguous, at, message)
                    .with_note("give one of them another match, or a listen of its own")
                    .with_related(Some(first_at), "the other one");
                self.findings.push(finding);
            }
        }
        table
    }
}

/// Host patterns that follow from the upstream itself: its name, and its url's host with and without port.
fn implied(upstream: &Compiled<'_>) -> [Option<HostPattern>; 3] {
    let name = HostPattern::parse(&upstream.policy.name);
    match &upstream.policy.target {
        Target::Dns { host, port, .. } => {
            [name, HostPattern::parse(host), HostPattern::parse(&format!("{host}:{port}"))]
        }
        Target::Fixed(endpoints) => match endpoints.as_slice() {
            // An IP literal as url is asked for by that address.
            [one] => [name, None, HostPattern::parse(&one.addr.to_string())],
            _ => [name, None, None],
        },
    }
}

/// Client connections are kept as long as the most patient route says.
fn idle(upstream: &Compiled<'_>) -> Duration {
    upstream.policy.routes.iter().map(|route| route.timeouts.idle).max().unwrap_or_default()
}
