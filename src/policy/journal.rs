//! What changed, when, by whom: an append-only journal on disk, and the texts of the last revisions.
//!
//! Files in the state directory, all readable by the owner only:
//!
//! * `changes.jsonl`: one [`Change`] per line, synced to disk before the next change; at [`FILE_BYTES_MAX`] it
//!   becomes `changes.1.jsonl`, whose predecessor is dropped.
//! * `revision-NUMBER.json`: texts of the last [`TEXTS_MAX`] revisions, so that a rollback works after a restart.
//! * `lock`: held while the process runs, so that two processes never write to one journal.
//!
//! The journal never stands in the way of a change: if it cannot be written, the change is made, the loss is
//! counted and [`JournalStatus::error`] says why. Without a state directory everything is kept in memory only,
//! and the status says that too. A line torn by a crash is skipped and the next one starts on a line of its own.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

pub(super) use change::bounded_effect;
pub use change::{Change, ChangeKind, Entry, GUARD, ITSELF, Predecessor};

mod change;
#[cfg(test)]
mod tests;

/// Size at which the journal's file is rotated. Two files exist at most.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// Changes kept in memory for the admin API.
pub const CHANGES_MAX: usize = 256;
/// Revisions whose text is kept.
pub const TEXTS_MAX: usize = 10;

const CURRENT: &str = "changes.jsonl";
const PREVIOUS: &str = "changes.1.jsonl";

/// A policy that was in force, with its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptRevision {
    /// Its number.
    pub revision: u64,
    /// RFC 3339, UTC.
    pub time: String,
    /// As in [`Change`].
    pub source: String,
    /// As in [`Change`].
    pub author: String,
    /// SHA-256 of the text.
    pub hash: String,
    /// The policy file's content.
    pub text: String,
    /// As in [`Change`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How well the journal is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JournalStatus {
    /// The state directory; None = in memory only, lost with the process.
    pub directory: Option<PathBuf>,
    /// Records that could not be written since the process started.
    pub lost: u64,
    /// Why there is no directory although one was asked for, or why the last record was lost.
    pub error: Option<String>,
}

/// The journal. One writer; readers get copies.
#[derive(Debug)]
pub struct Journal {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    changes: VecDeque<Change>,
    texts: VecDeque<KeptRevision>,
    disk: Option<Disk>,
    status: JournalStatus,
    last_revision: u64,
}

impl Journal {
    /// Opens the journal in `directory`, which is made if it is missing. If that fails the journal works in memory
    /// and its status says why; None is in memory by choice.
    pub fn open(directory: Option<&Path>) -> Journal {
        let mut inner = Inner {
            changes: VecDeque::new(),
            texts: VecDeque::new(),
            disk: None,
            status: JournalStatus { directory: None, lost: 0, error: None },
            last_revision: 0,
        };
        if let Some(directory) = directory {
            match Disk::open(directory) {
                Ok((disk, changes, texts)) => {
                    inner.status.directory = Some(directory.to_owned());
                    inner.disk = Some(disk);
                    let numbers = changes.iter().map(|c| c.revision).chain(texts.iter().map(|t| t.revision));
                    inner.last_revision = numbers.max().unwrap_or(0);
                    inner.changes = changes;
                    inner.texts = texts;
                }
                Err(error) => inner.status.error = Some(format!("{}: {error}", directory.display())),
            }
        }
        Journal { inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one change. It is in memory in any case. Waits for the disk: not for the data plane's threads.
    ///
    /// # Errors
    ///
    /// Why it is not on disk although a directory is in use.
    pub fn append(&self, change: Change) -> Result<(), String> {
        let change = change.bounded();
        let mut inner = self.lock();
        inner.last_revision = inner.last_revision.max(change.revision);
        let written = match (&mut inner.disk, serde_json::to_vec(&change)) {
            (None, _) => Ok(()),
            (Some(disk), Ok(line)) => disk.append(line),
            (Some(_), Err(error)) => Err(error.into()),
        };
        push_bounded(&mut inner.changes, change, CHANGES_MAX);
        inner.settle(written)
    }

    /// Keeps the text of a revision and forgets the oldest one.
    ///
    /// # Errors
    ///
    /// As [`Journal::append`].
    pub fn keep_text(&self, revision: KeptRevision) -> Result<(), String> {
        let mut inner = self.lock();
        inner.last_revision = inner.last_revision.max(revision.revision);
        let written = inner.disk.as_ref().map_or(Ok(()), |disk| disk.keep_text(&revision));
        let forgotten = push_bounded(&mut inner.texts, revision, TEXTS_MAX);
        if let (Some(disk), Some(old)) = (&inner.disk, forgotten) {
            disk.forget_text(old.revision);
        }
        inner.settle(written)
    }

    /// The last changes, oldest first.
    pub fn changes(&self) -> Vec<Change> {
        self.lock().changes.iter().cloned().collect()
    }

    /// The revisions whose text is kept, oldest first.
    pub fn texts(&self) -> Vec<KeptRevision> {
        self.lock().texts.iter().cloned().collect()
    }

    /// The highest revision ever recorded; 0 if none.
    pub fn last_revision(&self) -> u64 {
        self.lock().last_revision
    }

    /// How well the journal is kept.
    pub fn status(&self) -> JournalStatus {
        self.lock().status.clone()
    }
}

impl Inner {
    /// `written` fails only if there is a directory.
    fn settle(&mut self, written: io::Result<()>) -> Result<(), String> {
        match written {
            // Without a directory the reason why there is none stays.
            Ok(()) if self.disk.is_none() => Ok(()),
            Ok(()) => {
                self.status.error = None;
                Ok(())
            }
            Err(error) => {
                self.status.lost += 1;
                self.status.error = Some(error.to_string());
                Err(error.to_string())
            }
        }
    }
}

/// Returns what had to go.
fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, max: usize) -> Option<T> {
    let forgotten = if queue.len() >= max { queue.pop_front() } else { None };
    queue.push_back(item);
    forgotten
}

/// The state directory.
#[derive(Debug)]
struct Disk {
    directory: PathBuf,
    file: File,
    bytes: u64,
    /// Released by the system when the process ends, however it ends.
    _lock: File,
}

impl Disk {
    fn open(directory: &Path) -> io::Result<(Disk, VecDeque<Change>, VecDeque<KeptRevision>)> {
        make_private_dir(directory)?;
        let lock = private().append(true).open(directory.join("lock"))?;
        lock.try_lock().map_err(|error| io::Error::other(format!("in use by another process ({error})")))?;
        let mut changes = VecDeque::new();
        for name in [PREVIOUS, CURRENT] {
            for line in read_bounded(&directory.join(name), FILE_BYTES_MAX)?.split(|b| *b == b'\n') {
                // Anything that is no record is the torn end of one: skipped.
                if let Ok(change) = serde_json::from_slice::<Change>(line) {
                    push_bounded(&mut changes, change, CHANGES_MAX);
                }
            }
        }
        let texts = read_texts(directory)?;
        let mut file = private().read(true).append(true).open(directory.join(CURRENT))?;
        let bytes = finish_torn_line(&mut file)?;
        sync_dir(directory)?;
        Ok((Disk { directory: directory.to_owned(), file, bytes, _lock: lock }, changes, texts))
    }

