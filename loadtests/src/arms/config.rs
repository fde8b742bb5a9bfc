//! Configurations from templates: one context for every arm, so that their policies are equivalent.

use std::net::SocketAddr;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use serde::Serialize;

use crate::credentials::NAME;
use crate::scenario::{Protocol, Scenario, Sides};

/// Opening a connection; Outrigger's default.
const CONNECT_MS: u64 = 250;

/// Share of failures that takes an endpoint out where only counts can be given.
const MOSTLY_FAILING: f64 = 0.7;
const FAILURES_MIN: u32 = 5;

/// The templates, in the binary so that it works anywhere.
const TEMPLATES: [(&str, &str); 6] = [
    ("outrigger.yaml", include_str!("../../peers/outrigger.yaml")),
    ("envoy.yaml", include_str!("../../peers/envoy.yaml")),
    ("envoy-routes.yaml", include_str!("../../peers/envoy-routes.yaml")),
    ("haproxy.cfg", include_str!("../../peers/haproxy.cfg")),
    ("nginx.conf", include_str!("../../peers/nginx.conf")),
    ("pingora.yaml", include_str!("../../peers/pingora.yaml")),
];

/// What a template is filled with.
#[derive(Clone, Debug, Serialize)]
pub struct Context {
    /// Where clients connect.
    pub listen: String,
    pub admin: String,
    pub metrics: String,
    /// Addresses of the upstream.
    pub endpoints: Vec<String>,
    /// Where the configuration lies, and what the program writes.
    pub folder: String,
    /// The whole request.
    pub deadline_ms: u64,
    /// Each try.
    pub attempt_ms: u64,
    /// Opening a connection.
    pub connect_ms: u64,
    /// Tries after the first one, and all of them.
    pub retries: u32,
    pub tries: u32,
    /// A slow first try gets a second one beside it.
    pub hedge: bool,
    /// Pool of each endpoint, and of all of them.
    pub connections: u32,
    pub connections_all: u32,
    /// Failures within a second that take a server out, for a program that counts them instead of taking their share.
    pub failures_per_second: u32,
    /// The upstream recognises a repeated request.
    pub keyed: bool,
    /// It stands in front of an app that it must protect from overload.
    pub overload: bool,
    /// Clients speak HTTP/2, and calls of gRPC in it.
    pub h2: bool,
    pub grpc: bool,
    /// What is spoken to upstreams is HTTP/2.
    pub upstream_h2: bool,
    /// `none`, `server` or `mutual`: towards clients, and towards upstreams.
    pub tls: String,
    pub upstream_tls: String,
    /// Where certificates and keys lie, and the name in those of servers.
    pub certificates: String,
    pub name: String,
    /// True after an odd number of reloads: changes a value that does not matter.
    pub flipped: bool,
}

/// Loopback addresses of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub metrics: SocketAddr,
}

impl Context {
    /// The context of one instance in one scenario.
    pub fn new(
        scenario: &Scenario,
        sides: Sides,
        addresses: Addresses,
        endpoints: &[SocketAddr],
        folder: &Path,
        certificates: &Path,
    ) -> Context {
        let needs = &scenario.policy;
        let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let count = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
        Context {
            listen: addresses.listen.to_string(),
            admin: addresses.admin.to_string(),
            metrics: addresses.metrics.to_string(),
            endpoints: endpoints.iter().map(SocketAddr::to_string).collect(),
            folder: folder.display().to_string(),
            deadline_ms: millis(needs.deadline),
            attempt_ms: millis(needs.attempt),
            connect_ms: CONNECT_MS.min(millis(needs.attempt)),
            retries: needs.retries,
            tries: needs.retries.saturating_add(1),
            // There is nowhere to go from a single one.
            hedge: needs.hedge && count > 1,
            connections: needs.connections,
            connections_all: needs.connections.saturating_mul(count),
            failures_per_second: failures(scenario.load.rate, count),
            keyed: needs.keyed,
            overload: needs.overload,
            h2: sides.protocol.is_h2(),
            grpc: sides.protocol == Protocol::Grpc,
            upstream_h2: sides.upstream_protocol.is_h2(),
            tls: sides.tls.as_str().to_owned(),
            upstream_tls: sides.upstream_tls.as_str().to_owned(),
            certificates: certificates.display().to_string(),
            name: NAME.to_owned(),
            flipped: false,
        }
    }

    /// Fills the template of that name.
    ///
    /// # Errors
    /// The template asks for something that is not there: a defect of this program.
    pub fn render(&self, name: &str) -> Result<String, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // By its name, a template would be taken for YAML and its values be quoted.
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        let syntax = SyntaxConfig::builder().trim_blocks(true).keep_trailing_newline(true).build();
        environment.set_syntax(syntax.map_err(|e| format!("the templates' syntax: {e}"))?);
        environment.add_filter("host", |address: &str| split(address).map(|(host, _)| host.to_owned()));
        environment.add_filter("port", |address: &str| split(address).map(|(_, port)| port.to_owned()));
        let (_, source) =
            TEMPLATES.iter().find(|(known, _)| *known == name).ok_or_else(|| format!("there is no template {name}"))?;
        let rendered = environment.render_named_str(name, source, Serde(self));
        rendered.map_err(|e| format!("loadtests/peers/{name}: {e}"))
    }
}

/// Most of what an endpoint gets in a second: a user knows their traffic. Never less than Outrigger's failures in a row.
fn failures(rate: f64, endpoints: u32) -> u32 {
    let share = rate * MOSTLY_FAILING / f64::from(endpoints.max(1));
    // Rates are far below 2^32.
    (share as u32).max(FAILURES_MIN)
}

fn split(address: &str) -> Result<(&str, &str), Error> {
    address.rsplit_once(':').ok_or_else(|| Error::new(ErrorKind::InvalidOperation, format!("`{address}` has no port")))
}
