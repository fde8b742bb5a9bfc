use std::time::Duration;

use super::*;
use crate::policy::diagnostic::Format;
use crate::policy::routes::RouteId;
use crate::policy::{Direction, Target};
use crate::reliability::balance::Balance;
use crate::reliability::classify::Contract;

/// The policy of a text that must be right.
fn good(text: &str) -> Compiled {
    load("p.yaml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// What people see of a text that must be wrong.
fn bad(text: &str) -> String {
    match load("p.yaml", text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(errors) => errors.render(Format::Human),
    }
}

/// One upstream with `block` in it, indented by four.
fn payments(block: &str) -> String {
    format!("version: 1\nupstreams:\n  payments:\n    url: http://payments:8080\n    {block}\n")
}

fn select(policy: &Policy, host: &str, path: &str) -> Option<String> {
    let method = http::Method::GET;
    let RouteId { upstream, route } = policy.listeners[0].table.select(host, path, &method)?;
    let upstream = &policy.upstreams[upstream as usize];
    Some(format!("{}/{}", upstream.name, upstream.routes[route as usize].name))
}

#[test]
fn three_lines_are_a_policy() {
    let Compiled { policy, warnings, .. } = good("version: 1\nupstreams:\n  payments: { url: http://payments:8080 }\n");
    assert!(warnings.is_empty(), "{warnings}");
    assert_eq!(policy.admin, Some("127.0.0.1:4490".parse().unwrap()));
    assert_eq!(policy.metrics, Some("0.0.0.0:4491".parse().unwrap()));
    assert_eq!(policy.listeners[0].addr, "127.0.0.1:4400".parse().unwrap());
    let upstream = &policy.upstreams[0];
    assert_eq!(upstream.target, Target::Dns { host: "payments".into(), port: 8080, authority: "payments:8080".into() });
    assert!(upstream.dependency.breaker.is_none() && upstream.dependency.throttle.is_none());
    let route = &upstream.routes[0];
    assert_eq!((route.retry.retries, route.replay_body_max), (0, 0));
    assert_eq!(route.timeouts.request, Duration::from_secs(15));
    assert_eq!(select(&policy, "anything", "/x").unwrap(), "payments/default");
}

#[test]
fn the_guard_warns_unless_the_file_says_otherwise() {
    let of = |line: &str| good(&payments("").replace("upstreams", &format!("{line}upstreams"))).policy.guard;
    assert_eq!(of(""), Guard::Warn);
    assert_eq!(of("policy: {}\n"), Guard::Warn);
    for (word, guard) in [("warn", Guard::Warn), ("rollback", Guard::Rollback), ("none", Guard::None)] {
        assert_eq!(of(&format!("policy: {{ guard: {word} }}\n")), guard);
    }
    let wrong = bad(&payments("").replace("upstreams", "policy: { guard: 'off' }\nupstreams"));
    assert!(wrong.contains("p.yaml:2:18") && wrong.contains("rollback"), "{wrong}");
}

#[test]
fn a_block_that_is_present_is_on_with_safe_defaults() {
    let Compiled { policy, .. } = good(&payments("retry: {}\n    circuitBreaker: {}"));
    let upstream = &policy.upstreams[0];
    let route = &upstream.routes[0];
    assert_eq!((route.retry.retries, route.replay_body_max), (1, 64 << 10));
    assert_eq!(route.retry.codes.iter().collect::<Vec<_>>(), [502, 503, 504]);
    let breaker = upstream.dependency.breaker.as_ref().unwrap();
    assert_eq!((breaker.min_requests, breaker.observe), (20, false));
    assert!(upstream.dependency.throttle.as_ref().is_some_and(|throttle| !throttle.observe));
}

#[test]
fn ends_of_calls_that_are_retried_are_named_in_either_spelling() {
    use crate::reliability::grpc::Code;
    let codes = |block: &str| {
        let retry = good(&payments(block)).policy.upstreams.remove(0).routes.remove(0).retry;
        retry.grpc_codes.iter().collect::<Vec<_>>()
    };
    assert_eq!(codes("retry: {}"), [Code::Unavailable]);
    assert_eq!(codes("retry: { grpcCodes: [] }"), []);
    let both = codes("retry: { grpcCodes: [INTERNAL, resource-exhausted] }");
    assert_eq!(both, [Code::ResourceExhausted, Code::Internal]);
    let said = bad(&payments("retry: { grpcCodes: [OK, 14, Unavailable] }"));
    assert!(said.contains("OK is no failure"), "{said}");
    assert!(said.contains("`14` is no code of gRPC") && said.contains("`Unavailable` is no code of gRPC"), "{said}");
}

#[test]
fn that_every_request_may_be_sent_twice_is_said_of_an_upstream_or_a_route_and_never_of_all() {
    let all = |block: &str| good(&payments(block)).policy.upstreams.remove(0).routes.remove(0).retry.all_methods;
    assert!(!all("retry: {}"));
    assert!(!all("retry: { methods: idempotent }"));
    assert!(all("retry: { methods: all }"));
    let everywhere = payments("").replace("upstreams", "defaults: { retry: { methods: all } }\nupstreams");
    let said = bad(&everywhere);
    assert!(said.contains("p.yaml:2:") && said.contains("belongs to an upstream or a route"), "{said}");
}

#[test]
fn a_control_group_is_a_choice_within_bounds_and_not_for_requests_that_are_dear() {
    let share = |block: &str| good(&payments(block)).policy.upstreams.remove(0).routes.remove(0).retry.holdout_percent;
    assert_eq!(share("retry: {}"), 0.0);
    assert_eq!(share("retry: { holdoutPercent: 1 }"), 1.0);
    assert_eq!(share("retry: { holdoutPercent: 0.5 }"), 0.5);
    assert_eq!(share("retry: { attempts: 0, holdoutPercent: 1 }"), 0.0, "there is nothing to hold out");
    assert!(bad(&payments("retry: { holdoutPercent: 11 }")).contains("11 is out of range: 0 to 10"));
    let dear = |retry: &str| {
        format!(
            "version: 1\nstores: {{ embedded: {{ path: /tmp/x.db }} }}\nupstreams:\n  payments:\n    url: http://p:1\n    \
             retry: {{ holdoutPercent: 1 }}\n    routes:\n    - name: charge\n      match: {{ methods: [POST] }}\n      \
             idempotency: {{ principal: none, store: embedded, contract: dedupes }}\n{retry}"
        )
    };
    let refused = bad(&dear(""));
    assert!(refused.contains("holdoutPercent: 0") && refused.contains(":6:30"), "{refused}");
    good(&dear("      retry: { holdoutPercent: 0 }\n"));
}

#[test]
fn the_throttle_follows_the_breaker_unless_told_otherwise() {
    let throttle = |block: &str| good(&payments(block)).policy.upstreams.remove(0).dependency.throttle;
    assert!(throttle("circuitBreaker: { mode: observe }").unwrap().observe);
    assert!(throttle("circuitBreaker: { mode: none }").is_none());
    assert!(throttle("circuitBreaker: {}\n    throttle: { mode: none }").is_none());
    assert!(!throttle("throttle: {}").unwrap().observe);
    assert_eq!(throttle("throttle: {}\n    timeouts: { request: 20s }").unwrap().window, Duration::from_secs(40));
}

#[test]
fn an_empty_block_is_not_taken_for_an_absent_one() {
    for block in ["circuitBreaker:", "retry:", "retry: null", "timeouts: ~"] {
        assert!(bad(&payments(block)).contains("a block without keys is written {}"), "{block}");
    }
}

#[test]
fn a_block_switched_with_a_word_is_told_how_blocks_are_switched() {
    for word in ["true", "on", "enabled"] {
        let said = bad(&payments(&format!("circuitBreaker: {word}")));
        let note = "to switch it on: `circuitBreaker: {}`; to switch it off: leave it out, or `mode: none`";
        assert!(said.contains(note), "{said}");
    }
    assert!(bad(&payments("retry: true")).contains("leave it out, or `attempts: 0`"));
    assert!(bad(&payments("limits: 3")).contains("a block without keys is written {}"));
}

#[test]
fn a_tab_is_named_as_what_it_is() {
    let said = bad("version: 1\nupstreams:\n\ta: { url: http://a }\n");
    assert!(said.contains("p.yaml:3:1: error: a tab; indent with spaces"), "{said}");
    let said = bad("version: 1\nupstreams:\n  a:\n  \turl: http://a\n");
    assert!(said.contains(":4:3: error: a tab; indent with spaces"), "{said}");
}

#[test]
fn a_typing_error_is_refused_with_its_line_and_the_word_that_was_meant() {
    let said = bad(&payments("timeuot: 1s"));
    assert!(said.starts_with("p.yaml:5:5: error: unknown key `timeuot`"), "{said}");
    assert!(said.contains("^ did you mean `timeouts`?"), "{said}");
}

#[test]
fn a_word_of_another_proxy_is_translated() {
    let said = bad(&payments("timeouts: { request: 2s, perTryTimeout: 500ms }"));
    assert!(said.contains("p.yaml:5:30: error: unknown key `perTryTimeout`"), "{said}");
    assert!(said.contains("^ Istio's and Envoy's word; use backendRequest"), "{said}");
}

#[test]
fn keys_of_later_versions_are_refused_and_never_ignored() {
    for block in ["http3: {}", "routes: [{ name: a, http3: {} }]"] {
        assert!(
            bad(&payments(block))
                .contains("not supported by this version (HTTP/1.1 and HTTP/2, with and without TLS; see README, State of this version)"),
            "{block}"
        );
    }
    for key in ["callers: {}", "http3: {}"] {
        assert!(
            bad(&format!("version: 1\n{key}\n"))
                .contains("not supported by this version (HTTP/1.1 and HTTP/2, with and without TLS; see README, State of this version)"),
            "{key}"
        );
    }
}

#[test]
fn all_wrong_values_are_reported_in_one_run() {
    let said = bad(
        "version: 2\nname: 'a b'\nlisten: localhost:4400\nupstreams:\n  app: { url: 'http://${env:X}' }\n  b:\n    \
         endpoints: [http://name:1, http://10.0.0.1:1, http://10.0.0.1:1]\n    retry: { attempts: 99, codes: [200, x], \
         backoff: 500 }\n    balance: { by: hash }\n    limits: { requests: 0 }\n    routes: [{ name: default }]\n",
    );
    for (line, part) in [
        (1, "version `2` is not known"),
        (2, "`a b` is not a name"),
        (3, "write 127.0.0.1:4400"),
        (5, "`app` is reserved"),
        (5, "environment variables are not expanded here"),
        (7, "endpoints are IP addresses"),
        (7, "endpoint 10.0.0.1:1 stands here twice"),
        (8, "99 is out of range: 0 to 10"),
        (8, "200 is no failure"),
        (8, "`x` is not a whole number"),
        (8, "write 500ms or 500s"),
        (9, "add hashOn: header:NAME"),
        (10, "0 is out of range"),
        (11, "`default` is the route"),
        (11, "a route needs a match"),
    ] {
        let start = format!("p.yaml:{line}:");
        let found = said.split("p.yaml:").any(|f| format!("p.yaml:{f}").starts_with(&start) && f.contains(part));
        assert!(found, "no finding in line {line} with {part:?} in\n{said}");
    }
}

#[test]
fn an_attempt_longer_than_the_request_is_refused_with_both_places() {
    let said = bad(&payments("timeouts:\n      request: 300ms\n      backendRequest: 1s"));
    assert!(said.starts_with("p.yaml:7:23: error: backendRequest 1s > request 300ms"), "{said}");
    assert!(said.contains("6 |       request: 300ms\n"), "{said}");
}

#[test]
fn an_inherited_attempt_limit_is_cut_to_the_routes_own_request() {
    let text = payments(
        "timeouts: { request: 2s, backendRequest: 500ms }\n    routes:\n    - { name: fast, match: { path: /f }, \
         timeouts: { request: 300ms } }",
    );
    let fast = &good(&text).policy.upstreams[0].routes[0];
    assert_eq!(fast.timeouts.backend_request, Some(Duration::from_millis(300)));
}

#[test]
fn keys_are_merged_one_by_one_from_route_upstream_and_defaults() {
    let text = "version: 1\ndefaults: { timeouts: { request: 1s, connect: 10ms, idle: 5s }, retry: { attempts: 3, jitter: none } }\n\
                upstreams:\n  a:\n    url: http://a\n    timeouts: { connect: 20ms }\n    retry: { attempts: 2 }\n    \
                routes:\n    - { name: r, match: { path: /r }, timeouts: { request: 500ms }, retry: { attempts: 0 } }\n";
    let Compiled { policy, origins, .. } = good(text);
    let [route, default] = policy.upstreams[0].routes.as_slice() else { panic!() };
    assert_eq!(
        (route.timeouts.request, default.timeouts.request),
        (Duration::from_millis(500), Duration::from_secs(1))
    );
    assert_eq!(route.timeouts.connect, Duration::from_millis(20));
    assert_eq!(route.timeouts.idle, Duration::from_secs(5));
    assert_eq!((route.retry.retries, default.retry.retries), (0, 2));
    assert_eq!(default.retry.backoff.jitter, crate::reliability::backoff::Jitter::None);
    use crate::policy::origin::Origin;
    assert!(matches!(origins.of(0, Some(0), "timeouts.request"), Origin::File(at) if at.line == 9));
    assert!(matches!(origins.of(0, Some(0), "timeouts.connect"), Origin::File(at) if at.line == 6));
    assert!(matches!(origins.of(0, Some(0), "timeouts.idle"), Origin::Defaults(at) if at.line == 2));
    assert_eq!(origins.of(0, Some(0), "retry.backoff"), Origin::BuiltIn);
}

#[test]
fn a_wrong_default_is_reported_once_even_where_everyone_overrides_it() {
    let text = "version: 1\ndefaults: { timeouts: { request: 1 } }\nupstreams:\n  a: { url: http://a, timeouts: { request: 1s } }\n  \
                b: { url: http://b }\n  c: { url: http://c }\n";
    assert_eq!(bad(text).matches("error:").count(), 1);
}

#[test]
fn several_upstreams_are_told_apart_by_name_url_host_or_path() {
    let text = "version: 1\nupstreams:\n  payments: { url: http://pay.shop.svc:8080 }\n  ledger: { url: http://ledger.shop.svc }\n  \
                search: { url: http://s, match: { pathPrefix: /search } }\n  cdn: { url: http://c, match: { hosts: ['*.cdn.example'] } }\n";
    let Compiled { policy, .. } = good(text);
    let upstream = |host, path| select(&policy, host, path).map(|name| name.replace("/default", ""));
    assert_eq!(upstream("payments", "/").as_deref(), Some("payments"));
    assert_eq!(upstream("pay.shop.svc:8080", "/").as_deref(), Some("payments"));
    assert_eq!(upstream("LEDGER:80", "/").as_deref(), Some("ledger"));
    assert_eq!(upstream("a.cdn.example", "/").as_deref(), Some("cdn"));
    assert_eq!(upstream("127.0.0.1:4400", "/search/x").as_deref(), Some("search"));
    assert_eq!(upstream("127.0.0.1:4400", "/"), None);
}

#[test]
fn a_name_beats_the_host_of_anothers_url_and_a_shared_host_is_told_apart_by_its_port() {
    let text =
        "version: 1\nupstreams:\n  a: { url: http://b }\n  b: { url: 'http://svc:1' }\n  c: { url: 'http://svc:2' }\n";
    let Compiled { policy, .. } = good(text);
    assert_eq!(select(&policy, "b", "/").unwrap(), "b/default");
    assert_eq!(select(&policy, "svc:1", "/").unwrap(), "b/default");
    assert_eq!(select(&policy, "svc:2", "/").unwrap(), "c/default");
    assert_eq!(select(&policy, "svc", "/"), None);
}

#[test]
fn upstreams_that_nothing_tells_apart_are_refused_with_both_places() {
    let text = "version: 1\nupstreams:\n  a: { url: http://a, match: { pathPrefix: /x } }\n  b: { url: http://b, match: { pathPrefix: /x/ } }\n";
    let said = bad(text);
    assert!(said.contains("upstreams `a` and `b` match the same requests: any host, same path [OR015]"), "{said}");
    assert!(said.contains("the other one"), "{said}");
}

#[test]
fn addresses_that_are_taken_are_refused() {
    let said = bad("version: 1\nlisten: 127.0.0.1:4490\nupstreams: { a: { url: http://a } }\n");
    assert!(
        said.contains("2:9: error: 127.0.0.1:4490 of `listen` is taken by admin.listen") && said.contains("OR011"),
        "{said}"
    );
    let said = bad(
        "version: 1\nupstreams:\n  a: { url: http://a, listen: '0.0.0.0:9' }\n  b: { url: http://b, listen: '127.0.0.1:9' }\n",
    );
    assert!(
        said.contains("4:31: error: 127.0.0.1:9 of upstream `b` is taken by upstream `a` (0.0.0.0:9) [OR010]"),
        "{said}"
    );
    good("version: 1\nadmin: { listen: none }\nlisten: 127.0.0.1:4490\nupstreams: { a: { url: http://a } }\n");
    good(
        "version: 1\nupstreams:\n  a: { url: http://a, listen: '127.0.0.1:0' }\n  b: { url: http://b, listen: '127.0.0.1:0' }\n",
    );
}

#[test]
fn inbound_stands_before_the_app_and_never_retries() {
    let text = "version: 1\ninbound:\n  forward: http://127.0.0.1:8080\n  limits: { connections: 9, requests: 7 }\n  \
                routes: [{ name: slow, match: { pathPrefix: /report }, timeouts: { request: 60s } }]\n";
    let Compiled { policy, .. } = good(text);
    let app = policy.upstreams.last().unwrap();
    assert_eq!((&*app.name, app.direction, app.preserve_host), ("app", Direction::Inbound, true));
    assert_eq!((policy.listeners[0].connections_max, app.limits.requests, app.limits.connections), (9, 7, 7));
    assert_eq!(app.routes[0].timeouts.request, Duration::from_secs(60));
    assert!(app.routes.iter().all(|route| route.retry.retries == 0));
    assert_eq!(app.routes[1].proxy_status, crate::policy::ProxyStatus::Basic);
    assert!(bad("version: 1\ninbound: { forward: 'http://10.0.0.1:8080' }\n").contains("OR009"));
    assert!(bad("version: 1\ninbound: {}\n").contains("inbound needs `forward`"));
}

#[test]
fn hashing_and_its_key_belong_together() {
    let Compiled { policy, .. } = good(&payments("balance: { by: hash, hashOn: 'header:X-Key' }"));
    assert_eq!(policy.upstreams[0].balance, Balance::Hash);
    assert_eq!(policy.upstreams[0].hash_on.as_ref().unwrap(), "x-key");
    assert!(bad(&payments("balance: { hashOn: 'header:X-Key' }")).contains("OR013"));
}

#[test]
fn the_contract_of_a_route_reaches_its_retries() {
    let text =
        payments("retry: {}\n    routes: [{ name: r, match: { path: /r }, idempotency: { contract: dedupes } }]");
    let Compiled { policy, .. } = good(&text);
    let [route, default] = policy.upstreams[0].routes.as_slice() else { panic!() };
    assert_eq!((route.retry.contract, default.retry.contract), (Contract::Dedupes, Contract::Opaque));
}

#[test]
fn the_hash_is_the_one_of_sha256sum() {
    let Compiled { policy, .. } = good("version: 1\nupstreams: { a: { url: http://a } }\n");
    assert_eq!(policy.hash.len(), 64);
    assert_eq!(content_hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

mod dead_letter;
mod endpoints;
mod files;
mod hostile;
mod idempotency;
mod overload;
mod rate_limit;
mod stores;
mod tls;
