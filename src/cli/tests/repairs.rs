//! What is done to dead letters: what is ordered, what is told, and with which exit code it ends.

use super::Server;
use super::letters::{by, id, ordered};
use crate::admin::api::{KeyAnswer, KeyView, ReplayEnd};
use crate::admin::control::letters::{CancelOrder, DropOrder, PlanOrder, ReplayOrder, ResolveLetterOrder, StartOrder};
use crate::admin::control::{Outcome, Refused};
use crate::admin::tests::stage::Process;
use crate::admin::tests::stage::letters::{LetterOrder, decided, letter, spent, unknown};
use crate::dead_letters::letter::Filter;
use crate::reliability::dead_letters::{Class, LetterState};

#[test]
fn one_letter_is_replayed_at_once_and_its_outcome_told() {
    let server = Server::healthy();
    let name = id(&letter(1));
    let said = server.say(&["dlq", "replay", &name, "--reason", "INC-42"]);
    assert_eq!(said.exited(0).out, format!("{name} was sent and answered with 201: it is closed.\n"));
    let (reason, author) = by();
    let order = ReplayOrder { id: letter(1).id, version: None, accept_duplicate_risk: false, reason, author };
    assert_eq!(ordered(&server), [LetterOrder::Replay(order)]);
    let again = server.say(&["dlq", "replay", &name, "--reason", "INC-42"]);
    assert!(again.exited(1).err.contains("is now `replayed` (version 2)"), "{again:?}");
    server.stage().process().letters.end = ReplayEnd::Failed;
    let name = id(&letter(2));
    let said = server.say(&["dlq", "replay", &name, "--reason", "INC-42"]);
    let begin = format!("{name} was not served this time either: try-timeout. It is open, and safe to replay: ");
    assert!(said.exited(1).out.starts_with(&begin), "{said:?}");
    assert!(said.out.ends_with(&format!("Next: outrigger dlq show {name}\n")), "{said:?}");
    server.stage().process().letters.end = ReplayEnd::Superseded;
    let said = server.say(&["dlq", "replay", &name, "--reason", "INC-42"]);
    assert!(said.exited(0).out.contains("It is closed as superseded."), "{said:?}");
}

#[test]
fn what_may_have_been_executed_is_replayed_only_with_the_flag() {
    let server = Server::healthy();
    let name = id(&unknown(3));
    let said = server.say(&["dlq", "replay", &name, "--reason", "INC-42"]);
    assert!(said.exited(1).err.contains("may have been executed"), "{said:?}");
    assert!(said.err.contains("next: ") && said.err.contains("--accept-duplicate-risk"), "{said:?}");
    server.say(&["dlq", "replay", &name, "--accept-duplicate-risk", "--reason", "INC-42"]).exited(0);
}

const PLAN: &str = "\
4 letters match.
       2  safe to replay
       1  may be executed twice: sent only with --accept-duplicate-risk, see `outrigger dlq show`
       1  not replayable: its body was longer than maxBody
";

#[test]
fn a_replay_of_many_is_planned_first_and_needs_yes() {
    let server = Server::healthy();
    let dry = server.say(&["dlq", "replay", "--route", "payments", "--dry-run"]);
    let expected = format!(
        "{PLAN}2 would be sent, oldest first, at 1 per second: 2 s at least.\n\
         Next: outrigger dlq replay --route payments --yes --reason TEXT\n"
    );
    assert_eq!(dry.exited(0).out, expected);
    let words = ["dlq", "replay", "--route", "payments", "--rate", "5", "--accept-duplicate-risk", "--reason", "it's"];
    let bare = server.say(&words);
    let expected = format!("{PLAN}3 would be sent, oldest first, at 5 per second: 1 s at least.\n");
    assert_eq!(bare.exited(2).out, expected);
    assert_eq!(
        bare.err,
        "outrigger: this sends 3 letters, and --yes is missing\nnext: outrigger dlq replay --route payments \
         --accept-duplicate-risk --rate 5 --yes --reason 'it'\\''s'\n"
    );
    assert!(ordered(&server).iter().all(|order| matches!(order, LetterOrder::Plan(_))), "nothing was changed");
    let closed = server.say(&["dlq", "replay", &id(&decided(5)), &id(&spent(4)), "--reason", "x"]);
    assert!(closed.exited(1).out.contains("not replayable: it is closed as dropped"), "{closed:?}");
    assert!(closed.out.ends_with("Nothing would be sent.\n"), "{closed:?}");
    let none = server.say(&["dlq", "replay", "--queue", "nobody", "--reason", "x"]);
    assert_eq!(none.exited(0).out, "0 letters match.\nNothing would be sent.\n");
}

