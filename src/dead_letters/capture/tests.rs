use std::time::Duration;

use super::*;

fn bounds() -> DeadLetterBounds {
    DeadLetterBounds {
        retention: Duration::from_secs(60),
        max_bytes: 1 << 20,
        max_letters: 10,
        max_share: 50,
        key_file: None,
        max_body: 16,
        redact_headers: vec![HeaderName::from_static("x-session")],
        redact_query: vec!["token".to_owned()],
        credentials: Credentials::Seal,
    }
}

const PLACE: Place<'static> = Place {
    queue: "payments",
    upstream: "bank",
    route: "pay",
    direction: Direction::Outbound,
    contract: Contract::Opaque,
    trace_id: "0af7651916cd43dd8448eb211c80319c",
    policy_revision: 7,
};

const KEY: HeaderName = HeaderName::from_static("x-payment-id");

fn request(target: &str, lines: &[(&'static str, &str)]) -> Original {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        fields.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    let key = fields.get(&KEY).map(|value| (KEY, value.clone(), KeyOrigin::Client));
    let body = Payload::Whole(Bytes::from_static(b"12 EUR"));
    Original {
        method: Method::POST,
        target: target.parse().expect("a target"),
        fields,
        body,
        key,
        principal: None,
        caller: None,
    }
}

fn of(original: &Original) -> Captured {
    captured(original, &PLACE, &bounds())
}

#[test]
fn a_letter_says_what_was_asked_and_where_it_went() {
    let letter = of(&request("/pay?a=1", &[("host", "bank"), ("content-type", "text/plain")]));
    assert_eq!((&*letter.method, &*letter.host, &*letter.target), ("POST", "bank", "/pay?a=[redacted]"));
    assert_eq!(letter.fields, ["host: bank", "content-type: text/plain"]);
    assert_eq!((letter.body_bytes, letter.not_replayable), (6, None));
    assert_eq!(letter.body_sha256, "018fbb9d0c43d38027f9808637d418e75e1b4c8cdec3f0581aaf344dea80dcb1");
    assert_eq!(
        (letter.queue, letter.contract, letter.key_origin),
        ("payments".into(), "opaque".into(), KeyOrigin::None)
    );
}

#[test]
fn secrets_are_shown_by_their_digest_alone() {
    let lines = [
        ("authorization", "Bearer s3cret"),
        ("proxy-authorization", "Basic s3cret"),
        ("cookie", "sid=s3cret"),
        ("set-cookie", "sid=s3cret"),
        ("x-api-key", "s3cret"),
        ("x-session", "s3cret"),
        ("x-payment-id", "\"s3cret\""),
        ("idempotency-key", "s3cret"),
    ];
    let letter = of(&request("/pay?token=s3cret&b=1&TOKEN=s3cret&to%6Ben=s3cret&token", &lines));
    assert!(letter.fields.iter().all(|line| line.contains(": [redacted:") && !line.contains("s3cret")), "{letter:?}");
    // The same secret under two names is seen to be the same.
    let digest =
        |name: &str| letter.fields.iter().find_map(|line| line.strip_prefix(name).map(str::to_owned)).expect("a line");
    assert_eq!(digest("x-api-key: "), digest("x-session: "));
    assert_ne!(digest("x-api-key: "), digest("cookie: "));
    assert!(!letter.target.contains("s3cret") && letter.target.contains("&b=[redacted]&"), "{}", letter.target);
    assert_eq!(letter.target.matches("[redacted:").count(), 4, "{}", letter.target);
    assert_eq!(letter.key_origin, KeyOrigin::Client);
}

#[test]
fn no_value_of_a_query_is_shown_and_all_of_them_are_kept_for_a_replay() {
    let shown = |target: &str| of(&request(target, &[])).target;
    assert_eq!(
        shown("/pay?key=s3cret&s3cret&a=&&b=x=s3cret"),
        "/pay?key=[redacted]&[redacted]&a=[redacted]&&b=[redacted]"
    );
    assert_eq!((shown("/pay").as_str(), shown("/pay?").as_str()), ("/pay", "/pay?"));
    let kept = contents(&request("/pay?key=s3cret&s3cret", &[]), &bounds()).expect("contents");
    assert_eq!(kept.target, "/pay?key=s3cret&s3cret");
}

#[test]
fn what_a_client_writes_obeys_no_terminal() {
    let mut original = request("/pay", &[]);
    for value in [&b"\x9b31m"[..], "\u{9b}31m".as_bytes(), "\u{202e}abc".as_bytes(), b"a\tb", b"\xff\xfe"] {
        original.fields.append("x-a", HeaderValue::from_bytes(value).expect("a value"));
    }
    for line in of(&original).fields {
        assert!(!line.chars().any(is_hostile), "{line:?}");
    }
    assert_eq!(shown_answer(&Bytes::from_static(b"a\x1b[31m\nb")), "a\u{fffd}[31m\nb");
    assert_eq!(shown_answer(&Bytes::from_static(b"\xff\x00\x01")), "[3 bytes that are no text]");
}

#[test]
fn what_is_shown_is_bounded_and_says_so() {
    let long = "x".repeat(5_000);
    let lines: Vec<_> = (0..5).map(|_| ("x-long", long.as_str())).collect();
    let letter = of(&request(&format!("/{}", "é".repeat(5_000).replace('é', "%C3%A9")), &lines));
    assert_eq!(letter.fields.len(), 4);
    assert_eq!(letter.fields.last().map(String::as_str), Some("[cut: 2 more lines]"));
    assert!(letter.fields.iter().map(String::len).sum::<usize>() <= FIELDS_SHOWN_MAX + 32);
    assert!(letter.target.len() <= TARGET_SHOWN_MAX + 5 && letter.target.ends_with("[cut]"));
    // The bound falls into a character.
    let answer = shown_answer(&format!("a{}", "é".repeat(ANSWER_SHOWN_MAX)).into());
    assert!(answer.starts_with("aé") && answer.len() <= ANSWER_SHOWN_MAX + 5, "{}", answer.len());
}

#[test]
fn a_replay_gets_what_the_client_sent_less_what_belonged_to_the_try() {
    let lines = [
        ("host", "bank"),
        ("authorization", "Bearer s3cret"),
        ("x-payment-id", "\"k\""),
        ("content-length", "6"),
        ("x-envoy-attempt-count", "2"),
        ("grpc-timeout", "1S"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let original = request("/pay?token=s3cret", &lines);
    let contents = contents(&original, &bounds()).expect("it can be sent again");
    assert_eq!((contents.target.as_str(), &contents.body[..]), ("/pay?token=s3cret", &b"12 EUR"[..]));
    let names: Vec<_> = contents.fields.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["host", "authorization", "x-payment-id"]);
    assert_eq!(contents.key, Some((KEY, HeaderValue::from_static("\"k\""))));
}

#[test]
fn credentials_are_left_out_if_the_policy_says_so_and_key_and_principal_stay() {
    let lines = [("authorization", "Bearer s3cret"), ("x-session", "s3cret"), ("x-payment-id", "k"), ("x-a", "1")];
    let original = request("/pay", &lines);
    let bounds = DeadLetterBounds { credentials: Credentials::Drop, ..bounds() };
    let fields = |original: &Original| contents(original, &bounds).expect("it can be sent again").fields;
    let names = |fields: HeaderMap| fields.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(fields(&original)), ["x-payment-id", "x-a"]);
    let named = Original { principal: Some(HeaderName::from_static("x-session")), ..original };
    let kept = fields(&named);
    assert!(kept.contains_key("x-session") && kept.contains_key(&KEY) && !kept.contains_key(AUTHORIZATION));
}

#[test]
fn what_is_not_held_whole_is_never_sent_again_and_the_letter_says_why() {
    let with = |body| Original { body, ..request("/pay", &[]) };
    let bytes = || Bytes::from_static(b"12 EUR");
    for (body, size, why) in [
        (Payload::Streamed { length: Some(1 << 40) }, 1 << 40, "went out while it arrived"),
        (Payload::Streamed { length: None }, 0, "went out while it arrived"),
        (Payload::WithTrailers(bytes()), 6, "trailers"),
        (Payload::Whole(Bytes::from(vec![0; 17])), 17, "17 bytes is larger than deadLetter.capture.maxBody (16 bytes)"),
    ] {
        let original = with(body);
        let letter = of(&original);
        assert_eq!(letter.body_bytes, size);
        assert!(letter.not_replayable.as_ref().is_some_and(|text| text.contains(why)), "{letter:?}");
        assert_eq!(contents(&original, &bounds()), None);
    }
    assert!(contents(&with(Payload::Whole(Bytes::from(vec![0; 16]))), &bounds()).is_some());
}
