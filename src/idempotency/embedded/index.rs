//! What is known of every key, in memory: the truth while the process runs.
//!
//! It also knows where in the file each record is, so that the file needs no index of its own, and a record can be
//! written where that costs least: at the end.
//!
//! A key that nobody works on takes 64 bytes and its share of the table, at most 150 bytes right after the table grew.

use std::array;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rows::RowId;
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::{Fingerprint, Millis, Nonce, Op, Record, RecordId, State, apply};

/// Growing one of so many tables, or looking through it, with its lock held, takes well under a millisecond for a
/// million keys. A power of two.
pub(super) const PARTS: usize = 64;

const AMBIGUOUS: u8 = 1;
const PINNED: u8 = 2;
const ATOMIC_5XX: u8 = 4;
const DEDUPES: u8 = 8;

/// Every key with a record.
pub(super) struct Index {
    parts: [Mutex<Part>; PARTS],
    count: AtomicUsize,
}

type Part = HashMap<RecordId, Entry, BuildHasherDefault<IdHasher>>;

/// What is kept of one key.
pub(super) enum Entry {
    /// Nobody works on it.
    Settled(Settled),
    /// Claimed, sent, or in the writer's hands.
    Live(Box<Live>),
}

/// COMPLETE, UNKNOWN or RETRYABLE, in the file, and in nobody's hands. There may be a million of these. What does not
/// fit into the short numbers is kept in the long form.
#[derive(Clone, Copy)]
pub(super) struct Settled {
    fingerprint: Fingerprint,
    nonce: Nonce,
    fence: u8,
    attempt: u8,
    /// The low 48 bits, which last for 8,900 years.
    expires: [u8; 6],
    row: [u8; 6],
    state: State,
    /// Contract included.
    flags: u8,
}

/// A key somebody works on.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    /// `None`: absent, and here only because the writer still has something of it in hand.
    pub record: Option<Record>,
    /// Of the claim, until the row is written.
    pub route: Option<Arc<str>>,
    /// A row in the file: of this record, or of one with the same key before it, which has expired.
    pub row: Option<RowId>,
    /// It is of this very record.
    pub on_disk: bool,
    /// Commands about it in the writer's hands. While there are any, only the writer changes it.
    pub pending: u32,
}

impl Index {
    pub fn new() -> Index {
        Index { parts: array::from_fn(|_| Mutex::default()), count: AtomicUsize::new(0) }
    }

