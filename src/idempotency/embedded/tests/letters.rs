//! Dead letters in the file, and what they have to do with the records of their keys.

use super::*;
use crate::dead_letters::letter::{Captured, Ended, KeyOrigin, NewLetter, Sealed, Stub, Words};
use crate::idempotency::contract::{LONG, answer, claim};
use crate::idempotency::store::Rider;
use crate::reliability::classify::Contract;
use crate::reliability::dead_letters::{Cause, Class, LetterState};
use crate::reliability::idempotency::{Fingerprint, Nonce, Op, Reply, State};
use crate::testing::eventually;

fn captured(queue: &str) -> Captured {
    Captured {
        queue: queue.to_owned(),
        upstream: "payments".to_owned(),
        route: "create".to_owned(),
        direction: "outbound".to_owned(),
        method: "POST".to_owned(),
        host: "payments".to_owned(),
        target: "/v1/payments".to_owned(),
        fields: vec!["content-type: text/plain".to_owned()],
        body_bytes: 6,
        body_sha256: "00".to_owned(),
        not_replayable: None,
        key_origin: KeyOrigin::Client,
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        policy_revision: 1,
        contract: "opaque".to_owned(),
    }
}

fn sealed() -> Option<Sealed> {
    Some(Sealed { key: [7; 4], bytes: vec![1, 2, 3].into() })
}

fn id(number: u8) -> LetterId {
    LetterId::new(START + Millis::from(number), u128::from(number))
}

/// A letter of the key with the same number.
fn letter(number: u8) -> NewLetter {
    NewLetter {
        id: id(number),
        class: Class::Unknown,
        cause: Cause::OutcomeUnknown,
        contract: Contract::Opaque,
        record: Some((RecordId([number; 16]), Fingerprint([1; 16]))),
        words: Words {
            captured: captured("payments/create"),
            ended: Ended { reason: "reset".to_owned(), ..Ended::default() },
        },
        sealed: sealed(),
    }
}

/// A letter of a request without a key.
fn keyless(number: u8, queue: &str) -> NewLetter {
    let words = Words { captured: captured(queue), ended: Ended::default() };
    NewLetter { record: None, class: Class::NotExecuted, cause: Cause::RetriesExhausted, words, ..letter(number) }
}

fn by(actor: &str, action: &str) -> Option<Deed> {
    let (actor, action, reason) = (actor.to_owned(), action.to_owned(), "because".to_owned());
    Some(Deed { actor, action, reason, detail: String::new() })
}

impl InFile {
    fn with_letters(change: impl FnOnce(&mut EmbeddedSettings)) -> InFile {
        InFile::new(|settings| {
            settings.letters.retention = Duration::from_millis(LONG);
            change(settings);
        })
    }

    /// Sent, and its end is not known: with a letter.
    async fn fail_with(&self, number: u8, new: NewLetter) -> Answered {
        self.key(number).sent(claim(number), LONG).await;
        let op = Op::Fail { nonce: Nonce([number; 16]), keep: LONG };
        let command = Command { letter: Some(Box::new(Rider::Letter(new))), ..Command::new(self.key(number).id, op) };
        self.embedded().apply(command).await.unwrap()
    }

    async fn letters(&self) -> Vec<Letter> {
        self.embedded().letters(Filter::default(), None, 100).await.unwrap()
    }

    async fn told(&self, number: u8) -> (LetterState, Class) {
        let found = self.letters().await.into_iter().find(|letter| letter.id == id(number)).expect("a letter");
        (found.state, found.class)
    }

    async fn change(&self, number: u8, change: Change) -> Result<Letter, Refusal> {
        let (note, deed) = ("done".to_owned(), by("ann", "change"));
        self.embedded().change_letter(id(number), None, (change, note), deed).await.unwrap()
    }

    async fn pinned(&self, number: u8) -> Option<bool> {
        self.key(number).shown().await.map(|shown| shown.record.pinned)
    }
}

