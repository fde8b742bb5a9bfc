//! Encryption in effect.

use std::path::Path;
use std::sync::Arc;

use super::{Setting, set};
use crate::policy::admin::AdminAccess;
use crate::policy::tls::{ADMIN, ClientTls, Identity, Keys, ServerTls};

/// Of an upstream that is https.
pub(super) fn client(keys: &Keys, tls: &ClientTls) -> Vec<Setting> {
    let ClientTls { ca, identity, spiffe, server_name, min_version } = tls;
    let mut settings = vec![match ca {
        Some(ca) => path(keys.ca, ca),
        None => set(keys.ca, "trusted by the system"),
    }];
    settings.extend(identity.iter().flat_map(|identity| self::identity(keys, identity)));
    settings.extend(ids(keys, spiffe));
    settings.extend(server_name.as_ref().map(|name| set(keys.server_name, name.as_ref())));
    settings.push(set(keys.min_version, min_version.as_str()));
    settings
}

/// Of a listener that is encrypted.
pub(super) fn server(keys: &Keys, tls: &ServerTls) -> Vec<Setting> {
    let ServerTls { identity, client_ca, spiffe, min_version, http2: _ } = tls;
    let mut settings: Vec<Setting> = self::identity(keys, identity).into();
    settings.push(match client_ca {
        Some(ca) => path(keys.client_ca, ca),
        None => set(keys.client_ca, "none"),
    });
    settings.extend(ids(keys, spiffe));
    settings.push(set(keys.min_version, min_version.as_str()));
    settings
}

/// Who is let in to the admin API.
pub(super) fn admin(access: &AdminAccess) -> Vec<Setting> {
    let AdminAccess { token_file, tls } = access;
    let mut settings = vec![match token_file {
        Some(file) => path("admin.tokenFile", file),
        None => set("admin.tokenFile", "none"),
    }];
    settings.extend(tls.iter().flat_map(|tls| server(&ADMIN, tls)));
    settings
}

fn identity(keys: &Keys, identity: &Identity) -> [Setting; 2] {
    let Identity { cert, key } = identity;
    [path(keys.cert, cert), path(keys.key, key)]
}

fn ids(keys: &Keys, ids: &[Arc<str>]) -> Option<Setting> {
    (!ids.is_empty()).then(|| set(keys.spiffe, format!("[{}]", ids.join(", "))))
}

fn path(key: &'static str, path: &Path) -> Setting {
    set(key, path.display().to_string())
}
