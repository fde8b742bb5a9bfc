use super::*;

fn said(word: &str, expected: &[&str]) -> String {
    match hint(word, expected) {
        Some(Hint::Instead(text)) => text,
        Some(Hint::Later) => "later".to_owned(),
        None => "nothing".to_owned(),
    }
}

#[test]
fn a_typing_error_is_answered_with_the_nearest_word() {
    let keys = ["url", "endpoints", "listen", "match", "timeouts", "retry", "retryBudget"];
    assert_eq!(said("timeuot", &keys), "did you mean `timeouts`?");
    assert_eq!(said("timeotus", &keys), "did you mean `timeouts`?");
    assert_eq!(said("retry_budget", &keys), "did you mean `retryBudget`?");
    assert_eq!(said("rety", &keys), "did you mean `retry`?");
    assert_eq!(said("completely", &keys), "nothing");
}

#[test]
fn a_word_of_another_proxy_names_its_home_and_ours() {
    let timeouts = ["connect", "backendRequest", "request", "idle"];
    assert_eq!(said("perTryTimeout", &timeouts), "Istio's and Envoy's word; use backendRequest");
    assert_eq!(said("per_try_timeout", &["url"]), "Istio's and Envoy's word; use timeouts.backendRequest");
    assert_eq!(said("num_retries", &["attempts", "codes"]), "Envoy's word; use attempts");
    assert_eq!(said("outlierDetection", &["ejection"]), "Envoy's and Istio's word; use ejection");
    assert_eq!(said("autoRollback", &["guard"]), "a word of others; use policy.guard: rollback");
    assert_eq!(said("timeout", &["url", "retry"]), "Envoy's and Istio's word; use timeouts.request");
}

#[test]
fn a_key_of_a_later_version_is_recognised_as_such() {
    for later in ["http3", "HTTP_3"] {
        assert_eq!(hint(later, &["name", "match", "url"]), Some(Hint::Later), "{later}");
    }
}

#[test]
fn words_of_others_about_encryption_lead_to_ours() {
    let tls = ["ca", "cert", "key", "spiffe", "serverName", "minVersion"];
    assert_eq!(said("sni", &tls), "Istio's and Envoy's word; use serverName");
    assert_eq!(said("caCertificates", &tls), "Istio's word; use ca");
    assert_eq!(
        said("insecureSkipVerify", &tls),
        "peers are always verified; use tls.ca, whoever vouches for the server"
    );
    assert_eq!(said("h2c", &["auto", "http1", "http2"]), "HTTP/2 in clear; use http2");
    assert_eq!(
        said("tls", &["name", "match"]),
        "a key of upstreams and of inbound; use tls beside url, or beside forward"
    );
}

#[test]
fn words_of_other_idempotency_layers_lead_to_ours() {
    let keys = ["contract", "principal", "header", "store", "ttl", "unknownTtl", "inFlight", "inFlightWait"];
    assert_eq!(said("idempotencyKey", &keys), "the usual name of the header; use header");
    assert_eq!(said("scope", &keys), "a word of others; use principal");
    assert_eq!(said("retention", &keys), "a word of others; use ttl");
    assert_eq!(said("storage", &keys), "fiber's word; use idempotency.store, of those in `stores`");
    let lock = "a word of others; the right to run a key renews itself; use inFlightWait";
    assert_eq!(said("lockTimeout", &keys), lock);
    assert_eq!(said("sqlite", &["embedded", "redis"]), "the engine of the embedded store; use embedded");
    assert_eq!(said("fail-open", &["closed", "open"]), "a word of others; use idempotency.onStoreError: open");
}

#[test]
fn words_of_other_dead_letters_lead_to_ours() {
    let bounds = ["retention", "maxBytes", "maxLetters", "maxShare", "keyFile", "capture"];
    assert_eq!(said("messageRetentionPeriod", &bounds), "SQS' word; use retention");
    assert_eq!(said("ttl", &bounds), "a key of `idempotency`; use retention");
    assert_eq!(said("max_size", &bounds), "a word of others; use maxBytes");
    assert_eq!(said("redactHeaders", &bounds), "a key of `capture`; use capture: { redactHeaders: [NAME] }");
    let route = ["queue", "when", "capture"];
    assert_eq!(said("retention", &route), "it is the same for all routes; use deadLetter.retention at the top level");
    assert_eq!(said("topic", &route), "a word of Pub/Sub and Kafka; use queue");
    let capture = ["maxBody", "redactHeaders", "redactQuery", "credentials"];
    assert_eq!(said("body", &capture), "a word of others; use maxBody, 0B to keep none");
    let causes = ["retries-exhausted", "deadline", "circuit-open", "server-error", "outcome-unknown", "process-ended"];
    assert_eq!(said("5xx", &causes), "Envoy's word; use server-error");
    assert_eq!(
        said("timeout", &causes),
        "nothing was sent: deadline; something was: outcome-unknown; use deadline or outcome-unknown"
    );
    assert_eq!(said("retriesExhausted", &causes), "did you mean `retries-exhausted`?");
    assert_eq!(said("crash", &causes), "a word of others; use process-ended");
    assert_eq!(said("none", &causes), "nothing", "a word for another list of deadLetter is no help");
    assert_eq!(said("none", &["seal", "drop"]), "a word of others; use drop");
    assert_eq!(said("onSend", &["failure", "send"]), "a word of others; use send");
    assert_eq!(said("retention", &["ttl", "store"]), "a word of others; use ttl", "elsewhere it is something else");
}

#[test]
fn dead_letters_elsewhere_are_sent_to_their_route() {
    let upstream = ["url", "endpoints", "listen", "match", "timeouts", "retry", "routes"];
    let route = "deadLetter in an entry of `routes`";
    assert_eq!(
        said("deadLetter", &upstream),
        format!("a key of a route, and of the top level for its bounds; use {route}")
    );
    assert_eq!(said("dlq", &upstream), format!("a word of others, and of our command line; use {route}"));
    assert_eq!(said("dead_letter", &["stores", "deadLetter"]), "did you mean `deadLetter`?");
    assert_eq!(said("deadLetters", &["stores", "deadLetter"]), "did you mean `deadLetter`?");
    assert_eq!(said("dead_letters", &["idempotency", "deadLetter"]), "a word of others; use deadLetter");
}

#[test]
fn a_key_of_a_route_is_sent_there_from_elsewhere() {
    let upstream = ["url", "endpoints", "listen", "match", "timeouts", "retry", "routes"];
    let route = "idempotency in an entry of `routes`";
    assert_eq!(said("idempotency", &upstream), format!("a key of a route; use {route}"));
    assert_eq!(said("dedup", &upstream), format!("a word of others; use {route}"));
    assert_eq!(said("ttl", &upstream), "a key of `idempotency` in a route; use idempotency.ttl");
    assert_eq!(said("store", &["version", "stores"]), "did you mean `stores`?");
}

#[test]
fn the_table_is_in_the_form_in_which_it_is_searched() {
    for table in [FOREIGN, dead_letter::WORDS] {
        for entry in table {
            assert_eq!(entry.word, normalise(entry.word), "{}", entry.word);
        }
        let mut words: Vec<_> = table.iter().map(|entry| entry.word).collect();
        words.sort_unstable();
        let all = words.len();
        words.dedup();
        assert_eq!(words.len(), all, "a word stands twice in the table");
    }
}
