//! Every acceptor and connector alive, by what the policy says of it: the same words, the same session tickets.

use std::sync::Arc;

use super::{Acceptor, Connector};
use crate::policy::tls::{ClientTls, ServerTls};

/// Acceptors and connectors outlive policies as long as their words stay.
#[derive(Debug, Default)]
pub struct Registry {}

impl Registry {
    /// The acceptor for `spec`.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn acceptor(&self, spec: &Arc<ServerTls>) -> Result<Arc<Acceptor>, String> {
        Err(format!("{}: certificates cannot be read yet", spec.identity.cert.display()))
    }

    /// The connector for `spec`.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn connector(&self, spec: &Arc<ClientTls>) -> Result<Arc<Connector>, String> {
        Err(format!("{spec:?}: certificates cannot be read yet"))
    }
}
