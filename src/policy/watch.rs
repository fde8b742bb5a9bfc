//! Sees that files may have changed, and says so; what changed is the business of who reads them: the store, for the policy,
//! and those who hold certificates.
//!
//! The **directory** is watched, never the file: Kubernetes renames a link over `..data`, editors rename a new
//! file over the old one, and a watch on the file is deaf afterwards. If the path leads through links to another
//! directory, that one is watched as well. Event kinds are not interpreted (file systems report the same act in
//! different ways), with one exception: that a file was opened or read, because we do that ourselves after
//! every event.
//!
//! Events are hints. A slow poll finds what they miss: network mounts, exhausted inotify limits, a directory
//! that was replaced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::clock;

#[cfg(test)]
mod tests;

/// A burst of events is over when nothing happened for this time.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// A burst that does not end is taken as over after this time.
const DEBOUNCE_MAX: Duration = Duration::from_secs(1);
/// How often we look without a reason.
const POLL: Duration = Duration::from_secs(10);

/// Why the file should be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadTrigger {
    /// Something happened in its directory.
    Changed,
    /// The slow poll.
    Poll,
    /// Someone asked: SIGHUP or the admin API. Applies also what was refused or rolled back.
    Forced,
}

impl ReloadTrigger {
    /// Whether content that was seen before is offered again.
    pub const fn force(self) -> bool {
        match self {
            ReloadTrigger::Forced => true,
            ReloadTrigger::Changed | ReloadTrigger::Poll => false,
        }
    }
}

#[derive(Debug, Default)]
struct Asked {
    force: AtomicBool,
    stop: AtomicBool,
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    asked: Arc<Asked>,
    wake: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
    degraded: Option<String>,
}

impl Watcher {
    /// Watches `path` on a thread of its own and calls `on_candidate` there, one call at a time; the first one at
    /// once, for what happened since the file was read.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started. If events are not to be had, the slow poll works alone; see
    /// [`Watcher::degraded`].
    pub fn start(path: &Path, on_candidate: impl Fn(ReloadTrigger) + Send + 'static) -> io::Result<Watcher> {
        Watcher::start_with_poll(path, POLL, on_candidate)
    }

    /// As [`Watcher::start`], for several files, which may become others: `files` is asked before every look.
    ///
    /// # Errors
    ///
    /// As [`Watcher::start`].
    pub fn follow(
        name: &str,
        files: impl Fn() -> Vec<PathBuf> + Send + 'static,
        on_candidate: impl Fn(ReloadTrigger) + Send + 'static,
    ) -> io::Result<Watcher> {
        Watcher::begin(name, files, POLL, on_candidate)
    }

    fn start_with_poll(
        path: &Path,
        poll: Duration,
        on_candidate: impl Fn(ReloadTrigger) + Send + 'static,
    ) -> io::Result<Watcher> {
        let path = path.to_owned();
        Watcher::begin("policy-watch", move || vec![path.clone()], poll, on_candidate)
    }

