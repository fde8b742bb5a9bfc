//! Traces in effect, as far as the policy decides.

use super::{Setting, count, number, set, time};
use crate::policy::tracing::TracingPolicy;

/// Empty without a `tracing` block: then the environment decides alone.
pub(in crate::policy) fn tracing(policy: Option<&TracingPolicy>) -> Vec<Setting> {
    let Some(TracingPolicy { endpoint, sample_ratio, errors, slow, keep_per_second }) = policy else {
        return Vec::new();
    };
    let environment = |name: &str| format!("from {name}");
    vec![
        match endpoint {
            Some(endpoint) => set("tracing.endpoint", endpoint.as_str()),
            None => set("tracing.endpoint", environment("OTEL_EXPORTER_OTLP_ENDPOINT")),
        },
        match sample_ratio {
            Some(ratio) => number("tracing.sampleRatio", *ratio),
            None => set("tracing.sampleRatio", environment("OTEL_TRACES_SAMPLER")),
        },
        set("tracing.errors", errors.to_string()),
        match slow {
            Some(slow) => time("tracing.slow", *slow),
            None => set("tracing.slow", "none"),
        },
        count("tracing.keepPerSecond", *keep_per_second),
    ]
}
