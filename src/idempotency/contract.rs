//! Test only: what every store must do, whatever it is made of.
//!
//! `contract_suite!(fixture)` makes one test of each case for one kind of store. `fixture` is an
//! `async fn() -> Option<impl Fixture>` that gives an empty store; `None` skips the case where such a store cannot be
//! had. Leases and retentions that must really pass are short, because some stores have a clock of their own.

pub(crate) mod bugs;
pub(crate) mod model;
pub(crate) mod random;
pub(crate) mod transitions;

mod memory;

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::answer::StoredAnswer;
use super::store::{Answered, Command, Shown, Store, StoreError};
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::{Claim, Fingerprint, Millis, Nonce, Op, RecordId, Reply, State};

/// Not over within a test.
pub(crate) const LONG: Millis = 60_000;
/// Over after [`PASSES`].
pub(crate) const SHORT: Millis = 200;
/// Lets everything short pass.
pub(crate) const PASSES: Millis = 300;

/// A store to try, and its clock.
pub(crate) trait Fixture {
    /// The store. Always the same one.
    fn store(&self) -> Arc<dyn Store>;

    /// Lets time pass on the store's clock.
    async fn advance(&self, ms: Millis);

    /// What the store's clock shows.
    fn now(&self) -> Millis;

    /// The process ends and another one begins. `false`: this store has nothing to show for it.
    async fn restart(&self) -> bool {
        false
    }

    /// It has a clock of its own, which goes on by itself.
    const REAL_TIME: bool = false;

    /// How many records it takes, where that is a number.
    fn records_max(&self) -> Option<usize> {
        None
    }
}

/// One key of a store under test.
pub(crate) struct Key {
    pub store: Arc<dyn Store>,
    pub id: RecordId,
}

/// A claim as most cases want it: change what differs.
pub(crate) fn claim(nonce: u8) -> Claim {
    Claim {
        fingerprint: Fingerprint([1; 16]),
        nonce: Nonce([nonce; 16]),
        lease: LONG,
        keep: LONG,
        contract: Contract::Opaque,
    }
}

/// The answer of the attempt with this nonce.
pub(crate) fn answer(nonce: u8) -> StoredAnswer {
    let mut fields = HeaderMap::new();
    fields.insert("location", format!("/payments/{nonce}").parse().unwrap());
    fields.insert("content-type", "application/octet-stream".parse().unwrap());
    // No UTF-8, and a line feed: bodies are bytes.
    StoredAnswer::new(201, &fields, Some(Bytes::from(vec![0, 0xff, b'\n', nonce])))
}

pub(crate) fn granted(attempt: u16, fence: u32) -> Reply {
    Reply::Granted { attempt, fence }
}

impl Key {
    pub fn of(fixture: &impl Fixture, number: u8) -> Key {
        Key { store: fixture.store(), id: RecordId([number; 16]) }
    }

    pub async fn ask(&self, command: Command) -> Result<Answered, StoreError> {
        self.store.apply(command).await
    }

    pub async fn op(&self, op: Op) -> Reply {
        self.ask(Command::new(self.id, op)).await.expect("the store works").reply
    }

    pub async fn claim(&self, claim: Claim) -> Reply {
        self.try_claim(claim).await.expect("the store works").reply
    }

    pub async fn try_claim(&self, claim: Claim) -> Result<Answered, StoreError> {
        let route = Some(Arc::from("payments/create"));
        self.ask(Command { route, ..Command::new(self.id, Op::Claim(claim)) }).await
    }

    pub async fn lookup(&self) -> Reply {
        self.op(Op::Lookup { fingerprint: Fingerprint([1; 16]) }).await
    }

    pub async fn mark_sent(&self, nonce: u8, lease: Millis) -> Reply {
        self.op(Op::MarkSent { nonce: Nonce([nonce; 16]), lease }).await
    }

    pub async fn renew(&self, nonce: u8) -> Reply {
        self.op(Op::Renew { nonce: Nonce([nonce; 16]), lease: LONG }).await
    }

    pub async fn release(&self, nonce: u8) -> Reply {
        self.op(Op::Release { nonce: Nonce([nonce; 16]) }).await
    }

    pub async fn fail(&self, nonce: u8) -> Reply {
        self.op(Op::Fail { nonce: Nonce([nonce; 16]), keep: LONG }).await
    }

    pub async fn complete(&self, nonce: u8) -> Reply {
        self.complete_with(nonce, false, LONG, answer(nonce)).await
    }

