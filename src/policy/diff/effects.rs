//! What a change of values means for requests, where the values alone do not say it.

use super::{Difference, letters};
use crate::policy::{Policy, duration};

/// The sentence behind a value that changes. None = it speaks for itself.
pub(super) fn effect(setting: &Difference) -> Option<&'static str> {
    if let Some(effect) = super::tls::effect(setting) {
        return Some(effect);
    }
    let (Some(old), Some(new)) = (setting.old.as_deref(), setting.new.as_deref()) else { return None };
    match setting.key {
        "idempotency.contract" => {
            (promises(new) > promises(old)).then_some("an unknown outcome may now be executed again")
        }
        "retry.methods" => (new == "all").then_some("whatever its method, a request may now be executed twice"),
        "hedge.unsafe" => (new == "true").then_some("requests with an effect may now be sent twice at once"),
        "idempotency.ttl" => is_shorter(old, new).then_some("a duplicate is executed again earlier"),
        "idempotency.unknownTtl" => {
            is_shorter(old, new).then_some("a request of unknown outcome may be executed again earlier")
        }
        "idempotency.onStoreError" => (new == "open").then_some("duplicates are executed while the store is down"),
        "idempotency.store" | "idempotency.principal" | "idempotency.header" => {
            Some("keys known so far are not recognised: their duplicates are executed again")
        }
        "stores.embedded.path" | "stores.redis.service" => {
            Some("records stay behind: their duplicates are executed again")
        }
        "stores.redis.url" => Some("another address or password"),
        "healthCheck.mode" => match (old, new) {
            (_, "enforce") => Some("endpoints that fail their checks get no requests"),
            ("enforce", "observe") => Some("endpoints that fail their checks get requests again"),
            _ => None,
        },
        "balance.slowStart" if new == "none" => Some("endpoints that come get their whole share at once"),
        "policy.guard" => match new {
            "rollback" => Some("a revision that makes matters clearly worse is taken back by itself"),
            "none" => Some("nobody looks whether a revision makes matters worse"),
            _ => None,
        },
        key => letters::effect(key, old, new),
    }
}

/// How much an upstream is trusted with a request that it may have seen before.
fn promises(contract: &str) -> u8 {
    match contract {
        "dedupes" => 2,
        "atomic5xx" => 1,
        _ => 0,
    }
}

pub(super) fn is_shorter(old: &str, new: &str) -> bool {
    matches!((duration::parse(old), duration::parse(new)), (Ok(old), Ok(new)) if new < old)
}

/// Two servers look alike, because a URL may hold a password and is not printed.
pub(super) fn another_server(old: &Policy, new: &Policy) -> Option<Difference> {
    let (old, new) = (&old.stores.redis.as_ref()?.url, &new.stores.redis.as_ref()?.url);
    let difference = Difference { key: "stores.redis.url", old: Some(old.to_string()), new: Some(new.to_string()) };
    (old != new).then_some(difference)
}

/// Deduplication of a route that comes or goes. Its values follow from that, and are in the JSON form only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deduplication {
    On,
    Off,
}

impl Deduplication {
    /// None = as it was.
    pub(super) fn of(settings: &[Difference]) -> Option<Self> {
        let store = settings.iter().find(|setting| setting.key == "idempotency.store")?;
        match (&store.old, &store.new) {
            (None, Some(_)) => Some(Deduplication::On),
            (Some(_), None) => Some(Deduplication::Off),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    pub(super) const fn told(self) -> &'static str {
        match self {
            Deduplication::On => "deduplication on",
            Deduplication::Off => "deduplication off: duplicates are executed again",
        }
    }

    /// Whether a value is there, or gone, because of the switch.
    pub(super) fn explains(self, setting: &Difference) -> bool {
        let side = match self {
            Deduplication::On => &setting.old,
            Deduplication::Off => &setting.new,
        };
        setting.key.starts_with("idempotency.") && side.is_none()
    }
}
