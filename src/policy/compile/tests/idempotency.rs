//! `idempotency` of a route.

use std::sync::Arc;

use http::Method;

use super::*;
use crate::policy::explain;
use crate::policy::idempotency::{
    ForwardKey, IdempotencyPolicy, InFlight, OnStoreError, Oversize, Principal, StoreKind,
};
use crate::policy::origin::Origin;
use crate::reliability::idempotency::KeySyntax;

/// A route with this block, which begins in line 8 at column 20, and an embedded store.
fn charge(block: &str) -> String {
    format!(
        "version: 1\nstores: {{ embedded: {{}} }}\nupstreams:\n  payments:\n    url: http://payments\n    \
         routes:\n    - {{ name: charge, match: {{ path: /c }},\n      idempotency: {block} }}\n"
    )
}

fn deduplication(block: &str) -> Option<Arc<IdempotencyPolicy>> {
    good(&charge(block)).policy.upstreams[0].routes[0].idempotency.clone()
}

#[test]
fn a_principal_is_enough_to_switch_deduplication_on_with_safe_defaults() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let expected = IdempotencyPolicy {
        header: http::HeaderName::from_static("idempotency-key"),
        required: false,
        principal: Principal::None,
        store: StoreKind::Embedded,
        ttl: hours(24),
        unknown_ttl: hours(168),
        in_flight: InFlight::Wait(Duration::from_secs(5)),
        max_body: 1 << 20,
        oversize: Oversize::Reject,
        max_stored_body: 256 << 10,
        on_store_error: OnStoreError::Closed,
        methods: vec![Method::POST, Method::PATCH],
        syntax: KeySyntax::Lenient,
        forward_key: ForwardKey::AsIs,
    };
    assert_eq!(*deduplication("{ principal: none }").unwrap(), expected);
}

#[test]
fn every_value_of_deduplication_can_be_chosen() {
    let chosen = deduplication(
        "{ principal: 'header:X-Tenant', header: X-Key, required: true, store: embedded, ttl: 1h, unknownTtl: 2h, \
         inFlight: reject, maxBody: 16MiB, oversize: bypass, maxStoredBody: 0B, onStoreError: open, \
         methods: [POST, PUT, DELETE, POST], syntax: strict, forwardKey: strip }",
    )
    .unwrap();
    let expected = IdempotencyPolicy {
        header: http::HeaderName::from_static("x-key"),
        required: true,
        principal: Principal::Header(http::HeaderName::from_static("x-tenant")),
        store: StoreKind::Embedded,
        ttl: Duration::from_secs(3600),
        unknown_ttl: Duration::from_secs(7200),
        in_flight: InFlight::Reject,
        max_body: 16 << 20,
        oversize: Oversize::Bypass,
        max_stored_body: 0,
        on_store_error: OnStoreError::Open,
        methods: vec![Method::POST, Method::PUT, Method::DELETE],
        syntax: KeySyntax::Strict,
        forward_key: ForwardKey::Strip,
    };
    assert_eq!(*chosen, expected);
    let waits = deduplication("{ principal: none, inFlight: wait, inFlightWait: 0s }").unwrap();
    assert_eq!(waits.in_flight, InFlight::Wait(Duration::ZERO));
}

#[test]
fn a_contract_alone_is_a_promise_and_no_deduplication() {
    for block in ["{ contract: dedupes }", "{}"] {
        assert_eq!(deduplication(block), None, "{block}");
    }
    let Compiled { policy, .. } = good(&charge("{ contract: atomic5xx, principal: none }"));
    let [route, default] = policy.upstreams[0].routes.as_slice() else { panic!() };
    assert_eq!(route.retry.contract, Contract::Atomic5xx);
    assert!(route.idempotency.is_some() && default.idempotency.is_none());
}