#[tokio::test]
async fn a_letter_pins_its_record_and_both_outlive_a_restart_and_the_retention() {
    let fixture = InFile::with_letters(|settings| settings.letters.retention = Duration::from_millis(9 * LONG));
    assert_eq!(fixture.fail_with(1, letter(1)).await.letter, Some(Ok(id(1))));
    fixture.hands.advance(2 * LONG);
    assert_eq!(fixture.reopen().live, 1);
    assert_eq!((fixture.key(1).state().await, fixture.pinned(1).await), (Some(State::Unknown), Some(true)));
    let kept = fixture.letters().await.remove(0);
    assert_eq!((kept.state, kept.class, kept.cause), (LetterState::Open, Class::Unknown, Cause::OutcomeUnknown));
    assert_eq!((kept.words, kept.record, kept.version), (letter(1).words, letter(1).record, 1));
    assert_eq!(fixture.embedded().sealed(id(1)).await.unwrap(), sealed());
}

#[tokio::test]
async fn a_request_that_was_not_sent_is_retryable_while_its_letter_is_open() {
    let fixture = InFile::with_letters(|_| {});
    assert!(matches!(fixture.key(1).claim(claim(1)).await, Reply::Granted { .. }));
    let new = NewLetter { class: Class::NotExecuted, cause: Cause::CircuitOpen, ..letter(1) };
    let op = Op::Release { nonce: Nonce([1; 16]) };
    let command = Command { letter: Some(Box::new(Rider::Letter(new))), ..Command::new(fixture.key(1).id, op) };
    assert_eq!(fixture.embedded().apply(command).await.unwrap().letter, Some(Ok(id(1))));
    fixture.reopen();
    assert_eq!((fixture.key(1).state().await, fixture.pinned(1).await), (Some(State::Retryable), Some(true)));
    assert!(matches!(fixture.key(1).claim(claim(2)).await, Reply::Granted { .. }));
}

#[tokio::test]
async fn a_later_answer_of_the_same_key_supersedes_its_letter() {
    let fixture = InFile::with_letters(|_| {});
    fixture.fail_with(1, letter(1)).await;
    assert_eq!(fixture.key(1).complete(1).await, Reply::Done, "late, and right");
    assert_eq!(fixture.told(1).await.0, LetterState::Superseded);
    assert_eq!(fixture.pinned(1).await, Some(false));
    fixture.reopen();
    assert_eq!((fixture.told(1).await.0, fixture.pinned(1).await), (LetterState::Superseded, Some(false)));
    fixture.hands.advance(2 * LONG);
    assert_eq!(fixture.reopen().live, 0, "nothing keeps the record any more");
}

#[tokio::test]
async fn an_answer_that_leaves_the_effect_open_closes_nothing() {
    let fixture = InFile::with_letters(|_| {});
    fixture.fail_with(1, letter(1)).await;
    assert_eq!(fixture.key(1).complete_with(1, true, LONG, answer(1)).await, Reply::Done);
    assert_eq!((fixture.told(1).await.0, fixture.pinned(1).await), (LetterState::Open, Some(true)));
}

#[tokio::test]
async fn an_operators_word_on_the_key_reaches_the_letter_and_the_audit() {
    let fixture = InFile::with_letters(|_| {});
    for number in [1, 2] {
        fixture.fail_with(number, letter(number)).await;
    }
    let deed = by("ann", "resolve").unwrap();
    let op = Op::ResolveExecuted { nonce: Nonce([1; 16]), keep: LONG };
    let rider = Some(Box::new(Rider::Deed(Some(id(1)), deed.clone())));
    let command = Command { answer: Some(answer(1)), letter: rider, ..Command::new(fixture.key(1).id, op) };
    assert_eq!(fixture.embedded().apply(command).await.unwrap().reply, Reply::Done);
    assert_eq!((fixture.told(1).await.0, fixture.pinned(1).await), (LetterState::Resolved, Some(false)));
    assert_eq!(fixture.key(2).resolve_not_executed(2).await, Reply::Done);
    assert_eq!(fixture.told(2).await, (LetterState::Open, Class::NotExecuted));
    assert_eq!((fixture.key(2).state().await, fixture.pinned(2).await), (Some(State::Retryable), Some(true)));
    let audited = fixture.embedded().audited(None, 10).await.unwrap();
    assert_eq!(audited.iter().map(|row| (row.letter, &row.deed)).collect::<Vec<_>>(), [(Some(id(1)), &deed)]);
}

