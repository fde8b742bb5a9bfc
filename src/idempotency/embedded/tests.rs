//! The contract, and what only a file can do.

mod crash;
mod faults;
mod letters;
mod load;
mod places;
mod race;
mod size;
mod time;
mod torn;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::*;
use crate::idempotency::contract::{Fixture, Key, contract_suite};
use crate::idempotency::store::Store;

const START: Millis = 1_800_000_000_000;

/// Both clocks, moved by hand.
#[derive(Clone)]
struct Hands {
    wall: Arc<AtomicU64>,
    monotonic: Arc<AtomicU64>,
}

impl Hands {
    fn new() -> Hands {
        Hands { wall: Arc::new(AtomicU64::new(START)), monotonic: Arc::default() }
    }

    fn clock(&self) -> Clock {
        let hands = self.clone();
        Arc::new(move || Moment {
            wall: hands.wall.load(Ordering::SeqCst),
            monotonic: hands.monotonic.load(Ordering::SeqCst),
        })
    }

    fn advance(&self, ms: Millis) {
        self.wall.fetch_add(ms, Ordering::SeqCst);
        self.monotonic.fetch_add(ms, Ordering::SeqCst);
    }

    fn jump(&self, ms: Millis) {
        self.wall.fetch_add(ms, Ordering::SeqCst);
    }
}

/// A store in a directory that vanishes with it.
struct InFile {
    folder: TempDir,
    hands: Hands,
    settings: EmbeddedSettings,
    store: Mutex<Option<Arc<EmbeddedStore>>>,
}

impl InFile {
    fn new(change: impl FnOnce(&mut EmbeddedSettings)) -> InFile {
        let (folder, hands) = (TempDir::new().unwrap(), Hands::new());
        let mut settings = EmbeddedSettings {
            records_max: 100,
            clock: hands.clock(),
            ..EmbeddedSettings::new(folder.path().join("records/idempotency.db"))
        };
        change(&mut settings);
        let fixture = InFile { folder, hands, settings, store: Mutex::new(None) };
        assert_eq!(fixture.open(), Opened::default());
        fixture
    }

    fn open(&self) -> Opened {
        let (store, opened) = EmbeddedStore::open(&self.settings).unwrap();
        *self.store.lock().unwrap() = Some(Arc::new(store));
        opened
    }

    fn close(&self) {
        let store = self.store.lock().unwrap().take().unwrap();
        store.close();
    }

    fn reopen(&self) -> Opened {
        self.close();
        self.open()
    }

    fn embedded(&self) -> Arc<EmbeddedStore> {
        Arc::clone(self.store.lock().unwrap().as_ref().unwrap())
    }

    fn key(&self, number: u8) -> Key {
        Key::of(self, number)
    }
}

impl Fixture for InFile {
    fn store(&self) -> Arc<dyn Store> {
        self.embedded()
    }

    async fn advance(&self, ms: Millis) {
        self.hands.advance(ms);
    }

    fn now(&self) -> Millis {
        self.hands.wall.load(Ordering::SeqCst)
    }

    async fn restart(&self) -> bool {
        self.reopen();
        true
    }

    fn records_max(&self) -> Option<usize> {
        Some(self.settings.records_max)
    }
}

async fn in_file() -> Option<InFile> {
    Some(InFile::new(|_| {}))
}

contract_suite!(in_file);

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What the file says to a program that reads it after the store is closed.
fn asked<T: rusqlite::types::FromSql>(path: &Path, sql: &str) -> T {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}
