use super::*;
use crate::policy::compile::load;

fn lines(old: &str, new: &str) -> Vec<String> {
    let policy = |text: &str| load("p.yaml", &format!("version: 1\n{text}")).unwrap_or_else(|e| panic!("{e}")).policy;
    diff(&policy(old), &policy(new)).iter().map(Change::to_string).collect()
}

const ROUTE: &str = "routes: [{ name: charge, match: { path: /c }";

#[test]
fn a_change_of_a_route_is_told_with_its_effect() {
    let policy = |attempts, request| {
        format!(
            "upstreams:\n  payments:\n    url: http://p\n    {ROUTE}, retry: {{ attempts: {attempts} }}, timeouts: {{ request: {request} }} }}]\n"
        )
    };
    assert_eq!(
        lines(&policy(1, "2s"), &policy(3, "5s")),
        [
            "payments/charge: timeouts.request 2s -> 5s; retry.attempts 1 -> 3; worst-case load x2 -> x4; worst-case wait 2s -> 5s"
        ]
    );
}

#[test]
fn a_control_group_that_begins_is_a_change() {
    let policy = |retry| format!("upstreams:\n  payments: {{ url: http://p, retry: {{ {retry} }} }}\n");
    assert_eq!(
        lines(&policy("attempts: 1"), &policy("attempts: 1, holdoutPercent: 1")),
        ["payments/default: retry.holdoutPercent 0 -> 1"]
    );
}

#[test]
fn the_same_policy_in_other_words_is_no_change() {
    let old = "upstreams:\n  a: { url: http://a, timeouts: { request: 1500ms } }\n";
    let new = "# comment\nlisten: 127.0.0.1:4400\ndefaults: { timeouts: { request: 1s500ms } }\nupstreams: { a: { url: http://a } }\n";
    assert!(lines(old, new).is_empty());
}

#[test]
fn routes_that_change_alike_are_one_line() {
    let policy = |request| {
        format!(
            "upstreams:\n  a:\n    url: http://a\n    timeouts: {{ request: {request} }}\n    \
             routes: [{{ name: r, match: {{ path: /r }} }}, {{ name: s, match: {{ path: /s }} }}]\n"
        )
    };
    assert_eq!(
        lines(&policy("1s"), &policy("2s")),
        ["a/{r, s, default}: timeouts.request 1s -> 2s; worst-case wait 1s -> 2s"]
    );
}

#[test]
fn a_guard_that_acts_by_itself_is_told() {
    let policy = |guard: &str| format!("policy: {{ guard: {guard} }}\nupstreams: {{ a: {{ url: http://a }} }}\n");
    let told = |new: &str| lines(&policy("warn"), &policy(new));
    let rollback = "outrigger: policy.guard warn -> rollback (a revision that makes matters clearly worse is taken back by itself)";
    assert_eq!(told("rollback"), [rollback]);
    assert_eq!(
        told("none"),
        ["outrigger: policy.guard warn -> none (nobody looks whether a revision makes matters worse)"]
    );
}

#[test]
fn upstreams_and_routes_come_and_go() {
    let old = "upstreams:\n  a: { url: http://a, routes: [{ name: r, match: { path: /r } }] }\n";
    let new = "upstreams:\n  a: { url: http://a, routes: [{ name: s, match: { methods: [GET], pathPrefix: /s } }], listen: '127.0.0.1:1' }\n  \
               b: { url: http://b, listen: '127.0.0.1:2' }\n";
    assert_eq!(
        lines(old, new),
        [
            "a: listen 127.0.0.1:4400 -> 127.0.0.1:1",
            "a/s: added; match GET /s/*",
            "a/r: removed",
            "b: added; url http://b; listen 127.0.0.1:2",
        ]
    );
    assert_eq!(lines(new, old).last().unwrap(), "b: removed");
}

#[test]
fn a_new_order_of_routes_is_a_change() {
    let policy = |first, second| {
        format!(
            "upstreams:\n  a:\n    url: http://a\n    routes: [{{ name: {first}, match: {{ path: /{first} }} }}, {{ name: {second}, match: {{ path: /{second} }} }}]\n"
        )
    };
    assert_eq!(lines(&policy("r", "s"), &policy("s", "r")), ["a: order of routes changed"]);
}

