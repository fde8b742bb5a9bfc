//! Who waits for a slot: a line for each class, the higher class first.
//!
//! A line is served in order of arrival as long as it is empty, or its oldest has waited for no longer than
//! [`QueuePolicy::target`], now and then. One of which that was not so for [`QueuePolicy::interval`] is a standing queue (CoDel, Nichols and Jacobson 2012): everybody in it only waits, and nobody
//! is served sooner for it. Then the wait is cut to the target, and the newest is served first (Facebook's
//! adaptive LIFO): the oldest has the least time left, and most likely nobody who still waits for the answer. Lines are
//! judged one by one, so that a class that is served in time keeps its patience while another one is cut.

use super::{QueuePolicy, WAIT_MAX};
use crate::reliability::priority::Criticality;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const CLASSES: usize = Criticality::ALL.len();

/// One turn in so many goes to the lowest class that waits: shed first is not starved.
const TURNS_OF_HIGHER: u8 = 15;

/// A line that is cut is patient again when fewer than one in so many are not served.
const FEW: u32 = 5;

/// What is critical is given this many times the target, and the time in which so many slots come free, before its line is
/// taken for one that stands: it is served first, so that a wait of a few slots is chance and not overload.
const PATIENCE_OF_CRITICAL: u32 = 4;
const SLOTS_OF_CRITICAL: u32 = 8;

/// Names a place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    number: u64,
    class: Criticality,
}

impl Ticket {
    /// Of which class its owner is.
    pub const fn class(self) -> Criticality {
        self.class
    }
}

#[derive(Debug)]
pub(super) struct Entry<W> {
    number: u64,
    since: Instant,
    until: Instant,
    pub(super) waiter: W,
}

/// How a line does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pace {
    /// It was empty lately.
    #[default]
    Calm,
    /// It has not been empty since then.
    Standing(Instant),
    /// Its waits are cut. What happened since then says whether they still must be.
    Cutting { since: Instant, served: u32, refused: u32 },
}

#[derive(Debug)]
struct Line<W> {
    entries: VecDeque<Entry<W>>,
    pace: Pace,
}

impl<W> Default for Line<W> {
    fn default() -> Self {
        Line { entries: VecDeque::new(), pace: Pace::Calm }
    }
}

impl<W> Line<W> {
    /// Brings the pace up to date. A line that is cut stays so as long as more than a few are not served: a single one
    /// who is cut proves nothing, since with so little patience some are also where there is room for all.
    fn look(&mut self, policy: &QueuePolicy, now: Instant) {
        let for_an_interval = |since: Instant| now.saturating_duration_since(since) >= policy.interval;
        let cutting = Pace::Cutting { since: now, served: 0, refused: 0 };
        self.pace = match self.pace {
            Pace::Standing(since) if for_an_interval(since) => cutting,
            Pace::Cutting { since, served, refused } if for_an_interval(since) => {
                match refused.saturating_mul(FEW) >= served && refused > 0 {
                    true => cutting,
                    false if self.entries.is_empty() => Pace::Calm,
                    false => Pace::Standing(now),
                }
            }
            pace => pace,
        };
    }

    fn is_cut(&self) -> bool {
        matches!(self.pace, Pace::Cutting { .. })
    }

    /// Somebody was served, `soon`: within the target.
    fn serve(&mut self, soon: bool) {
        match &mut self.pace {
            Pace::Cutting { served, .. } => *served = served.saturating_add(1),
            Pace::Standing(_) if soon || self.entries.is_empty() => self.pace = Pace::Calm,
            Pace::Standing(_) | Pace::Calm => {}
        }
    }

    /// Somebody was not served.
    fn refuse(&mut self) {
        if let Pace::Cutting { refused, .. } = &mut self.pace {
            *refused = refused.saturating_add(1);
        }
    }
}

/// Everybody who waits.
#[derive(Debug)]
pub(super) struct Queue<W> {
    lines: [Line<W>; CLASSES],
    waiting: u32,
    numbers: u64,
    turns: u8,
    gap: Gap,
}

/// Time between two slots that come free while somebody waits.
#[derive(Debug, Default)]
struct Gap {
    /// None = nobody has waited since.
    last: Option<Instant>,
    mean: Duration,
}

impl Gap {
    /// Somebody was handed a slot; `more`: others wait.
    fn served(&mut self, now: Instant, more: bool) {
        if let Some(last) = self.last {
            // An average over about ten.
            self.mean = (self.mean * 9 + now.saturating_duration_since(last)) / 10;
        }
        self.last = more.then_some(now);
    }
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Queue { lines: Default::default(), waiting: 0, numbers: 0, turns: 0, gap: Gap::default() }
    }
}

impl<W> Queue<W> {
    pub(super) const fn waiting(&self) -> u32 {
        self.waiting
    }

    pub(super) fn line_is_cut(&self, class: Criticality) -> bool {
        self.lines[class as usize].is_cut()
    }

    /// How long a request of this class may wait, if it comes now.
    pub(super) fn patience(&mut self, class: Criticality, policy: Option<&QueuePolicy>, now: Instant) -> Duration {
        let Some(policy) = policy else { return WAIT_MAX };
        let target = self.target(class, policy);
        let line = &mut self.lines[class as usize];
        line.look(policy, now);
        if line.is_cut() && !policy.observe { target } else { WAIT_MAX }
    }

