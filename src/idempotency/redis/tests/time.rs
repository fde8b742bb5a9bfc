//! Leases and retentions that really pass, on the server's clock.

use super::*;

async fn pass(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test]
async fn a_claim_whose_lease_is_over_is_taken_over_and_its_owner_fenced() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    assert_eq!(reply(&store, claim(1, 1, 50, HOUR)).await, GRANTED);
    pass(70).await;
    assert_eq!(reply(&store, claim(1, 2, MINUTE, HOUR)).await, Ok(Reply::Granted { attempt: 1, fence: 2 }));
    assert_eq!(reply(&store, mark_sent(1, 1, MINUTE)).await, Ok(Reply::Fenced));
    assert_eq!(reply(&store, mark_sent(1, 2, MINUTE)).await, DONE);
}

#[tokio::test]
async fn what_was_sent_and_not_heard_of_again_is_unknown_until_a_late_answer() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, GRANTED);
    assert_eq!(reply(&store, mark_sent(1, 1, 50)).await, DONE);
    // It has to be there to become unknown: the server keeps it for the retention, not for the lease.
    assert!(ttl(&store, 1).await > 59 * 60_000);
    pass(70).await;
    assert_eq!(reply(&store, claim(1, 2, MINUTE, HOUR)).await, Ok(Reply::Unknown));
    assert_eq!(reply(&store, complete(1, 1, HOUR, answer(Some(b"late")))).await, DONE);
    let replayed = store.apply(claim(1, 3, MINUTE, HOUR)).await.expect("an answer");
    assert_eq!(replayed.answer, Some(answer(Some(b"late"))));
}

#[tokio::test]
async fn an_upstream_that_recognises_keys_gets_it_again_after_the_lease() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    let claimed = |owner| under(Contract::Dedupes, claim(1, owner, MINUTE, HOUR));
    assert_eq!(reply(&store, claimed(1)).await, GRANTED);
    assert_eq!(reply(&store, mark_sent(1, 1, 50)).await, DONE);
    pass(70).await;
    assert_eq!(reply(&store, claimed(2)).await, Ok(Reply::Granted { attempt: 2, fence: 2 }));
    assert_eq!(reply(&store, complete(1, 1, HOUR, answer(None))).await, Ok(Reply::Fenced));
}

#[tokio::test]
async fn a_forgotten_record_leaves_nothing_to_the_next() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, GRANTED);
    assert_eq!(reply(&store, mark_sent(1, 1, MINUTE)).await, DONE);
    assert_eq!(reply(&store, complete(1, 1, 50, answer(Some(b"old")))).await, DONE);
    let left = ttl(&store, 1).await;
    assert!(left <= 1050, "the server may keep it a second longer, and not more: {left}");
    pass(70).await;
    assert_eq!(store.show(id(1)).await, Ok(None));

    let next = Command { route: Some(Arc::from("orders/cancel")), ..claim(1, 2, MINUTE, HOUR) };
    assert_eq!(reply(&store, next).await, GRANTED);
    let shown = store.show(id(1)).await.expect("an answer").expect("a record");
    assert_eq!((&*shown.route, shown.answer), ("orders/cancel", None));
}

#[tokio::test]
async fn a_pinned_record_outlasts_its_retention_and_goes_when_it_is_unpinned() {
    let server = RedisServer::start().await;
    let store = connect(&server).await;
    assert_eq!(reply(&store, claim(1, 1, MINUTE, HOUR)).await, GRANTED);
    assert_eq!(reply(&store, Command::new(id(1), Op::Pin)).await, DONE);
    assert_eq!(reply(&store, mark_sent(1, 1, MINUTE)).await, DONE);
    assert_eq!(reply(&store, complete(1, 1, 50, answer(None))).await, DONE);
    assert_eq!(ttl(&store, 1).await, -1);
    pass(70).await;
    assert_eq!(reply(&store, claim(1, 2, MINUTE, HOUR)).await, Ok(Reply::Replay { ambiguous: false }));
    assert_eq!(reply(&store, Command::new(id(1), Op::Unpin)).await, DONE);
    assert_eq!(ttl(&store, 1).await, -2);
    assert_eq!(reply(&store, Command::new(id(1), Op::Pin)).await, Ok(Reply::Absent));
}
