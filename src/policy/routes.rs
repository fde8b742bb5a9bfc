//! Which upstream and route a request belongs to.
//!
//! A look-up costs the number of path segments and host labels that the policy knows, not the number of
//! its routes: exact paths and hosts are hashed, prefixes are a tree of segments. Nothing is allocated.
//!
//! Order of decision. On a listener: the most specific host that matches (host with port, host, longest
//! `*.suffix`, any host), and there the upstream with the longest path prefix; an upstream that does not
//! match the path leaves the request to the next less specific host. In the upstream: exact path, then
//! longest prefix; at the same path a route with hosts before one without, then one with methods before
//! one without, then the order of the file. The implicit `default` route takes what is left.

mod paths;

use std::collections::HashMap;

use http::Method;
use paths::{Paths, Tree};

/// Index of an upstream in `Policy::upstreams` and of a route in its `routes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteId {
    pub upstream: u32,
    pub route: u32,
}

/// A host pattern, lower-case: `name`, `name:port` or `*.suffix`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// A host without port (matches every port) or with one.
    Exact(Box<str>),
    /// `.example.com`, from `*.example.com`: one label or more before it.
    Suffix(Box<str>),
}

impl HostPattern {
    /// Reads `name`, `name:port` or `*.suffix`. None = not a pattern of this kind.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let plain = lower.strip_suffix('.').unwrap_or(&lower);
        let (suffix, name) = match plain.strip_prefix('*') {
            Some(rest) => (true, rest.strip_prefix('.')?),
            None => (false, plain),
        };
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b) || (!suffix && b"[]:".contains(&b));
        if name.is_empty() || name.len() > HOST_BYTES_MAX || name.starts_with('.') || !name.bytes().all(allowed) {
            return None;
        }
        Some(if suffix { HostPattern::Suffix(format!(".{name}").into()) } else { HostPattern::Exact(name.into()) })
    }
}

/// What a route of an upstream asks for. Empty = anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteMatch {
    pub path: PathMatch,
    pub methods: Vec<Method>,
    pub hosts: Vec<HostPattern>,
}

/// Which paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathMatch {
    #[default]
    Any,
    Exact(Box<str>),
    /// Whole segments; a slash at the end makes no difference.
    Prefix(Box<str>),
}

/// One upstream on a listener.
#[derive(Clone, Debug)]
pub struct Entry {
    pub upstream: u32,
    /// Empty = any host.
    pub hosts: Vec<HostPattern>,
    /// None = every path.
    pub path_prefix: Option<Box<str>>,
    /// In file order, without the default route, which gets the index `routes.len()`.
    pub routes: Vec<RouteMatch>,
}

/// Two upstreams on one listener that no request can tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguous {
    pub first: u32,
    pub second: u32,
    /// The host that both ask for; None = any.
    pub host: Option<HostPattern>,
}

/// A host longer than this is no host name (RFC 1035: 253 bytes) and matches only "any host".
const HOST_BYTES_MAX: usize = 255;

/// Routes of one listener.
#[derive(Debug, Default)]
pub struct RouteTable {
    exact: HashMap<Box<str>, Tree<u32>>,
    suffixes: HashMap<Box<str>, Tree<u32>>,
    any: Tree<u32>,
    /// By the numbers that the trees above hold.
    sites: Vec<Site>,
    /// What it was built from, for people.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Site {
    upstream: u32,
    paths: Paths,
}

impl RouteTable {
    /// Builds the table, and says which routes no request can reach and which upstreams are ambiguous.
    /// Of two ambiguous upstreams the first one wins.
    pub fn build(entries: Vec<Entry>) -> (Self, Vec<RouteId>, Vec<Ambiguous>) {
        let mut table = RouteTable::default();
        let mut unreachable = Vec::new();
        let mut ambiguous = Vec::new();
        for entry in &entries {
            let number = table.sites.len() as u32;
            let prefix = entry.path_prefix.as_deref().unwrap_or("/");
            let hosts: Vec<Option<&HostPattern>> =
                if entry.hosts.is_empty() { vec![None] } else { entry.hosts.iter().map(Some).collect() };
            for host in hosts {
                let tree = match host {
                    None => &mut table.any,
                    Some(HostPattern::Exact(name)) => table.exact.entry(name.clone()).or_default(),
                    Some(HostPattern::Suffix(name)) => table.suffixes.entry(name.clone()).or_default(),
                };
                let slot = tree.at(prefix);
                match *slot {
                    // A host that an upstream names twice.
                    Some(taken) if taken == number => {}
                    Some(taken) => ambiguous.push(Ambiguous {
                        first: table.sites[taken as usize].upstream,
                        second: entry.upstream,
                        host: host.cloned(),
                    }),
                    None => *slot = Some(number),
                }
            }
            let (paths, shadowed) = Paths::build(&entry.routes);
            unreachable.extend(shadowed.into_iter().map(|route| RouteId { upstream: entry.upstream, route }));
            table.sites.push(Site { upstream: entry.upstream, paths });
        }
        table.entries = entries;
        (table, unreachable, ambiguous)
    }

    /// The upstreams and routes behind this listener, in file order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// `host`: authority as the client sent it, port included, any case. `path` without query.
    /// None = no upstream matches.
    pub fn select(&self, host: &str, path: &str, method: &Method) -> Option<RouteId> {
        let mut buffer = [0; HOST_BYTES_MAX];
        let host = Host::read(host, &mut buffer);
        let site = self.site(&host, path)?;
        let site = self.sites.get(site as usize)?;
        Some(RouteId { upstream: site.upstream, route: site.paths.select(&host, path, method) })
    }

    fn site(&self, host: &Host<'_>, path: &str) -> Option<u32> {
        host.find(&self.exact, &self.suffixes, |tree| tree.longest(path, |site| Some(*site)))
            .or_else(|| self.any.longest(path, |site| Some(*site)))
    }
}

/// A request's host, lower-case, with and without its port. Both empty if it is no host.
struct Host<'a> {
    with_port: &'a str,
    name: &'a str,
}

impl<'a> Host<'a> {
    fn read(host: &str, buffer: &'a mut [u8; HOST_BYTES_MAX]) -> Self {
        let none = Host { with_port: "", name: "" };
        let Some(lower) = buffer.get_mut(..host.len()) else { return none };
        lower.copy_from_slice(host.as_bytes());
        lower.make_ascii_lowercase();
        let Ok(with_port) = std::str::from_utf8(lower) else { return none };
        // The last colon begins a port unless it is inside the brackets of an IPv6 literal.
        let name = match with_port.rfind(':') {
            Some(colon) if !with_port[colon..].contains(']') => &with_port[..colon],
            Some(_) | None => with_port,
        };
        Host { with_port, name: name.strip_suffix('.').unwrap_or(name) }
    }

    /// The first of host with port, host, suffixes from the longest, for which `found` has an answer.
    fn find<T, R>(
        &self,
        exact: &HashMap<Box<str>, T>,
        suffixes: &HashMap<Box<str>, T>,
        found: impl Fn(&T) -> Option<R>,
    ) -> Option<R> {
        if !exact.is_empty() {
            let with_port = if self.with_port == self.name { None } else { exact.get(self.with_port) };
            let hit = with_port.and_then(&found).or_else(|| exact.get(self.name).and_then(&found));
            if hit.is_some() {
                return hit;
            }
        }
        if suffixes.is_empty() {
            return None;
        }
        let dots = self.name.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'.');
        dots.filter_map(|(dot, _)| suffixes.get(&self.name[dot..])).find_map(found)
    }
}

#[cfg(test)]
mod tests;
