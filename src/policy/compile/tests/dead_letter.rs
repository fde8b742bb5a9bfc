//! `deadLetter`: of a route, and its bounds at the top level.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::policy::dead_letter::{ALWAYS_REDACTED, CaptureAt, Credentials, DeadLetterBounds, DeadLetterPolicy};
use crate::policy::explain;
use crate::policy::origin::{Origin, PROCESS};
use crate::reliability::dead_letters::Cause;

/// A deduplicating route with this block, which begins in line 11 at column 19, bounds in line 4 and an embedded store.
fn charge(bounds: &str, block: &str) -> String {
    format!(
        "version: 1\nname: checkout\nstores: {{ embedded: {{}} }}\ndeadLetter: {bounds}\nupstreams:\n  payments:\n    \
         url: http://payments\n    routes:\n    - {{ name: charge, match: {{ path: /c }},\n      \
         idempotency: {{ principal: none }},\n      deadLetter: {block} }}\n"
    )
}

fn of_route(block: &str) -> DeadLetterPolicy {
    let policy = good(&charge("{}", block)).policy;
    DeadLetterPolicy::clone(policy.upstreams[0].routes[0].dead_letter.as_ref().unwrap())
}

fn bounds(text: &str) -> DeadLetterBounds {
    DeadLetterBounds::clone(good(&charge(text, "{}")).policy.dead_letters.as_ref().unwrap())
}

#[test]
fn a_route_keeps_letters_if_the_block_is_there_and_by_default_of_all_that_was_tried() {
    let when =
        vec![Cause::RetriesExhausted, Cause::Deadline, Cause::ServerError, Cause::OutcomeUnknown, Cause::ProcessEnded];
    let expected = DeadLetterPolicy { queue: Arc::from("payments/charge"), when, capture: CaptureAt::Failure };
    assert_eq!(of_route("{}"), expected);
    let policy = good(&charge("{}", "{}")).policy;
    assert!(policy.upstreams[0].routes[1].dead_letter.is_none(), "the default route has no block");
}

#[test]
fn every_value_of_a_route_can_be_chosen() {
    let chosen = of_route("{ queue: charges, when: [circuit-open, deadline, circuit-open], capture: send }");
    let when = vec![Cause::CircuitOpen, Cause::Deadline];
    assert_eq!(chosen, DeadLetterPolicy { queue: Arc::from("charges"), when, capture: CaptureAt::Send });
}

#[test]
fn the_words_of_when_are_those_of_the_causes() {
    for cause in Cause::ALL {
        assert_eq!(of_route(&format!("{{ when: [{}] }}", cause.as_str())).when, [cause]);
    }
}

#[test]
fn bounds_have_defaults_of_which_the_bytes_are_half_of_the_store() {
    let redact_headers = ALWAYS_REDACTED.map(http::HeaderName::from_static).to_vec();
    let expected = DeadLetterBounds {
        retention: Duration::from_secs(168 * 3600),
        max_bytes: 128 << 20,
        max_letters: 10_000,
        max_share: 100,
        key_file: None,
        max_body: 1 << 20,
        redact_headers,
        redact_query: Vec::new(),
        credentials: Credentials::Seal,
    };
    assert_eq!(bounds("{}"), expected);
    assert_eq!(bounds("{ capture: {} }"), expected);
    let small = charge("{}", "{}").replace("embedded: {}", "embedded: { maxBytes: 10MiB }");
    let Compiled { policy, origins, .. } = good(&small);
    assert_eq!(policy.dead_letters.unwrap().max_bytes, 5 << 20);
    assert_eq!(origins.position(PROCESS, None, "deadLetter.maxBytes").unwrap().line, 3, "it follows from the store");
}

#[test]
fn every_bound_can_be_chosen() {
    let chosen = bounds(
        "{ retention: 2160h, maxBytes: 192MiB, maxLetters: 1000000, maxShare: 1, keyFile: /run/secrets/key, \
         capture: { maxBody: 0B, redactHeaders: [Authorization, X-Session, x-session], redactQuery: [token, Token, token], \
         credentials: drop } }",
    );
    assert_eq!((chosen.retention, chosen.max_bytes), (Duration::from_secs(2160 * 3600), 192 << 20));
    assert_eq!((chosen.max_letters, chosen.max_share, chosen.max_body), (1_000_000, 1, 0));
    assert_eq!(chosen.key_file.as_deref(), Some(Path::new("/run/secrets/key")));
    let names: Vec<&str> = chosen.redact_headers.iter().map(http::HeaderName::as_str).collect();
    assert_eq!(names, [&ALWAYS_REDACTED[..], &["x-session"]].concat());
    assert_eq!(chosen.redact_query, ["token", "Token"]);
    assert_eq!(chosen.credentials, Credentials::Drop);
}

