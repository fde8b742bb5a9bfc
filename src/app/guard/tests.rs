//! The guard over compiled policies and a made-up past.

use super::*;
use crate::app::news::Desk;
use crate::policy::compile::load;
use crate::policy::store::content_hash;
use crate::reliability::ending::Ending;
use crate::reliability::verdict::history::History;

fn policy(payments: &str, ledger: &str, rest: &str) -> Arc<Policy> {
    let text = format!(
        "version: 1\n{rest}upstreams:\n  payments:\n    url: http://127.0.0.1:1\n    {payments}\n  ledger:\n    url: http://127.0.0.1:2\n    {ledger}\n"
    );
    Arc::new(load("policy.yaml", &text).unwrap_or_else(|findings| panic!("{findings}\n{text}")).policy)
}

/// Policies over time, and two upstreams whose requests succeed or fail second by second.
struct World {
    state: State,
    t0: Instant,
    second: u64,
    revision: u64,
    histories: [(&'static str, History); 2],
    found: Vec<Accusation>,
}

impl World {
    fn new(policy: Arc<Policy>) -> World {
        let t0 = Instant::now();
        let histories = [("payments", History::new(t0)), ("ledger", History::new(t0))];
        let mut world = World { state: State::default(), t0, second: 0, revision: 0, histories, found: Vec::new() };
        world.apply(policy, "start");
        world
    }

    fn now(&self) -> Instant {
        self.t0 + Duration::from_secs(self.second)
    }

    fn apply(&mut self, policy: Arc<Policy>, author: &str) {
        self.revision += 1;
        let applied = Applied {
            policy,
            revision: self.revision,
            applied_at: jiff::Timestamp::UNIX_EPOCH,
            author: author.to_owned(),
            source: Source::File("policy.yaml".into()),
            reason: None,
        };
        // Between two looks.
        self.state.applied(&applied, self.now() + Duration::from_millis(300));
    }

    /// Lets seconds pass in each of which each upstream has ten requests; those of `failing` fail.
    fn pass(&mut self, seconds: u64, failing: &[&str], mode: Mode) {
        for _ in 0..seconds {
            self.second += 1;
            let now = self.now();
            for (name, history) in &mut self.histories {
                let mut tick = Tick::default();
                let ending = if failing.contains(name) { Ending::Error } else { Ending::Success };
                tick.requests.add(ending, 10);
                history.record(now, &tick);
            }
            let histories = &self.histories;
            let sum = |_: Direction, name: &str, from: Instant, to: Instant| {
                histories.iter().find(|(known, _)| *known == name).map(|(_, history)| history.sum(from, to))
            };
            self.found.extend(self.state.look(&sum, mode, now));
        }
    }

    fn named(&self) -> Vec<(u64, &str, u64, Mode)> {
        self.found.iter().map(|it| (it.revision, it.upstream.as_str(), it.good, it.mode)).collect()
    }
}

const QUICK: &str = "timeouts: { backendRequest: 1ms }";
const USUAL: &str = "timeouts: { backendRequest: 500ms }";

#[test]
fn a_revision_after_which_its_upstream_fails_is_named_once_with_what_it_changed() {
    let mut world = World::new(policy(USUAL, USUAL, ""));
    world.pass(70, &[], Mode::Warn);
    world.apply(policy(QUICK, USUAL, ""), "file");
    world.pass(8, &["payments"], Mode::Warn);
    assert_eq!(world.named(), [(2, "payments", 1, Mode::Warn)]);
    let found = &world.found[0];
    assert_eq!(found.effect, ["payments/default: timeouts.backendRequest 500ms -> 1ms"]);
    assert!(found.worse.contains("100% of") && found.worse.contains("in the minute before revision 2"), "{found:?}");
    world.pass(60, &["payments"], Mode::Warn);
    assert_eq!(world.found.len(), 1, "told once");
}

#[test]
fn an_upstream_that_the_revision_does_not_change_is_never_its_fault() {
    let mut world = World::new(policy(USUAL, USUAL, ""));
    world.pass(70, &[], Mode::Rollback);
    world.apply(policy(USUAL, QUICK, "accessLog: { sampleRatio: 0.5 }\n"), "file");
    world.pass(60, &["payments"], Mode::Rollback);
    assert!(world.found.is_empty(), "{:?}", world.found);
}

#[test]
fn what_holds_for_the_whole_process_concerns_every_upstream() {
    let mut world = World::new(policy(USUAL, USUAL, ""));
    world.pass(70, &[], Mode::Warn);
    world.apply(policy(USUAL, USUAL, "limits: { replayBytes: 1KiB }\n"), "file");
    world.pass(10, &["ledger"], Mode::Warn);
    assert_eq!(world.named(), [(2, "ledger", 1, Mode::Warn)]);
}

#[test]
fn the_first_policy_and_a_guard_that_is_off_accuse_nobody() {
    let mut world = World::new(policy(QUICK, USUAL, ""));
    world.pass(60, &["payments"], Mode::Warn);
    world.pass(70, &[], Mode::None);
    world.apply(policy(USUAL, USUAL, ""), "file");
    world.pass(60, &["payments"], Mode::None);
    assert!(world.found.is_empty());
}

#[test]
fn of_two_revisions_in_quick_succession_the_newer_is_judged_by_the_time_before_the_first() {
    let mut world = World::new(policy(USUAL, USUAL, ""));
    world.pass(70, &[], Mode::Rollback);
    world.apply(policy(QUICK, USUAL, ""), "file");
    world.pass(2, &["payments"], Mode::Rollback);
    world.apply(policy("timeouts: { backendRequest: 2ms }", USUAL, ""), "file");
    world.pass(10, &["payments"], Mode::Rollback);
    assert_eq!(world.named(), [(3, "payments", 1, Mode::Rollback)]);
}

#[test]
fn a_harmless_revision_behind_a_bad_one_takes_no_blame_and_is_not_taken_back_with_it() {
    let mut world = World::new(policy(USUAL, USUAL, ""));
    world.pass(70, &[], Mode::Rollback);
    world.apply(policy(QUICK, USUAL, ""), "file");
    world.pass(2, &["payments"], Mode::Rollback);
    world.apply(policy(QUICK, QUICK, ""), "file");
    world.pass(60, &["payments"], Mode::Rollback);
    assert_eq!(world.named(), [(2, "payments", 1, Mode::Warn)]);
}

#[test]
fn who_takes_a_revision_back_by_hand_is_not_accused_of_what_stays_bad_all_the_same() {
    let mut world = World::new(policy(USUAL, USUAL, ""));
    world.pass(70, &[], Mode::Rollback);
    world.apply(policy(QUICK, USUAL, ""), "file");
    world.pass(2, &["payments"], Mode::Rollback);
    // Something else of the policy has changed as well: what counts is how the upstream is treated.
    world.apply(policy(USUAL, QUICK, ""), "alice");
    world.pass(58, &["payments"], Mode::Rollback);
    assert!(world.found.is_empty(), "{:?}", world.found);
    // The time before it all still serves whoever comes next.
    world.apply(policy(QUICK, QUICK, ""), "alice");
    world.pass(8, &["payments"], Mode::Rollback);
    assert_eq!(world.named(), [(4, "payments", 1, Mode::Rollback)]);
}

#[test]
fn revisions_that_follow_one_another_without_end_are_not_compared_with_a_time_long_gone() {
    let mut world = World::new(policy(USUAL, USUAL, ""));
    world.pass(70, &[], Mode::Rollback);
    for number in 1..=6 {
        world.apply(policy(&format!("timeouts: {{ backendRequest: {number}ms }}"), USUAL, ""), "file");
        world.pass(45, if number < 5 { &[] } else { &["payments"] }, Mode::Rollback);
    }
    let good: Vec<u64> = world.found.iter().map(|it| it.good).collect();
    assert!(!good.is_empty() && good.iter().all(|good| *good > 1), "{:?}", world.named());
}

#[test]
fn a_process_that_drains_blames_no_revision_for_what_it_cuts() {
    let mut world = World::new(policy(USUAL, USUAL, ""));
    world.pass(70, &[], Mode::Rollback);
    world.apply(policy(QUICK, USUAL, ""), "file");
    let guard = Guard { door: Door::shut(), state: Mutex::new(std::mem::take(&mut world.state)) };
    guard.retire();
    world.state = guard.state.into_inner().unwrap();
    world.pass(30, &["payments"], Mode::Rollback);
    assert!(world.found.is_empty(), "{:?}", world.found);
}

#[test]
fn what_the_desk_has_no_room_for_is_found_again_by_the_next_look() {
    let mut world = World::new(policy(USUAL, USUAL, ""));
    world.pass(70, &[], Mode::Warn);
    world.apply(policy(QUICK, USUAL, ""), "file");
    world.pass(5, &["payments"], Mode::None);
    let guard = Guard { door: Door::shut(), state: Mutex::new(std::mem::take(&mut world.state)) };
    for ahead in 0..6 {
        let histories = &world.histories;
        let sum = |_: Direction, name: &str, from: Instant, to: Instant| {
            histories.iter().find(|(known, _)| *known == name).map(|(_, history)| history.sum(from, to))
        };
        guard.look(&sum, Mode::Warn, world.now() + Duration::from_millis(ahead));
    }
    world.state = guard.state.into_inner().unwrap();
    world.pass(2, &["payments"], Mode::Warn);
    assert_eq!(world.named(), [(2, "payments", 1, Mode::Warn)]);
}

#[test]
fn the_guards_own_rollback_is_not_watched_and_the_same_mistake_soon_after_is_found_again() {
    let mut world = World::new(policy(USUAL, USUAL, ""));
    world.pass(70, &[], Mode::Rollback);
    world.apply(policy(QUICK, USUAL, ""), "file");
    world.pass(8, &["payments"], Mode::Rollback);
    world.apply(policy(USUAL, USUAL, ""), GUARD);
    world.pass(20, &["payments"], Mode::Rollback);
    assert_eq!(world.found.len(), 1, "no ping-pong, even if matters stay bad");
    world.apply(policy("timeouts: { backendRequest: 2ms }", USUAL, ""), "file");
    world.pass(8, &["payments"], Mode::Rollback);
    assert_eq!(world.named()[1..], [(4, "payments", 1, Mode::Rollback)]);
}

#[test]
fn revisions_without_end_are_watched_in_bounded_memory() {
    let mut world = World::new(policy(USUAL, USUAL, ""));
    for number in 1..100 {
        world.apply(policy(&format!("timeouts: {{ backendRequest: {number}ms }}"), USUAL, ""), "file");
    }
    assert!(world.state.watched.len() <= WATCHED_MAX);
    world.pass(62, &["payments"], Mode::Warn);
    assert!(world.state.watched.is_empty(), "a minute later all are forgotten");
}

fn accusation(mode: Mode) -> Accusation {
    Accusation {
        revision: 2,
        hash: content_hash("two"),
        good: 1,
        mode,
        of_file: true,
        upstream: "payments".to_owned(),
        worse: "38% of 240 requests failed since then, 0.1% of 1203 in the minute before revision 2".to_owned(),
        effect: vec!["payments/default: timeouts.backendRequest 500ms -> 1ms".to_owned()],
    }
}

#[test]
fn what_is_said_names_the_next_step() {
    assert_eq!(accusation(Mode::Warn).next(), "to take it back: outrigger policy rollback 1 --reason '...'");
    let next = accusation(Mode::Rollback).next();
    assert!(next.contains("the file still holds it: its next different content is taken"), "{next}");
    let text = accusation(Mode::Warn).text();
    assert!(
        text.starts_with("payments does clearly worse since policy revision 2: 38% of 240 requests failed"),
        "{text}"
    );
}

#[test]
fn shares_and_times_are_told_as_people_say_them() {
    let shares = Shares { before: (0.001, 1203), after: (0.38, 240) };
    assert_eq!(
        told(Worse::Failing(shares), 12),
        "38% of 240 requests failed since then, 0.1% of 1203 in the minute before revision 12"
    );
    let slower = Worse::Slower { before: Duration::from_millis(4), after: Duration::from_millis(210) };
    assert_eq!(
        told(slower, 12),
        "half of the answers take more than 210 ms since then, 4 ms in the minute before revision 12"
    );
}

#[test]
fn a_rollback_is_made_once_with_author_and_reason_and_not_if_the_policy_has_changed_meanwhile() {
    let store = crate::policy::store::of_texts(&["one", "two"]);
    let metrics = Metrics::new();
    act(&store, &metrics, &accusation(Mode::Rollback));
    assert_eq!((store.snapshot().revision, store.snapshot().policy.text.as_str()), (3, "one"));
    let changes = store.changes();
    let last: Vec<_> = changes.iter().rev().take(2).map(|change| (change.kind, change.author.as_str())).collect();
    assert_eq!(last, [(ChangeKind::Rollback, GUARD), (ChangeKind::Guard, GUARD)]);
    assert!(changes.last().unwrap().reason.as_deref().unwrap().contains("38% of 240"), "{changes:?}");
    // The same again: revision 2 is not in force any more.
    act(&store, &metrics, &accusation(Mode::Rollback));
    assert_eq!(store.snapshot().revision, 3);
    assert!(store.changes().last().unwrap().effect[0].contains("could not be taken back"));
    let text = metrics.render(&[]);
    for line in [
        r#"outrigger_policy_guard_total{action="warned"} 1"#,
        r#"outrigger_policy_guard_total{action="rolled_back"} 1"#,
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn a_warning_changes_nothing_but_the_journal() {
    let store = crate::policy::store::of_texts(&["one", "two"]);
    act(&store, &Metrics::new(), &accusation(Mode::Warn));
    assert_eq!(store.snapshot().revision, 2);
    let change = store.changes().pop().unwrap();
    assert_eq!((change.kind, change.upstream.as_deref(), change.revision), (ChangeKind::Guard, Some("payments"), 2));
    assert_eq!(change.effect[1], "revision 2 changed payments/default: timeouts.backendRequest 500ms -> 1ms");
}

#[test]
fn what_the_guard_finds_reaches_the_desk() {
    let metrics = Metrics::new();
    let desk = Desk::open(Arc::clone(&metrics)).unwrap();
    let store = crate::policy::store::of_texts(&["one", "two"]);
    let store = Arc::new(store);
    desk.follow(Arc::clone(&store));
    desk.door().accuse(accusation(Mode::Rollback));
    desk.close();
    assert_eq!(store.snapshot().policy.text, "one");
}
