//! Encryption in effect.

use std::path::Path;
use std::sync::Arc;

use super::{Setting, set};
use crate::policy::tls::{ClientTls, Identity, ServerTls};

/// Of an upstream that is https.
pub(super) fn client(tls: &ClientTls) -> Vec<Setting> {
    let ClientTls { ca, identity, spiffe, server_name, min_version } = tls;
    let mut settings = vec![match ca {
        Some(ca) => path("tls.ca", ca),
        None => set("tls.ca", "trusted by the system"),
    }];
    settings.extend(identity.iter().flat_map(self::identity));
    settings.extend(ids(spiffe));
    settings.extend(server_name.as_ref().map(|name| set("tls.serverName", name.as_ref())));
    settings.push(set("tls.minVersion", min_version.as_str()));
    settings
}

/// Of a listener that is encrypted.
pub(super) fn server(tls: &ServerTls) -> Vec<Setting> {
    let ServerTls { identity, client_ca, spiffe, min_version } = tls;
    let mut settings: Vec<Setting> = self::identity(identity).into();
    settings.push(match client_ca {
        Some(ca) => path("tls.clientCa", ca),
        None => set("tls.clientCa", "none"),
    });
    settings.extend(ids(spiffe));
    settings.push(set("tls.minVersion", min_version.as_str()));
    settings
}

fn identity(identity: &Identity) -> [Setting; 2] {
    let Identity { cert, key } = identity;
    [path("tls.cert", cert), path("tls.key", key)]
}

fn ids(ids: &[Arc<str>]) -> Option<Setting> {
    (!ids.is_empty()).then(|| set("tls.spiffe", format!("[{}]", ids.join(", "))))
}

fn path(key: &'static str, path: &Path) -> Setting {
    set(key, path.display().to_string())
}
