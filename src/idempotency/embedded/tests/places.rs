//! Where rows are in the file, and that no key ever sees the row of another.

use super::super::index::PARTS;
use super::super::rows::{RowId, Rows};
use super::super::sweep::Sweeper;
use super::*;
use crate::idempotency::contract::{LONG, PASSES, SHORT, answer, claim, granted};
use crate::reliability::idempotency::{Claim, Nonce, Op, Reply, State};

const ROWS: &str = "SELECT count(*) FROM idem";
const LAST: &str = "SELECT max(n) FROM idem";

/// A record that has expired, and whose row is still there.
async fn expired(fixture: &InFile, number: u8) {
    let key = fixture.key(number);
    key.sent(Claim { lease: SHORT, keep: SHORT, ..claim(1) }, SHORT).await;
    assert_eq!(key.complete_with(1, false, SHORT, answer(1)).await, Reply::Done);
    fixture.hands.advance(PASSES);
}

async fn sweep(fixture: &InFile) {
    let (done, swept) = oneshot::channel();
    fixture.embedded().orders.try_send(Order::Sweep(done)).unwrap();
    swept.await.unwrap();
}

/// Writes rows that say COMPLETE, one behind the other.
fn fill(path: &Path, rows: u64, expires: Millis) {
    let mut connection = rusqlite::Connection::open(path).unwrap();
    let transaction = connection.transaction().unwrap();
    for _ in 0..rows {
        let sql =
            "INSERT INTO idem (id, st, fp, nonce, fence, att, contract, amb, pinned, expires, route, boot, created)
                   VALUES (randomblob(16), 2, zeroblob(16), zeroblob(16), 1, 1, 0, 0, 0, ?1, '', x'', 0)";
        transaction.execute(sql, [expires as i64]).unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_place_is_not_used_again_while_the_process_runs() {
    let fixture = InFile::new(|_| {});
    fixture.key(1).sent(claim(1), LONG).await;
    assert_eq!(fixture.key(1).release(1).await, Reply::Done);
    fixture.key(2).sent(claim(2), LONG).await;
    fixture.close();
    assert_eq!((asked::<i64>(&fixture.settings.path, ROWS), asked::<i64>(&fixture.settings.path, LAST)), (1, 2));
}

#[tokio::test]
async fn a_place_that_is_used_again_after_a_restart_belongs_to_its_new_key_alone() {
    let fixture = InFile::new(|_| {});
    fixture.key(1).sent(claim(1), LONG).await;
    fixture.key(1).complete(1).await;
    fixture.key(2).sent(claim(2), LONG).await;
    assert_eq!(fixture.key(2).release(2).await, Reply::Done);
    fixture.reopen();
    fixture.key(3).sent(claim(3), LONG).await;
    assert_eq!(fixture.key(3).complete(3).await, Reply::Done);
    fixture.reopen();
    assert_eq!(fixture.key(1).try_claim(claim(9)).await.unwrap().answer, Some(answer(1)));
    assert_eq!(fixture.key(2).claim(claim(9)).await, granted(1, 1));
    assert_eq!(fixture.key(3).try_claim(claim(9)).await.unwrap().answer, Some(answer(3)));
    fixture.close();
    assert_eq!(asked::<i64>(&fixture.settings.path, LAST), 2, "it was used again");
}

#[tokio::test]
async fn a_key_that_is_claimed_again_after_its_end_shows_nothing_of_the_row_before() {
    let fixture = InFile::new(|_| {});
    expired(&fixture, 1).await;
    let key = fixture.key(1);
    assert_eq!(key.lookup().await, Reply::Absent);
    key.sent(claim(2), LONG).await;
    let shown = key.shown().await.unwrap();
    assert_eq!((shown.record.state, shown.answer), (State::Sent, None));
    drop(key);
    assert_eq!(fixture.reopen().unknown, 1);
    assert_eq!(fixture.key(1).complete(2).await, Reply::Done);
    fixture.reopen();
    assert_eq!(fixture.key(1).try_claim(claim(3)).await.unwrap().answer, Some(answer(2)));
    fixture.close();
    assert_eq!(asked::<i64>(&fixture.settings.path, ROWS), 1, "one key, one row");
}

#[tokio::test]
async fn a_claim_that_is_released_takes_the_expired_row_before_it_away() {
    let fixture = InFile::new(|_| {});
    expired(&fixture, 1).await;
    assert_eq!(fixture.key(1).claim(claim(2)).await, granted(1, 1));
    assert_eq!(fixture.key(1).release(2).await, Reply::Done);
    assert_eq!(fixture.embedded().records(), 0);
    fixture.close();
    assert_eq!(asked::<i64>(&fixture.settings.path, ROWS), 0);
}

#[tokio::test]
async fn an_expired_row_that_was_found_before_its_key_was_claimed_again_goes_and_the_claim_stays() {
    let fixture = InFile::new(|_| {});
    expired(&fixture, 1).await;
    let (store, id, row) = (fixture.embedded(), fixture.key(1).id, RowId(1));
    let (index, now) = (&store.shared.index, fixture.now());
    let mut found = Vec::new();
    (0..PARTS).for_each(|part| index.expired(part, now, &mut found));
    assert_eq!(found, [(row, id)]);
    assert_eq!(fixture.key(1).claim(claim(2)).await, granted(1, 1));
    assert!(index.is_stale(id, row, now), "it is of the record before");
    index.forget(id, row, now);
    assert_eq!(fixture.key(1).state().await, Some(State::Claimed));
    assert_eq!(fixture.key(1).mark_sent(2, LONG).await, Reply::Done);
    assert!(!index.is_stale(id, RowId(2), now), "this one is needed");
    assert!(index.is_stale(id, row, now), "whatever there may be");
}

#[tokio::test]
async fn of_two_rows_of_one_key_the_newer_holds_and_the_older_is_swept() {
    let fixture = InFile::new(|_| {});
    fixture.key(1).sent(claim(1), LONG).await;
    fixture.key(1).complete(1).await;
    fixture.close();
    let again = "INSERT INTO idem (id, st, fp, nonce, fence, att, contract, amb, pinned, expires, route, boot, created)
                 SELECT id, 3, fp, nonce, fence, att, contract, amb, pinned, expires, route, boot, created FROM idem";
    rusqlite::Connection::open(&fixture.settings.path).unwrap().execute_batch(again).unwrap();
    assert_eq!(fixture.open().live, 1);
    assert_eq!(fixture.key(1).lookup().await, Reply::Unknown);
    sweep(&fixture).await;
    assert_eq!(fixture.key(1).lookup().await, Reply::Unknown);
    fixture.close();
    assert_eq!((asked::<i64>(&fixture.settings.path, ROWS), asked::<i64>(&fixture.settings.path, LAST)), (1, 2));
}

#[tokio::test]
async fn an_answer_is_not_taken_from_the_row_of_another_key() {
    let fixture = InFile::new(|_| {});
    for number in 1..=2 {
        fixture.key(number).sent(claim(number), LONG).await;
        assert_eq!(fixture.key(number).complete(number).await, Reply::Done);
    }
    fixture.embedded().shared.index.with(fixture.key(2).id, |live| live.row = Some(RowId(1)));
    let refused = fixture.key(2).try_claim(claim(9)).await.unwrap_err().to_string();
    assert_eq!(refused, "the store is not available: the stored answer is gone");
}

#[tokio::test]
async fn a_row_that_is_not_where_it_should_be_stops_the_store_until_it_is() {
    let fixture = InFile::new(|_| {});
    fixture.key(1).sent(claim(1), LONG).await;
    fixture.key(2).sent(claim(2), LONG).await;
    fixture.embedded().shared.index.with(fixture.key(1).id, |live| live.row = Some(RowId(2)));
    let op = Op::Complete { nonce: Nonce([1; 16]), ambiguous: false, keep: LONG };
    let command = Command { answer: Some(answer(1)), ..Command::new(fixture.key(1).id, op) };
    let refused = fixture.key(1).ask(command).await.unwrap_err().to_string();
    assert!(refused.contains("writing failed (Query changed 0 rows)"), "{refused}");
    faults::recovered(&fixture).await;
    assert_eq!(fixture.key(1).complete(1).await, Reply::Done, "it has a row again");
    assert_eq!(fixture.key(2).complete(2).await, Reply::Done, "and not that of its neighbour");
    fixture.reopen();
    for number in 1..=2 {
        assert_eq!(fixture.key(number).try_claim(claim(9)).await.unwrap().answer, Some(answer(number)));
    }
}

#[tokio::test]
async fn a_search_finds_what_had_expired_before_the_start_and_what_expires_after_it() {
    let fixture = InFile::new(|settings| settings.records_max = 100_000);
    fixture.close();
    fill(&fixture.settings.path, 3_000, START - 1);
    fill(&fixture.settings.path, 3_000, START + LONG);
    assert_eq!(fixture.open().live, 3_000);
    sweep(&fixture).await;
    assert_eq!(fixture.embedded().records(), 3_000);
    fixture.hands.advance(LONG);
    sweep(&fixture).await;
    assert_eq!(fixture.embedded().records(), 0);
    fixture.close();
    assert_eq!(asked::<i64>(&fixture.settings.path, ROWS), 0);
}

#[test]
fn sweeping_takes_a_bounded_number_of_records_at_a_time_and_finds_all() {
    let fixture = InFile::new(|_| {});
    fixture.close();
    fill(&fixture.settings.path, 3_200, START + SHORT);
    fill(&fixture.settings.path, 100, START + LONG);
    let Ok(found) = super::super::load::open(&fixture.settings, START) else { panic!("it opens") };
    let shared = Shared::new(
        found.index,
        Timekeeper::new(fixture.hands.clock()),
        Deliveries::new(None),
        10_000,
        0,
        fixture.settings.letters,
    );
    let mut rows = Rows::prepare(&found.connection, [0; 16]).unwrap();
    let begin = crate::clock::now();
    let later = begin + Duration::from_secs(3600);
    let mut sweeper = Sweeper::new(begin, found.expired);
    // The parts of the index, and then so many transactions.
    let mut round = || {
        let mut passes = 0;
        while sweeper.next != later {
            let before = shared.index.len();
            assert!(sweeper.one_pass(&shared, &mut rows, later).is_ok());
            assert!(before - shared.index.len() <= 500, "in one pass");
            passes += 1;
        }
        sweeper.next = begin;
        passes
    };
    assert_eq!((round(), shared.index.len()), (8, 3_300), "nothing has expired");
    fixture.hands.advance(SHORT);
    assert_eq!((round(), shared.index.len()), (8 + 7, 100));
    assert_eq!(found.connection.query_row(ROWS, [], |row| row.get::<_, i64>(0)).unwrap(), 100);
}

#[test]
fn answers_reach_those_who_wait_though_the_runtime_has_ended() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let deliveries = Deliveries::new(Some(runtime.handle()));
    drop(runtime);
    let (both, mut waiting): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| {
            let (reply, told) = oneshot::channel();
            (deliveries::Delivery::Answered(reply, Ok(Answered::from(Reply::Done))), told)
        })
        .unzip();
    deliveries.send(both);
    for told in &mut waiting {
        assert_eq!(told.try_recv().unwrap().unwrap().reply, Reply::Done);
    }
}