#[test]
fn a_breaker_that_is_switched_is_told_as_that_and_its_values_are_in_the_json_only() {
    let off = "upstreams: { a: { url: http://a } }\n";
    let on = "upstreams: { a: { url: http://a, circuitBreaker: {} } }\n";
    assert_eq!(lines(off, on), ["a: circuit breaker and throttle on"]);
    assert_eq!(lines(on, off), ["a: circuit breaker and throttle off"]);
    let alone = "upstreams: { a: { url: http://a, circuitBreaker: {}, throttle: { mode: none } } }\n";
    assert_eq!(lines(off, alone), ["a: circuit breaker on"]);
    assert_eq!(lines(alone, on), ["a: throttle on"]);
    let observed = "upstreams: { a: { url: http://a, circuitBreaker: { mode: observe }, throttle: { mode: none } } }\n";
    assert!(lines(off, observed)[0].contains("circuitBreaker.mode none -> observe"));
    assert_eq!(lines(alone, observed), ["a: circuitBreaker.mode enforce -> observe"]);
}

/// One route of payments with this block.
fn charge(idempotency: &str) -> String {
    format!(
        "name: checkout\nstores: {{ embedded: {{}}, redis: {{ url: 'redis://r' }} }}\nupstreams:\n  payments:\n    url: http://p\n    \
         {ROUTE}{idempotency} }}]\n"
    )
}

#[test]
fn deduplication_that_is_switched_is_told_as_that_with_its_effect() {
    let (off, on) = (charge(""), charge(", idempotency: { principal: none }"));
    assert_eq!(lines(&off, &on), ["payments/charge: deduplication on"]);
    assert_eq!(lines(&on, &off), ["payments/charge: deduplication off: duplicates are executed again"]);
    let contract = charge(", idempotency: { contract: dedupes }");
    assert_eq!(
        lines(&on, &contract),
        ["payments/charge: deduplication off: duplicates are executed again; \
          idempotency.contract opaque -> dedupes (an unknown outcome may now be executed again)"]
    );
}

#[test]
fn a_route_that_comes_or_goes_with_deduplication_says_so() {
    let without = "name: checkout\nstores: { embedded: {}, redis: { url: 'redis://r' } }\nupstreams:\n  payments:\n    url: http://p\n";
    let with = charge(", idempotency: { principal: none }");
    assert_eq!(lines(without, &with), ["payments/charge: added; deduplication on; match /c"]);
    assert_eq!(lines(&with, without), ["payments/charge: removed; deduplication off: duplicates are executed again"]);
}

#[test]
fn a_looser_contract_and_a_shorter_memory_are_told_with_what_they_allow() {
    let policy = |keys: &str| charge(&format!(", idempotency: {{ principal: none{keys} }}"));
    for (old, new, told) in [
        ("", ", contract: atomic5xx", "contract opaque -> atomic5xx (an unknown outcome may now be executed again)"),
        (", contract: dedupes", ", contract: atomic5xx", "contract dedupes -> atomic5xx"),
        ("", ", ttl: 1h", "ttl 24h -> 1h (a duplicate is executed again earlier)"),
        ("", ", ttl: 25h", "ttl 24h -> 25h"),
        ("", ", unknownTtl: 2h", "unknownTtl 168h -> 2h (a request of unknown outcome may be executed again earlier)"),
        ("", ", onStoreError: open", "onStoreError closed -> open (duplicates are executed while the store is down)"),
        (", onStoreError: open", "", "onStoreError open -> closed"),
        (
            "",
            ", store: redis",
            "store embedded -> redis (keys known so far are not recognised: their duplicates are executed again)",
        ),
        (
            ", header: X-Key",
            "",
            "header x-key -> idempotency-key (keys known so far are not recognised: their duplicates are executed again)",
        ),
        ("", ", forwardKey: strip", "forwardKey asIs -> strip"),
        ("", ", methods: [POST]", "methods [POST, PATCH] -> [POST]"),
        ("", ", maxBody: 1KiB", "maxBody 1MiB -> 1KiB"),
    ] {
        assert_eq!(lines(&policy(old), &policy(new)), [format!("payments/charge: idempotency.{told}")]);
    }
    assert_eq!(
        lines(&policy(""), &policy(", inFlight: reject")),
        ["payments/charge: idempotency.inFlight wait -> reject; idempotency.inFlightWait 5s -> gone"]
    );
}

