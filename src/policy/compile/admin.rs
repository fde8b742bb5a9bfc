//! `admin`: who is let in.

use super::Context;
use super::read::Layered;
use super::stores::file_path;
use super::tls::ADMIN;
use crate::policy::admin::AdminAccess;
use crate::policy::raw;
use crate::policy::raw::scalar::At;

impl Context {
    pub(super) fn admin_access(&mut self, block: Option<&At<raw::Admin>>) -> AdminAccess {
        let found = Layered::own(block).pick(|admin| &admin.token_file);
        let mut reader = self.process();
        AdminAccess {
            token_file: reader.take("admin.tokenFile", found, |text| file_path(text).map(Some), None),
            tls: reader.server_tls(&ADMIN, block.and_then(|block| block.value.tls.get())),
        }
    }
}
