//! What others may write into the page: it stays text, however it is meant.

use outrigger::faults::{Answer, Behaviour, FaultServer, Script};
use outrigger::testing::{Client, Program};
use serde_json::{Value, json};

use super::{Browser, Shop, lost};
use crate::stage::upstream;

const MARKUP: &str = "<img src=x onerror=window.hit=1><script>window.hit=1</script>\"'>{{7*7}}";
/// Turns what follows it round, and is never closed.
const TURNED: &str = "\u{202e}drawkcab\u{2067}";

/// Nothing became markup, nothing ran, nothing pushes the page out of its window.
async fn assert_tame(page: &mut Browser) {
    assert_eq!(page.eval("typeof window.hit").await, "undefined");
    assert_eq!(page.eval("document.querySelectorAll('main img, main script, main a').length").await, 0);
    page.until("nothing sticks out", "document.documentElement.scrollWidth <= innerWidth").await;
    let text = page.text("body").await;
    assert!(!text.contains('\u{202e}') && !text.contains('\u{2067}') && text.contains("<img src=x"), "{text}");
}

#[tokio::test]
async fn what_clients_upstreams_and_operators_write_stays_text() {
    let shop = Shop::open().await;
    let reason = json!({ "action": "open", "reason": MARKUP, "author": "<b>eve</b>" }).to_string();
    assert_eq!(shop.post("/circuits/search", "x-outrigger-admin: 1\r\n", &reason).await, 200);
    let long = "/v1/charges?note=".to_owned() + &"x".repeat(4_000) + "%3Cimg%20src=x%20onerror=window.hit=1%3E";
    shop.payments.set(lost());
    shop.charge(&long).await;
    shop.payments.set(Answer::status(500).body(MARKUP.repeat(100)).field("x-note", MARKUP));
    shop.charge("/v1/charges").await;
    shop.search.set(Answer::status(500).body(MARKUP));

    let mut page = shop.page(1_200).await;
    page.until_text("#q1 .changes", "<img src=x onerror=window.hit=1>").await;
    page.click("#q4 tbody tr", "server-error").await;
    page.until_text("#q4 .more", "x-note: <img src=x").await;
    page.until_text("#q1 .changes", "<b>eve</b>").await;
    assert_tame(&mut page).await;
    page.picture("hostile").await;
    page.assert_content(&shop.origin()).await;
}

/// Every text of an answer becomes what the attacker wants, except the words that the page looks for.
fn poisoned(value: &Value, text: &str) -> Value {
    const KEPT: [&str; 7] = ["condition", "at", "since", "createdAt", "repair", "version", "verdict"];
    match value {
        Value::String(_) => text.into(),
        Value::Array(all) => all.iter().map(|one| poisoned(one, text)).collect(),
        Value::Object(all) => all
            .iter()
            .map(|(name, one)| {
                (name.clone(), if KEPT.contains(&name.as_str()) { one.clone() } else { poisoned(one, text) })
            })
            .collect(),
        other => other.clone(),
    }
}

/// The page of the real program, before answers that are hostile from end to end.
async fn imposter(program: &Program, text: &str) -> FaultServer {
    let suspect = json!({ "kind": "x", "summary": "x", "at": "2026-01-01T00:00:00Z", "beforeSeconds": 4, "revision": null,
        "beforePercent": 0.1, "afterPercent": 38.0, "text": "x" });
    let mut status = program.admin("/status").await;
    status["condition"] = "failing".into();
    for verdict in status["verdicts"].as_array_mut().expect("verdicts") {
        verdict["condition"] = "failing".into();
        verdict["suspect"] = suspect.clone();
        verdict["evidence"] = json!([{ "name": "x", "value": "x" }]);
    }
    let changes = json!({ "changes": (0..40).map(|n| json!({ "at": "2026-01-01T00:00:00Z", "ageSeconds": n * 40, "kind": "x",
        "upstream": "x", "summary": "x", "effects": ["x", "x"], "author": "x", "reason": "x", "revision": n, "hash": "x" }))
        .collect::<Vec<_>>() });
    let retries = json!({ "retries": [{ "upstream": "x", "route": "x", "class": null, "verdict": "harmful", "text": "x",
        "windowSeconds": 300, "requests": 10, "firstFailed": 5, "retries": 5, "rescued": 1, "wasted": 4, "efficiency": 0.2,
        "efficiencyLow": 0.1, "efficiencyHigh": 0.4, "upliftPercent": 1.0, "amplification": 1.5, "price": 5.0,
        "denied": [["x", 3]], "gated": true, "holdout": null, "lifetimeRetries": 5, "lifetimeRescued": 1 }] });
    let letters = program.admin("/dead-letters").await;
    let letter =
        program.admin(&format!("/dead-letters/{}", letters["letters"][0]["id"].as_str().unwrap_or_default())).await;
    let told = |value: &Value| Behaviour::from(Answer::ok(poisoned(value, text).to_string()));
    let mut script = Script::always(Answer::status(404).body("{}"))
        .on_path("/status", told(&status))
        .on_path("/changes", told(&changes))
        .on_path("/retries", told(&retries))
        .on_path("/dead-letters", told(&letters))
        .on_path("/dead-letters/", told(&letter))
        .on_path("/dead-letters/stats", told(&program.admin("/dead-letters/stats").await))
        .on_path("/audit", told(&program.admin("/audit").await));
    for (path, kind) in [("/page.js", "text/javascript"), ("/page.css", "text/css"), ("/index", "text/html")] {
        let mut client = Client::connect(program.address("admin")).await;
        let asked = path.replace("/index", "/");
        client
            .send(format!("GET {asked} HTTP/1.1\r\nHost: {}\r\nAccept: text/html\r\n\r\n", program.address("admin")))
            .await;
        let body = client.answer("GET").await.body;
        script = script.on_path(path, Answer::ok(body).field("content-type", kind));
    }
    upstream(script).await
}

#[tokio::test]
async fn even_a_proxy_that_lies_in_every_word_cannot_make_the_page_run_or_hide_anything() {
    let shop = Shop::open().await;
    shop.payments.set(lost());
    shop.charge("/v1/charges").await;
    for text in [format!("{MARKUP}{TURNED}"), format!("{MARKUP}{}", "W".repeat(10_000))] {
        let imposter = imposter(&shop.program, &text).await;
        let mut page = Browser::open(&format!("{}/index", imposter.url()), 1_200).await;
        for part in ["#verdict", "#q1 .changes", "#q2", "#q3", "#q4"] {
            page.until_text(part, "<img src=x").await;
        }
        page.eval("document.querySelectorAll('.opener').forEach((one) => one.click())").await;
        page.until_text("#q2 .more", "<img src=x").await;
        page.click("#q2 .more button", "Hold open").await;
        page.until_text("#dialog", "<img src=x").await;
        assert_tame(&mut page).await;
        assert!(!page.text("body").await.contains(&"W".repeat(1_000)), "long texts are cut");
        page.assert_content(&imposter.url()).await;
    }
}
