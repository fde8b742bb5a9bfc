use super::*;
use proptest::prelude::*;

const SENT: [Sent; 3] = [Sent::No, Sent::Maybe, Sent::Yes];

fn with(contract: Contract) -> RetryPolicy {
    RetryPolicy { contract, codes: StatusSet::from_iter([429, 502, 503, 504]), ..RetryPolicy::default() }
}

fn failed(failure: Failure, sent: Sent, idempotent: bool, contract: Contract) -> Verdict {
    classify(&Outcome::failed(failure, sent), &with(contract), idempotent)
}

/// How each failure is retried, for sent = No, Maybe, Yes: `T` free, `O` paid, `N` not idempotent, `.` final.
fn row(failure: Failure, idempotent: bool, contract: Contract) -> String {
    SENT.map(|sent| match failed(failure, sent, idempotent, contract) {
        Verdict::Retry(Retry { class: RetryClass::Transparent, .. }) => 'T',
        Verdict::Retry(Retry { class: RetryClass::Ordinary, .. }) => 'O',
        Verdict::Retry(Retry { class: RetryClass::Overload, .. }) => 'V',
        Verdict::Denied(Denied::NotIdempotent) => 'N',
        Verdict::Denied(_) => 'D',
        Verdict::Final => '.',
        Verdict::Success => 'S',
    })
    .iter()
    .collect()
}

#[test]
fn failures_are_retried_by_what_was_sent_and_what_the_method_allows() {
    use Failure::*;
    // Failure, idempotent method, unsafe method, unsafe method with deduplication.
    let table = [
        (ConnectionRefused, "TOO", "TNN", "TOO"),
        (ConnectTimeout, "TOO", "TNN", "TOO"),
        (Unroutable, "TOO", "TNN", "TOO"),
        (ConnectFailed, "TOO", "TNN", "TOO"),
        (TlsTimeout, "TOO", "TNN", "TOO"),
        (TlsFailed, "TOO", "TNN", "TOO"),
        (TlsCertificate, "TOO", "TNN", "TOO"),
        (TlsAlert, "TOO", "TNN", "TOO"),
        (StreamRefused, "TOO", "TNN", "TOO"),
        (StreamReset, "TOO", "TNN", "TOO"),
        (ConnectionLimit, "TOO", "TNN", "TOO"),
        (DnsTimeout, "OOO", "ONN", "OOO"),
        (DnsError, "OOO", "ONN", "OOO"),
        (ConnectionTerminated, "TOO", "TNN", "TOO"),
        (ResponseMalformed, "TOO", "TNN", "TOO"),
        (ResponseIncomplete, "TOO", "TNN", "TOO"),
        (TryTimeout, "OOO", "ONN", "OOO"),
        (IdleTimeout, "OOO", "ONN", "OOO"),
    ];
    for failure in Failure::ALL {
        let (idempotent, opaque, dedupes) = table
            .iter()
            .find(|(listed, ..)| listed == failure)
            .map_or(("...", "...", "..."), |(_, a, b, c)| (*a, *b, *c));
        assert_eq!(row(*failure, true, Contract::Opaque), idempotent, "{} idempotent", failure.token());
        assert_eq!(row(*failure, false, Contract::Opaque), opaque, "{} unsafe", failure.token());
        assert_eq!(row(*failure, false, Contract::Atomic5xx), opaque, "{} atomic5xx", failure.token());
        assert_eq!(row(*failure, false, Contract::Dedupes), dedupes, "{} dedupes", failure.token());
    }
}

#[test]
fn a_failure_that_retry_on_does_not_name_is_final() {
    let off = RetryOn { connect_failure: false, refused_stream: false, reset: false, timeout: false };
    let verdict = |on, failure, sent| {
        let policy = RetryPolicy { on, ..RetryPolicy::default() };
        classify(&Outcome::failed(failure, sent), &policy, true)
    };
    for failure in Failure::ALL {
        for sent in SENT {
            assert_eq!(verdict(off, *failure, sent), Verdict::Final, "{}", failure.token());
        }
    }
    let reset = RetryOn { reset: true, ..off };
    let refused = RetryOn { refused_stream: true, ..off };
    assert!(matches!(verdict(reset, Failure::ConnectionTerminated, Sent::Yes), Verdict::Retry(_)));
    assert!(matches!(verdict(refused, Failure::ConnectionTerminated, Sent::No), Verdict::Retry(_)));
    assert_eq!(verdict(refused, Failure::ConnectionTerminated, Sent::Maybe), Verdict::Final);
    assert_eq!(verdict(reset, Failure::ConnectionRefused, Sent::No), Verdict::Final);
}

