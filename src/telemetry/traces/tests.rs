use super::*;

mod encoding;
mod exporting;
mod reading;
mod sampling;

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use http::{HeaderValue, Method, Version};

use crate::policy::Direction;
use crate::policy::routes::RouteId;
use crate::reliability::attempts::Kind;
use crate::reliability::inheritance::DeadlineFrom;
use crate::reliability::{Failure, Sent};
use crate::telemetry::metrics::{AttemptEnd, RequestOutcome};
use crate::telemetry::trace_context::TraceContext;

const MS: Duration = Duration::from_millis(1);

/// An environment with these variables and no other.
fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
}

fn policy(block: &str) -> Arc<Policy> {
    let text = format!(
        "version: 1\nname: checkout\n{block}\nupstreams:\n  pay:\n    endpoints: ['http://10.0.0.7:8080']\n    \
         routes: [{{ name: charge, match: {{ path: /charges }} }}]\n"
    );
    Arc::new(crate::policy::compile::load("p.yaml", &text).unwrap_or_else(|e| panic!("{e}")).policy)
}

/// A request that was sent twice and rescued.
fn story() -> Story {
    let endpoint: SocketAddr = "10.0.0.7:8080".parse().unwrap();
    let attempt = |launched: u32, kind, end| AttemptStory {
        endpoint: Some(endpoint),
        kind,
        launched: launched * MS,
        left: 1_000 * MS - launched * MS,
        elapsed: 10 * MS,
        end,
    };
    let parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    Story {
        policy: policy("tracing: { endpoint: 'http://collector:4318' }"),
        revision: 7,
        direction: Direction::Outbound,
        route: Some(RouteId { upstream: 0, route: 0 }),
        lineage: Lineage { context: TraceContext::parse(parent).unwrap(), seed: 42 },
        kept: None,
        ended: SystemTime::UNIX_EPOCH + 2_000_000 * MS,
        elapsed: 100 * MS,
        method: Method::GET,
        target: "/charges?card=4111&token".to_owned(),
        host: Some(HeaderValue::from_static("pay.test:4400")),
        client: "127.0.0.1:5000".parse().unwrap(),
        peer: Some("spiffe://shop.example/cart".into()),
        version: Version::HTTP_11,
        user_agent: Some(HeaderValue::from_static("curl/8")),
        status: 200,
        grpc: false,
        call: None,
        failure: None,
        deadline_from: DeadlineFrom::Policy,
        outcome: RequestOutcome::Success,
        attempts: vec![
            attempt(1, Kind::First, AttemptEnd::Status(503)),
            attempt(36, Kind::Retry, AttemptEnd::Status(200)),
        ],
        denied: None,
        circuit: Some("closed"),
        key_status: None,
        dead_letter: None,
    }
}

/// One that failed before anything was sent: one span.
fn refused() -> Story {
    Story {
        status: 503,
        failure: Some((Failure::CircuitOpen, Sent::No)),
        outcome: RequestOutcome::Refused,
        attempts: Vec::new(),
        circuit: Some("open"),
        ..story()
    }
}