    fn begin(
        name: &str,
        files: impl Fn() -> Vec<PathBuf> + Send + 'static,
        poll: Duration,
        on_candidate: impl Fn(ReloadTrigger) + Send + 'static,
    ) -> io::Result<Watcher> {
        // Room for one: a wake-up that is pending says all that a second one could.
        let (wake, woken) = mpsc::sync_channel(1);
        let hints = wake.clone();
        let events = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if !event.is_ok_and(|event| is_read(&event.kind)) {
                let _ = hints.try_send(());
            }
        });
        let (events, mut degraded) = match events {
            Ok(events) => (Some(events), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let mut directories = Directories { events, watched: BTreeMap::new() };
        degraded = degraded.or(directories.follow(&files()).err());
        let asked = Arc::new(Asked::default());
        let signals = Signals { asked: asked.clone(), woken, poll };
        let run = move || {
            let mut trigger = Some(ReloadTrigger::Poll);
            while let Some(now) = trigger {
                // Before the files are read: links may lead elsewhere now, or a directory may have been replaced. An
                // error is made up for by the poll.
                let _ = directories.follow(&files());
                on_candidate(now);
                trigger = signals.next();
            }
        };
        let thread = thread::Builder::new().name(name.into()).spawn(run)?;
        Ok(Watcher { asked, wake, thread: Some(thread), degraded })
    }

    /// Asks for a look, since there are other files now. Does not wait for it.
    pub fn wake(&self) {
        let _ = self.wake.try_send(());
    }

    /// Asks for a forced look (SIGHUP). Does not wait for it.
    pub fn force(&self) {
        self.asked.force.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
    }

    /// Why there were no events at the start, so that the slow poll works alone.
    pub fn degraded(&self) -> Option<&str> {
        self.degraded.as_deref()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.asked.stop.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread waits for.
struct Signals {
    asked: Arc<Asked>,
    woken: Receiver<()>,
    poll: Duration,
}

impl Signals {
    /// Why to look next; None = stop.
    fn next(&self) -> Option<ReloadTrigger> {
        let woken = self.woken.recv_timeout(self.poll).is_ok();
        let until = clock::now() + DEBOUNCE_MAX;
        // An in-place edit is truncated first and written then: wait until a burst is over.
        while woken && clock::now() < until && !self.asked() {
            if self.woken.recv_timeout(DEBOUNCE).is_err() {
                break;
            }
        }
        if self.asked.stop.load(Ordering::Acquire) {
            return None;
        }
        Some(match (self.asked.force.swap(false, Ordering::AcqRel), woken) {
            (true, _) => ReloadTrigger::Forced,
            (false, true) => ReloadTrigger::Changed,
            (false, false) => ReloadTrigger::Poll,
        })
    }

    fn asked(&self) -> bool {
        self.asked.stop.load(Ordering::Acquire) || self.asked.force.load(Ordering::Acquire)
    }
}

/// Only what reading a file causes; the end of a write is news.
fn is_read(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => false,
    }
}

/// The directories that decide what the path holds.
struct Directories {
    events: Option<RecommendedWatcher>,
    /// With the identity that the directory had when it was watched.
    watched: BTreeMap<PathBuf, Identity>,
}

impl Directories {
    /// Watches what is needed for these files now. Returns the first error; the poll makes up for it and we try again
    /// with the next look.
    fn follow(&mut self, files: &[PathBuf]) -> Result<(), String> {
        let Some(events) = &mut self.events else { return Ok(()) };
        let needed: BTreeMap<_, _> = files.iter().flat_map(|file| needed_directories(file)).collect();
        for (directory, identity) in std::mem::take(&mut self.watched) {
            if needed.get(&directory) == Some(&identity) {
                self.watched.insert(directory, identity);
            } else {
                // It is gone or another one: then the system has dropped the watch already, and this fails.
                let _ = events.unwatch(&directory);
            }
        }
        let mut result = Ok(());
        for (directory, identity) in needed {
            if self.watched.contains_key(&directory) {
                continue;
            }
            match events.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(directory, identity)),
                Err(error) => result = Err(error.to_string()),
            }
        }
        result
    }
}

/// Device, inode and time of birth: a directory that was removed and made again is another one, and often gets
/// the same inode.
type Identity = (u64, u64, Option<SystemTime>);

fn identity(directory: &Path) -> Option<Identity> {
    let metadata = std::fs::metadata(directory).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some((metadata.dev(), metadata.ino(), metadata.created().ok()))
    }
    #[cfg(not(unix))]
    {
        Some((0, 0, metadata.created().ok()))
    }
}

/// Links followed at most, as many as Linux follows.
const LINKS_MAX: usize = 40;

/// The directory of the path, and that of every link on the way to the file.
fn needed_directories(path: &Path) -> BTreeMap<PathBuf, Identity> {
    let mut needed = BTreeMap::new();
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        if let Some(identity) = identity(&parent) {
            needed.insert(parent.clone(), identity);
        }
        match std::fs::read_link(&path) {
            Ok(target) => path = parent.join(target),
            Err(_) => break,
        }
    }
    needed
}