#[test]
fn another_place_of_records_is_told_and_no_password_with_it() {
    let policy = |stores: &str| format!("name: n\nstores: {{ {stores} }}\nupstreams: {{ a: {{ url: http://a }} }}\n");
    assert_eq!(
        lines(&policy("embedded: {}"), &policy("embedded: { path: /data/o.db }")),
        ["outrigger: stores.embedded.path /var/lib/outrigger/outrigger.db -> /data/o.db \
          (records stay behind: their duplicates are executed again)"]
    );
    assert_eq!(
        lines(&policy("redis: { url: 'redis://a' }"), &policy("redis: { url: 'redis://b' }")),
        ["outrigger: stores.redis.url redis://*** -> redis://*** (another address or password)"]
    );
    assert_eq!(
        lines(&policy("embedded: {}"), &policy("embedded: {}, redis: { url: 'redis://b' }")),
        ["outrigger: stores.redis.url redis://***; stores.redis.timeout 50ms; stores.redis.service n"]
    );
    assert_eq!(
        lines(&policy("embedded: {}"), &policy("embedded: { maxRecords: 5 }")),
        ["outrigger: stores.embedded.maxRecords 1000000 -> 5 (takes effect at the next start)"]
    );
}

/// One deduplicating route of payments with this block, and these bounds.
fn letters(bounds: &str, block: &str) -> String {
    charge(&format!(", idempotency: {{ principal: none }}{block}")) + &format!("deadLetter: {bounds}\n")
}

#[test]
fn dead_letters_that_are_switched_are_told_as_that() {
    let (off, on) = (letters("{}", ""), letters("{}", ", deadLetter: {}"));
    assert_eq!(
        lines(&off, &on),
        ["outrigger: dead letters are kept for 168h", "payments/charge: dead letters on, in queue payments/charge"]
    );
    assert_eq!(
        lines(&on, &off),
        [
            "outrigger: no route keeps dead letters any more",
            "payments/charge: dead letters off: nothing is kept of what fails",
        ]
    );
    let without = "name: checkout\nstores: { embedded: {}, redis: { url: 'redis://r' } }\nupstreams:\n  payments:\n    url: http://p\n";
    assert_eq!(
        lines(without, &on)[1],
        "payments/charge: added; deduplication on; dead letters on, in queue payments/charge; match /c"
    );
    assert!(lines(&on, without)[1].ends_with("dead letters off: nothing is kept of what fails"));
}

#[test]
fn a_change_of_what_a_route_keeps_is_told_with_what_it_means() {
    let policy = |keys: &str| letters("{}", &format!(", deadLetter: {{ {keys} }}"));
    let usual = "retries-exhausted, deadline, server-error, outcome-unknown, process-ended";
    for (old, new, told) in [
        ("", "queue: c", "queue payments/charge -> c (letters kept so far stay where they are)".to_owned()),
        (
            "",
            "when: [deadline]",
            format!("when [{usual}] -> [deadline] (nothing is kept of failures that are left out)"),
        ),
        ("when: [deadline]", "", format!("when [deadline] -> [{usual}]")),
        ("", "capture: send", "capture failure -> send (a larger write for each request)".to_owned()),
        (
            "capture: send",
            "",
            "capture send -> failure (what is under way when the process dies cannot be replayed)".to_owned(),
        ),
    ] {
        assert_eq!(lines(&policy(old), &policy(new)), [format!("payments/charge: deadLetter.{told}")]);
    }
}

#[test]
fn a_change_of_the_bounds_of_letters_is_told_with_what_it_means_and_when() {
    let policy = |keys: &str| letters(&format!("{{ {keys} }}"), ", deadLetter: {}");
    let full = " (no letter is removed for it; new ones are refused until there is room)";
    for (old, new, told) in [
        ("", "retention: 24h", "retention 168h -> 24h (letters captured from now on expire earlier)".to_owned()),
        ("", "retention: 200h", "retention 168h -> 200h".to_owned()),
        ("", "maxBytes: 1MiB", format!("maxBytes 128MiB -> 1MiB{full}")),
        ("", "maxBytes: 129MiB", "maxBytes 128MiB -> 129MiB".to_owned()),
        ("", "maxLetters: 9", format!("maxLetters 10000 -> 9{full}")),
        ("maxShare: 50", "", "maxShare 50 -> 100".to_owned()),
        (
            "",
            "keyFile: /run/key",
            "keyFile beside the store -> /run/key (letters sealed with the former key cannot be replayed without it)"
                .to_owned(),
        ),
        (
            "",
            "capture: { maxBody: 1KiB }",
            "capture.maxBody 1MiB -> 1KiB (requests with a larger body cannot be replayed)".to_owned(),
        ),
        (
            "",
            "capture: { credentials: drop }",
            "capture.credentials seal -> drop (replays of new letters cannot authenticate)".to_owned(),
        ),
        ("", "capture: { redactQuery: [a] }", "capture.redactQuery [] -> [a]".to_owned()),
        (
            "capture: { redactQuery: [a, b] }",
            "capture: { redactQuery: [b] }",
            "capture.redactQuery [a, b] -> [b] (what is left out is shown in new letters)".to_owned(),
        ),
    ] {
        assert_eq!(lines(&policy(old), &policy(new)), [format!("outrigger: deadLetter.{told}")]);
    }
}

