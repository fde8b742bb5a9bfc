use super::*;
use crate::policy::compile::load;
use crate::policy::diagnostic::Severity;

/// A policy for every code, and the line at which it must be found. Line 0 = the file as a whole.
const CASES: &[(Code, u32, &str)] = &[
    (
        Code::AttemptExceedsRequest,
        4,
        "upstreams:\n  a:\n    timeouts: { request: 1s, backendRequest: 2s }\n    url: http://a\n",
    ),
    (
        Code::TriesDoNotFit,
        4,
        "upstreams:\n  a:\n    timeouts: { request: 1s, backendRequest: 600ms }\n    retry: {}\n    url: http://a\n",
    ),
    (
        Code::RetriesWithoutBudget,
        4,
        "upstreams:\n  a:\n    retryBudget: { percent: 0, minPerSecond: 0 }\n    retry: {}\n    url: http://a\n",
    ),
    (
        Code::UnsafeWithoutContract,
        5,
        "upstreams:\n  a:\n    url: http://a\n    routes: [{ name: r, match: { methods: [POST] }, retry: {} }]\n",
    ),
    (
        Code::UnreachableRoute,
        6,
        "upstreams:\n  a:\n    url: http://a\n    routes: [{ name: r, match: { path: /r } },\n      { name: s, match: { path: /r } }]\n",
    ),
    (Code::BreakerNeedsMuchTraffic, 3, "upstreams:\n  a: { url: http://a, circuitBreaker: { minRequests: 1000 } }\n"),
    (
        Code::LimitCannotAdapt,
        3,
        "upstreams:\n  a: { url: http://a, limits: { adaptive: { min: 9, max: 9, initial: 9 } } }\n",
    ),
    (
        Code::PriorityWithoutQueue,
        3,
        "upstreams:\n  a: { url: http://a, limits: { pending: 0 }, priority: { class: sheddable } }\n",
    ),
    (Code::HighAmplification, 3, "upstreams:\n  a: { url: http://a, retry: { attempts: 4 } }\n"),
    (Code::AdminExposed, 2, "admin: { listen: '0.0.0.0:4490' }\nupstreams: { a: { url: http://a } }\n"),
    (Code::ForwardNotLoopback, 2, "inbound: { forward: 'http://10.0.0.1:1' }\n"),
    (
        Code::PortTaken,
        4,
        "upstreams:\n  a: { url: http://a, listen: '127.0.0.1:9' }\n  b: { url: http://b, listen: '127.0.0.1:9' }\n",
    ),
    (Code::AdminPortTaken, 2, "listen: 127.0.0.1:4491\nupstreams: { a: { url: http://a } }\n"),
    (Code::HashWithoutKey, 3, "upstreams:\n  a: { url: http://a, balance: { by: hash } }\n"),
    (Code::OutboundExposed, 2, "listen: 0.0.0.0:4400\nupstreams: { a: { url: http://a } }\n"),
    (
        Code::Ambiguous,
        4,
        "upstreams:\n  a: { url: http://a, match: { hosts: [x] } }\n  b: { url: http://b, match: { hosts: [X] } }\n",
    ),
    (Code::Duplicate, 3, "upstreams:\n  a: { endpoints: ['http://10.0.0.1', 'http://10.0.0.1:80'] }\n"),
    (
        Code::ConnectExceedsAttempt,
        3,
        "upstreams:\n  a: { url: http://a, timeouts: { connect: 1s, backendRequest: 1s } }\n",
    ),
    (
        Code::SlowCallUnreachable,
        3,
        "upstreams:\n  a: { url: http://a, timeouts: { request: 1s }, circuitBreaker: { slowCall: { threshold: 1s } } }\n",
    ),
    (
        Code::MarginExceedsRequest,
        3,
        "upstreams:\n  a: { url: http://a, timeouts: { request: 1s }, deadline: { margin: 1s } }\n",
    ),
    (Code::UnusedDefaults, 2, "defaults: { retry: {} }\ninbound: { forward: 'http://127.0.0.1:1' }\n"),
    (Code::UnusedListener, 2, "listen: 127.0.0.1:4400\nupstreams: { a: { url: http://a, listen: '127.0.0.1:9' } }\n"),
    (
        Code::SlowStartWithHash,
        3,
        "upstreams:\n  a: { url: http://a, balance: { by: hash, hashOn: 'header:x', slowStart: 5s } }\n",
    ),
    (
        Code::LocalZoneUnknown,
        3,
        "upstreams:\n  a: { url: http://a, balance: { zone: { local: a, zones: { b: [10.0.0.0/8] } } } }\n",
    ),
    (Code::CheckWithoutChoice, 3, "upstreams:\n  a: { url: 'http://10.0.0.1', healthCheck: {} }\n"),
    (Code::BalanceWithoutChoice, 3, "upstreams:\n  a: { url: 'http://10.0.0.1', balance: { by: roundRobin } }\n"),
    (Code::QueueLongerThanLimit, 3, "upstreams:\n  a: { url: http://a, limits: { requests: 8, pending: 9 } }\n"),
    (
        Code::NothingDeduplicated,
        7,
        "stores: { embedded: {} }\nupstreams:\n  a:\n    url: http://a\n    routes:\n    \
         - { name: r, match: { methods: [GET, PUT] }, idempotency: { principal: none } }\n",
    ),
    (
        Code::DuplicatesIfStoreIsDown,
        7,
        "stores: { embedded: {} }\nupstreams:\n  a:\n    url: http://a\n    routes:\n    \
         - { name: r, match: { path: /r }, idempotency: { principal: none, onStoreError: open } }\n",
    ),
    (
        Code::KeyNotForwarded,
        7,
        "stores: { embedded: {} }\nupstreams:\n  a:\n    url: http://a\n    routes:\n    \
         - { name: r, match: { path: /r }, idempotency: { principal: none, contract: dedupes, forwardKey: strip } }\n",
    ),
    (
        Code::ForgottenTooEarly,
        7,
        "stores: { embedded: {} }\nupstreams:\n  a:\n    url: http://a\n    routes:\n    \
         - { name: r, match: { path: /r }, timeouts: { request: 2m }, idempotency: { principal: none, ttl: 1m } }\n",
    ),
    (Code::StoreIsTemporary, 2, "stores: { embedded: { path: /tmp/x/o.db } }\nupstreams: { a: { url: http://a } }\n"),
    (
        Code::PrincipalNotWritten,
        7,
        "stores: { embedded: {} }\nupstreams:\n  a:\n    url: http://a\n    routes:\n    \
         - { name: r, match: { path: /r }, idempotency: { required: true } }\n",
    ),
    (
        Code::StoreNotConfigured,
        6,
        "upstreams:\n  a:\n    url: http://a\n    routes:\n    \
         - { name: r, match: { path: /r }, idempotency: { principal: none } }\n",
    ),
    (
        Code::VariableNotSet,
        2,
        "stores: { redis: { service: s, url: '${env:OUTRIGGER_IS_NOT_SET}' } }\nupstreams: { a: { url: http://a } }\n",
    ),
    (
        Code::ContractWithoutEffect,
        4,
        "inbound:\n  forward: http://127.0.0.1:1\n  \
         routes: [{ name: r, match: { path: /r }, idempotency: { contract: dedupes } }]\n",
    ),
    (
        Code::LettersWithoutStore,
        7,
        "deadLetter: { keyFile: /run/key }\nupstreams:\n  a:\n    url: http://a\n    routes:\n    \
         - { name: r, match: { path: /r }, deadLetter: {} }\n",
    ),
    (Code::UnusedDeadLetter, 3, "stores: { embedded: {} }\ndeadLetter: {}\nupstreams: { a: { url: http://a } }\n"),
    (
        Code::NothingToRepair,
        8,
        "stores: { embedded: {} }\ndeadLetter: { keyFile: /run/key }\nupstreams:\n  a:\n    url: http://a\n    routes:\n    \
         - { name: r, match: { methods: [GET, HEAD] }, deadLetter: {} }\n",
    ),
    (
        Code::ReplayWithoutKey,
        8,
        "stores: { embedded: {} }\ndeadLetter: { keyFile: /run/key }\nupstreams:\n  a:\n    url: http://a\n    routes:\n    \
         - { name: r, match: { path: /r }, idempotency: { contract: dedupes }, deadLetter: {} }\n",
    ),
    (
        Code::NoRecordToCaptureIn,
        8,
        "stores: { embedded: {} }\ndeadLetter: { keyFile: /run/key }\nupstreams:\n  a:\n    url: http://a\n    routes:\n    \
         - { name: r, match: { path: /r }, deadLetter: { capture: send } }\n",
    ),
    (
        Code::KeyBesideLetters,
        8,
        "stores: { embedded: {} }\nupstreams:\n  a:\n    url: http://a\n    routes:\n    \
         - { name: q, match: { path: /q } }\n    \
         - { name: r, match: { path: /r }, idempotency: { principal: none }, deadLetter: {} }\n",
    ),
    (
        Code::LettersLeaveNoRoom,
        3,
        "stores: { embedded: { maxBytes: 1MiB } }\ndeadLetter: { maxBytes: 1MiB }\nupstreams: { a: { url: http://a } }\n",
    ),
    (Code::TracesGoNowhere, 2, "tracing: { sampleRatio: 0.1 }\nupstreams: { a: { url: http://a } }\n"),
    (Code::TlsOnHttp, 4, "upstreams:\n  a: { url: http://a,\n    tls: { ca: /ca } }\n"),
    (Code::MixedSchemes, 4, "upstreams:\n  a: { endpoints: [http://127.0.0.1,\n    https://127.0.0.2] }\n"),
    (
        Code::IdsWithoutCa,
        5,
        "inbound:\n  forward: http://127.0.0.1:1\n  tls: { cert: /c, key: /k,\n    spiffe: [spiffe://t/a] }\n",
    ),
    (
        Code::AnyoneOfCa,
        5,
        "inbound:\n  forward: http://127.0.0.1:1\n  tls: { cert: /c, key: /k,\n    clientCa: /ca }\n",
    ),
    (Code::SystemVouchesForIds, 4, "upstreams:\n  a: { url: https://a,\n    tls: { spiffe: [spiffe://t/a] } }\n"),
    (Code::TokenInClear, 2, "admin: { listen: '10.0.0.1:4490', tokenFile: /t }\nupstreams: { a: { url: http://a } }\n"),
    (Code::UpstreamIsOurselves, 2, "upstreams: { a: { url: 'http://localhost:4490' } }\n"),
    (Code::NothingToInherit, 2, "upstreams: { a: { url: http://a, deadline: { fromTrace: true } } }\n"),
    (Code::Syntax, 2, "upstreams: {\n"),
    (Code::UnknownKey, 2, "upstream: {}\n"),
    (Code::InvalidValue, 2, "name: a b\n"),
    (Code::NotSupported, 2, "http3: {}\n"),
    (Code::HedgeWithoutChoice, 4, "upstreams:\n  a: { url: 'http://10.0.0.1:80',\n    hedge: {} }\n"),
    (
        Code::HedgeOfUnsafe,
        5,
        "upstreams:\n  a:\n    url: http://a\n    routes: [{ name: r, match: { methods: [POST] }, hedge: {} }]\n",
    ),
    (Code::HedgeWithoutContract, 4, "upstreams:\n  a: { url: http://a,\n    hedge: { unsafe: true } }\n"),
    (Code::HedgeHoldsNoBody, 4, "upstreams:\n  a: { url: http://a,\n    retry: { maxBody: 0B }, hedge: {} }\n"),
    (
        Code::HedgeTooLate,
        4,
        "upstreams:\n  a: { url: http://a, timeouts: { request: 1s },\n    hedge: { delay: 1s } }\n",
    ),
];

