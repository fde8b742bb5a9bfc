//! Dead letters over HTTP: what is asked and ordered, and how a refusal reads.

use super::stage::letters::{LetterOrder, decided, letter, spent, unknown};
use super::stage::{Order, Process, Stage};
use crate::admin::api::ReplayEnd;
use crate::admin::control::letters::{
    BodyOrder, CancelOrder, DropOrder, LetterList, PlanOrder, ReplayOrder, ResolveLetterOrder, StartOrder,
};
use crate::admin::control::{Outcome, Refused};
use crate::dead_letters::letter::{Filter, LetterId};
use crate::reliability::dead_letters::{Cause, Class, LetterState};

const REASON: &str = r#"{"reason":"INC-42"}"#;

fn ids(list: &serde_json::Value) -> Vec<&str> {
    list["letters"].as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap()).collect()
}

/// What was ordered about letters.
fn ordered(stage: &Stage) -> Vec<LetterOrder> {
    let letters = stage.orders().into_iter().map(|order| match order {
        Order::Letters(order) => order,
        other => panic!("{other:?}"),
    });
    letters.collect()
}

fn by() -> (String, String) {
    ("INC-42".to_owned(), "admin-api".to_owned())
}

#[tokio::test]
async fn letters_are_listed_newest_first_and_page_by_page() {
    let stage = Stage::healthy().await;
    let all = stage.get("/dead-letters").await.json();
    let open = [letter(1), letter(2), unknown(3), spent(4)].map(|letter| letter.id.to_string());
    assert_eq!(ids(&all), open);
    assert_eq!((&all["total"], all.get("next")), (&4.into(), None), "closed ones are listed on request only");
    let repairs: Vec<_> = all["letters"].as_array().unwrap().iter().map(|letter| &letter["repair"]).collect();
    assert_eq!(repairs, ["safe", "safe", "needs-decision", "impossible"]);
    let first = stage.get("/dead-letters?state=all&limit=3").await.json();
    assert_eq!((ids(&first).len(), &first["total"], &first["next"]), (3, &5.into(), &open[2].as_str().into()));
    let rest = stage.get(&format!("/dead-letters?state=all&limit=3&after={}", open[2])).await.json();
    assert_eq!(ids(&rest), [open[3].clone(), decided(5).id.to_string()]);
    assert_eq!(rest.get("next"), None);
    stage.stop().await;
}

#[tokio::test]
async fn a_filter_is_read_word_by_word() {
    let stage = Stage::healthy().await;
    let query = "state=open,dropped&class=unknown&cause=deadline,server-error&route=payments/charge&queue=slow&limit=7";
    assert_eq!(stage.get(&format!("/dead-letters?{query}")).await.status, 200);
    let expected = LetterList {
        filter: Filter {
            ids: Vec::new(),
            states: vec![LetterState::Open, LetterState::Dropped],
            classes: vec![Class::Unknown],
            causes: vec![Cause::Deadline, Cause::ServerError],
            queue: Some("slow".to_owned()),
            upstream: Some("payments".to_owned()),
            route: Some("charge".to_owned()),
            since: None,
            until: None,
        },
        after: None,
        limit: 7,
    };
    assert_eq!(ordered(&stage), [LetterOrder::List(expected)]);
    assert_eq!(stage.get("/dead-letters?since=2h&until=10m").await.status, 200);
    let Some(LetterOrder::List(list)) = ordered(&stage).pop() else { panic!() };
    let span = list.filter.until.unwrap() - list.filter.since.unwrap();
    assert_eq!(span, 110 * 60_000);
    assert_eq!(list.filter.states, [LetterState::Open, LetterState::Replaying]);
    stage.stop().await;
}

#[tokio::test]
async fn wrong_words_of_a_filter_are_refused() {
    let stage = Stage::healthy().await;
    for wrong in [
        "state=opne",
        "class=Unknown",
        "cause=x",
        "since=2d",
        "since=10m&until=2h",
        "limit=0",
        "limit=501",
        "after=0199c2d4",
        "route=payments/",
        "route=",
        "id=1234567",
        "id=zzzzzzzz",
        "colour=red",
        "state=open&state=dropped",
    ] {
        assert_eq!(stage.get(&format!("/dead-letters?{wrong}")).await.problem(400), "invalid-request", "{wrong}");
    }
    assert_eq!(stage.orders(), []);
    stage.stop().await;
}

