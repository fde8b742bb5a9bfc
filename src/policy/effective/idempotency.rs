//! Deduplication and its stores in effect. A URL with a password in it is never printed.

use super::tls::client;
use super::{Setting, count, set, time};
use crate::policy::idempotency::{EmbeddedPolicy, IdempotencyPolicy, InFlight, RedisPolicy, StoreKind, Stores};
use crate::policy::tls::REDIS;
use crate::policy::{Direction, size};
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::KeySyntax;

/// Those that are configured.
pub(super) fn stores(stores: &Stores) -> Vec<Setting> {
    [StoreKind::Embedded, StoreKind::Redis].into_iter().flat_map(|kind| store(stores, kind)).collect()
}

/// One store. Empty if it is not configured.
pub(in crate::policy) fn store(stores: &Stores, kind: StoreKind) -> Vec<Setting> {
    let Stores { embedded, redis } = stores;
    match kind {
        StoreKind::Embedded => embedded.as_ref().map(embedded_store).unwrap_or_default(),
        StoreKind::Redis => redis.as_ref().map(redis_store).unwrap_or_default(),
    }
}

fn embedded_store(policy: &EmbeddedPolicy) -> Vec<Setting> {
    let EmbeddedPolicy { path, max_bytes, max_records, durability } = policy;
    vec![
        set("stores.embedded.path", path.display().to_string()),
        set("stores.embedded.maxBytes", size::print(*max_bytes)),
        count("stores.embedded.maxRecords", *max_records),
        set("stores.embedded.durability", durability.as_str()),
    ]
}

fn redis_store(policy: &RedisPolicy) -> Vec<Setting> {
    let RedisPolicy { url, tls, timeout, service } = policy;
    let mut settings = vec![
        set("stores.redis.url", url.to_string()),
        time("stores.redis.timeout", *timeout),
        set("stores.redis.service", service.as_str()),
    ];
    settings.extend(tls.iter().flat_map(|tls| client(&REDIS, tls)));
    settings
}

/// The contract where something follows from it, and the deduplication where it is on.
pub(super) fn route(direction: Direction, contract: Contract, policy: Option<&IdempotencyPolicy>) -> Vec<Setting> {
    let contract = set("idempotency.contract", contract.as_str());
    match (policy, direction) {
        (None, Direction::Inbound) => Vec::new(),
        (None, Direction::Outbound) => vec![contract],
        (Some(policy), Direction::Inbound | Direction::Outbound) => {
            let mut settings = vec![contract];
            settings.extend(deduplication(policy));
            settings
        }
    }
}

fn deduplication(policy: &IdempotencyPolicy) -> Vec<Setting> {
    let IdempotencyPolicy {
        header,
        required,
        principal,
        store,
        ttl,
        unknown_ttl,
        in_flight,
        max_body,
        oversize,
        max_stored_body,
        on_store_error,
        methods,
        syntax,
        forward_key,
    } = policy;
    let methods: Vec<&str> = methods.iter().map(http::Method::as_str).collect();
    let mut settings = vec![
        set("idempotency.principal", principal.to_string()),
        set("idempotency.header", header.as_str()),
        set("idempotency.required", required.to_string()),
        set("idempotency.methods", format!("[{}]", methods.join(", "))),
        set(
            "idempotency.syntax",
            match syntax {
                KeySyntax::Strict => "strict",
                KeySyntax::Lenient => "lenient",
            },
        ),
        set("idempotency.store", store.as_str()),
        time("idempotency.ttl", *ttl),
        time("idempotency.unknownTtl", *unknown_ttl),
    ];
    settings.extend(match in_flight {
        InFlight::Wait(wait) => vec![set("idempotency.inFlight", "wait"), time("idempotency.inFlightWait", *wait)],
        InFlight::Reject => vec![set("idempotency.inFlight", "reject")],
    });
    settings.extend([
        set("idempotency.maxBody", size::print(*max_body as u64)),
        set("idempotency.oversize", oversize.as_str()),
        set("idempotency.maxStoredBody", size::print(*max_stored_body as u64)),
        set("idempotency.onStoreError", on_store_error.as_str()),
        set("idempotency.forwardKey", forward_key.as_str()),
    ]);
    settings
}