#[test]
fn there_are_bounds_exactly_if_a_route_keeps_letters() {
    let nobody = charge("{ keyFile: /run/key }", "{}").replace(",\n      deadLetter: {}", "");
    let Compiled { policy, .. } = good(&nobody);
    assert!(policy.dead_letters.is_none());
    let without_block = charge("{}", "{}").replace("deadLetter: {}\nupstreams", "upstreams");
    assert_eq!(**good(&without_block).policy.dead_letters.as_ref().unwrap(), bounds("{}"));
}

#[test]
fn a_wrong_value_of_a_route_is_refused_where_it_stands() {
    for (keys, column, part) in [
        ("queue: 'a b'", 28, "`a b` is not a name"),
        ("queue: payments/charge", 28, "`payments/charge` is not a name"),
        ("when: []", 27, "an empty list keeps nothing: leave the key out for all but circuit-open"),
        ("when: [deadlines]", 28, "did you mean `deadline`?"),
        ("when: [deadline, 5xx]", 38, "Envoy's word; use server-error"),
        ("when: [crash]", 28, "a word of others; use process-ended"),
        ("when: deadline", 27, "expected a list, such as [a, b]"),
        ("capture: sent", 30, "did you mean `send`?"),
        ("retention: 1h", 21, "it is the same for all routes; use deadLetter.retention at the top level"),
        ("topic: x", 21, "a word of Pub/Sub and Kafka; use queue"),
    ] {
        let said = bad(&charge("{}", &format!("{{ {keys} }}")));
        let found = said.starts_with(&format!("p.yaml:11:{column}: error:"));
        assert!(found && said.contains(part), "{keys}: no {part:?} at column {column} in\n{said}");
    }
}

#[test]
fn a_wrong_bound_is_refused_where_it_stands() {
    for (keys, column, part) in [
        ("retention: 30m", 26, "30m is out of range: 1h to 2160h"),
        ("retention: 7d", 26, "write hours, such as 168h"),
        ("maxBytes: 1KiB", 25, "1KiB is out of range: 64KiB to"),
        ("maxLetters: 0", 27, "0 is out of range: 1 to 1000000"),
        ("maxLetters: 1000001", 27, "1000001 is out of range: 1 to 1000000"),
        ("maxShare: 0", 25, "0 is out of range: 1 to 100"),
        ("maxShare: 101", 25, "101 is out of range: 1 to 100"),
        ("keyFile: key", 24, "`key` is not an absolute path"),
        ("keyFile: /run/secrets/", 24, "does not name a file"),
        ("keyFile: /var/lib/outrigger/outrigger.db", 24, "is the file of the store: the key needs one of its own"),
        ("capture: { maxBody: 17MiB }", 35, "17MiB is out of range: 0B to 16MiB"),
        ("capture: { redactHeaders: ['a b'] }", 42, "`a b` names no valid header"),
        ("capture: { redactQuery: ['token=x'] }", 40, "`token=x` names no parameter of a query"),
        ("capture: { redactQuery: [''] }", 40, "names no parameter of a query"),
        ("capture: { credentials: none }", 39, "a word of others; use drop"),
        ("capture: { body: true }", 26, "a word of others; use maxBody, 0B to keep none"),
        ("capture: send", 24, "expected a block of keys"),
        ("ttl: 1h", 15, "a key of `idempotency`; use retention"),
        ("key: abc", 15, "a secret, which does not belong in a file; use keyFile: /run/secrets/NAME"),
    ] {
        let said = bad(&charge(&format!("{{ {keys} }}"), "{}"));
        let found = said.starts_with(&format!("p.yaml:4:{column}: error:"));
        assert!(found && said.contains(part), "{keys}: no {part:?} at column {column} in\n{said}");
    }
    let many = vec!["x"; 101].join(", ");
    let said = bad(&charge(&format!("{{ capture: {{ redactQuery: [{many}] }} }}"), "{}"));
    assert!(said.contains("101 names: at most 100 are possible"), "{said}");
}

#[test]
fn letters_take_three_quarters_of_the_store_at_most() {
    let said = bad(&charge("{ maxBytes: 193MiB }", "{}"));
    let expected = "p.yaml:4:25: error: 193MiB is more than three quarters of stores.embedded.maxBytes (256MiB): no room is left \
                    for keys [OR039]";
    assert!(said.starts_with(expected), "{said}");
    assert!(said.contains("^ write at most 192MiB, or raise stores.embedded.maxBytes"), "{said}");
    assert!(!said.contains("the whole file"), "its default is written nowhere");
    let text = charge("{ maxBytes: 4MiB }", "{}").replace("embedded: {}", "embedded: { maxBytes: 5MiB }");
    let said = bad(&text);
    assert!(said.contains("(5MiB)") && said.contains("^ the whole file"), "{said}");
    good(&charge("{ maxBytes: 192MiB }", "{}"));
}

#[test]
fn letters_without_the_embedded_store_are_refused_with_what_to_add() {
    let without = |stores: &str| {
        let text = charge("{}", "{}").replace("stores: { embedded: {} }", stores);
        bad(&text.replace("\n      idempotency: { principal: none },", ""))
    };
    let said = without("# none");
    let expected = "p.yaml:10:19: error: dead letters need a store, and none is configured [OR033]";
    assert!(said.starts_with(expected), "{said}");
    assert!(said.contains("^ add at the top level: stores: { embedded: {} }"), "{said}");
    let said = without("stores: { redis: { url: redis://r } }");
    let message =
        "dead letters need the embedded store: they lie in its file, also where the keys are in Redis [OR033]";
    assert!(said.contains(message), "{said}");
}