#[tokio::test]
async fn a_letter_is_shown_with_all_that_may_be_read() {
    let stage = Stage::healthy().await;
    let shown = stage.get(&format!("/dead-letters/{}", unknown(3).id)).await.json();
    assert_eq!(shown["class"], "unknown");
    assert_eq!(shown["reason"], "try-timeout");
    assert_eq!(shown["repair"], "needs-decision");
    assert_eq!(shown["tried"][1]["end"], "connection-refused");
    assert_eq!(shown["fields"][1], "authorization: [redacted:0a1b2c3d]");
    assert_eq!(shown["deduplicated"], true);
    stage.stop().await;
}

#[tokio::test]
async fn an_id_may_be_written_in_part_if_only_one_letter_fits() {
    let stage = Stage::healthy().await;
    let id = letter(2).id.to_string();
    for part in [&id[28..], &id[..15], &id.to_uppercase()[20..]] {
        assert_eq!(stage.get(&format!("/dead-letters/{part}")).await.json()["id"], id, "{part}");
    }
    // All of them were captured in the same minutes.
    let several = stage.get(&format!("/dead-letters/{}", &id[..8])).await;
    assert_eq!(several.problem(409), "ambiguous-letter");
    assert!(several.json()["detail"].as_str().unwrap().contains(&id));
    assert_eq!(stage.get("/dead-letters/ffffffff").await.problem(404), "unknown-letter");
    assert_eq!(stage.get("/dead-letters/ffff").await.problem(400), "invalid-request");
    let one = stage.get(&format!("/dead-letters?id={},{}", &id[28..], decided(5).id)).await.json();
    assert_eq!(ids(&one), [id, decided(5).id.to_string()], "whoever names a letter means it in whatever state");
    stage.stop().await;
}

