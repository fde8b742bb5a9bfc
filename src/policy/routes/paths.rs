//! Paths of one upstream: hashed when exact, a tree of segments when prefixes.

use std::collections::HashMap;

use http::Method;

use super::{Host, HostPattern, PathMatch, RouteMatch};

/// A tree of path segments. Node 0 is the root; a node's parent is always before it.
#[derive(Debug)]
pub(super) struct Tree<T> {
    nodes: Vec<Node<T>>,
}

#[derive(Debug)]
struct Node<T> {
    parent: usize,
    children: HashMap<Box<str>, usize>,
    value: Option<T>,
}

impl<T> Node<T> {
    fn below(parent: usize) -> Self {
        Node { parent, children: HashMap::new(), value: None }
    }
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Tree { nodes: vec![Node::below(0)] }
    }
}

/// `/a/b/` -> `a`, `b`. The empty segments inside `/a//b` count.
fn prefix_segments(prefix: &str) -> impl Iterator<Item = &str> {
    let inner = prefix.strip_prefix('/').unwrap_or(prefix);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    inner.split('/').filter(move |_| !inner.is_empty())
}

impl<T> Tree<T> {
    /// The place for `prefix`, made if it is new.
    pub(super) fn at(&mut self, prefix: &str) -> &mut Option<T> {
        let mut node = 0;
        for segment in prefix_segments(prefix) {
            node = match self.nodes[node].children.get(segment) {
                Some(child) => *child,
                None => {
                    let child = self.nodes.len();
                    self.nodes.push(Node::below(node));
                    self.nodes[node].children.insert(segment.into(), child);
                    child
                }
            };
        }
        &mut self.nodes[node].value
    }

    /// What `found` makes of the longest prefix of `path` for which it has an answer. Goes down as far as
    /// the tree does and back up: its depth bounds the work, however long the path is.
    pub(super) fn longest<R>(&self, path: &str, found: impl Fn(&T) -> Option<R>) -> Option<R> {
        let mut node = 0;
        if let Some(inner) = path.strip_prefix('/') {
            for segment in inner.split('/') {
                match self.nodes[node].children.get(segment) {
                    Some(child) => node = *child,
                    None => break,
                }
            }
        }
        loop {
            if let Some(answer) = self.nodes[node].value.as_ref().and_then(&found) {
                return Some(answer);
            }
            if node == 0 {
                return None;
            }
            node = self.nodes[node].parent;
        }
    }
}

/// Routes of one upstream.
#[derive(Debug)]
pub(super) struct Paths {
    exact: HashMap<Box<str>, Bucket>,
    prefixes: Tree<Bucket>,
    default_route: u32,
}

impl Paths {
    /// The second value: routes that an earlier one hides completely.
    pub(super) fn build(routes: &[RouteMatch]) -> (Self, Vec<u32>) {
        let mut paths = Paths { exact: HashMap::new(), prefixes: Tree::default(), default_route: routes.len() as u32 };
        let mut shadowed = Vec::new();
        for (number, route) in routes.iter().enumerate() {
            let bucket = match &route.path {
                PathMatch::Exact(path) => paths.exact.entry(path.clone()).or_default(),
                PathMatch::Prefix(prefix) => paths.prefixes.at(prefix).get_or_insert_default(),
                PathMatch::Any => paths.prefixes.at("/").get_or_insert_default(),
            };
            if !bucket.insert(route, number as u32) {
                shadowed.push(number as u32);
            }
        }
        (paths, shadowed)
    }

    pub(super) fn select(&self, host: &Host<'_>, path: &str, method: &Method) -> u32 {
        let exact = if self.exact.is_empty() { None } else { self.exact.get(path) };
        exact
            .and_then(|bucket| bucket.select(host, method))
            .or_else(|| self.prefixes.longest(path, |bucket| bucket.select(host, method)))
            .unwrap_or(self.default_route)
    }
}

/// Routes that ask for the same path.
#[derive(Debug, Default)]
struct Bucket {
    hosts: HashMap<Box<str>, Methods>,
    suffixes: HashMap<Box<str>, Methods>,
    any_host: Methods,
}

impl Bucket {
    /// Returns false if every request of this route is taken already.
    fn insert(&mut self, route: &RouteMatch, number: u32) -> bool {
        if route.hosts.is_empty() {
            return self.any_host.insert(&route.methods, number);
        }
        let mut inserted = false;
        for host in &route.hosts {
            let methods = match host {
                HostPattern::Exact(name) => self.hosts.entry(name.clone()).or_default(),
                HostPattern::Suffix(name) => self.suffixes.entry(name.clone()).or_default(),
            };
            inserted |= methods.insert(&route.methods, number);
        }
        inserted
    }

    fn select(&self, host: &Host<'_>, method: &Method) -> Option<u32> {
        host.find(&self.hosts, &self.suffixes, |methods| methods.select(method))
            .or_else(|| self.any_host.select(method))
    }
}

/// The first route in the file per method: as long as there are methods, not routes.
#[derive(Debug, Default)]
struct Methods {
    given: Vec<(Method, u32)>,
    any: Option<u32>,
}

impl Methods {
    fn insert(&mut self, methods: &[Method], number: u32) -> bool {
        if methods.is_empty() {
            let free = self.any.is_none();
            self.any.get_or_insert(number);
            return free;
        }
        let before = self.given.len();
        for method in methods {
            if !self.given.iter().any(|(taken, _)| taken == method) {
                self.given.push((method.clone(), number));
            }
        }
        self.given.len() > before
    }

    fn select(&self, method: &Method) -> Option<u32> {
        self.given.iter().find(|(given, _)| given == method).map(|(_, route)| *route).or(self.any)
    }
}
