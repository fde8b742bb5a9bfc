//! What is known of every key, in memory: the truth while the process runs.
//!
//! A key that nobody works on takes 64 bytes and its share of the table, at most 150 bytes right after the table grew.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::{DashMap, Entry as Slot};

use crate::reliability::classify::Contract;
use crate::reliability::idempotency::{Fingerprint, Millis, Nonce, Op, Record, RecordId, State, apply};

/// Growing one of so many tables, with its lock held, takes well under a millisecond for a million keys.
const SHARDS: usize = 64;

const AMBIGUOUS: u8 = 1;
const PINNED: u8 = 2;

/// Every key with a record.
pub(super) struct Index {
    entries: DashMap<RecordId, Entry, BuildHasherDefault<IdHasher>>,
    count: AtomicUsize,
}

/// What is kept of one key.
pub(super) enum Entry {
    /// Nobody works on it.
    Settled(Settled),
    /// Claimed, sent, or in the writer's hands.
    Live(Box<Live>),
}

/// COMPLETE, UNKNOWN or RETRYABLE, in the file, and in nobody's hands. There may be a million of these.
#[derive(Clone, Copy)]
pub(super) struct Settled {
    fingerprint: Fingerprint,
    nonce: Nonce,
    fence: u32,
    attempt: u16,
    /// The low 48 bits, which last for 8,900 years.
    expires: [u8; 6],
    state: State,
    contract: Contract,
    flags: u8,
}

/// A key somebody works on.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    /// `None`: absent, and here only because the writer still has something of it in hand.
    pub record: Option<Record>,
    /// Of the claim, until the row is written.
    pub route: Option<Arc<str>>,
    /// A row of this very record is in the file.
    pub on_disk: bool,
    /// Commands about it in the writer's hands. While there are any, only the writer changes it.
    pub pending: u32,
}

impl Index {
    pub fn with_capacity(keys: usize) -> Index {
        let hasher = BuildHasherDefault::default();
        let entries = DashMap::with_capacity_and_hasher_and_shard_amount(keys, hasher, SHARDS);
        Index { entries, count: AtomicUsize::new(0) }
    }

    /// Keys with a record, expired ones that were not swept yet included.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Runs `act` on what is known of a key, with its part of the index locked.
    pub fn with<T>(&self, id: RecordId, act: impl FnOnce(&mut Live) -> T) -> T {
        match self.entries.entry(id) {
            Slot::Occupied(mut slot) => {
                let out = slot.get_mut().alter(act);
                if slot.get().is_gone() {
                    slot.remove();
                    self.count.fetch_sub(1, Ordering::Relaxed);
                }
                out
            }
            Slot::Vacant(slot) => {
                let mut live = Live::default();
                let out = act(&mut live);
                if !live.is_gone() {
                    slot.insert(Entry::from(live));
                    self.count.fetch_add(1, Ordering::Relaxed);
                }
                out
            }
        }
    }

    /// A record that was read from the file.
    pub fn load(&self, id: RecordId, record: &Record) {
        let entry = Entry::Settled(Settled::from(record));
        if self.entries.insert(id, entry).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A row of this key has expired. Forgets the key if it has, too. Returns whether the row may go.
    pub fn forget(&self, id: RecordId, now: Millis) -> bool {
        self.with(id, |live| {
            if live.pending > 0 {
                return false;
            }
            live.record = live.record.and_then(|record| alive(record, now));
            live.record.is_none() || !live.on_disk
        })
    }

    /// Forgets expired keys of which there is no row.
    pub fn forget_unwritten(&self, now: Millis) {
        let mut gone = 0;
        self.entries.retain(|_, entry| {
            let Entry::Live(live) = entry else { return true };
            let keep = live.pending > 0 || live.on_disk || live.record.and_then(|record| alive(record, now)).is_some();
            gone += usize::from(!keep);
            keep
        });
        self.count.fetch_sub(gone, Ordering::Relaxed);
    }

    /// Bytes of the tables.
    #[cfg(test)]
    pub fn table_bytes(&self) -> usize {
        self.entries.capacity() / 7 * 8 * (size_of::<(RecordId, Entry)>() + 1)
    }
}

/// The record as it is at `now`, if it is still one.
pub(super) fn alive(record: Record, now: Millis) -> Option<Record> {
    apply(Some(record), &Op::Lookup { fingerprint: record.fingerprint }, now).0
}

impl Entry {
    /// Runs `act` on the long form, and keeps the short one afterwards if that will do.
    fn alter<T>(&mut self, act: impl FnOnce(&mut Live) -> T) -> T {
        match self {
            Entry::Live(live) => {
                let out = act(live);
                if let Some(settled) = live.settled() {
                    *self = Entry::Settled(settled);
                }
                out
            }
            Entry::Settled(settled) => {
                let mut live = Live::from(*settled);
                let out = act(&mut live);
                *self = Entry::from(live);
                out
            }
        }
    }

    fn is_gone(&self) -> bool {
        matches!(self, Entry::Live(live) if live.is_gone())
    }
}

impl From<Live> for Entry {
    fn from(live: Live) -> Entry {
        match live.settled() {
            Some(settled) => Entry::Settled(settled),
            None => Entry::Live(Box::new(live)),
        }
    }
}

impl Live {
    fn is_gone(&self) -> bool {
        self.record.is_none() && self.pending == 0
    }

    /// The short form, if nothing is lost by it.
    fn settled(&self) -> Option<Settled> {
        let record = self.record.as_ref().filter(|_| self.pending == 0 && self.on_disk)?;
        match record.state {
            State::Claimed | State::Sent => None,
            State::Complete | State::Unknown | State::Retryable => Some(Settled::from(record)),
        }
    }
}

impl From<Settled> for Live {
    fn from(settled: Settled) -> Live {
        Live { record: Some(settled.record()), route: None, on_disk: true, pending: 0 }
    }
}

impl From<&Record> for Settled {
    fn from(record: &Record) -> Settled {
        let [.., a, b, c, d, e, f] = record.expires.min((1 << 48) - 1).to_be_bytes();
        let flags = u8::from(record.ambiguous) * AMBIGUOUS + u8::from(record.pinned) * PINNED;
        Settled {
            fingerprint: record.fingerprint,
            nonce: record.nonce,
            fence: record.fence,
            attempt: record.attempt,
            expires: [a, b, c, d, e, f],
            state: record.state,
            contract: record.contract,
            flags,
        }
    }
}

impl Settled {
    fn record(&self) -> Record {
        let [a, b, c, d, e, f] = self.expires;
        Record {
            state: self.state,
            fingerprint: self.fingerprint,
            nonce: self.nonce,
            fence: self.fence,
            attempt: self.attempt,
            contract: self.contract,
            ambiguous: self.flags & AMBIGUOUS != 0,
            pinned: self.flags & PINNED != 0,
            // Nobody is at it.
            lease_until: 0,
            expires: Millis::from_be_bytes([0, 0, a, b, c, d, e, f]),
        }
    }
}

/// A record id is the output of a keyed hash already.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.0 = self.0.rotate_left(32) ^ u64::from_le_bytes(word);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
