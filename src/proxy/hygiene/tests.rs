use super::*;

fn request(lines: &[(&str, &str)]) -> Request<()> {
    let mut builder = Request::builder().uri("/");
    for (name, value) in lines {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

fn cleaned(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = request(lines).headers().clone();
    clean_request(&mut headers, false, &HeaderValue::from_static("1.1 us")).unwrap();
    headers
}

#[test]
fn exactly_one_valid_host_is_demanded() {
    assert!(check(&request(&[("host", "a.example:8080")]), false).is_ok());
    assert!(check(&request(&[]), false).is_err());
    assert!(check(&request(&[("host", "a"), ("host", "a")]), false).is_err());
    for odd in ["a b", "user@a", "a/b", "a,b", "http://a"] {
        assert!(check(&request(&[("host", odd)]), false).is_err(), "{odd}");
    }
}

#[test]
fn both_framings_at_once_are_refused_even_if_the_parser_dropped_one() {
    let r = request(&[("host", "a"), ("transfer-encoding", "chunked")]);
    assert!(check(&r, false).is_ok());
    assert!(check(&r, true).is_err());
}

#[test]
fn chunked_alone_is_the_only_transfer_coding() {
    assert!(check(&request(&[("host", "a"), ("transfer-encoding", "Chunked")]), false).is_ok());
    for odd in ["chunked, chunked", "gzip, chunked", "gzip", ""] {
        assert!(check(&request(&[("host", "a"), ("transfer-encoding", odd)]), false).is_err(), "{odd}");
    }
    let twice = request(&[("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]);
    assert!(check(&twice, false).is_err());
}

#[test]
fn an_absolute_target_must_agree_with_host() {
    for (uri, host, fine) in [
        ("http://a.example/x", "a.example", true),
        ("http://a.example/x", "A.EXAMPLE:80", true),
        ("http://a.example:80/x", "a.example", true),
        ("http://a.example/x", "b.example", false),
        ("http://a.example/x", "a.example:81", false),
    ] {
        let r = Request::builder().uri(uri).header("host", host).body(()).unwrap();
        assert_eq!(check(&r, false).is_ok(), fine, "{uri} {host}");
    }
}

#[test]
fn every_nomination_of_every_connection_line_is_removed() {
    let headers = cleaned(&[
        ("host", "a"),
        ("connection", "x-one, keep-alive"),
        ("connection", "X-Two"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-three", "3"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAA"),
        ("expect", "100-continue"),
    ]);
    let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(["host", "x-three", "via"].iter().all(|n| headers.contains_key(*n)));
}

#[test]
fn a_nomination_cannot_strip_what_is_not_the_hops_own() {
    let headers = cleaned(&[
        ("host", "a"),
        ("connection", "Idempotency-Key, host, authorization"),
        ("idempotency-key", "k"),
        ("authorization", "secret"),
    ]);
    assert!(["host", "idempotency-key", "authorization"].iter().all(|n| headers.contains_key(*n)));
}

#[test]
fn a_flood_of_nominations_is_refused() {
    let names: Vec<String> = (0..40).map(|i| format!("x-{i}")).collect();
    let mut headers = request(&[("host", "a"), ("connection", &names.join(","))]).headers().clone();
    assert_eq!(clean_request(&mut headers, false, &HeaderValue::from_static("1.1 us")), Err(Failure::BadRequest));
}

#[test]
fn te_is_reduced_to_trailers() {
    assert_eq!(cleaned(&[("te", "gzip;q=0.5, trailers")]).get("te").unwrap(), "trailers");
    assert!(cleaned(&[("te", "gzip")]).get("te").is_none());
}

#[test]
fn only_http_1_1_upgrades_other_than_h2c_are_passed_on() {
    let websocket = request(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
    assert!(wants_upgrade(&websocket, false));
    assert!(!wants_upgrade(&websocket, true));
    assert!(!wants_upgrade(&request(&[("connection", "upgrade"), ("upgrade", "h2c")]), false));
    assert!(!wants_upgrade(&request(&[("upgrade", "websocket")]), false));
}

#[test]
fn our_own_mark_is_recognised_among_other_hops() {
    let r = request(&[("via", "1.0 fred, 1.1 outrigger-12ab-out (x)"), ("via", "1.1 other")]);
    assert!(is_loop(r.headers(), "outrigger-12ab-out"));
    assert!(!is_loop(r.headers(), "outrigger-12ab-in"));
}