#[test]
fn what_is_noted_when_it_is_sent_needs_a_record_in_the_local_file() {
    let send = charge("{}", "{ capture: send }");
    good(&send);
    let said = bad(&send.replace("idempotency: { principal: none }", "idempotency: { contract: dedupes }"));
    assert!(said.starts_with("p.yaml:11:30: error: capture: send notes a request in the record of its key"), "{said}");
    assert!(said.contains("this route keeps no records [OR037]"), "{said}");
    assert!(said.contains("^ add to the route: idempotency: { principal: none, store: embedded }"), "{said}");
    let redis = send.replace("embedded: {}", "embedded: {}, redis: { url: redis://r }");
    let said = bad(&redis.replace("principal: none", "principal: none, store: redis"));
    assert!(said.contains("the records of this route are in Redis [OR037]"), "{said}");
    assert!(said.contains("^ write idempotency: { store: embedded }, or leave capture: send out"), "{said}");
}

#[test]
fn inbound_routes_keep_letters_too_in_queues_of_the_app() {
    let text = "version: 1\nstores: { embedded: {} }\ndeadLetter: { keyFile: /run/secrets/key }\ninbound:\n  \
                forward: http://127.0.0.1:8080\n  routes:\n  - name: create-order\n    \
                match: { methods: [POST], path: /v1/orders }\n    idempotency: { principal: none }\n    \
                deadLetter: { when: [server-error, process-ended] }\n";
    let Compiled { policy, warnings, .. } = good(text);
    assert!(warnings.is_empty(), "{warnings}");
    let letters = policy.upstreams[0].routes[0].dead_letter.as_ref().unwrap();
    assert_eq!((&*letters.queue, letters.when.len()), ("app/create-order", 2));
    assert!(policy.dead_letters.is_some());
}

#[test]
fn the_block_of_a_route_is_sent_there_from_the_upstream_and_from_defaults() {
    let said = bad(&payments("deadLetter: {}"));
    assert!(said.starts_with("p.yaml:5:5: error: unknown key `deadLetter`"), "{said}");
    assert!(said.contains("use deadLetter in an entry of `routes`"), "{said}");
    let said = bad("version: 1\ndefaults: { deadLetter: {} }\n");
    assert!(said.contains("use deadLetter in an entry of `routes`"), "{said}");
    let said = bad(&payments("routes: [{ name: r, match: { path: /r }, dead_letter: {} }]"));
    assert!(said.contains("^ did you mean `deadLetter`?"), "{said}");
}

#[test]
fn an_explanation_shows_what_is_kept_and_where_that_is_written() {
    let text = charge("{ retention: 24h }", "{ queue: charges }").replace("{ path: /c }", "{ pathPrefix: /c }");
    let compiled = good(&text);
    assert_eq!(compiled.origins.of(PROCESS, None, "deadLetter.maxShare"), Origin::BuiltIn);
    let explained = |method| explain::request(&compiled, "p.yaml", &method, "/c").unwrap();
    let post = explained(http::Method::POST);
    let line = |key: &str| post.lines().find(|line| line.trim_start().starts_with(key)).unwrap_or_default();
    assert!(line("deadLetter.queue ").ends_with("p.yaml:11:28"), "{post}");
    assert!(line("deadLetter.retention ").ends_with("p.yaml:4:26"), "{post}");
    assert!(line("deadLetter.maxBytes ").ends_with("built in") && line("deadLetter.maxBytes ").contains("128MiB"));
    assert!(line("deadLetter.keyFile ").contains("beside the store"), "{post}");
    assert_eq!(post.matches("stores.embedded.path").count(), 1, "{post}");
    for sentence in [
        "A POST that fails leaves a dead letter in queue charges for 24h; the client gets the failure.",
        "That is for: retries-exhausted, deadline, server-error, outcome-unknown, process-ended.",
        "What is under way when this process dies cannot be replayed: its body is not kept before it fails",
    ] {
        assert!(post.contains(sentence), "{post}");
    }
    assert!(explained(http::Method::GET).contains("A GET that fails leaves no dead letter"));
}

#[test]
fn an_explanation_of_letters_alone_shows_the_file_that_they_lie_in() {
    let text = charge("{}", "{ when: [deadline] }").replace("\n      idempotency: { principal: none },", "");
    let explained = explain::request(&good(&text), "p.yaml", &http::Method::POST, "/c").unwrap();
    assert!(explained.contains("stores.embedded.path") && !explained.contains("under way when"), "{explained}");
    let none = explain::request(&good(&text), "p.yaml", &http::Method::POST, "/other").unwrap();
    assert!(!none.contains("deadLetter") && !none.contains("dead letter"), "{none}");
}