    /// Keys with a record, expired ones that were not swept yet included.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Ids are spread evenly, all bits of them.
    fn part_of(&self, id: RecordId) -> MutexGuard<'_, Part> {
        let [first, ..] = id.0;
        self.part(usize::from(first))
    }

    fn part(&self, number: usize) -> MutexGuard<'_, Part> {
        self.parts[number % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on what is known of a key, with its part of the index locked.
    pub fn with<T>(&self, id: RecordId, act: impl FnOnce(&mut Live) -> T) -> T {
        match self.part_of(id).entry(id) {
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

    /// A record that was read from the file. Returns the row of the same key that was read before, if there was one.
    pub fn load(&self, id: RecordId, row: RowId, record: &Record) -> Option<RowId> {
        let live = Live { record: Some(*record), route: None, row: Some(row), on_disk: true, pending: 0 };
        let before = self.part_of(id).insert(id, Entry::from(live));
        if before.is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        before.and_then(|entry| entry.row())
    }

    /// Looks for what has expired in one of the [`PARTS`]. Forgets what has no row, and tells the rows of the others.
    pub fn expired(&self, part: usize, now: Millis, found: &mut Vec<(RowId, RecordId)>) {
        let mut gone = 0;
        self.part(part).retain(|id, entry| {
            if !entry.is_over(now) {
                return true;
            }
            let row = entry.row();
            found.extend(row.map(|row| (row, *id)));
            gone += usize::from(row.is_none());
            row.is_some()
        });
        self.count.fetch_sub(gone, Ordering::Relaxed);
    }

    /// Whether nobody needs this row. No for those of which the writer has a command in hand.
    pub fn is_stale(&self, id: RecordId, row: RowId, now: Millis) -> bool {
        self.with(id, |live| live.row != Some(row) || live.pending == 0 && !(live.on_disk && live.is_alive(now)))
    }

    /// This row is not in the file any more. Forgets the record as well, unless the key was claimed again meanwhile.
    pub fn forget(&self, id: RecordId, row: RowId, now: Millis) {
        self.with(id, |live| {
            if live.row == Some(row) {
                live.row = None;
                live.on_disk = false;
                live.record = live.record.filter(|_| live.is_alive(now));
            }
        });
    }

    /// Bytes of the tables.
    #[cfg(test)]
    pub fn table_bytes(&self) -> usize {
        let places: usize = (0..PARTS).map(|part| self.part(part).capacity() / 7 * 8).sum();
        places * (size_of::<(RecordId, Entry)>() + 1)
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

    fn row(&self) -> Option<RowId> {
        match self {
            Entry::Settled(settled) => Some(settled.row()),
            Entry::Live(live) => live.row,
        }
    }

    /// It has expired, and the writer has nothing of it in hand.
    fn is_over(&self, now: Millis) -> bool {
        match self {
            // Nearly all of them are of this kind, and have not.
            Entry::Settled(settled) => settled.flags & PINNED == 0 && settled.expires() <= now,
            Entry::Live(live) => live.pending == 0 && !live.is_alive(now),
        }
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
        self.record.is_none() && self.pending == 0 && self.row.is_none()
    }

    fn is_alive(&self, now: Millis) -> bool {
        self.record.and_then(|record| alive(record, now)).is_some()
    }

    /// The short form, if nothing is lost by it.
    fn settled(&self) -> Option<Settled> {
        let record = self.record.as_ref().filter(|_| self.pending == 0 && self.on_disk)?;
        match record.state {
            State::Claimed | State::Sent => None,
            State::Complete | State::Unknown | State::Retryable => Settled::of(record, self.row?),
        }
    }
}

impl From<Settled> for Live {
    fn from(settled: Settled) -> Live {
        Live { record: Some(settled.record()), route: None, row: Some(settled.row()), on_disk: true, pending: 0 }
    }
}

impl Settled {
    fn of(record: &Record, row: RowId) -> Option<Settled> {
        Some(Settled {
            fingerprint: record.fingerprint,
            nonce: record.nonce,
            fence: u8::try_from(record.fence).ok()?,
            attempt: u8::try_from(record.attempt).ok()?,
            expires: short(record.expires.min(SHORT_MAX))?,
            row: short(u64::try_from(row.0).ok()?)?,
            state: record.state,
            flags: u8::from(record.ambiguous) * AMBIGUOUS
                + u8::from(record.pinned) * PINNED
                + match record.contract {
                    Contract::Opaque => 0,
                    Contract::Atomic5xx => ATOMIC_5XX,
                    Contract::Dedupes => DEDUPES,
                },
        })
    }

    fn contract(&self) -> Contract {
        match self.flags & (ATOMIC_5XX | DEDUPES) {
            DEDUPES => Contract::Dedupes,
            ATOMIC_5XX => Contract::Atomic5xx,
            _ => Contract::Opaque,
        }
    }

    fn row(&self) -> RowId {
        // It has come from one, and has 48 bits.
        RowId(long(self.row).cast_signed())
    }

    fn expires(&self) -> Millis {
        long(self.expires)
    }

    fn record(&self) -> Record {
        Record {
            state: self.state,
            fingerprint: self.fingerprint,
            nonce: self.nonce,
            fence: self.fence.into(),
            attempt: self.attempt.into(),
            contract: self.contract(),
            ambiguous: self.flags & AMBIGUOUS != 0,
            pinned: self.flags & PINNED != 0,
            // Nobody is at it.
            lease_until: 0,
            expires: self.expires(),
        }
    }
}

/// Of 48 bits.
const SHORT_MAX: u64 = (1 << 48) - 1;

fn short(number: u64) -> Option<[u8; 6]> {
    let [0, 0, a, b, c, d, e, f] = number.to_be_bytes() else { return None };
    Some([a, b, c, d, e, f])
}

fn long([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
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
