//! Care of endpoints that does not do what it is there for.

use super::{Code, Lint};
use crate::policy::origin::Origin;
use crate::policy::{Target, UpstreamPolicy};

impl Lint<'_> {
    pub(super) fn endpoints(&mut self, index: u32, upstream: &UpstreamPolicy) {
        let name = &upstream.name;
        let single = matches!(&upstream.target, Target::Fixed(endpoints) if endpoints.len() == 1);
        let own = |key| match self.origins.of(index, None, key) {
            Origin::File(position) => Some(position),
            Origin::Defaults(_) | Origin::BuiltIn => None,
        };
        let checked = upstream.health_check.as_ref().and_then(|_| own("healthCheck.mode"));
        let zoned = upstream.zones.as_ref().and_then(|_| own("balance.zone.zones"));
        if let Some(position) = checked.filter(|_| single) {
            let message = format!("`{name}` has a single endpoint: its checks are told and change nothing");
            self.report(Code::CheckWithoutChoice, Some(position), message);
        }
        if let (Some(position), Some(zones), Target::Fixed(endpoints)) = (zoned, &upstream.zones, &upstream.target)
            && !endpoints.iter().any(|endpoint| zones.is_local(endpoint.addr.ip()))
        {
            let message = format!("no endpoint of `{name}` is in our zone `{}`", zones.local);
            self.report(Code::LocalZoneUnknown, Some(position), message);
        }
    }
}
