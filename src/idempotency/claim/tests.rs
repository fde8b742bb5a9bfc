use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::dead_letters::letter::{Captured, Ended, KeyOrigin, LetterId, Words};
use crate::idempotency::store::{Pending, Shown};
use crate::reliability::classify::Contract;
use crate::reliability::dead_letters::{Cause, Class};

/// Says what it is told to say, and remembers what it was asked.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Result<Answered, StoreError>>>,
    asked: Mutex<Vec<(Op, Option<Rider>, bool)>>,
}

impl Store for Scripted {
    fn apply(&self, command: Command) -> Pending<'_, Answered> {
        let body = command.answer.is_some_and(|answer| answer.body.is_some());
        self.asked.lock().unwrap().push((command.op, command.letter.map(|rider| *rider), body));
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Ok(Answered::from(Reply::Done)));
        Box::pin(std::future::ready(answer))
    }

    fn secret(&self) -> Pending<'_, [u8; 32]> {
        Box::pin(std::future::ready(Ok([0; 32])))
    }

    fn show(&self, _: RecordId) -> Pending<'_, Option<Shown>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

fn claim(answers: impl IntoIterator<Item = Result<Answered, StoreError>>) -> (Arc<Scripted>, Claim) {
    let store = Arc::new(Scripted { answers: Mutex::new(answers.into_iter().collect()), ..Scripted::default() });
    let hour = Duration::from_secs(3600);
    let claim = Claim::new(Arc::clone(&store) as _, RecordId([1; 16]), Nonce([2; 16]), hour, hour);
    (store, claim)
}

fn captured() -> Captured {
    Captured {
        queue: "q".into(),
        upstream: "u".into(),
        route: "r".into(),
        direction: "outbound".into(),
        method: "POST".into(),
        host: "h".into(),
        target: "/".into(),
        fields: Vec::new(),
        body_bytes: 0,
        body_sha256: String::new(),
        not_replayable: None,
        key_origin: KeyOrigin::Client,
        trace_id: String::new(),
        policy_revision: 1,
        contract: "opaque".into(),
    }
}

fn letter() -> NewLetter {
    NewLetter {
        id: LetterId([3; 16]),
        class: Class::Unknown,
        cause: Cause::OutcomeUnknown,
        contract: Contract::Opaque,
        record: None,
        words: Words { captured: captured(), ended: Ended::default() },
        sealed: None,
    }
}

fn refused() -> Refusal {
    Refusal::Full("letters".to_owned())
}

#[tokio::test]
async fn the_stub_goes_with_the_leave_to_send_also_when_that_is_asked_for_again() {
    let (store, claim) = claim([Err(StoreError::Busy)]);
    let stub = Stub { id: LetterId([3; 16]), captured: captured(), sealed: None };
    let claim = claim.with_letters(Some(stub.clone()), None);
    assert_eq!(claim.before_first_byte().await, Err(Failure::StoreUnavailable));
    assert_eq!(claim.before_first_byte().await, Ok(()));
    assert_eq!(claim.before_first_byte().await, Ok(()));
    let asked = store.asked.lock().unwrap();
    assert_eq!(asked.len(), 2, "leave that was given is not asked for again");
    assert!(asked.iter().all(|(_, rider, _)| *rider == Some(Rider::Stub(stub.clone()))));
}

#[tokio::test]
async fn a_letter_goes_with_the_end_and_a_refusal_of_it_is_told_while_the_end_stands() {
    let told = |letter| Ok(Answered { letter: Some(letter), ..Answered::from(Reply::Done) });
    // A request that had a letter keeps that one.
    let (store, claim) = claim([told(Ok(LetterId([4; 16]))), told(Err(refused()))]);
    let kept = claim.report(Report::Fail, Some(&letter())).await;
    assert_eq!((kept.record, kept.letter), (Ok(()), Ok(Some(LetterId([4; 16])))));
    let lost = claim.report(Report::Release, Some(&letter())).await;
    assert_eq!((lost.record, lost.letter), (Ok(()), Err(NotKept::Refused(refused()))));
    let asked = store.asked.lock().unwrap();
    assert!(asked.iter().all(|(_, rider, _)| *rider == Some(Rider::Letter(letter()))));
}

#[tokio::test]
async fn a_full_store_takes_the_end_without_its_words_and_the_letter_all_the_same() {
    let (store, claim) = claim([Err(StoreError::Full)]);
    let answer = StoredAnswer::new(500, &http::HeaderMap::new(), Some("oh".into()));
    let told = claim.report(Report::Complete { answer, ambiguous: true }, Some(&letter())).await;
    assert_eq!((told.record, told.letter), (Ok(()), Ok(None)));
    let asked = store.asked.lock().unwrap();
    let bodies: Vec<_> = asked.iter().map(|(_, rider, body)| (rider.is_some(), *body)).collect();
    assert_eq!(bodies, [(true, true), (true, false)]);
}

#[tokio::test]
async fn an_end_that_was_not_taken_is_no_kept_letter() {
    let fenced = Ok(Answered::from(Reply::Fenced));
    let (_store, claim) = claim([Err(StoreError::TimedOut), fenced]);
    for word in ["store-timeout", "store-unavailable"] {
        let told = claim.report(Report::Fail, Some(&letter())).await;
        assert!(told.record.is_err());
        assert_eq!(told.letter.unwrap_err().as_str(), word);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_insisted_on_takes_the_letter_along_until_it_is_heard() {
    let (store, claim) = claim([Err(StoreError::Busy), Err(StoreError::Busy)]);
    assert_eq!(claim.insist(Report::Fail, Some(&letter())).await, Ok(None));
    assert_eq!(store.asked.lock().unwrap().len(), 3);
    let (store, claim) = self::claim((0..20).map(|_| Err(StoreError::Busy)));
    assert_eq!(claim.insist(Report::Fail, Some(&letter())).await, Err(NotKept::Store(StoreError::Busy)));
    assert_eq!(store.asked.lock().unwrap().len(), REPORTS_MAX as usize);
}
