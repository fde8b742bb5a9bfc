use super::change::{EFFECT_LINES_MAX, TEXT_BYTES_MAX};
use super::*;

fn change(revision: u64) -> Change {
    Change {
        revision,
        time: "2026-11-23T00:00:00Z".into(),
        kind: ChangeKind::Policy,
        source: "api".into(),
        author: "me".into(),
        hash: "h".into(),
        effect: vec!["a: 1 -> 2".into()],
        upstream: None,
        reason: Some("INC-42".into()),
        version: None,
        version_before: None,
    }
}

fn kept(revision: u64) -> KeptRevision {
    let Change { time, source, author, hash, .. } = change(revision);
    KeptRevision { revision, time, source, author, hash, text: format!("text {revision}"), reason: None }
}

fn revisions(journal: &Journal) -> Vec<u64> {
    journal.changes().iter().map(|c| c.revision).collect()
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let journal = Journal::open(Some(state.path()));
    journal.append(change(1)).unwrap();
    journal.keep_text(kept(1)).unwrap();
    journal.append(Change { kind: ChangeKind::Breaker, ..change(1) }).unwrap();
    let (changes, texts) = (journal.changes(), journal.texts());
    drop(journal);
    let journal = Journal::open(Some(state.path()));
    assert_eq!((journal.changes(), journal.texts()), (changes, texts));
    assert_eq!(journal.last_revision(), 1);
}

#[test]
fn a_line_torn_at_any_byte_costs_that_line_only() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join(CURRENT);
    let whole = [1, 2].map(|n| serde_json::to_string(&change(n)).unwrap() + "\n").concat();
    let first = whole.find('\n').unwrap() + 1;
    for length in first..whole.len() - 1 {
        fs::write(&path, &whole[..length]).unwrap();
        let journal = Journal::open(Some(state.path()));
        assert_eq!(revisions(&journal), [1], "cut at {length}");
        journal.append(change(3)).unwrap();
        drop(journal);
        assert_eq!(revisions(&Journal::open(Some(state.path()))), [1, 3], "cut at {length}");
    }
}

#[test]
fn the_files_stay_within_their_size_and_the_newest_changes_stay() {
    let state = tempfile::tempdir().unwrap();
    let big = |revision| Change { effect: vec!["x".repeat(TEXT_BYTES_MAX); EFFECT_LINES_MAX], ..change(revision) };
    let journal = Journal::open(Some(state.path()));
    for revision in 1..=100 {
        journal.append(big(revision)).unwrap();
    }
    drop(journal);
    for name in [CURRENT, PREVIOUS] {
        assert!((1..=FILE_BYTES_MAX).contains(&fs::metadata(state.path().join(name)).unwrap().len()), "{name}");
    }
    let journal = Journal::open(Some(state.path()));
    let found = revisions(&journal);
    assert_eq!(found.last(), Some(&100));
    assert!(found.windows(2).all(|pair| pair[1] == pair[0] + 1), "{found:?}");
    assert_eq!(journal.last_revision(), 100);
}

#[test]
fn memory_holds_a_bounded_number_of_changes_and_texts_and_so_does_the_directory() {
    let state = tempfile::tempdir().unwrap();
    let journal = Journal::open(Some(state.path()));
    for revision in 1..=300 {
        journal.append(change(revision)).unwrap();
    }
    for revision in 1..=30 {
        journal.keep_text(kept(revision)).unwrap();
    }
    assert_eq!((revisions(&journal).len(), revisions(&journal)[0]), (CHANGES_MAX, 45));
    assert_eq!(journal.texts().iter().map(|t| t.revision).collect::<Vec<_>>(), (21..=30).collect::<Vec<_>>());
    let texts = fs::read_dir(state.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().starts_with("revision-"));
    assert_eq!(texts.count(), TEXTS_MAX);
}

#[test]
fn a_record_from_outside_is_cut_to_a_bounded_size() {
    let journal = Journal::open(None);
    let author = "\u{e9}".repeat(10_000);
    journal.append(Change { author, effect: vec!["y".repeat(10_000); 1_000], ..change(1) }).unwrap();
    let stored = &journal.changes()[0];
    assert!(stored.author.len() < 600 && stored.author.ends_with("..."));
    assert_eq!(stored.effect.len(), EFFECT_LINES_MAX);
    assert_eq!(stored.effect[EFFECT_LINES_MAX - 1], "... and 937 more");
    assert!(stored.effect.iter().all(|line| line.len() < 600));
}

