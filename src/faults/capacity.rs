//! How much a scripted upstream serves at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::script::Abandoned;

/// Slots, shared by all connections; who finds none waits in order of arrival.
#[derive(Clone, Debug)]
pub(super) struct Capacity {
    slots: Arc<Semaphore>,
    /// When each free slot was due to come free.
    free: Arc<Mutex<BinaryHeap<Reverse<Instant>>>>,
    pub(super) abandoned: Abandoned,
}

impl Capacity {
    pub(super) fn new(slots: usize, abandoned: Abandoned) -> Self {
        Capacity { slots: Arc::new(Semaphore::new(slots)), free: Arc::default(), abandoned }
    }

    /// Waits for a slot, for work that could have begun at `arrived`.
    pub(super) async fn acquire(&self, arrived: Instant) -> Slot {
        // The semaphore is never closed. A slot without a permit would end with its work all the same.
        let permit = Arc::clone(&self.slots).acquire_owned().await.ok();
        let due = self.free().pop().map_or(arrived, |Reverse(due)| due);
        Slot { begin: due.max(arrived), due: None, capacity: self.clone(), _permit: permit }
    }

    fn free(&self) -> MutexGuard<'_, BinaryHeap<Reverse<Instant>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot that is taken; it comes free when this value is dropped.
pub(super) struct Slot {
    /// When the work in it begins. Timers are up to a millisecond late: work that queued begins when the work
    /// before it was due to end and not when it was seen to end, or the capacity would be less than it says.
    pub(super) begin: Instant,
    /// When it ends.
    pub(super) due: Option<Instant>,
    capacity: Capacity,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Given up early: free now.
        let now = Instant::now();
        self.capacity.free().push(Reverse(self.due.map_or(now, |due| due.min(now))));
    }
}