    fn append(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        line.push(b'\n');
        if self.bytes + line.len() as u64 > FILE_BYTES_MAX {
            self.rotate()?;
        }
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        match &written {
            Ok(()) => self.bytes += line.len() as u64,
            // Half a line may be there: cut it off, or count it in if even that fails.
            Err(_) if self.file.set_len(self.bytes).is_ok() => {}
            Err(_) => self.bytes = finish_torn_line(&mut self.file).unwrap_or(self.bytes),
        }
        written
    }

    fn rotate(&mut self) -> io::Result<()> {
        let current = self.directory.join(CURRENT);
        match fs::rename(&current, self.directory.join(PREVIOUS)) {
            // An earlier rotation came this far and could not make the new file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        self.file = private().read(true).append(true).open(current)?;
        self.bytes = 0;
        sync_dir(&self.directory)
    }

    fn text_path(&self, revision: u64) -> PathBuf {
        self.directory.join(format!("revision-{revision}.json"))
    }

    /// Written aside and renamed: a crash leaves the whole file or none.
    fn keep_text(&self, revision: &KeptRevision) -> io::Result<()> {
        let aside = self.directory.join("revision.tmp");
        let mut file = private().write(true).truncate(true).open(&aside)?;
        file.write_all(&serde_json::to_vec(revision)?)?;
        file.sync_all()?;
        fs::rename(aside, self.text_path(revision.revision))?;
        sync_dir(&self.directory)
    }

    fn forget_text(&self, revision: u64) {
        // What stays behind is forgotten at the next start; nothing depends on it.
        let _ = fs::remove_file(self.text_path(revision));
    }
}

/// A file of ours, made if missing, readable by its owner only.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn make_private_dir(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Makes new names in the directory survive a power failure.
fn sync_dir(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Ends a line that a crash tore, so that the next record begins on its own. Returns the file's size.
fn finish_torn_line(file: &mut File) -> io::Result<u64> {
    let bytes = file.seek(SeekFrom::End(0))?;
    if bytes == 0 {
        return Ok(0);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(bytes);
    }
    file.write_all(b"\n")?;
    Ok(bytes + 1)
}

/// The last `max` bytes of a file; nothing if it does not exist.
fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let start = file.metadata()?.len().saturating_sub(max);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The newest [`TEXTS_MAX`] texts, oldest first; older files are removed.
fn read_texts(directory: &Path) -> io::Result<VecDeque<KeptRevision>> {
    let mut numbers: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix("revision-").and_then(|rest| rest.strip_suffix(".json"));
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            numbers.push((number, path));
        }
    }
    numbers.sort();
    let old = numbers.len().saturating_sub(TEXTS_MAX);
    numbers.drain(..old).for_each(|(_, path)| drop(fs::remove_file(path)));
    let mut texts = VecDeque::new();
    for (_, path) in numbers {
        // A text that cannot be read any more is one that cannot be rolled back to; the others still can.
        let bytes = read_bounded(&path, super::store::POLICY_BYTES_MAX as u64 * 8).unwrap_or_default();
        texts.extend(serde_json::from_slice::<KeptRevision>(&bytes).ok());
    }
    Ok(texts)
}