#[test]
fn answers_are_retried_by_code_and_contract() {
    let status = |status, idempotent, contract| classify(&Outcome::answered(status), &with(contract), idempotent);
    for good in [200, 204, 301, 404, 409, 499] {
        assert_eq!(status(good, true, Contract::Opaque), Verdict::Success, "{good}");
    }
    for unlisted in [500, 501, 505, 599] {
        assert_eq!(status(unlisted, true, Contract::Dedupes), Verdict::Final, "{unlisted}");
    }
    for listed in [502, 503, 504] {
        let ordinary = Verdict::Retry(Retry { class: RetryClass::Ordinary, elsewhere: false, hint: None });
        assert_eq!(status(listed, true, Contract::Opaque), ordinary);
        assert_eq!(status(listed, false, Contract::Opaque), Verdict::Denied(Denied::NotIdempotent));
        assert_eq!(status(listed, false, Contract::Atomic5xx), ordinary);
        assert_eq!(status(listed, false, Contract::Dedupes), ordinary);
    }
    // 429 is not a 5xx: the contract of atomic 5xx says nothing about it.
    assert_eq!(status(429, false, Contract::Atomic5xx), Verdict::Denied(Denied::NotIdempotent));
    let default = RetryPolicy::default();
    assert_eq!(classify(&Outcome::answered(429), &default, true), Verdict::Final, "429 is retried only if listed");
}

#[test]
fn overload_is_429_and_503_with_retry_after() {
    let class = |status, retry_after| {
        let outcome = Outcome { retry_after, ..Outcome::answered(status) };
        match classify(&outcome, &with(Contract::Opaque), true) {
            Verdict::Retry(retry) => Some((retry.class, retry.hint)),
            Verdict::Success | Verdict::Final | Verdict::Denied(_) => None,
        }
    };
    let hint = Some(Duration::from_secs(1));
    assert_eq!(class(429, None), Some((RetryClass::Overload, None)));
    assert_eq!(class(503, hint), Some((RetryClass::Overload, hint)));
    assert_eq!(class(503, None), Some((RetryClass::Ordinary, None)));
    assert_eq!(class(502, hint), Some((RetryClass::Ordinary, hint)));
}

#[test]
fn a_peer_that_gave_up_is_not_asked_again() {
    let marked = Outcome { mark: PeerMark::GaveUp, ..Outcome::answered(503) };
    assert_eq!(classify(&marked, &with(Contract::Opaque), true), Verdict::Denied(Denied::Pushback));
    let good = Outcome { mark: PeerMark::GaveUp, ..Outcome::answered(200) };
    assert_eq!(classify(&good, &with(Contract::Opaque), true), Verdict::Success);
}

#[test]
fn the_open_breaker_of_a_peer_says_nothing_of_the_service_behind_it() {
    let refused = Outcome { mark: PeerMark::Refused, ..Outcome::answered(503) };
    assert_eq!(classify(&refused, &with(Contract::Opaque), true), Verdict::Denied(Denied::Pushback));
    assert_eq!((signal(&refused), endpoint_signal(&refused)), (Signal::Ignored, EndpointSignal::Refused));
    let gave_up = Outcome { mark: PeerMark::GaveUp, ..Outcome::answered(503) };
    assert_eq!((signal(&gave_up), endpoint_signal(&gave_up)), (Signal::Failure, EndpointSignal::Hard));
}

#[test]
fn only_the_upstream_is_blamed() {
    for failure in Failure::ALL {
        let outcome = Outcome::failed(*failure, Sent::Maybe);
        let ours_or_clients = failure.side() != crate::reliability::Side::Upstream;
        if ours_or_clients {
            assert_eq!(signal(&outcome), Signal::Ignored, "{}", failure.token());
            assert_eq!(endpoint_signal(&outcome), EndpointSignal::Ignored, "{}", failure.token());
            // Another endpoint may have a connection to spare; nothing else of ours is worth a retry.
            let never = row(*failure, true, Contract::Dedupes) == "...";
            assert!(never || *failure == Failure::ConnectionLimit, "{}", failure.token());
        }
    }
    for refused_here in [Failure::CircuitOpen, Failure::Throttled] {
        assert_eq!(signal(&Outcome::failed(refused_here, Sent::No)), Signal::Ignored);
    }
}