#[test]
fn a_replay_of_many_is_started_and_followed_to_its_end() {
    let server = Server::healthy();
    let words = ["dlq", "replay", "--class", "not-executed", "--max", "9", "--stop-after", "3", "--yes"];
    let said = server.say(&[&words[..], &["--reason", "INC-42"]].concat());
    assert_eq!(
        said.exited(0).out,
        "Replay r2 is running: of 2 letters 2 left.\nWatch it: outrigger replay status --wait r2\n"
    );
    let (reason, author) = by();
    let filter = Filter { states: vec![LetterState::Open], classes: vec![Class::NotExecuted], ..Filter::default() };
    let plan = PlanOrder { filter, max: Some(9), accept_duplicate_risk: false };
    let order = StartOrder { plan, rate: 1, stop_after: 3, reason, author };
    assert_eq!(ordered(&server), [LetterOrder::Start(order)]);
    let said = server.say(&["replay", "status", "r2", "--wait"]);
    assert_eq!(
        said.exited(0).out,
        "\
Replay r2 is running: of 2 letters 1 replayed, 1 left.
Replay r2 is running: of 2 letters 2 replayed.
Replay r2 is finished: of 2 letters 2 replayed.
"
    );
}

#[test]
fn a_filter_that_matches_one_letter_needs_no_yes_and_sends_no_more_than_it() {
    let server = Server::healthy();
    let words = ["dlq", "replay", "--class", "unknown", "--accept-duplicate-risk", "--reason", "INC-42"];
    server.say(&words).exited(0);
    let Some(LetterOrder::Start(order)) = ordered(&server).pop() else { panic!("{:?}", ordered(&server)) };
    assert_eq!((order.plan.max, order.plan.accept_duplicate_risk), (Some(1), true));
}

#[test]
fn a_replay_that_serves_only_a_part_exits_3() {
    let server = Server::healthy();
    server.say(&["replay", "status", "r1"]).exited(0);
    server.stage().process().letters.failing = true;
    let said = server.say(&["replay", "status", "r1", "--wait"]);
    assert!(said.exited(3).out.ends_with("Replay r1 is finished: of 2 letters 1 replayed, 1 failed.\n"), "{said:?}");
    let words = ["dlq", "replay", "--state", "open", "--yes", "--wait", "-o", "json", "--reason", "x"];
    let said = server.say(&words);
    let job: serde_json::Value = serde_json::from_str(&said.exited(1).out).unwrap();
    assert_eq!((&job["state"], &job["failed"]), (&"finished".into(), &2.into()), "nothing was served at all");
}

#[test]
fn replays_are_listed_and_cancelled() {
    let server = Server::healthy();
    let said = server.say(&["replay", "ls"]);
    assert_eq!(
        said.exited(0).out,
        "\
ID  STARTED  WHO    LETTERS  REPLAYED  SUPERSEDED  FAILED  SKIPPED  STATE    REASON
r1  1 s ago  alice        2         1           0       0        0  running  INC-42
"
    );
    let said = server.say(&["replay", "cancel", "r1", "--reason", "INC-42"]);
    assert!(said.exited(0).out.starts_with("Replay r1 is cancelled: of 2 letters 2 replayed."), "{said:?}");
    let (reason, author) = by();
    assert_eq!(ordered(&server), [LetterOrder::Cancel(CancelOrder { id: "r1".to_owned(), reason, author })]);
    let unknown = server.say(&["replay", "status", "r9"]);
    assert!(unknown.exited(1).err.contains("there is no replay `r9`"), "{unknown:?}");
}

