//! Policies of any size, and the requests that tell their routes apart: how costs grow is measured with them.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

/// The size of a policy. Every upstream has the same routes and endpoints of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicySize {
    /// Upstreams, `up0`, `up1`, ... One alone takes every host; of several, `up7` takes `*.up7.test`.
    pub upstreams: usize,
    /// Routes of each upstream, `r0`, `r1`, ..., besides its default route.
    pub routes: usize,
    /// Endpoints of each upstream.
    pub endpoints: usize,
}

impl fmt::Display for PolicySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} upstreams of {} routes, {} endpoints", self.upstreams, self.routes, self.endpoints)
    }
}

impl PolicySize {
    /// One upstream with one endpoint.
    pub const fn of_routes(routes: usize) -> PolicySize {
        PolicySize { upstreams: 1, routes, endpoints: 1 }
    }

    /// The `upstreams` of a policy. `endpoint` gives the address of an endpoint by its number, counted over all
    /// upstreams. `block`: what every upstream has besides, one key a line.
    pub fn upstreams(&self, block: &str, mut endpoint: impl FnMut(usize) -> SocketAddr) -> String {
        let mut text = "upstreams:\n".to_owned();
        let mut line = |line: fmt::Arguments<'_>| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line}");
        };
        for upstream in 0..self.upstreams {
            line(format_args!("  up{upstream}:"));
            block.lines().for_each(|key| line(format_args!("    {key}")));
            if self.upstreams > 1 {
                line(format_args!("    match: {{ hosts: ['*.up{upstream}.test'] }}"));
            }
            line(format_args!("    endpoints:"));
            for number in 0..self.endpoints {
                line(format_args!("      - http://{}", endpoint(upstream * self.endpoints + number)));
            }
            if self.routes > 0 {
                line(format_args!("    routes:"));
            }
            for route in 0..self.routes {
                let wanted = match Form::of(route) {
                    Form::Exact => format!("path: /exact/{route}"),
                    Form::Prefix => format!("pathPrefix: /prefix/{route}"),
                    Form::Host => format!("hosts: [h{route}.up{upstream}.test], pathPrefix: /host"),
                };
                line(format_args!("      - {{ name: r{route}, match: {{ {wanted} }} }}"));
            }
        }
        text
    }

    /// A request that goes to this route of this upstream, and to no other; to the default route if there are
    /// not so many routes.
    pub fn request(&self, upstream: usize, route: usize) -> RoutedRequest {
        let any = format!("any.up{upstream}.test");
        match Form::of(route) {
            Form::Exact => RoutedRequest { host: any, path: format!("/exact/{route}") },
            Form::Prefix => RoutedRequest { host: any, path: format!("/prefix/{route}/item") },
            Form::Host => RoutedRequest { host: format!("h{route}.up{upstream}.test"), path: "/host/item".to_owned() },
        }
    }
}

/// Host and path of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutedRequest {
    /// The `Host` header.
    pub host: String,
    /// The path.
    pub path: String,
}

/// What a route asks for; they take turns.
enum Form {
    Exact,
    Prefix,
    Host,
}

impl Form {
    fn of(route: usize) -> Form {
        match route % 3 {
            0 => Form::Exact,
            1 => Form::Prefix,
            _ => Form::Host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PolicySize;
    use crate::policy::compile::load;
    use http::Method;

    #[test]
    fn every_route_of_a_big_policy_is_found_by_its_request_and_by_no_other() {
        for size in [
            PolicySize::of_routes(0),
            PolicySize::of_routes(10_000),
            PolicySize { upstreams: 100, routes: 100, endpoints: 10 },
            PolicySize { upstreams: 1, routes: 1, endpoints: 1_000 },
        ] {
            let endpoint = |n| std::net::SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 80));
            let text = format!("version: 1\n{}", size.upstreams("retry: {}\ncircuitBreaker: {}", endpoint));
            let compiled = load("policy.yaml", &text).unwrap_or_else(|e| panic!("{e}"));
            assert!(compiled.warnings.is_empty(), "{}", compiled.warnings);
            let policy = compiled.policy;
            for upstream in 0..size.upstreams {
                for route in 0..=size.routes {
                    let request = size.request(upstream, route);
                    let id = policy.listeners[0].table.select(&request.host, &request.path, &Method::GET).unwrap();
                    assert_eq!((id.upstream as usize, id.route as usize), (upstream, route), "{request:?}");
                    let expected = if route < size.routes { format!("r{route}") } else { "default".to_owned() };
                    assert_eq!(*policy.upstreams[upstream].routes[route].name, *expected);
                }
            }
        }
    }
}