    /// How long one waits in a line of this class that stands.
    fn target(&self, class: Criticality, policy: &QueuePolicy) -> Duration {
        let target = if class < Criticality::Critical {
            policy.target
        } else {
            (policy.target * PATIENCE_OF_CRITICAL).max(self.gap.mean * SLOTS_OF_CRITICAL)
        };
        target.min(WAIT_MAX)
    }

    pub(super) fn push(
        &mut self,
        class: Criticality,
        now: Instant,
        wait: Duration,
        waiter: impl FnOnce() -> W,
    ) -> Ticket {
        let line = &mut self.lines[class as usize];
        if line.pace == Pace::Calm {
            line.pace = Pace::Standing(now);
        }
        let number = self.numbers;
        self.numbers += 1;
        line.entries.push_back(Entry { number, since: now, until: now + wait, waiter: waiter() });
        self.waiting += 1;
        Ticket { number, class }
    }

    /// A request of this class found a slot free.
    pub(super) fn found_free(&mut self, class: Criticality) {
        self.lines[class as usize].serve(true);
    }

    /// A request of this class was turned away.
    pub(super) fn refused(&mut self, class: Criticality) {
        self.lines[class as usize].refuse();
    }

    /// Makes room for a request of `class`: takes out somebody of the lowest class below it, the one who is served last.
    pub(super) fn displace(&mut self, class: Criticality) -> Option<(Criticality, W)> {
        let below = Criticality::ALL.into_iter().take_while(|lower| *lower < class);
        let lower = below.into_iter().find(|lower| !self.lines[*lower as usize].entries.is_empty())?;
        let line = &mut self.lines[lower as usize];
        let entry = if line.is_cut() { line.entries.pop_front() } else { line.entries.pop_back() }?;
        self.waiting -= 1;
        Some((lower, entry.waiter))
    }

    /// Somebody whose time is over, or has waited for longer than is of use. `true`: their own time was over.
    pub(super) fn overdue(
        &mut self,
        policy: Option<&QueuePolicy>,
        now: Instant,
    ) -> Option<(Criticality, bool, Entry<W>)> {
        let policy = policy.filter(|policy| !policy.observe);
        for class in Criticality::ALL {
            let target = policy.map(|policy| self.target(class, policy));
            let line = &mut self.lines[class as usize];
            // Nearly always the oldest; one that came with little time left has a timer of its own.
            let Some(oldest) = line.entries.front() else { continue };
            let expired = oldest.until <= now;
            let waited = now.saturating_duration_since(oldest.since);
            let cut = line.is_cut() && target.is_some_and(|target| waited > target);
            if (expired || cut)
                && let Some(entry) = line.entries.pop_front()
            {
                self.waiting -= 1;
                return Some((class, expired, entry));
            }
        }
        None
    }

    /// Who gets the slot that is free, of the class `least` at least. `true`: a wait that would have been cut.
    pub(super) fn pop(
        &mut self,
        policy: Option<&QueuePolicy>,
        now: Instant,
        least: Criticality,
    ) -> Option<(Criticality, bool, W)> {
        let all = Criticality::ALL.into_iter().filter(|class| *class >= least);
        let mut waiting = all.filter(|class| !self.lines[*class as usize].entries.is_empty());
        let lowest = waiting.next()?;
        let highest = waiting.next_back().unwrap_or(lowest);
        let class = if lowest == highest {
            lowest
        } else if self.turns >= TURNS_OF_HIGHER {
            self.turns = 0;
            lowest
        } else {
            self.turns += 1;
            highest
        };
        let target = policy.map_or(WAIT_MAX, |policy| self.target(class, policy));
        let line = &mut self.lines[class as usize];
        let (mut late, mut soon, mut newest_first) = (false, true, false);
        if let Some(policy) = policy {
            line.look(policy, now);
            newest_first = line.is_cut() && !policy.observe;
            let oldest = line.entries.front().map(|entry| now.saturating_duration_since(entry.since));
            soon = oldest.is_none_or(|waited| waited <= target);
            late = policy.observe && line.is_cut() && !soon;
        }
        let entry = if newest_first { line.entries.pop_back() } else { line.entries.pop_front() }?;
        self.waiting -= 1;
        if late {
            line.refuse();
        } else {
            line.serve(soon);
        }
        self.gap.served(now, self.waiting > 0);
        Some((class, late, entry.waiter))
    }

    /// Takes somebody out who gives up. False: they are not in the queue any more.
    pub(super) fn remove(&mut self, ticket: Ticket) -> bool {
        let line = &mut self.lines[ticket.class as usize];
        let Some(place) = line.entries.iter().position(|entry| entry.number == ticket.number) else { return false };
        line.entries.remove(place);
        self.waiting -= 1;
        true
    }

    /// Somebody's time was over while they waited: the line that they stood in is looked at.
    pub(super) fn gave_up(&mut self, class: Criticality, policy: Option<&QueuePolicy>, now: Instant) {
        if let Some(policy) = policy {
            self.lines[class as usize].look(policy, now);
        }
    }
}
