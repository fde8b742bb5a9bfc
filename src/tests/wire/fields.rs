use outrigger::faults::{Answer, Behaviour, Seen, Then};
use outrigger::testing::Answer as Received;

use crate::stage::{client, proxied};

async fn exchange(request: &str, answer: &str) -> (Seen, Received) {
    let (server, program) = proxied(Behaviour::raw(answer.to_string(), Then::Serve), "").await;
    let mut client = client(&program).await;
    client.send(request).await;
    let received = client.answer("GET").await;
    (server.observed().last().expect("the request arrived"), received)
}

const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn fields_of_one_connection_do_not_reach_the_next() {
    let (seen, _) = exchange(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-First\r\nConnection: x-second\r\nX-First: 1\r\n\
         X-Second: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip, trailers\r\n\
         Upgrade: h2c\r\nX-Stays: 1\r\n\r\n",
        PLAIN,
    )
    .await;
    for name in ["x-first", "x-second", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(seen.head.get(name), None, "{name}");
    }
    assert!(!seen.head.lists("te", "gzip"));
    assert!(!seen.head.lists("connection", "x-first") && !seen.head.lists("connection", "x-second"));
    assert_eq!(seen.head.get("x-stays"), Some("1"));
}

#[tokio::test]
async fn fields_of_the_upstream_connection_do_not_reach_the_client() {
    let (_, received) = exchange(
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-First\r\nConnection: x-second\r\nX-First: 1\r\n\
         X-Second: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nX-Stays: 1\r\n\r\n",
    )
    .await;
    for name in ["x-first", "x-second", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(received.field(name), None, "{name}");
    }
    assert_eq!(received.field("x-stays"), Some("1"));
}

#[tokio::test]
async fn naming_an_end_to_end_field_in_connection_does_not_remove_what_the_proxy_needs() {
    let (seen, _) = exchange(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: host, x-envoy-attempt-count, via, traceparent\r\n\r\n",
        PLAIN,
    )
    .await;
    for name in ["host", "x-envoy-attempt-count", "via", "traceparent"] {
        assert_eq!(seen.head.all(name).count(), 1, "{name}");
    }
}

#[tokio::test]
async fn via_is_added_and_earlier_ones_stay() {
    let (seen, _) = exchange("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 front\r\n\r\n", PLAIN).await;
    let via: Vec<&str> = seen.head.all("via").flat_map(|v| v.split(',')).map(str::trim).collect();
    assert_eq!(via.len(), 2, "{via:?}");
    assert_eq!(via[0], "1.0 front");
    assert!(via[1].starts_with("1.1 outrigger"), "{via:?}");
}

#[tokio::test]
async fn the_upstream_gets_exactly_one_host_and_a_target_in_origin_form() {
    for request in [
        "GET /a?b=c HTTP/1.1\r\nHost: app.test\r\n\r\n",
        "GET http://app.test/a?b=c HTTP/1.1\r\nHost: app.test\r\n\r\n",
        "GET http://app.test:80/a?b=c HTTP/1.1\r\nHost: app.test\r\n\r\n",
    ] {
        let (seen, _) = exchange(request, PLAIN).await;
        assert_eq!(seen.head.all("host").count(), 1, "{request}");
        assert_eq!(seen.head.target(), "/a?b=c", "{request}");
    }
}

#[tokio::test]
async fn fields_of_the_same_name_keep_their_order_and_odd_bytes_stay() {
    let (seen, received) = exchange(
        "GET /%2e%2E/a//b?x=%00&y=[] HTTP/1.1\r\nHost: a\r\nX-Many: 2\r\nX-Other: é\r\nX-Many: 1\r\nX-Empty:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: b=2\r\nSet-Cookie: a=1\r\nX-Empty:\r\n\r\n",
    )
    .await;
    assert_eq!(seen.head.target(), "/%2e%2E/a//b?x=%00&y=[]");
    assert_eq!(seen.head.all("x-many").collect::<Vec<_>>(), ["2", "1"]);
    assert_eq!((seen.head.get("x-other"), seen.head.get("x-empty")), (Some("é"), Some("")));
    assert_eq!(received.head.all("set-cookie").collect::<Vec<_>>(), ["b=2", "a=1"]);
}

#[tokio::test]
async fn options_for_the_whole_server_stay_in_asterisk_form() {
    let (server, program) = proxied(Answer::status(204), "").await;
    let mut client = client(&program).await;
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer("OPTIONS").await.status, 204);
    assert_eq!(server.observed().last().expect("a request").head.target(), "*");
}