#[test]
fn breaker_and_endpoint_learn_what_the_answer_says() {
    let table = [
        (200, Signal::Success, EndpointSignal::Success, true),
        (404, Signal::Success, EndpointSignal::Success, true),
        (429, Signal::Overload, EndpointSignal::Overload, false),
        (500, Signal::Failure, EndpointSignal::Soft, true),
        (502, Signal::Failure, EndpointSignal::Hard, false),
        (503, Signal::Failure, EndpointSignal::Hard, false),
        (504, Signal::Failure, EndpointSignal::Hard, false),
        (505, Signal::Failure, EndpointSignal::Soft, true),
    ];
    for (status, breaker, endpoint, accepted) in table {
        let outcome = Outcome::answered(status);
        assert_eq!((signal(&outcome), endpoint_signal(&outcome)), (breaker, endpoint), "{status}");
        assert_eq!(is_accepted(&outcome), accepted, "{status}");
    }
    let refused = Outcome::failed(Failure::ConnectionRefused, Sent::No);
    assert_eq!((signal(&refused), endpoint_signal(&refused)), (Signal::Failure, EndpointSignal::Hard));
    let unresolved = Outcome::failed(Failure::DnsError, Sent::No);
    assert_eq!((signal(&unresolved), endpoint_signal(&unresolved)), (Signal::Failure, EndpointSignal::Ignored));
}

#[test]
fn a_callers_tiny_deadline_does_not_blame_the_dependency() {
    let ms = Duration::from_millis;
    let late = Outcome::failed(Failure::DeadlineExceeded, Sent::Yes);
    assert!(is_cut_short(&late, ms(3), Some(ms(20))));
    assert!(!is_cut_short(&late, ms(30), Some(ms(20))));
    assert!(!is_cut_short(&late, ms(3), None));
    assert!(!is_cut_short(&Outcome::failed(Failure::TryTimeout, Sent::Yes), ms(3), Some(ms(20))));
}

#[test]
fn a_status_set_holds_statuses_and_nothing_else() {
    let mut set = StatusSet::from_iter([100, 163, 164, 503, 599]);
    for no_status in [0, 99, 600, 611, 612, u16::MAX] {
        set.insert(no_status);
        assert!(!set.contains(no_status), "{no_status}");
    }
    assert_eq!(set.iter().collect::<Vec<_>>(), [100, 163, 164, 503, 599]);
    assert!(!set.contains(502));
}

fn any_mark() -> impl Strategy<Value = PeerMark> {
    prop::sample::select(vec![PeerMark::None, PeerMark::GaveUp, PeerMark::Refused])
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let reply = prop_oneof![
        (100u16..600).prop_map(Reply::Status),
        prop::sample::select(Failure::ALL).prop_map(Reply::Failed),
        prop::sample::select(&Code::ALL[..]).prop_map(Reply::Call),
    ];
    (reply, prop::sample::select(&SENT[..]), prop::option::of(0u64..400), any_mark())
        .prop_map(|(reply, sent, hint, mark)| Outcome { reply, sent, retry_after: hint.map(Duration::from_secs), mark })
}

proptest! {
    #[test]
    fn an_unsafe_request_without_a_contract_is_repeated_only_if_nothing_was_sent(outcome in any_outcome()) {
        if matches!(classify(&outcome, &with(Contract::Opaque), false), Verdict::Retry(_)) {
            prop_assert_eq!(outcome.sent, Sent::No);
            prop_assert!(matches!(outcome.reply, Reply::Failed(_)), "an answer proves that it was sent");
        }
    }

    #[test]
    fn a_free_retry_is_provably_unprocessed(outcome in any_outcome(), idempotent: bool) {
        if let Verdict::Retry(Retry { class: RetryClass::Transparent, .. }) =
            classify(&outcome, &with(Contract::Dedupes), idempotent)
        {
            prop_assert_eq!(outcome.sent, Sent::No);
        }
    }
}