    pub async fn complete_with(&self, nonce: u8, ambiguous: bool, keep: Millis, answer: StoredAnswer) -> Reply {
        let op = Op::Complete { nonce: Nonce([nonce; 16]), ambiguous, keep };
        let command = Command { answer: Some(answer), ..Command::new(self.id, op) };
        self.ask(command).await.expect("the store works").reply
    }

    pub async fn resolve_executed(&self, nonce: u8) -> Reply {
        let op = Op::ResolveExecuted { nonce: Nonce([nonce; 16]), keep: LONG };
        let command = Command { answer: Some(answer(nonce)), ..Command::new(self.id, op) };
        self.ask(command).await.expect("the store works").reply
    }

    pub async fn resolve_not_executed(&self, nonce: u8) -> Reply {
        self.op(Op::ResolveNotExecuted { nonce: Nonce([nonce; 16]) }).await
    }

    pub async fn shown(&self) -> Option<Shown> {
        self.store.show(self.id).await.expect("the store works")
    }

    pub async fn state(&self) -> Option<State> {
        self.shown().await.map(|shown| shown.record.state)
    }

    /// Claimed and sent by this nonce.
    pub async fn sent(&self, claim: Claim, lease: Millis) {
        let nonce = claim.nonce.0[0];
        assert!(matches!(self.claim(claim).await, Reply::Granted { .. }));
        assert_eq!(self.mark_sent(nonce, lease).await, Reply::Done);
    }

    /// Claimed, sent, and its end is not known.
    pub async fn lost(&self, claim: Claim) {
        self.sent(claim, LONG).await;
        assert_eq!(self.fail(claim.nonce.0[0]).await, Reply::Done);
    }
}

/// One test of every case.
macro_rules! contract_suite {
    (@cases $fixture:expr; $($module:ident: $($case:ident)+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(fixture) = $fixture().await {
                    $crate::idempotency::contract::$module::$case(&fixture).await;
                }
            }
        )+)+
    };
    ($fixture:expr) => {
        $crate::idempotency::contract::contract_suite! {
            @cases $fixture;
            transitions:
                a_free_key_is_granted_once
                a_claim_is_repeated_without_harm
                nothing_leaves_before_the_owner_has_won_mark_sent
                a_claim_is_released_to_nothing
                a_pinned_claim_is_released_to_retryable
                a_claim_whose_lease_is_over_is_taken_over
                an_answer_is_replayed_byte_for_byte
                a_body_that_was_not_kept_is_told_from_an_empty_one
                what_was_provably_not_processed_is_free_again
                an_unknown_end_is_unknown_under_opaque_and_atomic
                an_unknown_end_is_retryable_under_dedupes
                a_lease_that_ends_after_sending_is_an_unknown_end
                a_retryable_key_is_claimed_as_a_further_attempt
                a_late_answer_heals
                an_operator_says_executed
                an_operator_says_not_executed
                a_stored_error_is_an_open_question
                an_answer_is_forgotten_after_its_retention
                an_unknown_end_is_forgotten_after_its_retention
                what_is_pinned_is_not_forgotten
                a_renewed_lease_lasts
                a_lookup_changes_nothing
                what_is_absent_is_fenced_or_absent
                a_record_shows_its_route_and_answer;
            bugs:
                two_racing_claims_are_one_grant
                of_64_concurrent_claims_one_is_granted
                a_claim_does_not_overwrite_one_in_flight
                two_claims_of_one_request_do_not_both_win
                a_lost_race_is_busy_and_no_error
                another_request_is_a_mismatch_before_it_is_busy
                a_renewed_owner_outlasts_its_first_lease
                a_foreign_nonce_changes_nothing
                a_waiter_that_sees_the_key_free_must_claim_it
                a_dead_claim_blocks_for_its_lease_and_not_for_its_retention
                a_failure_does_not_free_the_key
                a_record_without_a_sign_of_life_is_not_an_orphan_before_its_lease_ends
                completion_keeps_the_fingerprint
                only_the_record_that_was_claimed_is_completed
                a_replay_is_checked_against_the_fingerprint
                keys_that_differ_in_one_byte_are_two_records
                a_transient_error_is_not_kept_where_the_contract_allows_it
                ambiguity_is_sticky_over_a_release
                lost_replies_are_asked_for_again
                an_owner_that_was_paused_over_its_lease_is_fenced
                a_full_store_refuses_and_keeps_everything
                a_full_store_takes_keys_again_when_others_expire;
        }

        #[test]
        fn random_commands_are_answered_as_the_model_does() {
            $crate::idempotency::contract::random::check($fixture);
        }
    };
}
pub(crate) use contract_suite;