#[test]
fn what_is_read_at_the_start_only_says_so() {
    let policy = |address| format!("admin: {{ listen: '{address}' }}\nupstreams: {{ a: {{ url: http://a }} }}\n");
    assert_eq!(
        lines(&policy("127.0.0.1:1"), &policy("127.0.0.1:2")),
        ["outrigger: admin.listen 127.0.0.1:1 -> 127.0.0.1:2 (takes effect at the next start)"]
    );
}

#[test]
fn a_change_of_encryption_says_what_it_means_for_callers() {
    let inbound = |block: &str| format!("inbound:\n  forward: http://127.0.0.1:1\n  listen: 127.0.0.1:2\n  {block}\n");
    let open = inbound("tls: { cert: /c, key: /k }");
    let closed = inbound("tls: { cert: /c, key: /k, clientCa: /ca }");
    let one = inbound("tls: { cert: /c, key: /k, clientCa: /ca, spiffe: ['spiffe://t/a'] }");
    let two = inbound("tls: { cert: /c, key: /k, clientCa: /ca, spiffe: ['spiffe://t/a', 'spiffe://t/b'] }");
    for (old, new, said) in [
        (&inbound(""), &open, "callers must speak TLS from now on"),
        (&inbound(""), &closed, "callers must speak TLS and show a certificate from now on"),
        (&open, &closed, "tls.clientCa none -> /ca (callers without a certificate are refused from now on)"),
        (&closed, &open, "callers need no certificate any more"),
        (&closed, &inbound(""), "those with TLS are refused"),
        (&closed, &one, "peers with another id are refused from now on"),
        (&two, &one, "ids that are gone are refused from now on"),
    ] {
        let lines = lines(old, new);
        assert!(lines.len() == 1 && lines[0].contains(said), "{lines:?} / {said}");
    }
    assert!(!lines(&one, &two)[0].contains("refused"), "one more may call");
}

#[test]
fn a_change_of_scheme_version_or_protocol_is_told() {
    let of = |url: &str, block: &str| format!("upstreams: {{ a: {{ url: {url}, {block} }} }}\n");
    let clear = of("http://a", "");
    let sealed = of("https://a", "");
    assert!(lines(&clear, &sealed)[0].contains("url http://a -> https://a (encrypted from now on)"));
    assert!(lines(&sealed, &clear)[0].contains("in clear from now on"));
    let newest = of("https://a", "tls: { minVersion: 1.3 }");
    assert!(lines(&sealed, &newest)[0].contains("no TLS 1.3 are refused"), "{:?}", lines(&sealed, &newest));
    let http2 = of("http://a", "protocol: http2");
    assert!(lines(&clear, &http2)[0].contains("protocol auto -> http2 (a server that speaks no HTTP/2 fails"));
}

#[test]
fn checks_that_are_switched_on_or_off_are_told_as_that() {
    let with = |block: &str| {
        let text = format!("version: 1\nupstreams:\n  a:\n    url: http://a\n    {block}\n");
        crate::policy::compile::load("p.yaml", &text).unwrap_or_else(|errors| panic!("{errors}")).policy
    };
    let told = |old: &str, new: &str| -> Vec<String> {
        diff(&with(old), &with(new)).iter().map(ToString::to_string).collect()
    };
    assert_eq!(told("retry: {}", "retry: {}\n    healthCheck: {}"), ["a: health checks on"]);
    assert_eq!(told("healthCheck: {}", "hostHeader: upstream"), ["a: health checks off"]);
    let watched = told("healthCheck: { mode: observe }", "healthCheck: {}");
    assert_eq!(watched, ["a: healthCheck.mode observe -> enforce (endpoints that fail their checks get no requests)"]);
    let slow = told("hostHeader: upstream", "balance: { slowStart: none }");
    assert_eq!(slow, ["a: balance.slowStart 10s -> none (endpoints that come get their whole share at once)"]);
}
