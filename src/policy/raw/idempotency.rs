//! `idempotency` of a route.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{At, Flag, Header, Key, Method, Principal, Size, Text, Time};
use super::{Contract, ForwardKey, InFlight, KeySyntax, OnStoreError, Oversize, StoreKind};

/// What is promised about requests sent twice. With any key but contract, requests with an idempotency key are deduplicated.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Idempotency {
    /// What the target promises. opaque: nothing; atomic5xx: an answered 5xx had no effect; dedupes: it recognises a repeated request. Default opaque.
    pub contract: Key<Contract>,
    /// Whose keys: header:NAME, a header that names the caller; mtls:spiffe, the id in the caller's certificate (inbound with tls.clientCa only); or none if all callers may share keys. Must be written.
    pub principal: Key<Text<Principal>>,
    /// The header with the key. Default Idempotency-Key.
    pub header: Key<Text<Header>>,
    /// Refuse requests without a key. Default false.
    pub required: Key<Text<Flag>>,
    /// Methods whose keys count: POST, PATCH, PUT, DELETE. Default POST and PATCH.
    pub methods: Key<Vec<At<Text<Method>>>>,
    /// lenient: also keys without quotes; strict: quoted keys only. Default lenient.
    pub syntax: Key<KeySyntax>,
    /// Where records are kept: embedded (this Pod alone) or redis (all replicas). Default: the one under stores, embedded of both.
    pub store: Key<StoreKind>,
    /// How long an answer is replayed, 1m to 720h. Default 24h.
    pub ttl: Key<Text<Time>>,
    /// How long it is remembered that an outcome is unknown, 1h to 2160h. Default 168h.
    pub unknown_ttl: Key<Text<Time>>,
    /// A duplicate while the first one runs. wait: for its answer; reject: 409. Default wait.
    pub in_flight: Key<InFlight>,
    /// How long a duplicate waits, 0s to 60s. Default 5s.
    pub in_flight_wait: Key<Text<Time>>,
    /// Bodies of keyed requests are held up to this size, at most 16MiB. Default 1MiB.
    pub max_body: Key<Text<Size>>,
    /// A keyed request with a larger body. reject: 413; bypass: sent as if it had no key. Default reject.
    pub oversize: Key<Oversize>,
    /// Answers are kept up to this size, at most 4MiB; of larger ones only status and headers. Default 256KiB.
    pub max_stored_body: Key<Text<Size>>,
    /// While the store is down. closed: keyed requests get 503; open: they are sent, and duplicates are possible. Default closed.
    pub on_store_error: Key<OnStoreError>,
    /// asIs: the target sees the key; strip: it does not. Default asIs.
    pub forward_key: Key<ForwardKey>,
}

super::scalar::blocks! {
    Idempotency
}
