//! Recordings of traffic for `outrigger simulate`.

use serde::{Deserialize, Serialize};

/// `POST /recording`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordingOrder {
    /// How long, 1 to 600.
    pub seconds: u64,
    /// Only requests to this dependency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Endpoints are told by their addresses, not by numbers alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<bool>,
}

/// It has begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordingBegun {
    /// How long it takes.
    pub seconds: u64,
}
