//! What happens next: a heap of small entries. Arrivals do not pass through it, so that it stays as small as what is
//! in flight.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What happens. Numbers are places in slabs, stamped with the generation of what lies there: an event about something
/// that has ended meanwhile is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A step of the fault script.
    Change(u32),
    /// A second is over.
    Second,
    /// The endpoint is done with this attempt.
    Served(u32, u32),
    /// The time of this attempt is over, or its answer is there.
    Ended(u32, u32),
    /// A client of a closed loop sends its next request on this stream.
    Again(u32),
    /// A wait of this request is over.
    Wake(u32, u32),
}

/// Events in order of time; those of one instant in order of insertion.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<(u64, u32, Event)>>,
    inserted: u32,
}

impl Queue {
    pub fn at(&mut self, time: u64, event: Event) {
        self.heap.push(Reverse((time, self.inserted, event)));
        // Wraps only after as many events as no instant has.
        self.inserted = self.inserted.wrapping_add(1);
    }

    pub fn time(&self) -> u64 {
        self.heap.peek().map_or(u64::MAX, |Reverse((time, _, _))| *time)
    }

    pub fn pop(&mut self) -> Option<(u64, Event)> {
        let Reverse((time, _, event)) = self.heap.pop()?;
        Some((time, event))
    }
}
