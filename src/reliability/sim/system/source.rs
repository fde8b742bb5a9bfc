//! When the requests of a stream come.

use super::plan::{Arrivals, nanos};
use crate::reliability::entropy::{Entropy, SplitMix};

const SECOND: f64 = 1e9;

/// One stream of requests.
#[derive(Debug)]
pub(super) struct Source<'s> {
    arrivals: &'s Arrivals,
    dice: SplitMix,
    /// When the next one comes; the end of time if none does by itself.
    pub next: u64,
    /// Of counted arrivals: where in which step we are, and how many are still to come in it.
    step: i64,
    left: u32,
    begin: u64,
}

impl<'s> Source<'s> {
    /// `begin`: when the counted part begins.
    pub fn new(arrivals: &'s Arrivals, begin: u64, seed: u64) -> Self {
        let mut source = Source { arrivals, dice: SplitMix::new(seed), next: 0, step: 0, left: 0, begin };
        if let Arrivals::Counted { step, .. } = arrivals {
            // The step in which time begins; the next one is entered first.
            source.step = -i64::try_from(begin.div_ceil(nanos(*step).max(1))).unwrap_or(0) - 1;
        }
        source.advance();
        source
    }

    /// Draws the next one.
    pub fn advance(&mut self) {
        self.next = match self.arrivals {
            Arrivals::Poisson(rate) => {
                let gap = -(1.0 - self.dice.unit()).ln() * SECOND / rate;
                self.next.saturating_add(gap as u64)
            }
            Arrivals::Constant(rate) => self.next.saturating_add((SECOND / rate) as u64),
            Arrivals::Closed(_) => u64::MAX,
            Arrivals::Counted { step, counts } => self.counted(nanos(*step).max(1), counts),
        };
    }

    fn counted(&mut self, step: u64, counts: &[u32]) -> u64 {
        while self.left == 0 {
            self.step += 1;
            let index = usize::try_from(self.step).unwrap_or(0);
            let Some(count) = counts.get(index) else { return u64::MAX };
            self.left = *count;
            self.next = self.edge(self.step, step);
        }
        let end = self.edge(self.step + 1, step);
        // The least of so many that are spread evenly over what is left of the step.
        let share = 1.0 - (1.0 - self.dice.unit()).powf(1.0 / f64::from(self.left));
        self.left -= 1;
        self.next + (end.saturating_sub(self.next) as f64 * share) as u64
    }

    /// Where a step begins; before the counted part they have negative numbers.
    fn edge(&self, number: i64, step: u64) -> u64 {
        let offset = i128::from(number) * i128::from(step);
        u64::try_from((i128::from(self.begin) + offset).max(0)).unwrap_or(u64::MAX)
    }
}
