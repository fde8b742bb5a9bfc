//! `deadLetter`: of a route, and its bounds at the top level.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{At, FilePath, Header, Key, Name, QueryName, Size, Text, Time, Whole};
use super::{CaptureAt, Cause, Credentials};

/// Bounds of what is kept of requests that could not be served. Nothing is kept without a route that has deadLetter.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeadLetter {
    /// Open letters are closed as expired after this, closed ones forgotten; 1h to 2160h. Default 168h.
    pub retention: Key<Text<Time>>,
    /// All letters together, 64KiB to three quarters of stores.embedded.maxBytes. No open letter makes room for another. Default: half of it.
    pub max_bytes: Key<Text<Size>>,
    /// Letters kept at once, open and closed, 1 to 1000000. Default 10000.
    pub max_letters: Key<Text<Whole>>,
    /// Percent of both bounds that one queue may take, 1 to 100. Default 100.
    pub max_share: Key<Text<Whole>>,
    /// A file with the key that seals what a replay needs, as an absolute path, such as a mounted secret. Default: a key is made beside the file of the store.
    pub key_file: Key<Text<FilePath>>,
    /// What is kept of a request.
    pub capture: Key<Capture>,
}

/// What is kept of a request.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Capture {
    /// Larger bodies are not kept, and their letters cannot be replayed; at most 16MiB. Default 1MiB.
    pub max_body: Key<Text<Size>>,
    /// Headers whose values are shown to nobody, besides Authorization, Proxy-Authorization, Cookie, Set-Cookie and X-Api-Key. Default none.
    pub redact_headers: Key<Vec<At<Text<Header>>>>,
    /// Parameters of the query whose values are shown by a short digest; all others are not shown at all. Default none.
    pub redact_query: Key<Vec<At<Text<QueryName>>>>,
    /// seal: kept, so that a replay can authenticate, and readable with the key alone; drop: not kept. Default seal.
    pub credentials: Key<Credentials>,
}

/// Requests of a route that could not be served, kept for repair. The client still gets the failure.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RouteDeadLetter {
    /// Letters with the same word lie together. Default UPSTREAM/ROUTE.
    pub queue: Key<Text<Name>>,
    /// For which failures. Default all but circuit-open.
    pub when: Key<Vec<At<Cause>>>,
    /// failure: written when the request has failed; send: noted when it is sent, so that it can be replayed if this process dies meanwhile, at the cost of a larger write for each request. Default failure.
    pub capture: Key<CaptureAt>,
}

super::scalar::blocks! {
    DeadLetter Capture RouteDeadLetter
}
