//! Encryption that is valid and leaves more open than it seems.

use super::{Code, Lint};
use crate::policy::Policy;

impl Lint<'_> {
    pub(super) fn encryption(&mut self, policy: &Policy) {
        for listener in &policy.listeners {
            let Some(tls) = listener.tls.as_ref().filter(|tls| tls.client_ca.is_some() && tls.spiffe.is_empty()) else {
                continue;
            };
            let owner = listener.table.entries().first().map_or(0, |entry| entry.upstream);
            let position = self.origins.position(owner, None, "tls.clientCa");
            let ca = tls.client_ca.as_deref().map(|ca| ca.display().to_string()).unwrap_or_default();
            let message = format!("every certificate for which {ca} vouches may call: no spiffe ids are named");
            self.report(Code::AnyoneOfCa, position, message);
        }
        for (index, upstream) in policy.upstreams.iter().enumerate() {
            if upstream.tls.as_ref().is_some_and(|tls| !tls.spiffe.is_empty() && tls.ca.is_none()) {
                let position = self.origins.position(index as u32, None, "tls.spiffe");
                let message =
                    format!("`{}`: any authority that the system trusts could vouch for these ids", upstream.name);
                self.report(Code::SystemVouchesForIds, position, message);
            }
        }
    }
}
