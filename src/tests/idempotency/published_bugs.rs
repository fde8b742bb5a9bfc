//! Mistakes that others have made and published, as far as the whole program can make them: one test each. Those that
//! a store alone can make are in `idempotency/contract/bugs.rs`, and every store is tried with them.

use outrigger::faults::{Answer, FaultServer, Script};
use outrigger::testing::{Client, Program, RedisServer};

use super::{lost, pay, receipt, stage, told};
use crate::stage::{client, program, until, upstream};

/// Below `/pay`, whatever comes behind it, and by methods that others have keys for as well.
async fn wide(answer: Answer) -> (FaultServer, Program, tempfile::TempDir) {
    let (server, directory) = (upstream(answer).await, tempfile::tempdir().expect("a directory"));
    let more = "required: true, methods: [POST, PUT]";
    let text = super::policy(&server.url(), &directory, more, "").replace("path: /pay", "pathPrefix: /pay");
    (server, program(&text).await, directory)
}

async fn send(client: &mut Client, line: &str, fields: &str, body: &str) -> (u16, String) {
    let length = body.len();
    client
        .send(format!(
            "{line} HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    let answer = client.answer("POST").await;
    (answer.status, told(&answer).1.to_owned())
}

/// One of these is executed, and the other is told that the key belongs to another request.
async fn are_two_requests(one: (&str, &str), other: (&str, &str)) {
    let (server, program, _directory) = wide(receipt()).await;
    let mut client = client(&program).await;
    assert_eq!(send(&mut client, one.0, one.1, "1").await, (201, "stored".to_owned()));
    assert_eq!(send(&mut client, other.0, other.1, "1").await, (422, "mismatch".to_owned()), "{one:?} {other:?}");
    assert_eq!(send(&mut client, one.0, one.1, "1").await, (201, "replayed".to_owned()));
    assert_eq!(server.observed().counts().executed, 1);
}

async fn of_tenants(script: impl Into<Script>) -> (FaultServer, Program, tempfile::TempDir) {
    let (server, directory) = (upstream(script).await, tempfile::tempdir().expect("a directory"));
    let text = super::policy(&server.url(), &directory, "required: true", "");
    let program = program(&text.replace("principal: none", "principal: header:X-Tenant")).await;
    (server, program, directory)
}

/// Bug 15 (hono-idempotency #126): keys are not scoped to the caller.
#[tokio::test]
async fn bug_15_hono_idempotency_the_same_key_of_two_callers_is_two_keys() {
    let (server, program, _directory) =
        of_tenants(Script::sequence([Answer::ok("of alice")], Answer::ok("of bob"))).await;
    for tenant in ["alice", "bob", "alice", "bob"] {
        let fields = format!("Idempotency-Key: k\r\nX-Tenant: {tenant}\r\n");
        let answer = client(&program).await.post("/pay", &fields, b"1").await;
        assert_eq!((answer.status, answer.text()), (200, format!("of {tenant}")));
    }
    assert_eq!(server.observed().counts().executed, 2);
}

/// Bug 16 (Truxify #2382): all who are not known share one bucket.
#[tokio::test]
async fn bug_16_truxify_callers_that_nobody_knows_share_nothing() {
    let (server, program, _directory) = of_tenants(receipt()).await;
    for tenant in ["", "X-Tenant:\r\n", "X-Tenant:  \r\n", "X-Tenant: alice\r\nX-Tenant: bob\r\n"] {
        let fields = format!("Idempotency-Key: k\r\n{tenant}");
        let answer = client(&program).await.post("/pay", &fields, b"1").await;
        assert_eq!((answer.status, answer.json()["reason"].as_str()), (400, Some("key-of-nobody")), "{tenant:?}");
    }
    assert_eq!(server.observed().counts().requests, 0);
}

/// Bug 17 (Truxify #2869): method and path are no part of the request's identity, and one endpoint replays another's.
#[tokio::test]
async fn bug_17_truxify_another_path_or_method_is_another_request() {
    are_two_requests(("POST /pay/a", ""), ("POST /pay/b", "")).await;
    are_two_requests(("POST /pay", ""), ("PUT /pay", "")).await;
}

/// Bug 18 (actor-ts #609): nor is the query.
#[tokio::test]
async fn bug_18_actor_ts_a_dry_run_is_another_request() {
    are_two_requests(("POST /pay?dry=1", ""), ("POST /pay", "")).await;
    are_two_requests(("POST /pay?", ""), ("POST /pay", "")).await;
}

/// Bug 19 (Veil #65): nor is the media type.
#[tokio::test]
async fn bug_19_veil_another_media_type_is_another_request() {
    are_two_requests(("POST /pay", "Content-Type: text/plain\r\n"), ("POST /pay", "Content-Type: text/html\r\n")).await;
    are_two_requests(("POST /pay", "Content-Encoding: gzip\r\n"), ("POST /pay", "")).await;
}

/// Bug 20 (Trellis PR #549): parts that are joined without a frame collide.
#[tokio::test]
async fn bug_20_trellis_parts_that_look_alike_when_joined_are_two_requests() {
    are_two_requests(("POST /pay?a=&a=b&c=", ""), ("POST /pay?a=&b=c&b=", "")).await;
    are_two_requests(("POST /pay/ab?c", ""), ("POST /pay/a?bc", "")).await;
    are_two_requests(
        ("POST /pay", "Content-Type: ab\r\n"),
        ("POST /pay", "Content-Type: a\r\nContent-Encoding: b\r\n"),
    )
    .await;
}

/// Bug 22 (actor-ts #1308): a stream is kept as an empty answer, or held in memory without a bound.
#[tokio::test]
async fn bug_22_actor_ts_a_stream_passes_whole_and_is_neither_replayed_empty_nor_held() {
    const LARGE: u64 = 96 << 20;
    let events = Answer::ok("data: 1\n\ndata: 2\n\n").field("Content-Type", "text/event-stream").chunked();
    let script = Script::sequence([events], Answer::status(200).huge(LARGE).chunked());
    let stage = stage(script, "required: true", "timeouts: { request: 1m }").await;
    let first = stage.pay("events", "1").await;
    assert_eq!((first.status, first.text()), (200, "data: 1\n\ndata: 2\n\n".to_owned()));
    let before = stage.program.rss();
    let mut reader = client(&stage.program).await;
    reader.send("POST /pay HTTP/1.1\r\nHost: a\r\nIdempotency-Key: large\r\nContent-Length: 1\r\n\r\n1").await;
    let head = reader.head().await.expect("a valid head").expect("a head");
    assert_eq!(reader.digest(&head, "POST").await.expect("a whole body").length, LARGE);
    assert!(stage.program.rss() < before + LARGE / 3, "it was held in memory");
    for key in ["events", "large"] {
        let again = outrigger::testing::eventually("the record is settled", async || {
            let answer = stage.pay(key, "1").await;
            (answer.json()["reason"] != "in-progress").then_some(answer)
        })
        .await;
        assert_eq!((told(&again), &again.json()["reason"]), ((409, "replayed"), &"response-not-retained".into()));
    }
    assert_eq!(stage.server.observed().counts().executed, 2);
}

/// Bug 23 (concerns_on_rails PR #47): `Location` and `ETag` are dropped, and 201 is replayed as 200.
#[tokio::test]
async fn bug_23_concerns_on_rails_a_replay_has_the_status_and_the_fields_of_the_answer() {
    let answer =
        receipt().field("ETag", "\"v7\"").field("Content-Type", "text/x-receipt").field("Content-Language", "eo");
    let stage = stage(answer, "required: true", "").await;
    for word in ["stored", "replayed", "replayed"] {
        let answer = stage.pay("k", "1").await;
        assert_eq!((told(&answer), answer.text()), ((201, word), "receipt".to_owned()));
        let fields = ["location", "etag", "content-type", "content-language"].map(|name| answer.field(name));
        assert_eq!(fields, [Some("/payments/7"), Some("\"v7\""), Some("text/x-receipt"), Some("eo")], "{word}");
    }
}

fn shared(server: &FaultServer, redis: &RedisServer, upstream: &str) -> String {
    format!(
        "stores: {{ redis: {{ url: \"{}\", service: shop, timeout: 200ms }} }}\nupstreams:\n  up:\n    url: {}\n{upstream}    \
         routes:\n    - {{ name: pay, match: {{ path: /pay }}, idempotency: {{ principal: none }} }}\n",
        redis.url(),
        server.url()
    )
}

/// Bug 24 (AnchorNet #221): each replica has a map of its own.
#[tokio::test]
async fn bug_24_anchornet_what_one_replica_has_executed_the_others_replay() {
    let (server, redis) = (upstream(receipt()).await, RedisServer::start().await);
    let text = shared(&server, &redis, "");
    let replicas = [program(&text).await, program(&text).await, program(&text).await];
    assert_eq!(told(&pay(&mut client(&replicas[0]).await, "k", "1").await), (201, "stored"));
    for replica in &replicas {
        assert_eq!(told(&pay(&mut client(replica).await, "k", "1").await), (201, "replayed"));
        assert_eq!(told(&pay(&mut client(replica).await, "k", "2").await), (422, "mismatch"));
    }
    assert_eq!(server.observed().counts().executed, 1);
}

/// Bug 26 (leopardo-hr #6557): without Redis each replica goes on by itself, and replays are paid for with the quota.
#[tokio::test]
async fn bug_26_leopardo_hr_without_the_store_nothing_is_executed_and_replays_need_no_place_of_the_limit() {
    let busy = Script::from(receipt()).on_path("/busy", outrigger::faults::Behaviour::stall());
    let (server, mut redis) = (upstream(busy).await, RedisServer::start().await);
    let limits = "    limits: { requests: 1, pending: 0 }\n    timeouts: { request: 1m }\n";
    let text = shared(&server, &redis, limits);
    let replicas = [program(&text).await, program(&text).await];
    assert_eq!(told(&pay(&mut client(&replicas[0]).await, "k", "1").await), (201, "stored"));
    let holder = client(&replicas[0]).await;
    holder.send("GET /busy HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until(&server, |counts| counts.serving == 1).await;
    assert_eq!(pay(&mut client(&replicas[0]).await, "new", "1").await.status, 503, "the only place is taken");
    assert_eq!(told(&pay(&mut client(&replicas[0]).await, "k", "1").await), (201, "replayed"));
    let executed = server.observed().counts().requests;
    redis.stop();
    for replica in &replicas {
        for key in ["k", "other"] {
            let refused = pay(&mut client(replica).await, key, "1").await;
            assert_eq!((told(&refused), &refused.json()["reason"]), ((503, "not-stored"), &"store-unavailable".into()));
        }
    }
    assert_eq!(server.observed().counts().requests, executed);
}

/// Bug 27 (udleinati/kong-plugin-idempotency): an empty key is one entry for everybody.
#[tokio::test]
async fn bug_27_kong_plugin_idempotency_an_empty_key_is_no_key() {
    let stage = stage(receipt(), "required: false", "").await;
    for key in ["", " ", "\"\"", "\"  \""] {
        let answer = client(&stage.program).await.post("/pay", &format!("Idempotency-Key: {key}\r\n"), b"1").await;
        assert_eq!((answer.status, answer.json()["reason"].as_str()), (400, Some("key-malformed")), "{key:?}");
    }
    assert_eq!(stage.server.observed().counts().requests, 0);
}

/// Bug 28 (pleaseai/shunt #126): every retry makes a new id, so that the upstream cannot know it again.
#[tokio::test]
async fn bug_28_shunt_all_attempts_of_a_request_carry_the_same_invented_key_and_no_two_requests_do() {
    let script = Script::sequence([lost(), lost()], receipt());
    let stage = stage(script, "contract: dedupes", "retry: { attempts: 2, backoff: 1ms }").await;
    for _ in 0..2 {
        assert_eq!(client(&stage.program).await.post("/pay", "", b"1").await.status, 201);
    }
    let seen = stage.server.observed().seen();
    let keys: Vec<_> = seen.iter().map(|seen| seen.head.get("idempotency-key").expect("a key")).collect();
    assert_eq!(keys.len(), 4, "{keys:?}");
    assert!(keys[0] == keys[1] && keys[1] == keys[2] && keys[2] != keys[3], "{keys:?}");
}

/// Bug 29 (openresty #351): the error of a POST that must not be retried is lost, and the client is told something else.
#[tokio::test]
async fn bug_29_openresty_a_post_that_is_not_retried_keeps_the_upstreams_own_error() {
    let error = Answer::status(503).body("the ledger is closed").field("X-Ledger", "7");
    let retry = "retry: { attempts: 2, codes: [503], backoff: 1ms }";
    let stage = stage(error, "required: false", retry).await;
    for fields in ["", "Idempotency-Key: k\r\n", "Idempotency-Key: k\r\n"] {
        let answer = client(&stage.program).await.post("/pay", fields, b"1").await;
        assert_eq!((answer.status, answer.text()), (503, "the ledger is closed".to_owned()), "{fields:?}");
        assert_eq!(answer.field("x-ledger"), Some("7"));
    }
    assert_eq!(stage.server.observed().counts().requests, 2, "the third was a replay");
}

/// Where each row of the list is.
#[test]
fn each_published_bug_has_one_test() {
    let all = [include_str!("../../idempotency/contract/bugs.rs"), include_str!("published_bugs.rs")].concat();
    let row = |line: &str| line.trim().strip_prefix("/// Bug ")?.split_once(" (")?.0.parse::<u32>().ok();
    let mut rows: Vec<u32> = all.lines().filter_map(row).collect();
    rows.sort_unstable();
    assert_eq!(rows, (1..=29).collect::<Vec<_>>());
}
