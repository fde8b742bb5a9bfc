//! What the writer and those who ask have in common.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::deliveries::Deliveries;
use super::index::Index;
use super::time::Timekeeper;
use super::trips::Trips;
use crate::dead_letters::letter::Bounds;
use crate::idempotency::store::StoreError;
use crate::reliability::idempotency::{Millis, RecordId};

/// What the writer and those who ask have in common.
pub(super) struct Shared {
    pub index: Index,
    pub time: Timekeeper,
    pub records_max: usize,
    /// New keys are refused until then.
    pub amnesia_until: Millis,
    /// The file has little room left.
    pub full: AtomicBool,
    pub searched: AtomicU64,
    pub deliveries: Deliveries,
    pub closing: AtomicBool,
    pub is_down: AtomicBool,
    pub down: Mutex<String>,
    pub trips: Trips,
    bounds: Mutex<Bounds>,
}

impl Shared {
    pub fn new(
        index: Index,
        time: Timekeeper,
        deliveries: Deliveries,
        records_max: usize,
        amnesia_until: Millis,
        bounds: Bounds,
    ) -> Shared {
        Shared {
            index,
            time,
            records_max,
            amnesia_until,
            full: AtomicBool::new(false),
            searched: AtomicU64::new(0),
            deliveries,
            closing: AtomicBool::new(false),
            is_down: AtomicBool::new(false),
            down: Mutex::default(),
            trips: Default::default(),
            bounds: Mutex::new(bounds),
        }
    }

    /// Of the letters.
    pub fn bounds(&self) -> Bounds {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_bounds(&self, bounds: Bounds) {
        *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
    }

    /// Why no command is taken.
    pub fn refusal(&self) -> Option<StoreError> {
        if self.is_closing() {
            return Some(closed());
        }
        if !self.is_down.load(Ordering::SeqCst) {
            return None;
        }
        let why = self.down.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(StoreError::Unavailable(why))
    }

    /// From now on every command is refused.
    pub fn fall(&self, why: String) {
        *self.down.lock().unwrap_or_else(PoisonError::into_inner) = why;
        self.is_down.store(true, Ordering::SeqCst);
    }

    pub fn rise(&self) {
        self.is_down.store(false, Ordering::SeqCst);
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Whether a key may be taken on. The error: a damaged file was set aside, and this key may have been in it.
    pub fn room_for_one(&self, now: Millis) -> Result<bool, StoreError> {
        if now < self.amnesia_until {
            let left = (self.amnesia_until - now).div_ceil(1000);
            let why = format!("its file was damaged and set aside; new keys are taken in {left} s");
            return Err(StoreError::Unavailable(why));
        }
        Ok(self.index.len() < self.records_max && !self.full.load(Ordering::Relaxed))
    }

    /// The writer has one command less of this key in hand.
    pub fn release(&self, id: RecordId) {
        self.index.with(id, |live| live.pending = live.pending.saturating_sub(1));
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("it is closed".to_owned())
}
