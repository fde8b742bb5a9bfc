//! Words that mean something of their own inside of `deadLetter`.

use super::{Foreign, foreign};

/// A key or value of each block and list in it, which no other block has.
const MARKS: [&str; 6] = ["maxLetters", "queue", "redactHeaders", "process-ended", "seal", "send"];

/// The word, if `expected` is one of those blocks and lists, and what is meant by it can be written.
pub(super) fn find(plain: &str, expected: &[&str]) -> Option<&'static Foreign> {
    if !MARKS.iter().any(|mark| expected.contains(mark)) {
        return None;
    }
    // A single word is what to write right here, a longer text says where.
    let helps = |ours: &str| ours.contains(['.', ' ', ':']) || expected.contains(&ours);
    WORDS.iter().find(|foreign| foreign.word == plain && helps(foreign.ours))
}

/// In the form of the general table, and looked up before it.
pub(super) const WORDS: &[Foreign] = &[
    // Bounds.
    foreign("retention", "it is the same for all routes", "deadLetter.retention at the top level"),
    foreign("messageretentionperiod", "SQS' word", "deadLetter.retention"),
    foreign("maxage", "a word of others", "deadLetter.retention"),
    foreign("ttl", "a key of `idempotency`", "deadLetter.retention"),
    foreign("expiry", "a word of others", "deadLetter.retention"),
    foreign("expiration", "a word of others", "deadLetter.retention"),
    foreign("maxsize", "a word of others", "deadLetter.maxBytes"),
    foreign("maxbytes", "it is the same for all routes", "deadLetter.maxBytes at the top level"),
    foreign("maxlength", "RabbitMQ's word", "deadLetter.maxLetters"),
    foreign("maxentries", "a word of others", "deadLetter.maxLetters"),
    foreign("maxrecords", "a key of `stores.embedded`", "deadLetter.maxLetters"),
    foreign("maxletters", "it is the same for all routes", "deadLetter.maxLetters at the top level"),
    foreign("maxshare", "it is the same for all routes", "deadLetter.maxShare at the top level"),
    foreign("perrouteshare", "a word of others", "deadLetter.maxShare"),
    foreign("key", "a secret, which does not belong in a file", "keyFile: /run/secrets/NAME"),
    foreign("secret", "a secret, which does not belong in a file", "keyFile: /run/secrets/NAME"),
    foreign("encryptionkey", "a secret, which does not belong in a file", "keyFile: /run/secrets/NAME"),
    foreign("keyfile", "it is the same for all routes", "deadLetter.keyFile at the top level"),
    foreign("file", "letters lie in the file of the store", "stores.embedded.path"),
    foreign("path", "letters lie in the file of the store", "stores.embedded.path"),
    foreign("store", "letters lie in the file of the embedded store, always", "stores.embedded"),
    // Capture.
    foreign("body", "a word of others", "maxBody, 0B to keep none"),
    foreign("maxbodysize", "a word of others", "capture.maxBody"),
    foreign("maxbody", "a key of `capture`", "capture: { maxBody: SIZE } at the top level"),
    foreign("redact", "a word of others", "redactHeaders and redactQuery"),
    foreign("redactheaders", "a key of `capture`", "capture: { redactHeaders: [NAME] }"),
    foreign("redactquery", "a key of `capture`", "capture: { redactQuery: [NAME] }"),
    foreign("maskheaders", "a word of others", "capture.redactHeaders"),
    foreign("headers", "all are kept", "redactHeaders for those that nobody may read"),
    foreign("auth", "a word of others", "capture.credentials"),
    foreign("credentials", "a key of `capture`", "capture: { credentials: drop }"),
    foreign("keep", "a word of others", "seal"),
    foreign("encrypt", "a word of others", "seal"),
    foreign("storedencrypted", "a word of others", "seal"),
    foreign("redacted", "a word of others", "drop"),
    foreign("none", "a word of others", "drop"),
    foreign("off", "a bare word that YAML 1.1 takes for false", "drop"),
    foreign("false", "no word of this key", "drop"),
    // Of a route.
    foreign("name", "a word of others", "queue"),
    foreign("topic", "a word of Pub/Sub and Kafka", "queue"),
    foreign("on", "a bare word that YAML 1.1 takes for true", "when"),
    foreign("reasons", "a word of others", "when"),
    foreign("causes", "a word of others", "when"),
    foreign("includeshed", "a word of others", "when: [circuit-open] with the others that are meant"),
    foreign("onfailure", "a word of others", "failure"),
    foreign("onsend", "a word of others", "send"),
    foreign("before", "a word of others", "send"),
    // Causes.
    foreign("5xx", "Envoy's word", "server-error"),
    foreign("status", "a word of others", "server-error"),
    foreign("timeout", "nothing was sent: deadline; something was: outcome-unknown", "deadline or outcome-unknown"),
    foreign("deadlineexceeded", "gRPC's word", "deadline"),
    foreign("retrylimitexceeded", "Envoy's word", "retries-exhausted"),
    foreign("maxattempts", "a word of others", "retries-exhausted"),
    foreign("unavailable", "gRPC's word", "retries-exhausted"),
    foreign("connectfailure", "a word of `retryOn`", "retries-exhausted"),
    foreign("breakeropen", "a word of others", "circuit-open"),
    foreign("circuitbreaker", "a word of others", "circuit-open"),
    foreign("reset", "a word of `retryOn`", "outcome-unknown"),
    foreign("unknown", "a word of others", "outcome-unknown"),
    foreign("ambiguous", "a word of others", "outcome-unknown"),
    foreign("crash", "a word of others", "process-ended"),
    foreign("orphan", "a word of others", "process-ended"),
    foreign("all", "a word of others", "each of them"),
];