fn findings(text: &str) -> Vec<(Code, u32, Severity)> {
    let found = match load("p.yaml", &format!("version: 1\n{text}")) {
        Ok(compiled) => compiled.warnings,
        Err(errors) => errors,
    };
    found.findings().iter().map(|finding| (finding.code, finding.position.line, finding.severity)).collect()
}

#[test]
fn every_code_is_found_where_it_stands_and_alone() {
    for (code, line, text) in CASES {
        let found = findings(text);
        assert!(
            found.contains(&(*code, *line, code.severity())),
            "{code:?} in line {line} of\n{text}\nfound {found:?}"
        );
        let others: Vec<_> = found.iter().filter(|(other, ..)| other != code && *code < Code::Syntax).collect();
        assert!(others.is_empty(), "{code:?}: also {others:?}");
    }
}

#[test]
fn no_code_is_without_a_case() {
    // These need the Pod's grace period, or files: `outrigger check` reads them.
    let elsewhere = [
        Code::DrainExceedsGrace,
        Code::CertificateUnusable,
        Code::CertificateExpiresSoon,
        Code::CertificateOdd,
        Code::KeyReadableByOthers,
    ];
    for code in Code::ALL.iter().filter(|code| !elsewhere.contains(code)) {
        assert!(CASES.iter().any(|(known, ..)| known == code), "{code:?}");
    }
}