#[test]
fn any_other_key_switches_deduplication_on_and_then_the_principal_must_be_written() {
    for key in [
        "header: X-Key",
        "required: false",
        "methods: [POST]",
        "syntax: lenient",
        "store: embedded",
        "ttl: 24h",
        "unknownTtl: 168h",
        "inFlight: wait",
        "inFlightWait: 5s",
        "maxBody: 1MiB",
        "oversize: reject",
        "maxStoredBody: 256KiB",
        "onStoreError: closed",
        "forwardKey: asIs",
    ] {
        let said = bad(&charge(&format!("{{ {key} }}")));
        assert!(said.starts_with("p.yaml:8:20: error: deduplication needs `principal`"), "{said}");
        assert!(said.contains("write principal: none if all callers may share keys") && said.contains("[OR029]"));
        assert_eq!(said.matches("error:").count(), 1, "{said}");
    }
}

#[test]
fn a_wrong_value_of_deduplication_is_refused_where_it_stands() {
    for (keys, column, part) in [
        ("principal: 'mtls:spiffe'", 33, "`mtls:spiffe` is for routes of inbound"),
        ("principal: 'jwt:sub'", 33, "`jwt:sub`: tokens are not verified here"),
        ("principal: 'header:Authorization'", 33, "a rotated token would defeat deduplication"),
        ("principal: 'header:Cookie'", 33, "a rotated token would defeat deduplication"),
        ("principal: 'header:a b'", 33, "`a b` names no valid header"),
        ("principal: 'header:idempotency-key'", 33, "is the header with the key"),
        ("principal: tenant", 33, "`tenant`: write header:NAME, mtls:spiffe, or none if all callers may share keys"),
        ("principal: none, header: ''", 47, "names no valid header"),
        ("principal: none, header: Content-Type", 47, "a key needs a header to itself"),
        ("principal: none, header: Authorization", 47, "a key needs a header to itself"),
        ("principal: none, required: maybe", 49, "`maybe` is neither true nor false"),
        ("principal: none, store: memory", 46, "what is in memory alone dies with the process; use embedded"),
        ("principal: none, ttl: 30s", 44, "30s is out of range: 1m to 720h"),
        ("principal: none, ttl: 7d", 44, "write hours, such as 168h"),
        ("principal: none, unknownTtl: 30m", 51, "30m is out of range: 1h to 2160h"),
        ("principal: none, inFlight: queue", 49, "expected one of wait, reject"),
        ("principal: none, inFlightWait: 61s", 53, "61s is out of range: 0s to 1m"),
        ("principal: none, maxBody: 17MiB", 48, "17MiB is out of range: 0B to 16MiB"),
        ("principal: none, maxStoredBody: 5MiB", 54, "5MiB is out of range: 0B to 4MiB"),
        ("principal: none, oversize: passthrough", 49, "a word of others; use bypass"),
        ("principal: none, onStoreError: fail-open", 53, "use idempotency.onStoreError: open"),
        ("principal: none, methods: []", 48, "an empty list deduplicates nothing"),
        ("principal: none, methods: [POST, GET]", 55, "GET is safe"),
        ("principal: none, methods: [CONNECT]", 49, "CONNECT opens a tunnel"),
        ("principal: none, methods: [post]", 49, "methods are written in capitals: POST"),
        ("principal: none, syntax: loose", 47, "expected one of lenient, strict"),
        ("principal: none, forwardKey: as-is", 51, "did you mean `asIs`?"),
        ("principal: none, scope: tenant", 39, "a word of others; use principal"),
        ("principal: none, inFlight: reject, inFlightWait: 1s", 71, "has no effect with inFlight: reject"),
    ] {
        let said = bad(&charge(&format!("{{ {keys} }}")));
        let found = said.starts_with(&format!("p.yaml:8:{column}: error:"));
        assert!(found && said.contains(part), "{keys}: no {part:?} at column {column} in\n{said}");
    }
}

#[test]
fn a_route_takes_the_store_that_is_configured_and_embedded_of_both() {
    let store = |stores: &str, block: &str| {
        let text = charge(block).replace("{ embedded: {} }", stores);
        good(&text).policy.upstreams[0].routes[0].idempotency.clone().unwrap().store
    };
    let redis = "redis: { url: redis://r, service: s }";
    assert_eq!(store(&format!("{{ {redis} }}"), "{ principal: none }"), StoreKind::Redis);
    assert_eq!(store(&format!("{{ {redis}, embedded: {{}} }}"), "{ principal: none }"), StoreKind::Embedded);
    assert_eq!(store(&format!("{{ {redis}, embedded: {{}} }}"), "{ principal: none, store: redis }"), StoreKind::Redis);
}

