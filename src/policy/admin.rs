//! `admin`: who is let in.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::tls::ServerTls;

/// What callers of the admin API must show. Read at start only; what the files hold is read again when it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminAccess {
    /// `admin.tokenFile`: callers must know what it holds.
    pub token_file: Option<PathBuf>,
    /// `admin.tls`. With a `clientCa` callers must hold a certificate.
    pub tls: Option<Arc<ServerTls>>,
}

impl AdminAccess {
    /// Whether strangers are kept out.
    pub fn is_guarded(&self) -> bool {
        self.token_file.is_some() || self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
    }

    /// Why the API must not be served at `listen`. None = it may be.
    pub fn refuses(&self, listen: SocketAddr) -> Option<String> {
        let exposed = !listen.ip().to_canonical().is_loopback() && !self.is_guarded();
        exposed.then(|| {
            format!(
                "the admin API would listen on {listen}, which is not loopback, and let everybody in: it changes policies \
                 and shows bodies of dead letters"
            )
        })
    }
}

/// What to do about it.
pub const GUARD_IT: &str = "listen on loopback, or add admin.tokenFile, or admin.tls with a clientCa";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tls::Identity;

    #[test]
    fn only_loopback_is_served_without_a_guard() {
        let open = AdminAccess::default();
        let refused = |access: &AdminAccess, listen: &str| access.refuses(listen.parse().unwrap()).is_some();
        for loopback in ["127.0.0.1:4490", "127.9.9.9:0", "[::1]:4490", "[::ffff:127.0.0.1]:1"] {
            assert!(!refused(&open, loopback), "{loopback}");
        }
        for exposed in ["0.0.0.0:4490", "10.0.0.1:4490", "[::]:4490", "[::ffff:10.0.0.1]:1"] {
            assert!(refused(&open, exposed), "{exposed}");
        }
    }

    #[test]
    fn a_token_or_certificates_of_callers_guard_it_and_encryption_alone_does_not() {
        let identity = Identity { cert: "/c".into(), key: "/k".into() };
        let tls = |client_ca: Option<&str>| {
            let client_ca = client_ca.map(PathBuf::from);
            let tls = ServerTls {
                identity: identity.clone(),
                client_ca,
                spiffe: Vec::new(),
                min_version: Default::default(),
                http2: false,
            };
            AdminAccess { token_file: None, tls: Some(Arc::new(tls)) }
        };
        assert!(tls(Some("/ca")).is_guarded() && !tls(None).is_guarded());
        assert!(AdminAccess { token_file: Some("/t".into()), tls: None }.is_guarded());
    }
}
