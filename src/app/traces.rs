//! Traces: the environment they are configured by, and the wire that carries them.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::runtime::Runtime;

use crate::clock;
use crate::telemetry::events::Event;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Carrier, Environment, Parcel, Reply, Traces};
use crate::wire::post::Post;

/// At the end of the process, what waits to be exported may take this long.
pub(super) const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Sends over the wire.
struct Wire;

impl Carrier for Wire {
    async fn carry(&self, parcel: Parcel) -> Result<Reply, String> {
        let Parcel { endpoint, headers, body, timeout } = parcel;
        let post = Post {
            host: endpoint.host,
            port: endpoint.port,
            authority: endpoint.authority,
            path: endpoint.path,
            content_type: HeaderValue::from_static("application/x-protobuf"),
            headers: HeaderMap::from_iter(headers),
            body,
        };
        let posted = post.send(clock::now() + timeout).await?;
        Ok(Reply { status: posted.status, retry_after: posted.retry_after, body: posted.body })
    }
}

/// Reads `OTEL_*` and starts the exporter, which sleeps until a span comes.
pub(super) fn start(control: &Runtime, metrics: &Metrics) -> Arc<Traces> {
    let environment = Environment::read(|name| std::env::var(name).ok());
    let (traces, exporter) = Traces::new(environment, metrics.spans());
    for problem in traces.problems() {
        Event::TracingProblem { problem }.emit();
    }
    control.spawn(exporter.run(Wire));
    traces
}