#[test]
fn codes_are_unique_and_in_order() {
    assert!(Code::ALL.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
}

#[test]
fn draining_is_compared_with_the_grace_period_of_the_direction() {
    let grace = |text: &str, seconds| {
        let compiled = load("p.yaml", &format!("version: 1\n{text}")).unwrap();
        grace_period(&compiled.policy, &compiled.origins, Duration::from_secs(seconds)).is_some()
    };
    let outbound = "upstreams: { a: { url: http://a } }\n";
    let inbound = "inbound: { forward: 'http://127.0.0.1:1' }\n";
    assert!(!grace(outbound, 20) && grace(outbound, 19));
    assert!(!grace(inbound, 25) && grace(inbound, 24), "inbound waits for drain.delay first");
}

#[test]
fn a_value_that_many_routes_inherit_is_one_finding() {
    let text = "upstreams:\n  a:\n    url: http://a\n    retry: { attempts: 5 }\n    \
                routes: [{ name: r, match: { path: /r } }, { name: s, match: { path: /s } }]\n";
    assert_eq!(findings(text).len(), 1);
}

#[test]
fn a_listener_that_is_exposed_is_found_where_it_is_written() {
    let text = "upstreams:\n  a: { url: http://a, listen: '127.0.0.1:1' }\n  b: { url: http://b, listen: '0.0.0.0:2' }\n  \
                c: { url: http://c }\n";
    assert_eq!(findings(text), [(Code::OutboundExposed, 4, Severity::Warning)]);
    let shared =
        "listen: 0.0.0.0:3\nupstreams:\n  a: { url: http://a, listen: '127.0.0.1:1' }\n  b: { url: http://b }\n";
    assert_eq!(findings(shared), [(Code::OutboundExposed, 2, Severity::Warning)]);
}

#[test]
fn a_store_beside_a_temporary_folder_is_no_finding() {
    for path in ["/tmpfs/o.db", "/var/tmp/o.db", "/dev/shmem/o.db", "/data/tmp/o.db"] {
        let text = format!("stores: {{ embedded: {{ path: {path} }} }}\nupstreams: {{ a: {{ url: http://a }} }}\n");
        assert_eq!(findings(&text), [], "{path}");
    }
    let text = "stores: { embedded: { path: /dev/shm/o.db } }\nupstreams: { a: { url: http://a } }\n";
    assert_eq!(findings(text), [(Code::StoreIsTemporary, 2, Severity::Warning)]);
}

/// A route with letters and these keys, and this block of bounds.
fn letters(bounds: &str, matched: &str, keys: &str) -> Vec<(Code, u32, Severity)> {
    findings(&format!(
        "stores: {{ embedded: {{ path: /data/o.db }} }}\ndeadLetter: {bounds}\nupstreams:\n  a:\n    url: http://a\n    \
         routes:\n    - name: r\n      match: {{ {matched} }}\n      deadLetter: {{}}\n      {keys}\n"
    ))
}

#[test]
fn a_key_for_letters_is_worth_a_word_only_where_it_lies_beside_them() {
    let keys = "idempotency: { principal: none }";
    assert_eq!(letters("{ keyFile: /run/secrets/key }", "path: /r", keys), []);
    assert_eq!(letters("{}", "path: /r", keys), [(Code::KeyBesideLetters, 3, Severity::Info)]);
    let beside = letters("{ keyFile: /data/key }", "path: /r", keys);
    assert_eq!(beside, [(Code::KeyBesideLetters, 3, Severity::Info)]);
}

#[test]
fn letters_of_safe_methods_alone_are_found_and_of_some_unsafe_ones_are_not() {
    let (bounds, keys) = ("{ keyFile: /run/secrets/key }", "idempotency: { principal: none }");
    assert_eq!(letters(bounds, "methods: [GET, POST]", keys), []);
    assert_eq!(letters(bounds, "methods: [DELETE]", "idempotency: { principal: none, methods: [DELETE] }"), []);
    let safe = letters(bounds, "methods: [GET, OPTIONS]", "timeouts: {}");
    assert_eq!(safe, [(Code::NothingToRepair, 10, Severity::Warning)], "and nothing about keys");
    assert_eq!(letters(bounds, "path: /r", "timeouts: {}"), [(Code::ReplayWithoutKey, 10, Severity::Warning)]);
}

#[test]
fn a_temporary_folder_is_said_to_take_the_letters_with_it() {
    let text = |letters: &str| {
        format!(
            "version: 1\nstores: {{ embedded: {{ path: /tmp/o.db }} }}\nupstreams:\n  a:\n    url: http://a\n    \
             routes: [{{ name: r, match: {{ path: /r }}, idempotency: {{ principal: none }}{letters} }}]\n"
        )
    };
    let said = |letters: &str| load("p.yaml", &text(letters)).unwrap().warnings.to_string();
    assert!(said(", deadLetter: {}").contains("/tmp/o.db is in a folder that is emptied, and dead letters with it"));
    assert!(!said("").contains("letters"));
}

#[test]
fn a_route_of_safe_methods_is_found_at_the_list_that_leaves_its_method_out() {
    let route = |methods: &str, keyed: &str| {
        let text = format!(
            "stores: {{ embedded: {{}} }}\nupstreams:\n  a:\n    url: http://a\n    routes:\n    - name: r\n      \
             match: {{ {methods} }}\n      idempotency:\n        principal: none\n{keyed}"
        );
        findings(&text)
    };
    assert_eq!(route("methods: [GET, POST]", ""), []);
    assert_eq!(route("path: /r", ""), []);
    assert_eq!(route("methods: [PUT]", "        methods: [PUT]\n"), []);
    let found = route("methods: [PUT]", "        methods: [DELETE]\n");
    assert_eq!(found, [(Code::NothingDeduplicated, 11, Severity::Warning)]);
}

#[test]
fn an_answer_must_be_kept_as_long_as_its_request_may_take() {
    let route = |timeouts: &str, ttl: &str| {
        let text = format!(
            "stores: {{ embedded: {{}} }}\ninbound:\n  forward: http://127.0.0.1:1\n  timeouts: {{ {timeouts} }}\n  \
             routes: [{{ name: r, match: {{ path: /r }}, idempotency: {{ principal: none{ttl} }} }}]\n"
        );
        findings(&text)
    };
    assert_eq!(route("request: 1m", ", ttl: 1m"), []);
    assert_eq!(route("request: 24h", ""), []);
    assert_eq!(route("request: 90s", ", ttl: 1m"), [(Code::ForgottenTooEarly, 6, Severity::Error)]);
}

#[test]
fn what_is_merely_inherited_by_an_unsafe_route_is_no_finding() {
    let text =
        "upstreams:\n  a:\n    url: http://a\n    retry: {}\n    routes: [{ name: r, match: { methods: [POST] } }]\n";
    assert_eq!(findings(text), []);
    let dedupes = "upstreams:\n  a:\n    url: http://a\n    \
                   routes: [{ name: r, match: { methods: [POST] }, retry: {}, idempotency: { contract: dedupes } }]\n";
    assert_eq!(findings(dedupes), []);
}
