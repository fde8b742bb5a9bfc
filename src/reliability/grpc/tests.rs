use super::*;
use crate::reliability::attempts::RetryPolicy;
use crate::reliability::classify::{self, Outcome, PeerMark, Verdict};
use crate::reliability::{Sent, Side};
use proptest::prelude::*;

/// grpc/doc/statuscodes.md: number and name; google/rpc/code.proto: the HTTP status of each. The one that we weigh
/// otherwise stands in the test.
const PUBLISHED: [(u8, &str, u16); 17] = [
    (0, "OK", 200),
    (1, "CANCELLED", 499),
    (2, "UNKNOWN", 500),
    (3, "INVALID_ARGUMENT", 400),
    (4, "DEADLINE_EXCEEDED", 504),
    (5, "NOT_FOUND", 404),
    (6, "ALREADY_EXISTS", 409),
    (7, "PERMISSION_DENIED", 403),
    (8, "RESOURCE_EXHAUSTED", 429),
    (9, "FAILED_PRECONDITION", 400),
    (10, "ABORTED", 409),
    (11, "OUT_OF_RANGE", 400),
    (12, "UNIMPLEMENTED", 501),
    (13, "INTERNAL", 500),
    (14, "UNAVAILABLE", 503),
    (15, "DATA_LOSS", 500),
    (16, "UNAUTHENTICATED", 401),
];

/// grpc/doc/http-grpc-status-mapping.md.
const HTTP: [(u16, Code); 8] = [
    (400, Code::Internal),
    (401, Code::Unauthenticated),
    (403, Code::PermissionDenied),
    (404, Code::Unimplemented),
    (429, Code::Unavailable),
    (502, Code::Unavailable),
    (503, Code::Unavailable),
    (504, Code::Unavailable),
];

#[test]
fn every_code_has_its_published_number_name_and_weight() {
    assert_eq!(PUBLISHED.len(), Code::ALL.len());
    for ((number, name, status), code) in PUBLISHED.into_iter().zip(Code::ALL) {
        assert_eq!((code as u8, code.as_str()), (number, name));
        assert_eq!(Code::parse(number.to_string().as_bytes()), code);
        let status = if code == Code::Unimplemented { 404 } else { status };
        assert_eq!(code.as_status(), status, "{name}");
    }
}

#[test]
fn what_is_no_code_is_unknown() {
    for value in [&b""[..], b"17", b"-1", b"+1", b"00", b"014", b"1 ", b" 1", b"OK", b"x", b"99999999999"] {
        assert_eq!(Code::parse(value), Code::Unknown, "{value:?}");
    }
}

#[test]
fn an_answer_without_a_code_is_read_as_its_clients_read_it() {
    for status in 100..600 {
        let published = HTTP.iter().find(|(known, _)| *known == status).map_or(Code::Unknown, |(_, code)| *code);
        assert_eq!(Code::of_http(status), published, "{status}");
    }
}

#[test]
fn a_code_is_named_as_in_the_specification_or_as_envoy_does() {
    for code in Code::ALL {
        assert_eq!(Code::named(code.as_str()), Some(code));
        assert_eq!(Code::named(&code.as_str().to_lowercase().replace('_', "-")), Some(code));
    }
    for word in ["", "unavailable ", "Unavailable", "data_loss", "DATA-LOSS", "503", "14", "CANCELED"] {
        assert_eq!(Code::named(word), None, "{word}");
    }
}

#[test]
fn pushback_is_a_wait_or_a_no() {
    let ms = Duration::from_millis;
    for (value, said) in [
        ("0", Pushback::After(ms(0))),
        ("1500", Pushback::After(ms(1_500))),
        ("300001", Pushback::After(ms(300_000))),
        ("99999999999999999999999", Pushback::After(ms(300_000))),
        ("-1", Pushback::Never),
        ("", Pushback::Never),
        ("1.5", Pushback::Never),
        (" 1", Pushback::Never),
        ("soon", Pushback::Never),
    ] {
        assert_eq!(Pushback::parse(value.as_bytes()), said, "{value:?}");
    }
}

#[test]
fn grpc_is_told_from_grpc_web() {
    for yes in ["application/grpc", "application/grpc+proto", "application/grpc; charset=x", "Application/GRPC"] {
        assert!(is_content_type(yes.as_bytes()), "{yes}");
    }
    for no in ["application/grpc-web", "application/grpc-web+proto", "application/grp", "application/json", ""] {
        assert!(!is_content_type(no.as_bytes()), "{no}");
    }
}

