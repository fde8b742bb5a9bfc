//! Where records are kept, how many, and what was found there.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Handle;

use super::time::{Clock, system_clock};
use crate::dead_letters::letter::Bounds;
use crate::policy::idempotency::Durability;
use crate::reliability::idempotency::{Record, RecordId};

/// Where records are kept, and how many.
#[derive(Clone)]
pub struct EmbeddedSettings {
    /// The file. Its directory is made if it is missing.
    pub path: PathBuf,
    /// The file's largest size. New keys are refused before it is reached.
    pub bytes_max: u64,
    /// More are refused.
    pub records_max: usize,
    /// What an acknowledged command survives.
    pub durability: Durability,
    /// Commands that may wait for the writer.
    pub queue_max: usize,
    /// How long new keys are refused after a damaged file was set aside.
    pub amnesia_guard: Duration,
    /// Bounds of the dead letters.
    pub letters: Bounds,
    /// Routes (`upstream/route`) that keep letters, with their queues: for requests that were under way when an earlier
    /// process ended.
    pub letter_routes: HashMap<String, String>,
    /// Both clocks.
    pub clock: Clock,
    /// Where the requests run. Answers are handed out there, which is cheaper than to wake it for each of them.
    pub runtime: Option<Handle>,
}

impl EmbeddedSettings {
    /// The defaults: 1 GiB, a million records, safe from the end of the process; the runtime that this is called in.
    pub fn new(path: impl Into<PathBuf>) -> EmbeddedSettings {
        EmbeddedSettings {
            path: path.into(),
            bytes_max: 1 << 30,
            records_max: 1_000_000,
            durability: Durability::Process,
            queue_max: 4096,
            amnesia_guard: Duration::from_secs(300),
            letters: Bounds {
                retention: Duration::from_secs(7 * 24 * 3_600),
                letters_max: 10_000,
                bytes_max: 1 << 29,
                share_max: 100,
            },
            letter_routes: HashMap::new(),
            clock: system_clock(),
            runtime: Handle::try_current().ok(),
        }
    }
}

/// What was found in the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Opened {
    /// Records.
    pub live: usize,
    /// Requests that an earlier process had sent, and whose end nobody knows…
    pub unknown: usize,
    /// …or that may be sent again, because the upstream recognises their keys.
    pub retryable: usize,
    /// Both, one by one; no more than the first thousand.
    pub orphans: Vec<Orphan>,
    /// Letters of such requests that found no room.
    pub letters_lost: u64,
    /// Where the damaged file is now. The store is empty then, and refuses new keys for a while.
    pub quarantined: Option<PathBuf>,
}

/// A request that was under way when an earlier process ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Orphan {
    /// Which record.
    pub id: RecordId,
    /// `upstream/route`.
    pub route: String,
    /// What it is now.
    pub record: Record,
}
