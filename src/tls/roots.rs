//! Whom the system trusts.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::RootCertStore;

/// Read once: some hundred certificates, which change with the image.
#[derive(Debug, Default)]
pub(super) struct SystemRoots {
    read: Mutex<Option<Arc<RootCertStore>>>,
}

impl SystemRoots {
    /// # Errors
    /// There are none. It is tried again the next time.
    pub(super) fn get(&self) -> Result<Arc<RootCertStore>, String> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(roots) = &*read {
            return Ok(Arc::clone(roots));
        }
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(format!(
                "this system has no certificates of authorities{why}: name a file with tls.ca, install ca-certificates, or set \
                 SSL_CERT_FILE"
            ));
        }
        Ok(Arc::clone(read.insert(Arc::new(roots))))
    }
}