#[test]
fn the_codes_of_our_failures_are_those_of_the_documentation() {
    use Code::*;
    for failure in Failure::ALL {
        let code = Code::of_failure(*failure);
        assert_ne!(code, Ok, "{}", failure.token());
        // What clients repeat by themselves must not be said where the call may have been executed in silence.
        let timed_out = Ending::of_failure(*failure) == Ending::TimedOut;
        assert!(!timed_out || code == DeadlineExceeded, "{}", failure.token());
        // A caller's mistake does not get better by repeating it.
        let retried = CodeSet::DEFAULT.contains(code);
        assert!(failure.side() != Side::Client || !retried, "{}", failure.token());
    }
    assert_eq!(Code::of_failure(Failure::CircuitOpen), Unavailable);
    assert_eq!(Code::of_failure(Failure::DeadlineOnArrival), DeadlineExceeded);
    assert_eq!(Code::of_failure(Failure::QueueFull), ResourceExhausted);
    assert_eq!(Code::of_failure(Failure::NoRoute), Unimplemented);
    assert_eq!(Code::of_failure(Failure::OutcomeUnknown), FailedPrecondition);
    assert_eq!(Code::of_failure(Failure::KeyInProgress), Aborted);
}

fn policy(contract: Contract) -> RetryPolicy {
    RetryPolicy { contract, ..RetryPolicy::default() }
}

#[test]
fn unavailable_is_retried_only_where_a_call_may_be_made_twice() {
    let outcome = Outcome::called(Code::Unavailable, Pushback::None);
    let retried = |contract, idempotent| classify::classify(&outcome, &policy(contract), idempotent);
    assert!(matches!(retried(Contract::Opaque, true), Verdict::Retry(_)));
    assert!(matches!(retried(Contract::Dedupes, false), Verdict::Retry(_)));
    assert!(matches!(retried(Contract::Atomic5xx, false), Verdict::Retry(_)));
    assert_eq!(retried(Contract::Opaque, false), Verdict::Denied(crate::reliability::attempts::Denied::NotIdempotent));
}

#[test]
fn a_deadline_that_the_server_names_is_never_news_of_no_effect() {
    let outcome = Outcome::called(Code::DeadlineExceeded, Pushback::None);
    let policy = RetryPolicy { grpc_codes: Code::ALL.into_iter().skip(1).collect(), ..policy(Contract::Atomic5xx) };
    assert!(matches!(classify::classify(&outcome, &policy, false), Verdict::Denied(_)));
    assert!(matches!(classify::classify(&outcome, &policy, true), Verdict::Retry(_)));
}

#[test]
fn pushback_is_waited_for_and_a_no_is_obeyed() {
    let wait = Duration::from_millis(700);
    let later = Outcome::called(Code::Unavailable, Pushback::After(wait));
    let Verdict::Retry(retry) = classify::classify(&later, &policy(Contract::Opaque), true) else { panic!("no retry") };
    assert_eq!(retry.hint, Some(wait));
    assert_eq!(Ending::of(&later), Ending::Overload);
    let never = Outcome::called(Code::Unavailable, Pushback::Never);
    let denied = classify::classify(&never, &policy(Contract::Opaque), true);
    assert_eq!(denied, Verdict::Denied(crate::reliability::attempts::Denied::Pushback));
}

#[test]
fn codes_weigh_on_breaker_endpoint_and_throttle_as_their_status_does() {
    for code in Code::ALL {
        let call = Outcome::called(code, Pushback::None);
        let answer = Outcome::answered(code.as_status());
        assert_eq!(classify::signal(&call), classify::signal(&answer), "{code:?}");
        assert_eq!(classify::endpoint_signal(&call), classify::endpoint_signal(&answer), "{code:?}");
        assert_eq!(classify::is_accepted(&call), classify::is_accepted(&answer), "{code:?}");
        let good = classify::classify(
            &call,
            &RetryPolicy { grpc_codes: CodeSet::default(), ..policy(Contract::Opaque) },
            true,
        );
        assert_eq!(good == Verdict::Success, !code.is_failure(), "{code:?}");
        let late = code.late().map(|(signal, _)| signal);
        let expected = if code == Code::DeadlineExceeded { None } else { Some(classify::signal(&call)) };
        assert_eq!(late, expected.filter(|signal| *signal != Signal::Success), "{code:?}");
    }
}

#[test]
fn a_small_deadline_of_one_caller_opens_no_breaker() {
    let call = Outcome::called(Code::DeadlineExceeded, Pushback::None);
    let ms = Duration::from_millis;
    assert!(classify::is_cut_short(&call, ms(5), Some(ms(20))));
    assert!(!classify::is_cut_short(&call, ms(50), Some(ms(20))));
    assert!(!classify::is_cut_short(&call, ms(5), None));
}

#[test]
fn an_outcome_of_a_call_was_sent_and_has_no_mark() {
    let call = Outcome::called(Code::Ok, Pushback::None);
    assert_eq!((call.sent, call.mark, call.retry_after), (Sent::Yes, PeerMark::None, None));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..32)) {
        let _ = (Code::parse(&bytes), Pushback::parse(&bytes), is_content_type(&bytes));
        let _ = Code::named(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_set_has_what_was_put_into_it(numbers in prop::collection::vec(0usize..17, 0..8)) {
        let set: CodeSet = numbers.iter().map(|n| Code::ALL[*n]).collect();
        let mut wanted: Vec<Code> = numbers.iter().map(|n| Code::ALL[*n]).collect();
        wanted.sort();
        wanted.dedup();
        prop_assert_eq!(set.iter().collect::<Vec<_>>(), wanted);
    }
}
