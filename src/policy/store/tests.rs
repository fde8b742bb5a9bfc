use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::policy::{AccessLog, Drain};

/// A compiler for tests: text that holds `bad` is refused.
pub(in crate::policy) fn compile(name: &str, text: &str) -> Result<Policy, String> {
    if text.is_empty() || text.contains("bad") {
        return Err(format!("{name}:1:1: bad"));
    }
    let zero = std::time::Duration::ZERO;
    Ok(Policy {
        name: None,
        admin: None,
        admin_access: Default::default(),
        metrics: None,
        drain: Drain { delay: zero, timeout: zero },
        tracing: None,
        access_log: AccessLog { sample_ratio: 0.0, errors_always: true },
        guard: crate::policy::Guard::Warn,
        replay_bytes_max: 0,
        stores: crate::policy::idempotency::Stores::default(),
        dead_letters: None,
        listeners: Vec::new(),
        upstreams: Vec::new(),
        hash: content_hash(text),
        text: text.to_owned(),
    })
}

/// A store with what it told, and a switch that makes installing fail.
pub(in crate::policy) struct Fixture {
    pub(in crate::policy) store: PolicyStore,
    told: Arc<Mutex<Vec<String>>>,
    refuse: Arc<AtomicBool>,
    installs: Arc<AtomicUsize>,
}

pub(in crate::policy) fn fixture(state: Option<&Path>, text: &str, source: Source) -> Fixture {
    try_fixture(state, text, source).unwrap_or_else(|error| panic!("{error}"))
}

