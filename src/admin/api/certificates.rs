//! Certificates in use, as `GET /status` and `GET /certificates` tell them.

use serde::{Deserialize, Serialize};

/// `GET /certificates`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificates {
    pub certificates: Vec<CertificateStatus>,
}

/// Those of one listener or upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// `inbound`: of the listener; `outbound`: of an upstream.
    pub direction: String,
    /// The name of the upstream; `app` of the listener before it.
    pub upstream: String,
    /// What is shown to the peer.
    pub presented: Option<CertificateView>,
    /// Of those who vouch for the peer, the one that expires first. Absent: those whom the system trusts, or nobody.
    pub believed: Option<CertificateView>,
    /// Why what the files hold now is not in use.
    pub error: Option<String>,
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateView {
    /// Whose it is: its SPIFFE id, its first names, or its subject.
    pub subject: String,
    pub file: String,
    /// RFC 3339, UTC.
    pub not_after: String,
    /// Below zero: it has expired.
    pub expires_in_seconds: i64,
    pub lifetime_seconds: i64,
    /// SHA-256, lower-case hex.
    pub fingerprint: String,
    /// `valid`; `due`: less than two weeks, or a quarter of its life, is left; `expiring`: less than a day, or a tenth;
    /// `expired`.
    pub validity: String,
}

impl CertificateStatus {
    /// As people say it.
    pub fn holder(&self) -> &str {
        if self.direction == "inbound" { "inbound" } else { &self.upstream }
    }
}