#[tokio::test]
async fn a_deed_that_was_not_done_is_not_written_down() {
    let fixture = InFile::with_letters(|_| {});
    fixture.key(1).sent(claim(1), LONG).await;
    let op = Op::ResolveNotExecuted { nonce: Nonce([1; 16]) };
    let rider = Some(Box::new(Rider::Deed(None, by("ann", "resolve").unwrap())));
    let told = fixture.embedded().apply(Command { letter: rider, ..Command::new(fixture.key(1).id, op) }).await;
    assert_eq!(told.unwrap().reply, Reply::Fenced);
    assert_eq!(fixture.embedded().audited(None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_dropped_letter_lets_go_of_its_record() {
    let fixture = InFile::with_letters(|_| {});
    fixture.fail_with(1, letter(1)).await;
    let closed = fixture.change(1, Change::Close(LetterState::Dropped)).await.unwrap();
    assert_eq!((closed.state, closed.version, closed.note.as_str()), (LetterState::Dropped, 2, "done"));
    assert_eq!((fixture.pinned(1).await, fixture.key(1).state().await), (Some(false), Some(State::Unknown)));
    fixture.reopen();
    assert_eq!(fixture.pinned(1).await, Some(false));
    assert!(matches!(fixture.change(1, Change::Begin).await, Err(Refusal::Stale { version: 2, .. })));
    assert_eq!(fixture.change(9, Change::Begin).await, Err(Refusal::Absent));
}

#[tokio::test]
async fn a_letter_that_has_changed_since_it_was_seen_is_left_alone() {
    let fixture = InFile::with_letters(|_| {});
    fixture.fail_with(1, letter(1)).await;
    assert_eq!(fixture.change(1, Change::Begin).await.unwrap().replays, 1);
    let reopened = fixture.change(1, Change::Reopen { class: Class::NotExecuted }).await.unwrap();
    assert_eq!((reopened.state, reopened.class, reopened.version), (LetterState::Open, Class::NotExecuted, 3));
    let dropping = (Change::Close(LetterState::Dropped), String::new());
    let told = fixture.embedded().change_letter(id(1), Some(1), dropping, by("bob", "drop")).await.unwrap();
    assert_eq!(told, Err(Refusal::Stale { version: 3, state: LetterState::Open }));
    assert_eq!(fixture.embedded().audited(None, 10).await.unwrap().len(), 2, "what was refused is not audited");
}

#[tokio::test]
async fn a_replay_that_was_answered_closes_the_letter_as_replayed() {
    let fixture = InFile::with_letters(|_| {});
    fixture.fail_with(1, NewLetter { class: Class::NotExecuted, ..letter(1) }).await;
    fixture.change(1, Change::Begin).await.unwrap();
    assert_eq!(fixture.key(1).complete(1).await, Reply::Done);
    assert_eq!((fixture.told(1).await.0, fixture.pinned(1).await), (LetterState::Replayed, Some(false)));
}

#[tokio::test]
async fn a_replay_cut_short_is_open_again_and_nobody_knows_unless_nothing_was_sent() {
    let fixture = InFile::with_letters(|_| {});
    // Released: its record says that nothing was sent.
    let quiet = NewLetter { class: Class::NotExecuted, ..letter(1) };
    assert!(matches!(fixture.key(1).claim(claim(1)).await, Reply::Granted { .. }));
    let release = Op::Release { nonce: Nonce([1; 16]) };
    let rider = Some(Box::new(Rider::Letter(quiet)));
    fixture.embedded().apply(Command { letter: rider, ..Command::new(fixture.key(1).id, release) }).await.unwrap();
    fixture.embedded().keep_letter(keyless(2, "q")).await.unwrap().unwrap();
    for number in [1, 2] {
        fixture.change(number, Change::Begin).await.unwrap();
    }
    fixture.reopen();
    assert_eq!(fixture.told(1).await, (LetterState::Open, Class::NotExecuted));
    assert_eq!(fixture.told(2).await, (LetterState::Open, Class::Unknown));
}

#[tokio::test]
async fn a_request_that_fails_again_renews_its_letter() {
    let fixture = InFile::with_letters(|_| {});
    fixture.fail_with(1, letter(1)).await;
    fixture.key(1).resolve_not_executed(1).await;
    assert!(matches!(fixture.key(1).claim(claim(2)).await, Reply::Granted { .. }));
    assert_eq!(fixture.key(1).mark_sent(2, LONG).await, Reply::Done);
    let again = NewLetter { id: id(9), cause: Cause::Deadline, ..letter(1) };
    let op = Op::Fail { nonce: Nonce([2; 16]), keep: LONG };
    let command = Command { letter: Some(Box::new(Rider::Letter(again))), ..Command::new(fixture.key(1).id, op) };
    let told = fixture.embedded().apply(command).await.unwrap();
    assert_eq!(told.letter, Some(Ok(id(1))), "the client is told of the letter that there is");
    let all = fixture.letters().await;
    assert_eq!((all.len(), all[0].cause, all[0].class), (1, Cause::Deadline, Class::Unknown));
}

#[tokio::test]
async fn open_letters_are_never_pushed_out_and_what_finds_no_room_is_said() {
    let fixture = InFile::with_letters(|settings| settings.letters.letters_max = 2);
    for number in [1, 2] {
        assert_eq!(fixture.fail_with(number, letter(number)).await.letter, Some(Ok(id(number))));
    }
    let full = fixture.fail_with(3, letter(3)).await;
    assert_eq!(full.reply, Reply::Done, "the record itself is kept");
    assert!(matches!(&full.letter, Some(Err(Refusal::Full(why))) if why.contains("2 letters")), "{full:?}");
    assert_eq!((fixture.pinned(3).await, fixture.key(3).state().await), (Some(false), Some(State::Unknown)));
    fixture.change(1, Change::Close(LetterState::Dropped)).await.unwrap();
    assert_eq!(fixture.fail_with(4, letter(4)).await.letter, Some(Ok(id(4))), "closed letters make room");
    let left: Vec<LetterId> = fixture.letters().await.iter().map(|letter| letter.id).collect();
    assert_eq!(left, [id(2), id(4)]);
}

#[tokio::test]
async fn one_queue_cannot_take_what_is_for_all() {
    let fixture = InFile::with_letters(|settings| {
        settings.letters.letters_max = 4;
        settings.letters.share_max = 50;
    });
    let store = fixture.embedded();
    for number in [1, 2] {
        store.keep_letter(keyless(number, "a")).await.unwrap().unwrap();
    }
    assert!(matches!(store.keep_letter(keyless(3, "a")).await.unwrap(), Err(Refusal::Full(_))));
    assert_eq!(store.keep_letter(keyless(2, "a")).await.unwrap(), Ok(id(2)), "said twice, kept once");
    store.keep_letter(keyless(4, "b")).await.unwrap().unwrap();
    let tallies = store.tallies().await.unwrap();
    let told: Vec<_> = tallies.iter().map(|tally| (&*tally.queue, tally.state, tally.letters)).collect();
    assert_eq!(told, [("a", LetterState::Open, 2), ("b", LetterState::Open, 1)]);
}

#[tokio::test]
async fn bytes_are_bounded_as_well() {
    let fixture = InFile::with_letters(|settings| settings.letters.bytes_max = 3_000);
    let large = NewLetter { sealed: Some(Sealed { key: [0; 4], bytes: vec![0; 2_000].into() }), ..keyless(1, "q") };
    fixture.embedded().keep_letter(large.clone()).await.unwrap().unwrap();
    let more = NewLetter { id: id(2), ..large };
    assert!(matches!(fixture.embedded().keep_letter(more).await.unwrap(), Err(Refusal::Full(_))));
}

#[tokio::test]
async fn a_write_that_fails_keeps_neither_the_letter_nor_the_pin() {
    let fixture = InFile::with_letters(|_| {});
    fixture.key(1).sent(claim(1), LONG).await;
    fixture.embedded().shared.trips.0.store(1, Ordering::SeqCst);
    let op = Op::Fail { nonce: Nonce([1; 16]), keep: LONG };
    let command = Command { letter: Some(Box::new(Rider::Letter(letter(1)))), ..Command::new(fixture.key(1).id, op) };
    assert!(fixture.embedded().apply(command.clone()).await.is_err());
    let told = eventually("the store works again", async || fixture.embedded().apply(command.clone()).await.ok()).await;
    assert_eq!((told.reply, told.letter), (Reply::Done, Some(Ok(id(1)))));
    assert_eq!(fixture.letters().await.len(), 1);
}

#[tokio::test]
async fn a_request_under_way_when_the_process_ended_becomes_a_letter() {
    let fixture = InFile::with_letters(|settings| {
        settings.letter_routes.insert("payments/create".to_owned(), "charges".to_owned());
    });
    for number in [1, 2, 3] {
        assert!(matches!(fixture.key(number).claim(claim(number)).await, Reply::Granted { .. }));
    }
    // Of the first, everything was noted; of the second, nothing; the third had ended.
    for number in [1, 3] {
        let stub = Stub { id: id(number), captured: captured("charges"), sealed: sealed() };
        let op = Op::MarkSent { nonce: Nonce([number; 16]), lease: LONG };
        let rider = Some(Box::new(Rider::Stub(stub)));
        fixture.embedded().apply(Command { letter: rider, ..Command::new(fixture.key(number).id, op) }).await.unwrap();
    }
    fixture.key(2).mark_sent(2, LONG).await;
    fixture.key(3).complete(3).await;
    let opened = fixture.reopen();
    assert_eq!((opened.unknown, opened.letters_lost), (2, 0));
    let all = fixture.letters().await;
    let told: Vec<_> = all.iter().map(|letter| (letter.record, letter.cause, letter.is_sealed)).collect();
    let record = |number: u8| Some((RecordId([number; 16]), Fingerprint([1; 16])));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.contains(&(record(1), Cause::ProcessEnded, true)), "{told:?}");
    assert!(told.contains(&(record(2), Cause::ProcessEnded, false)), "{told:?}");
    let bare = all.iter().find(|letter| !letter.is_sealed).unwrap();
    assert!(bare.words.captured.not_replayable.as_ref().unwrap().contains("capture: send"));
    assert_eq!((fixture.pinned(1).await, fixture.pinned(2).await), (Some(true), Some(true)));
    assert_eq!(fixture.reopen().unknown, 0, "once");
    assert_eq!(fixture.letters().await.len(), 2);
}

#[tokio::test]
async fn nobody_decides_and_the_letter_is_closed_in_the_open() {
    let fixture = InFile::with_letters(|_| {});
    fixture.fail_with(1, letter(1)).await;
    fixture.hands.advance(LONG + 1);
    let store = fixture.embedded();
    let expired = async || (fixture.told(1).await.0 == LetterState::Expired).then_some(());
    eventually("the letter expires", expired).await;
    let audited = store.audited(None, 10).await.unwrap();
    assert_eq!((audited[0].letter, &*audited[0].deed.action), (Some(id(1)), "expire"));
    assert_ne!(fixture.pinned(1).await, Some(true));
    fixture.hands.advance(LONG + 1);
    eventually("the letter is forgotten", async || fixture.letters().await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn the_audit_shows_that_a_row_was_changed_or_taken_out() {
    let fixture = InFile::with_letters(|_| {});
    for number in 0..4 {
        fixture.embedded().audit(None, by("ann", &format!("deed {number}")).unwrap()).await.unwrap();
    }
    let intact = async || {
        let rows = fixture.embedded().audited(None, 10).await.unwrap();
        rows.iter().map(|row| (row.number, row.intact)).collect::<Vec<_>>()
    };
    assert_eq!(intact().await, [(4, true), (3, true), (2, true), (1, true)]);
    assert_eq!(fixture.embedded().audited(Some(4), 1).await.unwrap()[0].number, 3);
    let tamper = |sql: &str| {
        fixture.close();
        rusqlite::Connection::open(&fixture.settings.path).unwrap().execute_batch(sql).unwrap();
        fixture.open();
    };
    tamper("UPDATE audit SET reason = 'another' WHERE number = 2");
    assert_eq!(intact().await, [(4, true), (3, true), (2, false), (1, true)]);
    tamper("DELETE FROM audit WHERE number = 2");
    assert_eq!(intact().await, [(4, true), (3, false), (1, true)]);
}

#[tokio::test]
async fn letters_are_found_by_what_they_are() {
    let fixture = InFile::with_letters(|_| {});
    fixture.fail_with(1, letter(1)).await;
    for number in 2..=5 {
        fixture.hands.advance(1);
        fixture.embedded().keep_letter(keyless(number, "other")).await.unwrap().unwrap();
    }
    let found = async |filter: Filter, after, limit| {
        let letters = fixture.embedded().letters(filter, after, limit).await.unwrap();
        letters.iter().map(|letter| letter.id).collect::<Vec<_>>()
    };
    let all = Filter::default;
    assert_eq!(found(all(), None, 2).await, [id(1), id(2)]);
    assert_eq!(found(all(), Some(id(2)), 9).await, [id(3), id(4), id(5)]);
    assert_eq!(found(Filter { classes: vec![Class::Unknown], ..all() }, None, 9).await, [id(1)]);
    assert_eq!(found(Filter { causes: vec![Cause::RetriesExhausted], ..all() }, None, 9).await.len(), 4);
    assert_eq!(found(Filter { queue: Some("payments/create".to_owned()), ..all() }, None, 9).await, [id(1)]);
    assert_eq!(found(Filter { ids: vec![id(4), id(2)], ..all() }, None, 9).await, [id(2), id(4)]);
    assert_eq!(found(Filter { states: vec![LetterState::Dropped], ..all() }, None, 9).await, []);
    assert_eq!(
        found(Filter { since: Some(START + 2), until: Some(START + 4), ..all() }, None, 9).await,
        [id(3), id(4)]
    );
    let nasty = Filter { route: Some("x' OR '1'='1".to_owned()), ..all() };
    assert_eq!(found(nasty, None, 9).await, []);
}

#[tokio::test]
async fn letters_are_listed_newest_first_and_named_by_parts_of_their_ids() {
    let fixture = InFile::with_letters(|_| {});
    for number in 1..=5 {
        fixture.embedded().keep_letter(keyless(number, "q")).await.unwrap().unwrap();
    }
    let (page, all) = fixture.embedded().newest_letters(Filter::default(), Some(id(4)), 2).await.unwrap();
    assert_eq!((page.iter().map(|letter| letter.id).collect::<Vec<_>>(), all), (vec![id(3), id(2)], 5));
    let digits: String = id(3).to_string().replace('-', "");
    let found = async |part: &str| fixture.embedded().find_letters(part.to_owned()).await.unwrap();
    assert_eq!(found(&digits[22..]).await, [id(3)]);
    assert_eq!(found(&digits[..12]).await, [id(3)], "each was made in a millisecond of its own");
    assert_eq!(found(&digits[..10]).await.len(), 5);
    assert_eq!(found("%").await, []);
}

#[tokio::test]
async fn many_are_dropped_together_or_not_at_all() {
    let fixture = InFile::with_letters(|_| {});
    fixture.fail_with(1, letter(1)).await;
    for number in 2..=4 {
        fixture.embedded().keep_letter(keyless(number, "q")).await.unwrap().unwrap();
    }
    let drop = async |expected| {
        let deed = by("ann", "drop").unwrap();
        fixture.embedded().drop_letters(Filter::default(), expected, deed).await.unwrap()
    };
    assert_eq!(drop(3).await, 4);
    assert!(fixture.letters().await.iter().all(|letter| letter.state == LetterState::Open));
    assert_eq!(drop(4).await, 4);
    assert!(fixture.letters().await.iter().all(|letter| letter.state == LetterState::Dropped));
    assert_eq!((fixture.pinned(1).await, fixture.embedded().audited(None, 10).await.unwrap().len()), (Some(false), 4));
}

#[tokio::test]
async fn jobs_are_remembered_across_restarts() {
    let fixture = InFile::with_letters(|_| {});
    for text in ["begun", "done"] {
        fixture.embedded().save_job(id(1), text.to_owned()).await.unwrap();
    }
    fixture.embedded().save_job(id(2), "other".to_owned()).await.unwrap();
    fixture.reopen();
    let jobs = fixture.embedded().jobs().await.unwrap();
    assert_eq!(jobs, [(id(1), "done".to_owned()), (id(2), "other".to_owned())]);
}