fn try_fixture(state: Option<&Path>, text: &str, source: Source) -> Result<Fixture, ApplyError> {
    let (told, refuse, installs) =
        (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let (telling, refusing, installing) = (told.clone(), refuse.clone(), installs.clone());
    let parts = Parts {
        compile,
        // A line of effect for each line of text.
        effect: |old, new| vec![format!("{} -> {}", old.text, new.text); new.text.lines().count()],
        now: || Timestamp::UNIX_EPOCH,
        install: Box::new(move |_, _| {
            installing.fetch_add(1, Ordering::Relaxed);
            if refusing.load(Ordering::Relaxed) { Err("address in use".into()) } else { Ok(()) }
        }),
        observe: Box::new(move |event| {
            let text = match event {
                StoreEvent::Applied { applied, .. } => format!("applied {}", applied.revision),
                StoreEvent::Rejected { error, .. } => format!("rejected {error}"),
                StoreEvent::Recovered => "recovered".into(),
                StoreEvent::JournalLost { .. } => "lost".into(),
            };
            telling.lock().unwrap().push(text);
        }),
        journal: Arc::new(Journal::open(state)),
    };
    let store = PolicyStore::open(parts, text, source, "tester")?;
    Ok(Fixture { store, told, refuse, installs })
}

/// A store of other modules' tests, in which these texts came into force one after another.
pub(crate) fn of_texts(texts: &[&str]) -> PolicyStore {
    let fixture = fixture(None, texts[0], Source::Api);
    texts[1..].iter().for_each(|text| drop(fixture.api(text).unwrap()));
    fixture.store
}

impl Fixture {
    pub(in crate::policy) fn text(&self) -> String {
        self.store.snapshot().policy.text.clone()
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    fn api(&self, text: &str) -> Result<Revision, ApplyError> {
        self.store.apply(text, Source::Api, "tester", None)
    }
}

/// A policy file in a directory of its own.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.yaml");
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

#[test]
fn an_applied_policy_is_current_numbered_and_written_down_with_its_effect() {
    let f = fixture(None, "one", Source::Api);
    let revision = f.api("two").unwrap();
    assert_eq!(
        (revision.revision, revision.changed, revision.effect.as_slice()),
        (2, true, &["one -> two".to_owned()][..])
    );
    assert_eq!(f.text(), "two");
    let changes = f.store.changes();
    let kinds: Vec<_> = changes.iter().map(|c| (c.revision, c.kind)).collect();
    assert_eq!(kinds, [(1, ChangeKind::Start), (2, ChangeKind::Policy)]);
    assert_eq!(changes[1].effect, ["one -> two"]);
    assert_eq!(changes[1].hash, content_hash("two"));
    assert_eq!(f.told(), ["applied 1", "applied 2"]);
}

#[test]
fn the_hash_is_the_one_that_sha256sum_prints() {
    assert_eq!(content_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn the_same_content_changes_nothing() {
    let f = fixture(None, "one", Source::Api);
    let revision = f.api("one").unwrap();
    assert_eq!((revision.revision, revision.changed), (1, false));
    assert_eq!(f.installs.load(Ordering::Relaxed), 1);
    assert_eq!(f.store.changes().len(), 1);
}

#[test]
fn a_request_keeps_the_policy_it_began_with() {
    let f = fixture(None, "one", Source::Api);
    let request = f.store.snapshot();
    f.api("two").unwrap();
    assert_eq!((request.policy.text.as_str(), f.text().as_str()), ("one", "two"));
}

#[test]
fn a_candidate_that_is_wrong_too_large_or_not_installable_changes_nothing() {
    let f = fixture(None, "one", Source::Api);
    f.told();
    assert!(matches!(f.api("bad"), Err(ApplyError::Invalid(text)) if text == "api:1:1: bad"));
    assert_eq!(f.api(&"x".repeat(POLICY_BYTES_MAX + 1)), Err(ApplyError::TooLarge));
    f.refuse.store(true, Ordering::Relaxed);
    assert_eq!(f.api("two"), Err(ApplyError::NotInstalled("address in use".into())));
    assert_eq!((f.text().as_str(), f.store.snapshot().revision), ("one", 1));
    let refused = f.store.changes().iter().filter(|change| change.kind == ChangeKind::PolicyRefused).count();
    assert_eq!((refused, f.store.changes().len()), (3, 4), "each refusal is written down");
    assert_eq!(f.told().len(), 3);
    assert!(!f.store.status().reload.failed, "a candidate of the API says nothing about the file");
}

#[test]
fn a_bad_policy_at_start_is_an_error() {
    assert!(matches!(try_fixture(None, "bad", Source::Api), Err(ApplyError::Invalid(_))));
}

#[test]
fn a_change_based_on_an_old_policy_is_refused() {
    let f = fixture(None, "one", Source::Api);
    let old = content_hash("one");
    f.store.apply("two", Source::Api, "a", Some(&old)).unwrap();
    let refused = f.store.apply("three", Source::Api, "b", Some(&old));
    assert_eq!(refused, Err(ApplyError::Conflict { revision: 2, hash: content_hash("two") }));
    assert_eq!(f.text(), "two");
}

#[test]
fn a_bad_file_keeps_the_last_good_policy_is_told_once_and_shows_until_it_is_mended() {
    let (_directory, path) = file("one");
    let f = fixture(None, "one", Source::File(path.clone()));
    f.told();
    std::fs::write(&path, "bad").unwrap();
    for _ in 0..3 {
        assert!(f.store.apply_file(&path, "watch", false).is_err());
    }
    let reload = f.store.status().reload;
    assert!(reload.failed && reload.error.unwrap().ends_with("policy.yaml:1:1: bad"));
    assert_eq!((f.text().as_str(), f.told().len()), ("one", 1));

    assert!(f.store.apply_file(&path, "signal", true).is_err());
    assert_eq!(f.told().len(), 1, "a forced reload is answered each time");

    std::fs::write(&path, "one").unwrap();
    assert!(!f.store.apply_file(&path, "watch", false).unwrap().changed);
    assert_eq!(f.told(), ["recovered"]);
    let mended = ReloadStatus { file_hash: Some(content_hash("one")), ..ReloadStatus::default() };
    assert_eq!(f.store.status().reload, mended);
}

#[test]
fn a_refusal_is_written_down_once_with_its_reason_and_again_when_it_comes_back() {
    let (_directory, path) = file("one");
    let f = fixture(None, "one", Source::File(path.clone()));
    let refusals = || {
        let changes = f.store.changes();
        changes.into_iter().filter(|change| change.kind == ChangeKind::PolicyRefused).collect::<Vec<_>>()
    };
    std::fs::write(&path, "bad").unwrap();
    for force in [false, false, true, true] {
        assert!(f.store.apply_file(&path, "watch", force).is_err());
    }
    let refused = refusals();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].reason.as_deref().unwrap().ends_with("policy.yaml:1:1: bad"));
    assert_eq!((refused[0].revision, refused[0].author.as_str()), (1, "watch"));
    assert_eq!(refused[0].source, path.display().to_string());
    std::fs::write(&path, "one").unwrap();
    f.store.apply_file(&path, "watch", false).unwrap();
    std::fs::write(&path, "bad").unwrap();
    assert!(f.store.apply_file(&path, "watch", false).is_err());
    assert_eq!(refusals().len(), 2, "it was in order in between");
}

#[test]
fn a_rollback_is_one_entry_with_its_author_and_reason_and_the_history_has_the_reason_too() {
    let f = fixture(None, "one", Source::Api);
    f.api("two").unwrap();
    f.store.rollback(1, "alice", Some("INC-42"), None).unwrap();
    let changes = f.store.changes();
    let last = changes.last().unwrap();
    assert_eq!(
        (last.kind, last.author.as_str(), last.reason.as_deref()),
        (ChangeKind::Rollback, "alice", Some("INC-42"))
    );
    assert_eq!((changes.len(), last.source.as_str(), last.revision), (3, "rollback to 1", 3));
    assert_eq!(f.store.history().last().unwrap().reason.as_deref(), Some("INC-42"));
}

#[test]
fn a_start_tells_of_a_process_that_vanished_and_of_another_version() {
    let state = tempfile::tempdir().unwrap();
    let start = || {
        let f = fixture(Some(state.path()), "one", Source::Api);
        f.store.changes().pop().unwrap()
    };
    let first = start();
    assert_eq!((first.version.as_deref(), first.reason), (Some(env!("CARGO_PKG_VERSION")), None));
    let second = start();
    assert!(second.reason.unwrap().contains("without saying goodbye"), "it was dropped without a stop");
    assert_eq!(second.version_before, None);
    let journal = state.path().join("changes.jsonl");
    let old = std::fs::read_to_string(&journal).unwrap().replace(env!("CARGO_PKG_VERSION"), "0.0.7");
    std::fs::write(&journal, old).unwrap();
    assert_eq!(start().version_before.as_deref(), Some("0.0.7"));
    let f = fixture(Some(state.path()), "one", Source::Api);
    f.store.record(Entry::by_itself(ChangeKind::Stop, None, "stopped".into()));
    drop(f);
    assert_eq!(start().reason, None);
}

#[test]
fn a_good_file_after_a_bad_one_clears_the_failure() {
    let (_directory, path) = file("bad");
    let f = fixture(None, "one", Source::File(path.clone()));
    assert!(f.store.apply_file(&path, "watch", false).is_err());
    std::fs::write(&path, "two").unwrap();
    assert!(f.store.apply_file(&path, "watch", false).unwrap().changed);
    assert!(!f.store.status().reload.failed);
    assert_eq!(f.told().last().unwrap(), "applied 2");
}

#[test]
fn a_file_that_is_missing_or_no_text_or_no_file_is_a_failed_reload_and_ends_with_the_file() {
    let (directory, path) = file("one");
    let f = fixture(None, "one", Source::File(path.clone()));
    f.told();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(f.store.apply_file(&path, "watch", false), Err(ApplyError::Unreadable(_))));
    assert!(matches!(f.store.apply_file(&path, "watch", false), Err(ApplyError::Unreadable(_))));
    assert_eq!(f.told().len(), 1);
    assert!(f.store.status().reload.failed);
    assert!(matches!(f.store.apply_file(directory.path(), "watch", false), Err(ApplyError::Unreadable(_))));
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(matches!(f.store.apply_file(&path, "watch", false), Err(ApplyError::Unreadable(_))));
    std::fs::write(&path, "one").unwrap();
    assert!(f.store.apply_file(&path, "watch", false).is_ok());
    assert!(!f.store.status().reload.failed);
}

#[test]
fn what_could_not_be_installed_is_tried_again_by_the_poll() {
    let (_directory, path) = file("two");
    let f = fixture(None, "one", Source::File(path.clone()));
    f.refuse.store(true, Ordering::Relaxed);
    f.told();
    for _ in 0..3 {
        assert!(matches!(f.store.apply_file(&path, "watch", false), Err(ApplyError::NotInstalled(_))));
    }
    assert_eq!(f.told().len(), 1, "told once");
    f.refuse.store(false, Ordering::Relaxed);
    assert!(f.store.apply_file(&path, "watch", false).unwrap().changed);
}

#[test]
fn a_rollback_holds_against_the_unchanged_file_and_ends_with_new_content_or_by_force() {
    let (_directory, path) = file("one");
    let f = fixture(None, "one", Source::File(path.clone()));
    std::fs::write(&path, "two").unwrap();
    f.store.apply_file(&path, "watch", false).unwrap();
    let revision = f.store.rollback(1, "operator", None, None).unwrap();
    assert_eq!((revision.revision, f.text().as_str()), (3, "one"));
    for _ in 0..3 {
        assert!(!f.store.apply_file(&path, "watch", false).unwrap().changed);
    }
    assert_eq!(f.text(), "one");
    assert_eq!(f.store.status().source, "rollback to 1");

    std::fs::write(&path, "three").unwrap();
    assert_eq!(f.store.apply_file(&path, "watch", false).unwrap().revision, 4);
    f.store.rollback(1, "operator", None, None).unwrap();
    assert_eq!(f.store.apply_file(&path, "signal", true).unwrap().revision, 6);
    assert_eq!(f.text(), "three");
}

#[test]
fn only_the_last_ten_revisions_can_be_rolled_back_to() {
    let f = fixture(None, "0", Source::Api);
    for i in 1..=10 {
        f.api(&i.to_string()).unwrap();
    }
    assert_eq!(f.store.rollback(1, "operator", None, None), Err(ApplyError::UnknownRevision(1)));
    assert_eq!(f.store.rollback(2, "operator", None, None).unwrap().revision, 12);
    assert_eq!(f.text(), "1");
}

#[test]
fn revision_numbers_and_rollback_survive_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let f = fixture(Some(state.path()), "one", Source::Api);
    f.api("two").unwrap();
    drop(f);

    let f = fixture(Some(state.path()), "two", Source::Api);
    assert_eq!(f.store.snapshot().revision, 2, "the same text keeps its number");
    drop(f);

    let f = fixture(Some(state.path()), "three", Source::Api);
    assert_eq!(f.store.snapshot().revision, 3);
    assert_eq!(f.store.changes().last().unwrap().effect, ["two -> three"], "what changed while it was away");
    f.store.rollback(1, "operator", None, None).unwrap();
    assert_eq!((f.text().as_str(), f.store.snapshot().revision), ("one", 4));
    assert_eq!(f.store.changes().len(), 5);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_does_not_stop_a_change_and_the_loss_is_told() {
    let state = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", state.path().join("changes.jsonl")).unwrap();
    std::os::unix::fs::symlink("/dev/full", state.path().join("revision.tmp")).unwrap();
    let f = fixture(Some(state.path()), "one", Source::Api);
    f.told();
    assert!(f.api("two").unwrap().changed);
    assert_eq!(f.text(), "two");
    assert_eq!(f.told(), ["lost", "lost", "applied 2"]);
    let journal = f.store.status().journal;
    assert_eq!(journal.lost, 4);
    assert!(journal.error.unwrap().contains("No space left"));
    assert_eq!(f.store.rollback(1, "operator", None, None).unwrap().revision, 3, "memory still knows");
}

#[test]
fn changes_from_many_sides_come_one_after_another() {
    let f = fixture(None, "start", Source::Api);
    std::thread::scope(|scope| {
        for side in 0..4 {
            let f = &f;
            scope.spawn(move || (0..25).for_each(|i| drop(f.api(&format!("{side}-{i}")).unwrap())));
        }
    });
    let revisions: Vec<u64> = f.store.changes().iter().map(|c| c.revision).collect();
    assert_eq!(revisions, (1..=101).collect::<Vec<_>>());
    let effects: Vec<_> = f.store.changes().iter().skip(1).map(|c| c.effect[0].clone()).collect();
    assert!(effects.windows(2).all(|pair| pair[0].split(" -> ").nth(1) == pair[1].split(" -> ").next()));
}

#[test]
fn an_effect_of_many_lines_is_cut_for_log_and_api_as_for_the_journal() {
    let fixture = fixture(None, "one", Source::Api);
    let applied = fixture.api(&"line\n".repeat(1_000)).unwrap();
    assert_eq!(applied.effect.last().unwrap(), "... and 937 more");
    let told = fixture.store.changes();
    assert_eq!(told.last().unwrap().effect, applied.effect, "what is cut once is not cut again");
}
