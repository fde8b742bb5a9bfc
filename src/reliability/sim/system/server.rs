//! An endpoint: what it makes of a request, and how much it does at once.

use super::plan::{Capacity, Cell, EndpointPlan, Fate, FaultKind, Recorded, Spread, nanos};
use crate::reliability::entropy::{Entropy, SplitMix};
use std::collections::VecDeque;
use std::time::Duration;

/// What a fault makes of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Healthy,
    Dead,
    BlackHole,
    Stall,
    Errors { ratio: f64, status: u16 },
    Slow,
    Reset { ratio: f64, after: bool },
}

/// Whether there is a connection to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Open,
    Refuses,
    Silent,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lot {
    pub fate: Fate,
    /// How long the work takes, from its begin; nanoseconds.
    pub work: u64,
}

/// One endpoint.
#[derive(Debug)]
pub(super) struct Server<'s> {
    plan: &'s EndpointPlan,
    mood: Mood,
    slow: Option<&'s Spread>,
    /// Nothing begins before.
    stalled_until: u64,
    pub queue: VecDeque<u32>,
    pub busy: u32,
    dice: SplitMix,
}

impl<'s> Server<'s> {
    pub fn new(plan: &'s EndpointPlan, seed: u64) -> Self {
        let dice = SplitMix::new(seed);
        let (queue, slow) = (VecDeque::new(), None);
        Server { plan, mood: Mood::Healthy, slow, stalled_until: 0, queue, busy: 0, dice }
    }

    pub fn capacity(&self) -> Option<Capacity> {
        self.plan.capacity
    }

    pub fn door(&self) -> Door {
        match self.mood {
            Mood::Dead => Door::Refuses,
            Mood::BlackHole => Door::Silent,
            Mood::Healthy | Mood::Stall | Mood::Errors { .. } | Mood::Slow | Mood::Reset { .. } => Door::Open,
        }
    }

    /// When work that could begin now begins.
    pub fn begins(&self, now: u64) -> u64 {
        now.max(self.stalled_until)
    }

    /// A fault begins, which is over at `until`. Returns whether open connections break.
    pub fn fail(&mut self, kind: &'s FaultKind, until: u64) -> bool {
        self.mood = match kind {
            FaultKind::Dead | FaultKind::Absent => Mood::Dead,
            FaultKind::BlackHole => Mood::BlackHole,
            FaultKind::Stall => Mood::Stall,
            FaultKind::Errors { ratio, status } => Mood::Errors { ratio: *ratio, status: *status },
            FaultKind::Slow(spread) => {
                self.slow = Some(spread);
                Mood::Slow
            }
            FaultKind::Reset { ratio, after } => Mood::Reset { ratio: *ratio, after: *after },
        };
        if matches!(kind, FaultKind::BlackHole | FaultKind::Stall) {
            self.stalled_until = until;
        }
        self.mood == Mood::Dead
    }

    pub fn recover(&mut self) {
        (self.mood, self.slow) = (Mood::Healthy, None);
    }

    /// What becomes of a request of this stream. `since`: the counted part began so long ago.
    pub fn draw(&mut self, stream: usize, since: Duration) -> Lot {
        if let (Mood::Healthy, Some(recorded)) = (self.mood, &self.plan.recorded) {
            return drawn(cell(recorded, stream, since), &mut self.dice);
        }
        let spread = self.slow.unwrap_or(&self.plan.latency);
        let work = spread.draw(&mut self.dice);
        let good = if self.plan.error_ratio > 0.0 && self.dice.unit() < self.plan.error_ratio { 503 } else { 200 };
        match self.mood {
            Mood::Errors { ratio, status } if self.dice.unit() < ratio => Lot { fate: Fate::Answer(status), work },
            Mood::Reset { ratio, after } if self.dice.unit() < ratio => {
                Lot { fate: Fate::Reset { after }, work: if after { work } else { 0 } }
            }
            _ => Lot { fate: Fate::Answer(good), work },
        }
    }
}

fn cell(recorded: &Recorded, stream: usize, since: Duration) -> Option<&Cell> {
    let steps = recorded.steps.get(stream)?;
    let step = (nanos(since) / nanos(recorded.step).max(1)) as usize;
    // What comes after the recording's end is like its end.
    let index = steps.get(step).or(steps.last())?;
    recorded.cells.get(*index as usize)
}

fn drawn(cell: Option<&Cell>, dice: &mut SplitMix) -> Lot {
    let Some(cell) = cell else { return Lot { fate: Fate::Answer(200), work: 0 } };
    let (lot, work) = (dice.unit(), cell.latency.draw(dice));
    let fate = cell.fates.iter().find(|(share, _)| lot < *share).or(cell.fates.last());
    Lot { fate: fate.map_or(Fate::Answer(200), |(_, fate)| *fate), work }
}
