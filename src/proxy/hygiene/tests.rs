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
    let present = Present::of(&headers);
    clean_request(&mut headers, present, false).unwrap();
    headers
}

fn checked(request: &Request<()>, content_length_named: bool) -> Result<(), (Failure, &'static str)> {
    check(request, Present::of(request.headers()), content_length_named)
}

fn upgrades(request: &Request<()>, has_body: bool) -> bool {
    wants_upgrade(request, Present::of(request.headers()), has_body)
}

#[test]
fn a_call_is_numbered_and_timed_for_its_server_whatever_its_caller_said() {
    let policy = DeadlinePolicy {
        grpc_timeout: true,
        envoy_timeout: true,
        propagate: true,
        margin: Duration::ZERO,
        from_trace: false,
    };
    let sent = |lines: &[(&str, &str)], count| {
        let mut headers = request(lines).headers().clone();
        let (present, mut own) = (Present::of(&headers), OwnFields::new());
        drop_attempt(&mut headers, present, &policy);
        set_attempt(&mut own, present, count, Duration::from_millis(50), &policy);
        own.append_to(&mut headers);
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (text("grpc-previous-rpc-attempts"), text("grpc-timeout"))
    };
    let call = ("content-type", "application/grpc+proto");
    let left = Some("50000000n".to_owned());
    assert_eq!(sent(&[call], 1), (None, left.clone()));
    assert_eq!(sent(&[call, ("grpc-timeout", "9S")], 3), (Some("2".to_owned()), left));
    // A number that the caller made up for a first attempt is gone.
    assert_eq!(sent(&[call, ("grpc-previous-rpc-attempts", "0")], 1).0, None);
    assert_eq!(sent(&[("content-type", "application/grpc-web")], 2), (None, None));
}

#[test]
fn exactly_one_valid_host_is_demanded() {
    assert!(checked(&request(&[("host", "a.example:8080")]), false).is_ok());
    assert!(checked(&request(&[]), false).is_err());
    assert!(checked(&request(&[("host", "a"), ("host", "a")]), false).is_err());
    for odd in ["a b", "user@a", "a/b", "a,b", "http://a"] {
        assert!(checked(&request(&[("host", odd)]), false).is_err(), "{odd}");
    }
}

#[test]
fn both_framings_at_once_are_refused_even_if_the_parser_dropped_one() {
    let r = request(&[("host", "a"), ("transfer-encoding", "chunked")]);
    assert!(checked(&r, false).is_ok());
    assert!(checked(&r, true).is_err());
}

#[test]
fn chunked_alone_is_the_only_transfer_coding() {
    assert!(checked(&request(&[("host", "a"), ("transfer-encoding", "Chunked")]), false).is_ok());
    for odd in ["chunked, chunked", "gzip, chunked", "gzip", ""] {
        assert!(checked(&request(&[("host", "a"), ("transfer-encoding", odd)]), false).is_err(), "{odd}");
    }
    let twice = request(&[("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]);
    assert!(checked(&twice, false).is_err());
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
        assert_eq!(checked(&r, false).is_ok(), fine, "{uri} {host}");
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
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(["host", "x-three"].iter().all(|n| headers.contains_key(*n)));
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
    let present = Present::of(&headers);
    assert_eq!(clean_request(&mut headers, present, false), Err(Failure::BadRequest));
}

#[test]
fn te_is_reduced_to_trailers() {
    assert_eq!(cleaned(&[("te", "gzip;q=0.5, trailers")]).get("te").unwrap(), "trailers");
    assert!(cleaned(&[("te", "gzip")]).get("te").is_none());
}

#[test]
fn only_http_1_1_upgrades_other_than_h2c_are_passed_on() {
    let websocket = request(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
    assert!(upgrades(&websocket, false));
    assert!(!upgrades(&websocket, true));
    assert!(!upgrades(&request(&[("connection", "upgrade"), ("upgrade", "h2c")]), false));
    assert!(!upgrades(&request(&[("upgrade", "websocket")]), false));
}

#[test]
fn our_own_mark_is_recognised_among_other_hops() {
    let r = request(&[("via", "1.0 fred, 1.1 outrigger-12ab-out (x)"), ("via", "1.1 other")]);
    let present = Present::of(r.headers());
    assert!(is_loop(r.headers(), present, "outrigger-12ab-out"));
    assert!(!is_loop(r.headers(), present, "outrigger-12ab-in"));
}

#[test]
fn what_an_attempt_is_told_replaces_what_the_client_said_and_the_attempt_before() {
    let lines = [("x-envoy-attempt-count", "7"), ("x-envoy-expected-rq-timeout-ms", "9"), ("grpc-timeout", "9S")];
    let mut headers = request(&lines).headers().clone();
    let present = Present::of(&headers);
    let policy = DeadlinePolicy {
        grpc_timeout: true,
        envoy_timeout: true,
        propagate: true,
        margin: Duration::from_millis(10),
        from_trace: false,
    };
    let mut own = OwnFields::new();
    own.value(&VIA, &HeaderValue::from_static("1.1 us"));
    for count in [8, 9] {
        let left = Duration::from_millis(u64::from(count) * 100);
        drop_attempt(&mut headers, present, &policy);
        set_attempt(&mut own, present, count, left, &policy);
    }
    assert!(headers.is_empty(), "{headers:?}");
    own.append_to(&mut headers);
    let told: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    let expected = [
        ("via", "1.1 us"),
        ("x-envoy-attempt-count", "9"),
        ("x-envoy-expected-rq-timeout-ms", "900"),
        ("grpc-timeout", "900000u"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn each_field_of_concern_is_seen_in_any_spelling() {
    let seen = |name: &str| Present::of(request(&[(name, "x")]).headers());
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, HTTP2_SETTINGS, TE, TRANSFER_ENCODING, UPGRADE] {
        assert!(seen(&name.as_str().to_uppercase()).any(Present::HOP_BY_HOP), "{name}");
    }
    for (name, bit) in [
        (CONTENT_LENGTH, Present::CONTENT_LENGTH),
        (EXPECT, Present::EXPECT),
        (VIA, Present::VIA),
        (UPGRADE, Present::UPGRADE),
        (ATTEMPT_COUNT, Present::ATTEMPT),
        (GRPC_PREVIOUS_ATTEMPTS, Present::ATTEMPT),
        (EXPECTED_TIMEOUT, Present::TIMEOUT),
        (GRPC_TIMEOUT, Present::GRPC_TIMEOUT),
    ] {
        assert!(seen(name.as_str()).any(bit), "{name}");
    }
    assert_eq!(seen("x-other"), Present::default());
}
