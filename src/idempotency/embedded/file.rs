//! The file: who may open it, how it is opened, and what happens to a damaged one.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, TransactionBehavior};

use super::error::OpenError;
use super::{EmbeddedSettings, letters};
use crate::policy::idempotency::Durability;
use crate::reliability::idempotency::Millis;

/// Before it, two connections could overwrite each other's commits. We have one, but ask nobody to rely on that.
const SQLITE_MIN: i32 = 3_051_003;

/// `OUTR`: tells our files from those of others.
const APPLICATION_ID: i64 = 0x4f55_5452;

/// Of the tables.
const VERSION: i64 = 2;

pub(super) const PAGE_BYTES: usize = 4096;

/// Below this there would be no room for the empty tables and a few answers.
const PAGES_MIN: u64 = 32;

/// How often, and how long apart, a lock that another process holds is tried: a second in all.
const LOCK_LOOKS: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Rows of `idem` are written one behind the other, and found by their number. An index on anything else would make
/// each of them touch pages all over the file; a start reads all of them anyway. What it reads comes first.
const TABLES: &str = "
    CREATE TABLE idem (
        n INTEGER PRIMARY KEY, id BLOB NOT NULL, st INTEGER NOT NULL, fp BLOB NOT NULL, nonce BLOB NOT NULL,
        fence INTEGER NOT NULL, att INTEGER NOT NULL, contract INTEGER NOT NULL, amb INTEGER NOT NULL,
        pinned INTEGER NOT NULL, expires INTEGER NOT NULL, route TEXT NOT NULL, boot BLOB NOT NULL,
        created INTEGER NOT NULL, sent INTEGER, done INTEGER, status INTEGER, headers BLOB, body BLOB,
        body_kept INTEGER
    );
    CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value) WITHOUT ROWID;
    INSERT INTO meta VALUES ('secret', randomblob(32));
";

/// Why there is no connection.
pub(super) enum Trouble {
    /// The file is not what it should be: set it aside.
    Damaged(String),
    /// Anything else.
    Refused(OpenError),
}

/// Sorts SQLite's errors by what is to be done about them.
pub(super) fn trouble(path: &Path, error: &Error) -> Trouble {
    let path = path.to_owned();
    match error {
        Error::FromSqlConversionFailure(..)
        | Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::QueryReturnedNoRows => Trouble::Damaged(error.to_string()),
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Damaged(error.to_string()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Refused(OpenError::InUse { path }),
            _ => Trouble::Refused(OpenError::Sqlite { path, error: error.to_string() }),
        },
    }
}

/// Makes the directory, and becomes the file's owner for as long as the result lives. SQLite's own lock comes on top;
/// this one is taken before anything is read or moved.
pub(super) fn own(path: &Path) -> Result<File, OpenError> {
    if rusqlite::version_number() < SQLITE_MIN {
        return Err(OpenError::OldSqlite { version: rusqlite::version().to_owned() });
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| OpenError::Unusable { path: folder.to_owned(), error })?;
    }
    let unusable = |error: io::Error| OpenError::Unusable { path: path.to_owned(), error };
    let lock = private().create(true).truncate(false).open(beside(path, ".lock")).map_err(unusable)?;
    wait_for(&lock).map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse { path: path.to_owned() },
        TryLockError::Error(error) => unusable(error),
    })?;
    match private().create_new(true).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(unusable(error)),
    }
    Ok(lock)
}

/// An owner that is just ending gives it up in a moment: the process before us, or a child of it that has not yet
/// closed what it inherited.
fn wait_for(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_LOOKS {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            other => return other,
        }
    }
    lock.try_lock()
}

/// What is written can be read by its owner only.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// The path with something behind its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens the file, checks it, and makes the tables if it is empty.
pub(super) fn connect(settings: &EmbeddedSettings) -> Result<Connection, Trouble> {
    let path = &settings.path;
    let opened = open(settings).map_err(|error| trouble(path, &error))?;
    let connection = migrated(opened, path)?;
    let verdict = connection.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0));
    match verdict.map_err(|error| trouble(path, &error))? {
        fine if fine == "ok" => Ok(connection),
        found => Err(Trouble::Damaged(found)),
    }
}

fn open(settings: &EmbeddedSettings) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(&settings.path, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    // The writer checkpoints where it can see an error. After one, closing must not write again.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let synchronous = match settings.durability {
        Durability::Process => "NORMAL",
        Durability::Power => "FULL",
    };
    let pages = max_pages(settings.bytes_max);
    // The lock comes before the log, so that no shared-memory file is made; the vacuum mode before the first page.
    connection.execute_batch(&format!(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA page_size = {PAGE_BYTES};
         PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 16777216;
         PRAGMA max_page_count = {pages};
         PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY;
         PRAGMA cell_size_check = ON;
         PRAGMA trusted_schema = OFF;"
    ))?;
    Ok(connection)
}

/// Pages that the file may have.
pub(super) fn max_pages(bytes: u64) -> u64 {
    (bytes / PAGE_BYTES as u64).clamp(PAGES_MIN, u64::from(u32::MAX - 1))
}

/// Pages in use from which on no new key is taken: the rest is for the answers to those that were.
pub(super) fn full_pages(bytes: u64) -> u64 {
    let pages = max_pages(bytes);
    pages - pages / 8
}

fn migrated(mut connection: Connection, path: &Path) -> Result<Connection, Trouble> {
    let found = || -> rusqlite::Result<(i64, i64, i64)> {
        let application = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((application, version, tables))
    };
    match found().map_err(|error| trouble(path, &error))? {
        (APPLICATION_ID, VERSION, _) => return Ok(connection),
        (APPLICATION_ID, version, _) if version > VERSION => {
            return Err(Trouble::Refused(OpenError::Newer { path: path.to_owned(), version }));
        }
        (APPLICATION_ID, version, _) => {
            return Err(Trouble::Refused(OpenError::Older { path: path.to_owned(), version }));
        }
        (0, 0, 0) => {}
        _ => return Err(Trouble::Refused(OpenError::Foreign { path: path.to_owned() })),
    }
    let mut create = || -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(TABLES)?;
        transaction.execute_batch(letters::TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()
    };
    create().map_err(|error| trouble(path, &error))?;
    Ok(connection)
}

/// Moves a damaged file out of the way, its log with it. Somebody may want to look at it, and it may hold secrets.
pub(super) fn quarantine(path: &Path, now: Millis) -> Result<PathBuf, OpenError> {
    let aside = beside(path, &format!(".corrupt-{}", now / 1000));
    let unusable = |error| OpenError::Unusable { path: path.to_owned(), error };
    fs::rename(path, &aside).map_err(unusable)?;
    match fs::rename(beside(path, "-wal"), beside(&aside, "-wal")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
        _ => {}
    }
    private().create_new(true).open(path).map_err(unusable)?;
    Ok(aside)
}
