//! Dead letters, repaired by clicking.

use outrigger::faults::{Answer, Mode};
use outrigger::testing::eventually;
use serde_json::Value;

use super::{Shop, lost};

/// The open or closed letters, newest first.
async fn letters(shop: &Shop) -> Vec<Value> {
    let list = shop.program.admin("/dead-letters?state=all").await;
    list["letters"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_letter_is_dropped_by_clicking_and_not_without_a_reason() {
    let shop = Shop::open().await;
    shop.payments.set(lost());
    shop.charge("/v1/charges").await;
    let mut page = shop.page(1_200).await;
    page.click("#q4 tbody tr", "POST").await;
    page.until_text("#q4 .more", "nobody here knows whether it was executed").await;
    page.until_text("#q4 .more", "content-type: application/json").await;
    page.picture("letter").await;
    page.click("#q4 .more button", "Drop").await;
    page.click("#dialog button", "Drop it").await;
    page.until_text("#dialog", "State a reason").await;
    assert_eq!(letters(&shop).await[0]["state"], "open");
    // What goes round the page is refused by the proxy.
    let path = format!("/dead-letters/{}/drop", letters(&shop).await[0]["id"].as_str().expect("an id"));
    assert_eq!(shop.post(&path, "x-outrigger-admin: 1\r\n", r#"{"reason":" "}"#).await, 400);

    page.write("a test order").await;
    page.click("#dialog button", "Drop it").await;
    page.until_text("#q4 .note", "is dropped").await;
    page.until_text("#q4 .audit", "a test order").await;
    page.until_text("#q4", "No letter is open").await;
    assert_eq!(letters(&shop).await[0]["state"], "dropped");
    page.assert_content(&shop.origin()).await;
}

#[tokio::test]
async fn a_letter_that_may_have_been_executed_is_sent_again_only_after_that_is_accepted() {
    let shop = Shop::open().await;
    shop.payments.set(lost());
    shop.charge("/v1/charges").await;
    shop.payments.set(Answer::status(201));
    let mut page = shop.page(1_200).await;
    page.click("#q4 tbody tr", "POST").await;
    page.click("#q4 .more button", "Replay").await;
    page.until_text("#dialog", "1 may be executed twice").await;
    page.picture("replay").await;
    page.write("the bank has no such charge").await;
    page.click("#dialog button", "Send it again").await;
    page.until_text("#dialog .message", "Tick the box").await;
    assert_eq!(letters(&shop).await[0]["state"], "open");
    page.click("#dialog .risk", "I accept").await;
    page.click("#dialog button", "Send it again").await;
    page.until_text("#q4 .note", "was sent and answered with 201").await;
    page.until_text("#q4 .audit", "the bank has no such charge").await;
    assert_eq!(letters(&shop).await[0]["state"], "replayed");
    page.assert_content(&shop.origin()).await;
}

#[tokio::test]
async fn what_was_found_out_closes_a_letter_and_all_that_are_safe_are_sent_in_one_go() {
    let shop = Shop::open().await;
    shop.payments.set(lost());
    shop.charge("/v1/charges").await;
    shop.payments.die().await.expect("it dies");
    for _ in 0..2 {
        shop.charge("/v1/charges").await;
    }
    shop.payments.mode(Mode::Accept).await.expect("it is back");
    shop.payments.set(Answer::status(201));
    let mut page = shop.page(1_200).await;
    page.until_text("#q4", "3 open letters: 2 are safe to replay now, 1 needs a decision.").await;
    page.click("#q4 tbody tr", "needs a decision").await;
    page.click("#q4 .more button", "Resolve").await;
    page.click("#dialog .choice", "It did not").await;
    page.click("#dialog [name=reason]", "").await;
    page.write("asked the bank").await;
    page.click("#dialog button", "Close it").await;
    page.until_text("#q4 .note", "is resolved as not executed").await;

    page.click("#q4 button", "Replay all that are safe").await;
    page.until_text("#dialog", "2 safe to replay").await;
    page.click("#dialog [name=rate]", "").await;
    page.eval("document.querySelector('#dialog [name=rate]').select()").await;
    page.write("50").await;
    page.click("#dialog [name=reason]", "").await;
    page.write("it is back").await;
    page.click("#dialog button", "Send 2 letters").await;
    page.until_text("#q4 .jobs", "2 replayed").await;
    let states = async || letters(&shop).await.iter().map(|one| one["state"].clone()).collect::<Vec<_>>();
    eventually("all are closed", async || (states().await == ["replayed", "replayed", "resolved"]).then_some(())).await;
    page.assert_content(&shop.origin()).await;
}
