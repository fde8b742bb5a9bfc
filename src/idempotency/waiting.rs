//! Duplicates that wait for the request that is being executed. Bounded per key and over all keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::Notify;

use crate::reliability::idempotency::RecordId;

/// Waiters for one key, at most.
const PER_KEY_MAX: u32 = 16;
/// …and for all.
const ALL_MAX: u32 = 1_024;

/// Who waits for which key. Requests of different keys meet in no lock.
#[derive(Debug, Default)]
pub struct Waiting {
    keys: DashMap<RecordId, Queue>,
    all: AtomicU32,
}

#[derive(Debug)]
struct Queue {
    bell: Arc<Notify>,
    waiters: u32,
}

/// A place among the waiters; given back when dropped.
#[derive(Debug)]
pub struct Place<'a> {
    waiting: &'a Waiting,
    id: RecordId,
    bell: Arc<Notify>,
}

impl Waiting {
    /// A place, or `None` at a bound.
    pub fn enter(&self, id: RecordId) -> Option<Place<'_>> {
        let one_more = |all: u32| (all < ALL_MAX).then_some(all + 1);
        self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        let mut queue = self.keys.entry(id).or_insert_with(|| Queue { bell: Arc::default(), waiters: 0 });
        if queue.waiters >= PER_KEY_MAX {
            self.all.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        queue.waiters += 1;
        Some(Place { waiting: self, id, bell: Arc::clone(&queue.bell) })
    }

    /// The request with this key has ended, one way or another: look again.
    pub fn wake(&self, id: RecordId) {
        if let Some(queue) = self.keys.get(&id) {
            queue.bell.notify_waiters();
        }
    }
}

impl Place<'_> {
    /// Rings at the next [`Waiting::wake`] from now on, also if it is polled later.
    pub fn bell(&self) -> tokio::sync::futures::Notified<'_> {
        self.bell.notified()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.all.fetch_sub(1, Ordering::Relaxed);
        if let Entry::Occupied(mut queue) = self.waiting.keys.entry(self.id) {
            queue.get_mut().waiters -= 1;
            if queue.get().waiters == 0 {
                queue.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_are_bounded_per_key_and_leave_nothing_behind() {
        let waiting = Waiting::default();
        let id = RecordId([1; 16]);
        let places: Vec<_> = (0..PER_KEY_MAX).map(|_| waiting.enter(id).expect("below the bound")).collect();
        assert!(waiting.enter(id).is_none());
        assert!(waiting.enter(RecordId([2; 16])).is_some());
        drop(places);
        assert!(waiting.enter(id).is_some());
        assert!(waiting.keys.is_empty());
    }

    #[test]
    fn waiters_are_bounded_over_all_keys() {
        let waiting = Waiting::default();
        let id = |n: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            RecordId(id)
        };
        let places: Vec<_> = (0..ALL_MAX).map(|n| waiting.enter(id(n)).expect("below the bound")).collect();
        assert!(waiting.enter(id(ALL_MAX)).is_none());
        drop(places);
        assert_eq!(waiting.all.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_bell_taken_before_the_wake_rings_also_if_it_is_heard_later() {
        let waiting = Waiting::default();
        let id = RecordId([1; 16]);
        let place = waiting.enter(id).expect("below the bound");
        let bell = place.bell();
        waiting.wake(id);
        bell.await;
    }
}
