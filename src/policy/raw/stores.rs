//! `stores`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{FilePath, Key, Name, Size, StoreUrl, Text, Time, Whole};
use super::{Durability, UpstreamTls};

/// Where records of idempotency keys are kept.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Stores {
    /// A file beside this process. On an emptyDir it dies with the Pod. Present = on. Its bounds and durability are read when it is opened.
    pub embedded: Key<EmbeddedStore>,
    /// Redis or Valkey, shared by all replicas. Present = on.
    pub redis: Key<RedisStore>,
}

/// A file beside this process.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EmbeddedStore {
    /// The file, as an absolute path. Default /var/lib/outrigger/outrigger.db.
    pub path: Key<Text<FilePath>>,
    /// The file does not grow beyond this, 1MiB to 64GiB; a full store refuses new keys. Default 256MiB.
    pub max_bytes: Key<Text<Size>>,
    /// Records kept at once, up to 10000000; each takes memory. Default 1000000.
    pub max_records: Key<Text<Whole>>,
    /// process: survives the end of the process, however sudden; power: also a power failure. Default process.
    pub durability: Key<Durability>,
}

/// Redis or Valkey.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RedisStore {
    /// redis://HOST:PORT[/DATABASE], or rediss:// for TLS. "${env:NAME}" stands for an environment variable; a password comes from one.
    pub url: Key<Text<StoreUrl>>,
    /// Who vouches for the server, and what we present; with rediss:// only. Without it the system's certificates vouch for the host.
    pub tls: Key<UpstreamTls>,
    /// For one operation, 5ms to 5s. Default 50ms.
    pub timeout: Key<Text<Time>>,
    /// Replicas with the same word share records. Default: name.
    pub service: Key<Text<Name>>,
}

super::scalar::blocks! {
    Stores EmbeddedStore RedisStore
}
