//! `admin`: who is let in.

use std::sync::Arc;

use super::Context;
use super::read::Layered;
use super::stores::file_path;
use crate::policy::admin::AdminAccess;
use crate::policy::raw;
use crate::policy::raw::scalar::At;
use crate::policy::tls::{ADMIN, ServerTls};

impl Context {
    pub(super) fn admin_access(&mut self, block: Option<&At<raw::Admin>>) -> AdminAccess {
        let found = Layered::own(block).pick(|admin| &admin.token_file);
        let tls = block.and_then(|block| block.value.tls.get());
        let mut reader = self.process();
        if let Some(position) = tls.and_then(|tls| tls.value.forward_identity.position()) {
            reader.refuse(
                position,
                "forwardIdentity has no effect here: it is for inbound.tls, which has an app behind it",
            );
        }
        let spec = reader.server_tls(&ADMIN, tls);
        AdminAccess {
            token_file: reader.take("admin.tokenFile", found, |text| file_path(text).map(Some), None),
            tls: spec.map(|spec| Arc::new(ServerTls { http2: false, ..ServerTls::clone(&spec) })),
        }
    }
}
