use super::super::super::classify::PeerMark;
use super::super::super::failure::Sent;
use super::*;

const CONTRACTS: [Contract; 3] = [Contract::Opaque, Contract::Atomic5xx, Contract::Dedupes];

fn answered(status: u16, contract: Contract) -> Ending {
    ending(Some(status), PeerMark::None, Sent::Yes, Sent::No, contract)
}

#[test]
fn results_and_errors_of_the_caller_are_kept() {
    for status in [200, 201, 204, 302, 304, 400, 402, 404, 409, 410, 422] {
        for contract in CONTRACTS {
            assert_eq!(answered(status, contract), Ending::Complete { ambiguous: false }, "{status}");
        }
    }
}

#[test]
fn refusals_free_the_key_so_that_a_transient_one_is_not_pinned_for_a_day() {
    for status in [401, 403, 407, 408, 421, 425, 429, 431] {
        for contract in CONTRACTS {
            assert_eq!(answered(status, contract), Ending::Release, "{status}");
        }
    }
}

#[test]
fn what_a_server_error_means_is_the_contracts_word() {
    for status in [500, 502, 503, 504] {
        assert_eq!(answered(status, Contract::Opaque), Ending::Complete { ambiguous: true });
        assert_eq!(answered(status, Contract::Atomic5xx), Ending::Release);
        assert_eq!(answered(status, Contract::Dedupes), Ending::Fail);
    }
}

#[test]
fn a_peer_that_did_not_try_frees_the_key_under_every_contract() {
    for contract in CONTRACTS {
        assert_eq!(ending(Some(503), PeerMark::Refused, Sent::Yes, Sent::No, contract), Ending::Release);
        // It tried, and gave up: a server error like others.
        let gave_up = ending(Some(503), PeerMark::GaveUp, Sent::Yes, Sent::No, contract);
        assert_eq!(gave_up, answered(503, contract));
    }
}

#[test]
fn without_an_answer_it_matters_only_whether_a_byte_left() {
    for contract in CONTRACTS {
        assert_eq!(ending(None, PeerMark::None, Sent::No, Sent::No, contract), Ending::Release);
        for sent in [Sent::Maybe, Sent::Yes] {
            assert_eq!(ending(None, PeerMark::None, sent, Sent::No, contract), Ending::Fail);
            assert_eq!(ending(None, PeerMark::None, Sent::No, sent, contract), Ending::Fail);
        }
    }
}

#[test]
fn an_earlier_unknown_attempt_is_not_forgotten_for_a_later_refusal() {
    for contract in CONTRACTS {
        for status in [401, 429] {
            let end = ending(Some(status), PeerMark::None, Sent::Yes, Sent::Maybe, contract);
            assert_eq!(end, Ending::Fail, "{status}");
        }
    }
    let end = ending(Some(503), PeerMark::None, Sent::Yes, Sent::Maybe, Contract::Atomic5xx);
    assert_eq!(end, Ending::Fail);
    // A result is a result.
    let end = ending(Some(201), PeerMark::None, Sent::Yes, Sent::Maybe, Contract::Dedupes);
    assert_eq!(end, Ending::Complete { ambiguous: false });
}
