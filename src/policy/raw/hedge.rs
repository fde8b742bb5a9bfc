//! `hedge` of an upstream and of a route.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Mode;
use super::scalar::{Flag, HedgeDelay, Key, Percent, Text, Time};

/// A second attempt beside a first one that takes unusually long; the answer that comes first counts. Present = on.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Hedge {
    /// When it is sent: p50 to p99.9, that percentile of the route's recent first attempts; or a fixed time such as 50ms. Default p95.
    pub delay: Key<Text<HedgeDelay>>,
    /// A percentile below it counts as it. Default 20ms.
    pub min_delay: Key<Text<Time>>,
    /// Hedges per hundred first attempts, at most; 0.1 to 20. Default 5.
    pub percent: Key<Text<Percent>>,
    /// Hedge also methods that must not be repeated (POST, PATCH), where idempotency.contract is dedupes. Requests that are deduplicated here are never hedged. Default false.
    #[serde(rename = "unsafe")]
    pub unsafe_methods: Key<Text<Flag>>,
    /// enforce, observe (count what it would do) or none. Default enforce.
    pub mode: Key<Mode>,
}

super::scalar::blocks! {
    Hedge
}
