//! The care of endpoints: checks and zones.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{At, Cidr, GrpcService, Key, Named, Path, Percent, Text, Time, Whole, ZoneName};
use super::{CheckProtocol, Mode};

/// Asks endpoints how they do, without waiting for requests to fail.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HealthCheck {
    /// http (GET path) or grpc (grpc.health.v1.Health/Check, over HTTP/2). Default http.
    pub protocol: Key<CheckProtocol>,
    /// http only: what is asked for. Default /healthz.
    pub path: Key<Text<Path>>,
    /// http only: statuses that pass. Default 200.
    pub codes: Key<Vec<At<Text<Whole>>>>,
    /// grpc only: the service that is asked about. Default: the server as a whole.
    pub service: Key<Text<GrpcService>>,
    /// Between two checks of one endpoint; a fifth of it while the next one may change the verdict. Default 5s.
    pub interval: Key<Text<Time>>,
    /// An answer that takes longer is none. Default 1s.
    pub timeout: Key<Text<Time>>,
    /// Passed checks in a row that let an endpoint in again. Default 2.
    pub healthy: Key<Text<Whole>>,
    /// Failed checks in a row that take it out. Default 3.
    pub unhealthy: Key<Text<Whole>>,
    /// enforce, observe (report what it would do) or none. Default enforce.
    pub mode: Key<Mode>,
}

/// Which endpoints are near.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Zone {
    /// The zone that we are in: one of zones, or ${env:NAME} in quotes.
    pub local: Key<Text<ZoneName>>,
    /// Every zone and its networks.
    pub zones: Key<Named<Vec<At<Text<Cidr>>>>>,
    /// While at least this share of our zone's endpoints take traffic, requests stay in it. Default 70.
    pub min_healthy_percent: Key<Text<Percent>>,
}

super::scalar::blocks! {
    HealthCheck Zone
}
