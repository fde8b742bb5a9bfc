//! `tls`, of upstreams and of `inbound`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{At, FilePath, Key, MinVersion, ServerName, SpiffeId, Text};

/// Encryption towards an upstream whose URL is https. Its files are watched, and read again when they change.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct UpstreamTls {
    /// Who vouches for the server: a file with certificates (PEM). Default: whom the system trusts.
    pub ca: Key<Text<FilePath>>,
    /// What we present: a file with our certificate and its intermediates (PEM). Needs key.
    pub cert: Key<Text<FilePath>>,
    /// A file with the key of cert (PEM).
    pub key: Key<Text<FilePath>>,
    /// SPIFFE ids that the server may have. With them, its certificate must hold exactly one URI, which is one of these; the host name is not looked at.
    pub spiffe: Key<Vec<At<Text<SpiffeId>>>>,
    /// The name that is asked for (SNI) and must be in the certificate. Default: the host of the URL.
    pub server_name: Key<Text<ServerName>>,
    /// The oldest version that is spoken: 1.2 or 1.3. Default 1.2.
    pub min_version: Key<Text<MinVersion>>,
}

/// Encryption of what callers send. Its files are watched, and read again when they change.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct InboundTls {
    /// What we present: a file with our certificate and its intermediates (PEM).
    pub cert: Key<Text<FilePath>>,
    /// A file with the key of cert (PEM).
    pub key: Key<Text<FilePath>>,
    /// Present: callers must show a certificate that one of those in this file (PEM) vouches for.
    pub client_ca: Key<Text<FilePath>>,
    /// SPIFFE ids that may call; needs clientCa. Default: whoever clientCa vouches for.
    pub spiffe: Key<Vec<At<Text<SpiffeId>>>>,
    /// The oldest version that is spoken: 1.2 or 1.3. Default 1.2.
    pub min_version: Key<Text<MinVersion>>,
}