#[test]
fn without_a_usable_directory_memory_serves_and_the_status_says_why() {
    let journal = Journal::open(None);
    journal.append(change(1)).unwrap();
    assert_eq!(journal.status(), JournalStatus { directory: None, lost: 0, error: None });

    let state = tempfile::tempdir().unwrap();
    let in_the_way = state.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let journal = Journal::open(Some(&in_the_way));
    journal.append(change(1)).unwrap();
    assert_eq!((revisions(&journal), journal.status().directory), (vec![1], None));
    assert!(journal.status().error.unwrap().contains("file"));
}

#[test]
fn a_second_process_does_not_write_into_the_first_ones_journal() {
    let state = tempfile::tempdir().unwrap();
    let first = Journal::open(Some(state.path()));
    let second = Journal::open(Some(state.path()));
    second.append(change(9)).unwrap();
    assert!(second.status().error.unwrap().contains("in use"));
    drop(first);
    assert!(revisions(&Journal::open(Some(state.path()))).is_empty());
}

#[test]
#[cfg(unix)]
fn nobody_else_can_read_what_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let state = parent.path().join("a/b");
    let journal = Journal::open(Some(&state));
    journal.append(change(1)).unwrap();
    journal.keep_text(kept(1)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    for name in [CURRENT, "revision-1.json", "lock"] {
        assert_eq!(mode(&state.join(name)), 0o600, "{name}");
    }
}

#[test]
fn a_journal_that_can_be_written_again_says_so_and_keeps_the_count() {
    let state = tempfile::tempdir().unwrap();
    let journal = Journal::open(Some(state.path()));
    // A directory where the text is written aside makes that fail.
    fs::create_dir(state.path().join("revision.tmp")).unwrap();
    assert!(journal.keep_text(kept(1)).is_err());
    assert!(journal.status().error.is_some());
    fs::remove_dir(state.path().join("revision.tmp")).unwrap();
    journal.keep_text(kept(2)).unwrap();
    assert_eq!((journal.status().error, journal.status().lost), (None, 1));
}

/// A line as the first versions wrote it.
const OLD_LINE: &str = r#"{"revision":3,"time":"2026-11-01T00:00:00Z","kind":"breaker","source":"payments","author":"outrigger","hash":"h","effect":["payments: circuit closed -> open"]}"#;

#[test]
fn lines_of_earlier_versions_are_read_and_lines_of_later_ones_cost_themselves_only() {
    let state = tempfile::tempdir().unwrap();
    let later = OLD_LINE.replace("breaker", "a-kind-of-tomorrow");
    fs::write(state.path().join(CURRENT), format!("{OLD_LINE}\n{later}\n{OLD_LINE}\n")).unwrap();
    let changes = Journal::open(Some(state.path())).changes();
    assert_eq!(changes.len(), 2);
    assert_eq!((changes[0].kind, changes[0].source.as_str()), (ChangeKind::Breaker, "payments"));
    assert_eq!((&changes[0].upstream, &changes[0].reason, &changes[0].version), (&None, &None, &None));
}

#[test]
fn an_earlier_version_finds_every_field_it_knows_in_a_new_line() {
    let line = serde_json::to_value(Change { kind: ChangeKind::Breaker, ..change(1) }).unwrap();
    for field in ["revision", "time", "kind", "source", "author", "hash", "effect"] {
        assert!(!line[field].is_null(), "{field} of {line}");
    }
    let words = [ChangeKind::Policy, ChangeKind::Breaker, ChangeKind::Endpoints, ChangeKind::Start, ChangeKind::Stop];
    let words = words.map(|kind| serde_json::to_value(kind).unwrap());
    assert_eq!(words, ["policy", "breaker", "endpoints", "start", "stop"]);
}

#[test]
fn a_process_that_left_no_word_of_its_end_has_vanished_and_one_that_drains_has_not() {
    let of = |kinds: &[ChangeKind]| {
        let entries = kinds.iter().map(|kind| Change { kind: *kind, version: Some("1.0".into()), ..change(1) });
        Predecessor::of(&entries.collect::<Vec<_>>())
    };
    assert_eq!(of(&[]), Predecessor::default());
    let time = Some(change(1).time);
    assert_eq!(of(&[ChangeKind::Start]).vanished_after, time);
    assert_eq!(of(&[ChangeKind::Start, ChangeKind::Policy]).vanished_after, time);
    assert_eq!(of(&[ChangeKind::Breaker]).vanished_after, time, "its start is long forgotten");
    assert_eq!(of(&[ChangeKind::Start, ChangeKind::Stop]).vanished_after, None);
    assert_eq!(of(&[ChangeKind::Start, ChangeKind::Stop, ChangeKind::Breaker]).vanished_after, None);
    assert_eq!(of(&[ChangeKind::Stop, ChangeKind::Start]).vanished_after, time);
    assert_eq!(of(&[ChangeKind::Stop, ChangeKind::Start]).version.as_deref(), Some("1.0"));
}
