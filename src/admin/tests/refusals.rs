//! What the API refuses, and that a refusal changes nothing.

use super::stage::Stage;

const RELOAD: &str = "/policy/reload";

#[tokio::test]
async fn a_host_that_is_not_ours_is_refused_for_reading_too() {
    let stage = Stage::healthy().await;
    let port = stage.admin.port();
    let foreign = [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("127.0.0.1.nip.io:{port}"),
        format!("localhost.:{port}"),
        format!("0.0.0.0:{port}"),
        format!("10.1.2.3:{port}"),
        format!("127.1:{port}"),
        format!("2130706433:{port}"),
        format!("0x7f000001:{port}"),
        format!("user@127.0.0.1:{port}"),
        String::new(),
    ];
    for host in &foreign {
        for path in ["/status", "/policy", "/metrics", "/nothing", "/"] {
            let reply = stage.send(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n"), "").await;
            assert_eq!(reply.problem(403), "foreign-host", "{host} {path}");
        }
        let head = format!(
            "POST {RELOAD} HTTP/1.1\r\nhost: {host}\r\nx-outrigger-admin: 1\r\ncontent-type: application/json\r\n"
        );
        assert_eq!(stage.send(&head, "{}").await.problem(403), "foreign-host", "{host}");
    }
    assert_eq!(stage.orders(), []);
    stage.stop().await;
}

#[tokio::test]
async fn loopback_hosts_are_answered_on_any_port() {
    let stage = Stage::healthy().await;
    for host in ["localhost", "LOCALHOST:9000", "127.0.0.1", "127.8.8.8:1", "[::1]:4490"] {
        let reply = stage.send(&format!("GET /status HTTP/1.1\r\nhost: {host}\r\n"), "").await;
        assert_eq!(reply.status, 200, "{host}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn a_missing_repeated_or_contradicted_host_is_refused() {
    let stage = Stage::healthy().await;
    let admin = stage.admin;
    let cases = [
        ("GET /status HTTP/1.1\r\n".to_owned(), "foreign-host"),
        (format!("GET /status HTTP/1.1\r\nhost: {admin}\r\nhost: evil.example\r\n"), "ambiguous-header"),
        (format!("GET /status HTTP/1.1\r\nhost: {admin}\r\nhost: {admin}\r\n"), "ambiguous-header"),
        (format!("GET http://evil.example/status HTTP/1.1\r\nhost: {admin}\r\n"), "foreign-host"),
        (format!("GET /status HTTP/1.1\r\nhost: {admin}\u{e9}\r\n"), "ambiguous-header"),
    ];
    for (head, token) in cases {
        assert_eq!(stage.send(&head, "").await.problem(403), token, "{head}");
    }
    let absolute = format!("GET http://{admin}/status HTTP/1.1\r\nhost: {admin}\r\n");
    assert_eq!(stage.send(&absolute, "").await.status, 200);
    stage.stop().await;
}

#[tokio::test]
async fn a_foreign_origin_is_refused_and_the_same_origin_is_not() {
    let stage = Stage::healthy().await;
    let port = stage.admin.port();
    let foreign = [
        "http://evil.example".to_owned(),
        format!("http://evil.example:{port}"),
        "null".to_owned(),
        "http://127.0.0.1".to_owned(),
        format!("https://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1:{port}.evil.example"),
        format!("HTTP://127.0.0.1:{port}"),
        String::new(),
    ];
    for origin in foreign {
        let head = format!("{}origin: {origin}\r\n", stage.post_head(RELOAD));
        assert_eq!(stage.send(&head, "{}").await.problem(403), "foreign-origin", "{origin}");
    }
    for site in ["cross-site", "same-site", "x"] {
        let head = format!("{}sec-fetch-site: {site}\r\n", stage.post_head(RELOAD));
        assert_eq!(stage.send(&head, "{}").await.problem(403), "foreign-origin", "{site}");
    }
    let twice = format!("{0}origin: http://{1}\r\norigin: http://{1}\r\n", stage.post_head(RELOAD), stage.admin);
    assert_eq!(stage.send(&twice, "{}").await.problem(403), "ambiguous-header");
    assert_eq!(stage.orders(), []);

    let own = format!("{}origin: http://{}\r\nsec-fetch-site: same-origin\r\n", stage.post_head(RELOAD), stage.admin);
    assert_eq!(stage.send(&own, "{}").await.status, 200);
    assert_eq!(stage.orders().len(), 1);
    stage.stop().await;
}

#[tokio::test]
async fn a_post_without_our_header_is_refused() {
    let stage = Stage::healthy().await;
    let head = format!("POST {RELOAD} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n", stage.admin);
    for extra in ["", "x-outrigger-admin: 0\r\n", "x-outrigger-admin:\r\n", "x-outrigger_admin: 1\r\n"] {
        let reply = stage.send(&format!("{head}{extra}"), "{}").await;
        assert_eq!(reply.problem(403), "change-header-missing", "{extra}");
        assert!(reply.json()["detail"].as_str().unwrap().contains("x-outrigger-admin: 1"));
    }
    assert_eq!(stage.orders(), []);
    stage.stop().await;
}

#[tokio::test]
async fn a_body_that_a_form_could_send_is_refused() {
    let stage = Stage::healthy().await;
    let head = format!("POST {RELOAD} HTTP/1.1\r\nhost: {}\r\nx-outrigger-admin: 1\r\n", stage.admin);
    for kind in
        ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "text/plain;application/json"]
    {
        let head = if kind.is_empty() { head.clone() } else { format!("{head}content-type: {kind}\r\n") };
        assert_eq!(stage.send(&head, "{}").await.problem(415), "not-json", "{kind}");
    }
    assert_eq!(stage.orders(), []);
    let charset = format!("{head}content-type: Application/JSON; charset=utf-8\r\n");
    assert_eq!(stage.send(&charset, "{}").await.status, 200);
    stage.stop().await;
}

#[tokio::test]
async fn reading_a_path_that_changes_something_is_405_and_changes_nothing() {
    let stage = Stage::healthy().await;
    for path in [RELOAD, "/policy/rollback", "/circuits/payments"] {
        for query in ["", "?action=open&reason=x&revision=1"] {
            let reply = stage.get(&format!("{path}{query}")).await;
            assert_eq!(reply.problem(405), "wrong-method", "{path}");
            assert_eq!(reply.header("allow"), Some("post"), "{path}");
        }
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
            let head = stage.post_head(path).replacen("POST", method, 1);
            assert_eq!(stage.send(&head, "{}").await.problem(405), "wrong-method", "{method} {path}");
        }
    }
    assert_eq!(stage.orders(), []);
    stage.stop().await;
}

#[tokio::test]
async fn posting_to_a_path_that_is_only_read_is_405() {
    let stage = Stage::healthy().await;
    let reply = stage.post("/status", "{}").await;
    assert_eq!(reply.problem(405), "wrong-method");
    assert_eq!(reply.header("allow"), Some("get,head"));
    stage.stop().await;
}

#[tokio::test]
async fn a_preflight_is_never_granted() {
    let stage = Stage::healthy().await;
    let head = format!(
        "OPTIONS {RELOAD} HTTP/1.1\r\nhost: {}\r\norigin: http://evil.example\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: x-outrigger-admin\r\n",
        stage.admin
    );
    let reply = stage.send(&head, "").await;
    assert_eq!(reply.problem(403), "foreign-origin");
    assert!(!reply.head.contains("access-control-allow"), "{}", reply.head);
    stage.stop().await;
}

#[tokio::test]
async fn wrong_bodies_are_refused_before_anything_happens() {
    let stage = Stage::healthy().await;
    let long = format!(r#"{{"action":"open","reason":"{}"}}"#, "x".repeat(501));
    let deep = format!(r#"{{"author":{}1{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    let cases = [
        (RELOAD, r#"{"autor":"a"}"#),
        (RELOAD, r#"{"author":"a","author":"b"}"#),
        (RELOAD, r#"{"author":""}"#),
        (RELOAD, r#"{"author":"a\u001b[2J"}"#),
        (RELOAD, "[]"),
        (RELOAD, r#"["a"]"#),
        (RELOAD, "{"),
        (RELOAD, "{} {}"),
        (RELOAD, deep.as_str()),
        ("/policy/rollback", ""),
        ("/policy/rollback", r#"{"revision":5}"#),
        ("/policy/rollback", r#"{"revision":-5,"reason":"x"}"#),
        ("/policy/rollback", r#"{"revision":"5","reason":"x"}"#),
        ("/policy/rollback", r#"{"revision":5,"reason":"  "}"#),
        ("/policy/rollback", r#"{"revision":5,"reason":"two\nlines"}"#),
        ("/circuits/payments", r#"{"action":"explode","reason":"x"}"#),
        ("/circuits/payments", r#"{"action":"open"}"#),
        ("/circuits/payments", r#"{"action":"open","reason":"x","ttl":"25h"}"#),
        ("/circuits/payments", r#"{"action":"open","reason":"x","ttl":"0s"}"#),
        ("/circuits/payments", r#"{"action":"open","reason":"x","ttl":"10"}"#),
        ("/circuits/payments", r#"{"action":"open","reason":"x","ttl":600}"#),
        ("/circuits/payments", r#"{"action":"reset","reason":"x","ttl":"10m"}"#),
        ("/circuits/payments", long.as_str()),
    ];
    for (path, body) in cases {
        assert_eq!(stage.post(path, body).await.problem(400), "invalid-request", "{path} {body}");
    }
    let unknown = stage.post("/circuits/paymets", r#"{"action":"open","reason":"x"}"#).await;
    assert_eq!(unknown.problem(404), "unknown-upstream");
    assert_eq!(stage.orders(), []);
    stage.stop().await;
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_and_one_at_the_limit_is_read() {
    let stage = Stage::healthy().await;
    let limit = crate::admin::extract::BODY_BYTES_MAX;
    let padded = |bytes: usize| format!("{{}}{}", " ".repeat(bytes - 2));
    assert_eq!(stage.post(RELOAD, &padded(limit)).await.status, 200);
    assert_eq!(stage.post(RELOAD, &padded(limit + 1)).await.problem(413), "body-too-large");
    assert_eq!(stage.orders().len(), 1);
    stage.stop().await;
}

#[tokio::test]
async fn an_error_repeats_foreign_words_without_their_control_characters() {
    let stage = Stage::healthy().await;
    let reply = stage.get("/upstreams/%1b%5b2Jx%0a").await;
    assert_eq!(reply.problem(404), "unknown-upstream");
    assert_eq!(reply.json()["detail"], "no upstream is named `\u{fffd}[2Jx\u{fffd}`");
    stage.stop().await;
}
