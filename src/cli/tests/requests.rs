//! `why`, `tap` and the single frame of `top`.

use std::sync::Arc;
use std::time::Instant;

use super::{Server, say};
use crate::telemetry::stories::taps::Glimpse;
use crate::telemetry::stories::tests::rescued;

const WHY: &str = "\
GET /pay/7  200 success  52 ms
trace 0af7651916cd43dd8448eb211c80319c, x-request-id r1, 2026-11-18T11:06:40.000Z (AGO)

  1. GET /pay/7 went out by route payments/charge of policy revision 7.
  2. Attempt 1 to 10.2.3.4:8080 answered 503 after 12 ms.
  3. Waited 31 ms before the next attempt.
  4. Attempt 2, a retry, to 10.2.3.4:8080 answered 200 after 9.0 ms.
  5. The client got 200 after 52 ms: a retry saved the request.
";

#[test]
fn why_tells_a_request_by_any_of_its_names() {
    let server = Server::healthy();
    for words in
        [&["why", "r1"][..], &["why", "0af76519"], &["why", "--last"], &["why", "--last", "--upstream", "payments"]]
    {
        let said = server.say(words);
        let age = said.out.split_once("Z (").and_then(|(_, rest)| rest.split_once(')')).map(|(age, _)| age.to_owned());
        assert_eq!(said.exited(0).out, WHY.replace("AGO", &age.unwrap()), "{words:?}");
    }
    let json: serde_json::Value = serde_json::from_str(&server.say(&["why", "r1", "-o", "json"]).out).unwrap();
    assert_eq!(json["requestId"], "r1");
}

#[test]
fn why_of_an_unknown_request_exits_1_and_says_what_is_kept() {
    let server = Server::healthy();
    let said = server.say(&["why", "ffffffff"]);
    assert!(said.exited(1).err.contains("no request `ffffffff` is kept. Kept in memory are the last 2000"), "{said:?}");
    let said = server.say(&["why", "--last", "--upstream", "search"]);
    assert!(said.exited(1).out.starts_with("No troubled request of search is kept"), "{said:?}");
    for wrong in [&["why"][..], &["why", "r1", "--last"], &["why", "r1", "--upstream", "a"], &["tap", "--limit", "0"]] {
        say(wrong).exited(2);
    }
}

#[test]
fn tap_prints_a_line_per_request_as_it_ends() {
    let server = Server::healthy();
    let taps = Arc::clone(&server.stage().process().stories.taps);
    let shown = std::thread::scope(|scope| {
        let told = scope.spawn(|| server.say(&["tap", "--errors", "--limit", "2"]));
        while !taps.watched() {
            std::thread::yield_now();
        }
        let glimpse = Glimpse { upstream: Some("payments"), route: Some("charge"), troubled: true };
        for _ in 0..2 {
            taps.show(&glimpse, Instant::now(), || Arc::new(rescued()));
        }
        told.join().unwrap()
    });
    let line = "11:06:40.000  200 success          payments/charge      52 ms  2x  -  GET /pay/7  \
                0af7651916cd43dd8448eb211c80319c\n";
    assert_eq!(shown.exited(0).out, line.repeat(2));
}

#[test]
fn top_prints_one_frame_where_there_is_no_terminal() {
    let server = Server::healthy();
    let said = server.say(&["top"]);
    assert!(said.exited(0).out.contains("payments is healthy: 1,204 requests"), "{said:?}");
    assert!(said.out.contains("UPSTREAM                 REQ/S*"), "{said:?}");
    assert!(!said.out.contains('\x1b'), "{said:?}");
    let json: serde_json::Value = serde_json::from_str(&server.say(&["top", "-o", "json"]).exited(0).out).unwrap();
    assert_eq!((&json[0]["name"], &json[0]["rate"]), (&"payments".into(), &0.0.into()));
}