#[test]
fn a_store_that_is_not_configured_is_refused_with_what_to_add() {
    let said = bad(&charge("{ principal: none, store: redis }"));
    assert!(said.starts_with("p.yaml:8:46: error: the store `redis` is not configured [OR030]"), "{said}");
    assert!(said.contains("add at the top level: stores: { redis: { url: redis://HOST:PORT } }"), "{said}");
    let said = bad(&charge("{ principal: none }").replace("stores: { embedded: {} }", "name: x"));
    assert!(said.starts_with("p.yaml:8:20: error: deduplication needs a store, and none is configured"), "{said}");
    assert!(said.contains("add at the top level: stores: { embedded: {} }"), "{said}");
}

#[test]
fn inbound_deduplicates_too_and_what_no_route_matches_does_not() {
    let text = "version: 1\nstores: { embedded: {} }\ninbound:\n  forward: http://127.0.0.1:8080\n  timeouts: { request: 5s }\n  \
                routes:\n  - name: create-order\n    match: { methods: [POST], path: /v1/orders }\n    \
                timeouts: { request: 9s }\n    idempotency: { principal: 'header:X-Caller', required: true, contract: dedupes }\n";
    let Compiled { policy, warnings, origins } = good(text);
    assert!(warnings.is_empty(), "{warnings}");
    let [route, default] = policy.upstreams[0].routes.as_slice() else { panic!() };
    let chosen = route.idempotency.as_ref().unwrap();
    assert_eq!(chosen.principal.to_string(), "header:x-caller");
    assert!(chosen.required && default.idempotency.is_none());
    assert_eq!((route.retry.retries, route.retry.contract), (0, Contract::Dedupes));
    assert_eq!((route.timeouts.request, default.timeouts.request), (Duration::from_secs(9), Duration::from_secs(5)));
    assert!(matches!(origins.of(0, Some(0), "idempotency.required"), Origin::File(at) if at.line == 10));
    let selected = |method: Method| policy.listeners[0].table.select("h", "/v1/orders", &method).unwrap().route;
    assert_eq!((selected(Method::POST), selected(Method::GET)), (0, 1));
}

#[test]
fn values_of_deduplication_have_their_origin() {
    let Compiled { origins, .. } = good(&charge("{ principal: none, ttl: 1h }"));
    let of = |key| origins.position(0, Some(0), key).map(|at| (at.line, at.column));
    assert_eq!(of("idempotency.principal"), Some((8, 33)));
    assert_eq!(of("idempotency.ttl"), Some((8, 44)));
    assert_eq!(of("idempotency.store"), Some((2, 21)), "the store that is configured");
    assert_eq!(origins.of(0, Some(0), "idempotency.header"), Origin::BuiltIn);
}

#[test]
fn an_explanation_shows_the_values_their_store_and_what_becomes_of_a_duplicate() {
    let compiled = good(&charge("{ principal: none, ttl: 1h, inFlight: reject }"));
    let explained = |method| explain::request(&compiled, "p.yaml", &method, "/c").unwrap();
    let post = explained(Method::POST);
    let line = |key: &str| post.lines().find(|line| line.trim_start().starts_with(key)).unwrap_or_default();
    assert!(line("idempotency.ttl ").ends_with("p.yaml:8:44"), "{post}");
    assert!(line("idempotency.store ").ends_with("p.yaml:2:21"), "{post}");
    assert!(line("stores.embedded.path ").ends_with("built in"), "{post}");
    for sentence in [
        "A repeated POST with the same idempotency-key is refused (409) while the first one runs, and gets its answer for 1h.",
        "If the outcome of the first one is unknown, it is refused (409) for 168h: nothing is executed twice.",
        "While the store (embedded) is down, it is refused (503). A POST without a key is executed each time.",
    ] {
        assert!(post.contains(sentence), "{post}");
    }
    assert!(!explained(Method::GET).contains("A repeated"));
}