#[test]
fn letters_are_dropped_one_by_one_or_many_with_yes() {
    let server = Server::healthy();
    let one = server.say(&["dlq", "drop", &id(&letter(1)), "--reason", "INC-42"]);
    assert_eq!(one.exited(0).out, "1 letter was dropped.\n");
    let words = ["dlq", "drop", "--route", "payments/charge", "--reason", "INC-42"];
    let bare = server.say(&words);
    assert_eq!(
        bare.exited(2).err,
        "outrigger: this gives up 3 letters, and --yes is missing\n\
         next: outrigger dlq drop --route payments/charge --yes --reason INC-42\n"
    );
    let all = server.say(&["dlq", "drop", "--reason", "INC-42", "--yes"]);
    assert!(all.exited(2).err.contains("this would give up every letter"), "{all:?}");
    assert_eq!(ordered(&server).len(), 1, "nothing was dropped but the first");
    let many = server.say(&[&words[..], &["--yes"]].concat());
    assert_eq!(many.exited(0).out, "3 letters were dropped.\n");
    let Some(LetterOrder::Drop(DropOrder { filter, expect_count: 3, author, .. })) = ordered(&server).pop() else {
        panic!("{:?}", ordered(&server))
    };
    assert_eq!(
        (filter.route.as_deref(), filter.states, author.as_str()),
        (Some("charge"), vec![LetterState::Open], "alice")
    );
    let none = server.say(&[&words[..], &["--yes"]].concat());
    assert_eq!(none.exited(0).out, "There are no such dead letters: nothing was dropped.\n");
}

#[test]
fn a_letter_is_resolved_and_what_becomes_of_its_key_is_told() {
    let server = Server::healthy();
    let name = id(&unknown(3));
    let resolve = |server: &Server, words: &[&str]| {
        server.say(&[&["dlq", "resolve", &name, "--reason", "INC-42"][..], words].concat())
    };
    resolve(&server, &["--as", "not-executed", "--status", "200"]).exited(2);
    assert_eq!(ordered(&server), []);
    let said = resolve(&server, &["--as", "not-executed"]);
    let expected = "is resolved as not executed. Its key is free: the next request with it is executed.";
    assert_eq!(said.exited(0).out, format!("{name} {expected}\n"));
    let (reason, author) = by();
    let order = ResolveLetterOrder { id: unknown(3).id, version: None, outcome: Outcome::NotExecuted, reason, author };
    assert_eq!(ordered(&server), [LetterOrder::Resolve(order)]);

    let mut process = Process::healthy();
    process.letters.key = Some(KeyView {
        state: "complete".to_owned(),
        attempt: 1,
        fence: 1,
        contract: "opaque".to_owned(),
        ambiguous: false,
        pinned: false,
        expires_in_ms: Some(86_000_000),
        lease_left_ms: None,
        route: "payments/charge".to_owned(),
        answer: Some(KeyAnswer { status: 201, body_bytes: Some(1) }),
    });
    let said = resolve(&Server::of(process), &["--as", "executed", "--status", "201", "--body", "x"]);
    let expected =
        "is resolved as executed. Its key is complete. Repetitions get 201 with 1 byte for another 23 h 53 min.";
    assert_eq!(said.exited(0).out, format!("{name} {expected}\n"));
}

#[test]
fn a_refused_order_is_told_with_what_to_do_next() {
    let server = Server::healthy();
    server.stage().process().refuse = Some(Refused::Conflict("a replay of this route is running: r1".to_owned()));
    let said = server.say(&["dlq", "replay", "--state", "open", "--yes", "--reason", "x"]);
    assert!(said.exited(1).err.starts_with("outrigger: a replay of this route is running: r1\nnext: "), "{said:?}");
}