#[tokio::test]
async fn each_order_about_one_letter_arrives_with_reason_and_author() {
    let stage = Stage::healthy().await;
    let path = |id: LetterId, what: &str| format!("/dead-letters/{id}/{what}");
    let (reason, author) = by();
    let body = stage.post(&path(letter(1).id, "body"), REASON).await;
    assert_eq!(
        (body.body.as_str(), body.header("content-type")),
        (r#"{"amount":7}"#, Some("application/octet-stream"))
    );
    let replayed = stage.post(&path(letter(1).id, "replay"), r#"{"reason":"INC-42","version":1}"#).await.json();
    assert_eq!((&replayed["end"], &replayed["status"]), (&"replayed".into(), &201.into()));
    assert_eq!(replayed["letter"]["state"], "replayed");
    let dropped = stage.post(&path(letter(2).id, "drop"), REASON).await.json();
    assert_eq!(dropped["dropped"], 1);
    let executed = r#"{"as":"executed","response":{"status":201,"body":"x"},"reason":"INC-42","author":"bob"}"#;
    assert_eq!(stage.post(&path(unknown(3).id, "resolve"), executed).await.json()["state"], "resolved");
    let expected = [
        LetterOrder::Body(BodyOrder { id: letter(1).id, reason: reason.clone(), author: author.clone() }),
        LetterOrder::Replay(ReplayOrder {
            id: letter(1).id,
            version: Some(1),
            accept_duplicate_risk: false,
            reason: reason.clone(),
            author: author.clone(),
        }),
        LetterOrder::Drop(DropOrder {
            filter: Filter { ids: vec![letter(2).id], ..Filter::default() },
            expect_count: 1,
            version: None,
            reason: reason.clone(),
            author,
        }),
        LetterOrder::Resolve(ResolveLetterOrder {
            id: unknown(3).id,
            version: None,
            outcome: Outcome::Executed { status: 201, body: "x".to_owned() },
            reason,
            author: "bob".to_owned(),
        }),
    ];
    assert_eq!(ordered(&stage), expected);
    stage.stop().await;
}

#[tokio::test]
async fn nothing_is_done_to_a_letter_without_a_reason_or_with_a_wrong_body() {
    let stage = Stage::healthy().await;
    let id = letter(1).id;
    let one = |what: &str| format!("/dead-letters/{id}/{what}");
    let cases = [
        (one("body"), "{}"),
        (one("replay"), r#"{"reason":" "}"#),
        (one("replay"), r#"{"reason":"x","acceptduplicaterisk":true}"#),
        (one("drop"), ""),
        (one("resolve"), r#"{"reason":"x"}"#),
        (one("resolve"), r#"{"as":"not-executed","response":{"status":200},"reason":"x"}"#),
        ("/dead-letters/drop".to_owned(), r#"{"filter":{},"expectCount":4,"reason":"x"}"#),
        ("/dead-letters/drop".to_owned(), r#"{"filter":{"state":"open"},"reason":"x"}"#),
        ("/dead-letters/drop".to_owned(), r#"{"filter":{"stat":"open"},"expectCount":4,"reason":"x"}"#),
        ("/replays".to_owned(), r#"{"filter":{"state":"open"}}"#),
        ("/replays".to_owned(), r#"{"rate":101,"reason":"x"}"#),
        ("/replays".to_owned(), r#"{"rate":0,"dryRun":true}"#),
        ("/replays".to_owned(), r#"{"stopAfter":0,"reason":"x"}"#),
        ("/replays".to_owned(), r#"{"max":0,"reason":"x"}"#),
        ("/replays/r1/cancel".to_owned(), "{}"),
    ];
    for (path, body) in cases {
        assert_eq!(stage.post(&path, body).await.problem(400), "invalid-request", "{path} {body}");
    }
    for path in [one("body"), one("replay"), one("drop"), one("resolve"), "/dead-letters/drop".to_owned()] {
        assert_eq!(stage.get(&path).await.problem(405), "wrong-method", "{path}");
    }
    assert_eq!(stage.orders(), []);
    stage.stop().await;
}

#[tokio::test]
async fn a_letter_that_changed_meanwhile_is_told_as_it_is_now() {
    let stage = Stage::healthy().await;
    let stale = stage.post(&format!("/dead-letters/{}/drop", letter(1).id), r#"{"reason":"x","version":9}"#).await;
    assert_eq!(stale.problem(409), "changed");
    let expected = format!("the letter {} is now `open` (version 1)", letter(1).id);
    assert_eq!(stale.json()["detail"], expected);
    let closed = stage.post(&format!("/dead-letters/{}/replay", decided(5).id), REASON).await;
    assert_eq!(closed.problem(409), "changed");
    assert!(closed.json()["detail"].as_str().unwrap().contains("is now `dropped` (version 2)"));
    stage.stop().await;
}

type Refusal = fn(String) -> Refused;

#[tokio::test]
async fn a_refusal_of_a_replay_says_what_else_there_is() {
    let stage = Stage::healthy().await;
    let risky = stage.post(&format!("/dead-letters/{}/replay", unknown(3).id), REASON).await;
    assert_eq!(risky.problem(409), "duplicate-risk");
    let next = risky.json()["next"].as_str().unwrap().to_owned();
    assert!(next.contains("dlq resolve") && next.contains("--accept-duplicate-risk"), "{next}");
    let cases: [(Refusal, u16, &str); 4] = [
        (Refused::NotReplayable, 409, "not-replayable"),
        (Refused::UnknownLetter, 404, "unknown-letter"),
        (Refused::Conflict, 409, "conflict"),
        (Refused::Store, 503, "store-unavailable"),
    ];
    for (refused, status, token) in cases {
        stage.process().refuse = Some(refused("because".to_owned()));
        let reply = stage.post(&format!("/dead-letters/{}/replay", letter(1).id), REASON).await;
        assert_eq!((reply.problem(status).as_str(), &reply.json()["detail"]), (token, &"because".into()));
    }
    stage.process().letters.end = ReplayEnd::Failed;
    let failed = stage.post(&format!("/dead-letters/{}/replay", letter(1).id), REASON).await.json();
    assert_eq!((&failed["end"], &failed["failure"]), (&"failed".into(), &"try-timeout".into()));
    stage.stop().await;
}

#[tokio::test]
async fn many_are_dropped_only_if_there_are_as_many_as_expected() {
    let stage = Stage::healthy().await;
    let body = |count| format!(r#"{{"filter":{{"route":"payments"}},"expectCount":{count},"reason":"INC-42"}}"#);
    let grown = stage.post("/dead-letters/drop", &body(3)).await;
    assert_eq!(grown.problem(409), "changed");
    assert!(stage.process().letters.letters.iter().any(|letter| letter.state == LetterState::Open));
    assert_eq!(stage.post("/dead-letters/drop", &body(4)).await.json()["dropped"], 4);
    let (reason, author) = by();
    let filter = Filter { states: vec![LetterState::Open], upstream: Some("payments".to_owned()), ..Filter::default() };
    let order = |expect_count| {
        let (filter, reason, author) = (filter.clone(), reason.clone(), author.clone());
        LetterOrder::Drop(DropOrder { filter, expect_count, version: None, reason, author })
    };
    assert_eq!(ordered(&stage), [order(3), order(4)]);
    stage.stop().await;
}

#[tokio::test]
async fn a_replay_of_many_is_planned_started_watched_and_cancelled() {
    let stage = Stage::healthy().await;
    let plan = stage.post("/replays", r#"{"dryRun":true}"#).await;
    assert_eq!(plan.status, 200);
    let expected = serde_json::json!({
        "letters": 4, "safe": 2, "needsDecision": 1, "sends": 2,
        "excluded": [{ "why": "its body was longer than maxBody", "letters": 1 }],
    });
    assert_eq!(plan.json(), expected);
    let order =
        r#"{"filter":{"class":"unknown"},"rate":5,"max":9,"stopAfter":2,"acceptDuplicateRisk":true,"reason":"INC-42"}"#;
    let started = stage.post("/replays", order).await;
    assert_eq!((started.status, &started.json()["id"]), (202, &"r2".into()));
    assert_eq!(stage.get("/replays/r2").await.json()["replayed"], 1);
    assert_eq!(stage.get("/replays").await.json()["replays"][1]["id"], "r1");
    assert_eq!(stage.get("/replays/r9").await.problem(404), "unknown-replay");
    assert_eq!(stage.post("/replays/r1/cancel", REASON).await.json()["state"], "cancelled");
    let (reason, author) = by();
    let open = Filter { states: vec![LetterState::Open], ..Filter::default() };
    let expected = [
        LetterOrder::Plan(PlanOrder { filter: open.clone(), max: None, accept_duplicate_risk: false }),
        LetterOrder::Start(StartOrder {
            plan: PlanOrder {
                filter: Filter { classes: vec![Class::Unknown], ..open },
                max: Some(9),
                accept_duplicate_risk: true,
            },
            rate: 5,
            stop_after: 2,
            reason: reason.clone(),
            author: author.clone(),
        }),
        LetterOrder::Cancel(CancelOrder { id: "r1".to_owned(), reason, author }),
    ];
    assert_eq!(ordered(&stage), expected);
    stage.stop().await;
}

#[tokio::test]
async fn stats_add_up_and_say_how_full_it_is() {
    let stage = Stage::healthy().await;
    let stats = stage.get("/dead-letters/stats").await.json();
    assert_eq!((&stats["letters"], &stats["bytes"], &stats["lost"]), (&5.into(), &4_500.into(), &3.into()));
    assert_eq!((&stats["lettersMax"], &stats["shareMaxPercent"]), (&10_000.into(), &50.into()));
    assert_eq!(stats["queues"].as_array().unwrap().len(), 3);
    stage.stop().await;
}

#[tokio::test]
async fn an_export_has_every_letter_however_many_pages_there_are() {
    let mut process = Process::healthy();
    process.letters.letters = (1..=250).map(letter).collect();
    let stage = Stage::of(process).await;
    // A body without a length comes in chunks: their lines are told apart from ours by their first character.
    let lines = |body: &str| -> Vec<serde_json::Value> {
        body.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = stage.get("/dead-letters/export").await;
    assert_eq!(all.header("content-type"), Some("application/x-ndjson"));
    let exported = lines(&all.body);
    assert_eq!(exported.len(), 250);
    assert_eq!(exported[249]["id"], letter(250).id.to_string());
    assert_eq!(lines(&stage.get("/dead-letters/export?limit=120").await.body).len(), 120);
    assert_eq!(lines(&stage.get("/dead-letters/export?state=dropped").await.body).len(), 0);
    stage.process().letters.closed = true;
    assert_eq!(stage.get("/dead-letters/export").await.problem(404), "no-dead-letters");
    stage.stop().await;
}

#[tokio::test]
async fn the_audit_says_whether_it_is_intact() {
    let stage = Stage::healthy().await;
    let audit = stage.get("/audit?since=24h&limit=1").await.json();
    assert_eq!((audit["rows"].as_array().unwrap().len(), &audit["intact"]), (1, &true.into()));
    stage.process().letters.audit[1].intact = false;
    assert_eq!(stage.get("/audit").await.json()["intact"], false);
    for wrong in ["limit=0", "limit=1001", "since=1d", "who=bob"] {
        assert_eq!(stage.get(&format!("/audit?{wrong}")).await.problem(400), "invalid-request", "{wrong}");
    }
    stage.stop().await;
}

#[tokio::test]
async fn without_a_store_of_letters_everything_says_what_to_add() {
    let stage = Stage::healthy().await;
    stage.process().letters.closed = true;
    let id = letter(1).id;
    for path in ["/dead-letters", "/dead-letters/stats", "/dead-letters/export", "/replays", "/replays/r1", "/audit"] {
        assert_eq!(stage.get(path).await.problem(404), "no-dead-letters", "{path}");
    }
    for what in ["body", "replay", "drop"] {
        let reply = stage.post(&format!("/dead-letters/{id}/{what}"), REASON).await;
        assert_eq!(reply.problem(404), "no-dead-letters", "{what}");
        let sentence = "no route keeps dead letters: add `deadLetter: {}` to a route in the policy";
        assert_eq!(reply.json()["detail"], sentence);
    }
    assert_eq!(stage.orders(), []);
    stage.stop().await;
}
