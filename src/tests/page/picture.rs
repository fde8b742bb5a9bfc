//! The picture in the README: a real incident, minutes long, as the page shows it.
//!
//! `cargo test --profile quick --locked --test outrigger page::picture -- --ignored` writes it to `docs/page.png`.

use std::path::Path;
use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, Latency, Mode};
use outrigger::testing::Load;

use super::Shop;

/// How long all goes well, and how long it then does not, before the picture is taken.
const CALM: Duration = Duration::from_secs(170);
const TROUBLE: Duration = Duration::from_secs(75);
/// Of the picture, so that the repository stays small.
const BYTES_MAX: u64 = 400_000;

/// Most answers come soon, some take their time: no failure until somebody shortens the timeout.
fn paid() -> Behaviour {
    let ms = Duration::from_millis;
    let points = vec![(0.0, ms(20)), (0.58, ms(90)), (0.62, ms(500)), (1.0, ms(850))];
    Behaviour::from(Answer::status(201).body("paid")).after(Latency::Quantiles { points, seed: 7 })
}

#[tokio::test]
#[ignore = "takes five minutes; it is run to renew docs/page.png"]
async fn an_incident_of_minutes_becomes_the_picture_of_the_readme() {
    let mut shop = Shop::open().await;
    shop.payments.set(paid());
    shop.search.set(Behaviour::from(Answer::ok("found")).after(Duration::from_millis(60)));
    shop.inventory.set(Behaviour::from(Answer::ok("in stock")).after(Duration::from_millis(30)));
    let loads = ["payments", "payments", "search", "inventory"].map(|name| shop.load(name));
    let mut page = shop.page(1_400).await;
    tokio::time::sleep(CALM).await;

    let hasty = shop.policy.replace(
        "retry: { attempts: 1 }",
        "timeouts: { backendRequest: 250ms }\n    retry: { attempts: 3, retryOn: [connect-failure, timeout] }",
    );
    assert_ne!(hasty, shop.policy);
    shop.program.write_policy(&hasty);
    let orders = async {
        for order in 0.. {
            shop.charge(&format!("/v1/charges?order={}", 7_001 + order)).await;
            tokio::time::sleep(TROUBLE / 12).await;
        }
    };
    let _ = tokio::time::timeout(TROUBLE, orders).await;
    // Two more that provably never left: these are safe to replay.
    shop.payments.die().await.expect("it dies");
    for order in 0..2 {
        shop.charge(&format!("/v1/charges?order={}", 7_101 + order)).await;
    }
    shop.payments.mode(Mode::Accept).await.expect("it is back");
    tokio::time::sleep(Duration::from_secs(6)).await;

    page.until_text("#verdict .first", "payments").await;
    page.until_text("#q4", "safe to replay").await;
    let taken = page.picture("readme").await;
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/page.png");
    let bytes = std::fs::copy(&taken, &picture).unwrap_or_else(|e| panic!("{}: {e}", picture.display()));
    assert!(bytes < BYTES_MAX, "{bytes} bytes; the bound is {BYTES_MAX}");
    for load in loads {
        Load::stop(load).await;
    }
}
