use std::fs;
use std::os::unix::fs::symlink;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::policy::store::Source;
use crate::policy::store::tests::{Fixture, fixture};

/// Far above anything that a loaded machine needs; only a broken watch waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// So rare that no test can pass because of it.
const NEVER: Duration = Duration::from_secs(3_600);

/// A store that is fed by a watcher, as in the program.
struct Watched {
    fixture: Arc<Fixture>,
    looks: Receiver<(ReloadTrigger, bool)>,
    watcher: Watcher,
}

fn watch(path: &Path, poll: Duration) -> Watched {
    let fixture = Arc::new(fixture(None, &fs::read_to_string(path).unwrap(), Source::File(path.into())));
    let (looked, looks) = channel();
    let (store, file) = (fixture.clone(), path.to_owned());
    let watcher = Watcher::start_with_poll(path, poll, move |trigger| {
        let result = store.store.apply_file(&file, "watch", trigger.force());
        let _ = looked.send((trigger, result.is_ok()));
    });
    let watched = Watched { fixture, looks, watcher: watcher.unwrap() };
    assert_eq!(watched.watcher.degraded(), None);
    assert_eq!(watched.look().0, ReloadTrigger::Poll, "the first look comes without an event");
    watched
}

impl Watched {
    fn look(&self) -> (ReloadTrigger, bool) {
        self.looks.recv_timeout(PATIENCE).expect("the watcher did not look")
    }

    /// Waits until the policy in force is `text`.
    fn becomes(&self, text: &str) {
        while self.fixture.text() != text {
            self.look();
        }
    }

    /// Waits until the reload has failed.
    fn fails(&self) {
        while !self.fixture.store.status().reload.failed {
            self.look();
        }
    }
}

fn directory_with(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.yaml");
    fs::write(&path, text).unwrap();
    (directory, path)
}

#[test]
fn an_edit_in_place_is_seen_each_time() {
    let (_directory, path) = directory_with("one");
    let watched = watch(&path, NEVER);
    for text in ["two", "three", "four"] {
        fs::write(&path, text).unwrap();
        watched.becomes(text);
    }
}

#[test]
fn a_file_renamed_over_it_is_seen_each_time() {
    let (directory, path) = directory_with("one");
    let watched = watch(&path, NEVER);
    for text in ["two", "three", "four"] {
        let aside = directory.path().join(".policy.yaml.swp");
        fs::write(&aside, text).unwrap();
        fs::rename(&aside, &path).unwrap();
        watched.becomes(text);
    }
}

/// What the kubelet does: a new directory, a link renamed over `..data`, the old directory removed.
fn swap_config_map(volume: &Path, generation: &str, text: &str) {
    fs::create_dir(volume.join(generation)).unwrap();
    fs::write(volume.join(generation).join("policy.yaml"), text).unwrap();
    let old = fs::read_link(volume.join("..data")).ok();
    symlink(generation, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if let Some(old) = old {
        fs::remove_dir_all(volume.join(old)).unwrap();
    }
}

#[test]
fn three_config_map_swaps_are_seen() {
    let volume = tempfile::tempdir().unwrap();
    swap_config_map(volume.path(), "..1", "one");
    let path = volume.path().join("policy.yaml");
    symlink("..data/policy.yaml", &path).unwrap();
    let watched = watch(&path, NEVER);
    for (generation, text) in [("..2", "two"), ("..3", "three"), ("..4", "four")] {
        swap_config_map(volume.path(), generation, text);
        watched.becomes(text);
    }
}

#[test]
fn a_link_into_another_directory_is_followed_and_followed_again_when_it_moves() {
    let (_links, path) = directory_with("");
    let (_first, first) = directory_with("one");
    let (_second, second) = directory_with("two");
    fs::remove_file(&path).unwrap();
    symlink(&first, &path).unwrap();
    let watched = watch(&path, NEVER);
    fs::write(&first, "one, edited").unwrap();
    watched.becomes("one, edited");
    fs::remove_file(&path).unwrap();
    symlink(&second, &path).unwrap();
    watched.becomes("two");
    fs::write(&second, "two, edited").unwrap();
    watched.becomes("two, edited");
}

#[test]
fn a_deleted_file_keeps_the_last_good_policy_until_it_is_back() {
    let (_directory, path) = directory_with("one");
    let watched = watch(&path, NEVER);
    fs::remove_file(&path).unwrap();
    watched.fails();
    assert_eq!(watched.fixture.text(), "one");
    fs::write(&path, "two").unwrap();
    watched.becomes("two");
    assert!(!watched.fixture.store.status().reload.failed);
}

#[test]
fn an_unreadable_file_keeps_the_last_good_policy_until_it_can_be_read() {
    let (_directory, path) = directory_with("one");
    let watched = watch(&path, NEVER);
    fs::write(&path, b"\xff\xfe\xfd").unwrap();
    watched.fails();
    assert_eq!(watched.fixture.text(), "one");
    fs::write(&path, "two").unwrap();
    watched.becomes("two");
}

fn directory_in(parent: &tempfile::TempDir, text: &str) -> PathBuf {
    let directory = parent.path().join("etc");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("policy.yaml"), text).unwrap();
    directory.join("policy.yaml")
}

#[test]
fn a_directory_that_was_replaced_is_found_by_the_poll() {
    let parent = tempfile::tempdir().unwrap();
    let path = directory_in(&parent, "one");
    let watched = watch(&path, Duration::from_millis(50));
    fs::remove_dir_all(parent.path().join("etc")).unwrap();
    watched.fails();
    directory_in(&parent, "two");
    watched.becomes("two");
}

#[test]
fn a_directory_that_was_replaced_is_watched_again_after_the_next_look() {
    let parent = tempfile::tempdir().unwrap();
    let path = directory_in(&parent, "one");
    let watched = watch(&path, NEVER);
    fs::remove_dir_all(parent.path().join("etc")).unwrap();
    directory_in(&parent, "two");
    watched.watcher.force();
    watched.becomes("two");
    // More than one, because an event of the removal may still be on its way.
    for text in ["three", "four", "five"] {
        fs::write(&path, text).unwrap();
        watched.becomes(text);
    }
}

#[test]
fn reading_the_file_ourselves_is_no_reason_to_read_it_again() {
    let (_directory, path) = directory_with("one");
    let watched = watch(&path, Duration::from_millis(50));
    // Each look reads the file. If that were an event, the next look would come from it and not from the poll.
    for _ in 0..4 {
        assert_eq!(watched.look().0, ReloadTrigger::Poll);
    }
}

#[test]
fn force_applies_what_was_rolled_back_and_the_poll_does_not() {
    let (_directory, path) = directory_with("one");
    let watched = watch(&path, Duration::from_millis(20));
    fs::write(&path, "two").unwrap();
    watched.becomes("two");
    watched.fixture.store.rollback(1, "operator", None, None).unwrap();
    while watched.looks.try_recv().is_ok() {}
    for _ in 0..3 {
        watched.look();
    }
    assert_eq!(watched.fixture.text(), "one");
    watched.watcher.force();
    watched.becomes("two");
}

#[test]
fn dropping_the_watcher_ends_its_thread_at_once() {
    let (_directory, path) = directory_with("one");
    let Watched { looks, watcher, .. } = watch(&path, NEVER);
    drop(watcher);
    assert!(looks.recv().is_err(), "the thread and its sender are gone");
}
