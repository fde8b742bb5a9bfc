//! `tracing`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{Flag, Key, Ratio, Text, TimeOrNone, Url, Whole};

/// Traces of requests, sent to a collector as OTLP over HTTP. What is left out is read from the environment (OTEL_*).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tracing {
    /// The collector: http://HOST:PORT, usually port 4318. Default: OTEL_EXPORTER_OTLP_ENDPOINT; without both nothing is exported.
    pub endpoint: Key<Text<Url>>,
    /// Share of the traces beginning here that is exported, 0.0 to 1.0; of others their caller has decided. Default: OTEL_TRACES_SAMPLER, else 1.0.
    pub sample_ratio: Key<Text<Ratio>>,
    /// Also export every request that failed, was retried, or was denied a retry. Default true.
    pub errors: Key<Text<Flag>>,
    /// Also export every request that took this long, or none. Default 1s.
    pub slow: Key<Text<TimeOrNone>>,
    /// At most so many requests a second are exported above the ratio, 0 to 1000. Default 10.
    pub keep_per_second: Key<Text<Whole>>,
}

super::scalar::blocks! {
    Tracing
}
