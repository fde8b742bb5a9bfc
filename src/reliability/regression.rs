//! Whether an upstream does clearly worse since a moment, such as a change of policy: the minute before it against what
//! came after it.
//!
//! To accuse wrongly is worse than to miss: a share must have grown so much that chance is out of the question, the
//! trouble must not have been on its way before the moment, and it must still be there.

use std::time::{Duration, Instant};

use super::ending::{Ending, Endings};
use super::statistics::{Z95, Z999, wilson};
use super::verdict::history::{FINE, Latencies, Tick};

#[cfg(test)]
mod tests;

/// So long before the moment is looked at.
pub const BEFORE: Duration = Duration::from_secs(60);
/// So long after the moment is looked at.
pub const AFTER: Duration = Duration::from_secs(60);
/// What ends so soon after the moment may have begun before it.
pub const SETTLING: Duration = Duration::from_secs(2);
/// Trouble that is over is not told: so much of the time after the moment must still show it, ...
pub const RECENT: Duration = Duration::from_secs(2);
/// ... at so many looks in a row, a second apart.
pub const LOOKS: u32 = 3;
/// What is counted in a second cannot be parted: the second in which the moment lies, and a bit for a late look, belong
/// to neither side.
const UNCLEAR: Duration = FINE.saturating_add(Duration::from_millis(250));

/// Requests that each side needs.
const REQUESTS_MIN: u64 = 20;
/// A share must have grown by so much.
const POINTS_MIN: f64 = 0.05;
/// Requests among the recent ones that are enough to say that the trouble is over.
const RECENT_MIN: u64 = 3;
/// The chance of what was seen, were all as before, is less than e to the power of minus this: 1 in 480 million.
const EVIDENCE_MIN: f64 = 20.0;
/// Samples of latency that each side needs. More than requests: neighbours are alike.
const SAMPLES_MIN: u64 = 50;
/// The median latency must have grown by this factor, and by this.
const SLOWER_FACTOR: u32 = 3;
const SLOWER_BY: Duration = Duration::from_millis(20);

/// How long the time right before the moment is taken to be, in seconds, when trouble on its way is looked for.
const EVES: [u64; 4] = [2, 5, 10, 20];
/// Failures on the eve that may be a trend. Fewer are chance.
const TREND_MIN: u64 = 3;
/// An eve with less than one in so many of the requests that were to be expected has stalled.
const STALLED: f64 = 4.0;

/// What was seen of an upstream in the minute before a moment.
#[derive(Clone, Debug)]
pub struct Baseline {
    whole: Tick,
    /// The end of it, for each of [`EVES`].
    eves: [Tick; EVES.len()],
    /// How many looks in a row found it worse.
    bad_looks: u32,
}

/// In what way an upstream does worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Worse {
    /// More requests are not served, whoever is to blame for that.
    Failing(Shares),
    /// More clients leave before they are answered.
    Abandoned(Shares),
    /// Half of the successful attempts take much longer.
    Slower {
        /// Median before the moment.
        before: Duration,
        /// Median since then.
        after: Duration,
    },
}

/// A share before and after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// 0 to 1, and of how many.
    pub before: (f64, u64),
    /// The same since the moment.
    pub after: (f64, u64),
}

/// Some of all.
type Part = (u64, u64);

/// Which requests a share is about.
type Wanted = fn(&Endings) -> Part;

impl Baseline {
    /// Of the moment `at`. `sum`: what happened from one time until another. To be taken soon after `at`, while the
    /// minute is known second by second.
    pub fn take(at: Instant, sum: impl Fn(Instant, Instant) -> Tick) -> Baseline {
        let end = at.checked_sub(UNCLEAR).unwrap_or(at);
        let back = |span: Duration| end.checked_sub(span).unwrap_or(end);
        let whole = sum(back(BEFORE.saturating_sub(UNCLEAR)), end);
        Baseline { whole, eves: EVES.map(|seconds| sum(back(Duration::from_secs(seconds)), end)), bad_looks: 0 }
    }

    /// The same, for another change soon after the first.
    pub fn afresh(self) -> Baseline {
        Baseline { bad_looks: 0, ..self }
    }

    /// Whether it is clearly worse `after` (from [`SETTLING`] after the moment until now), and still is (`recent`: the
    /// last [`RECENT`] of that). To be asked once a second: it must be so [`LOOKS`] times in a row.
    pub fn judge(&mut self, after: &Tick, recent: &Tick) -> Option<Worse> {
        let worse = self.is_worse(after, recent);
        self.bad_looks = if worse.is_some() { self.bad_looks.saturating_add(1) } else { 0 };
        worse.filter(|_| self.bad_looks >= LOOKS)
    }

    fn is_worse(&self, after: &Tick, recent: &Tick) -> Option<Worse> {
        if self.stalled() {
            return None;
        }
        let grown = |wanted: Wanted| self.grown(wanted, after, recent);
        if let Some(shares) = grown(unserved) {
            return Some(Worse::Failing(shares));
        }
        if let Some(shares) = grown(abandoned).filter(|shares| shares.after.0 >= 2.0 * shares.before.0) {
            return Some(Worse::Abandoned(shares));
        }
        self.slower(&after.latencies, &recent.latencies)
    }

    /// A share that has grown beyond chance, was not growing already, and has not shrunk again.
    fn grown(&self, wanted: Wanted, after: &Tick, recent: &Tick) -> Option<Shares> {
        let (before, since, now) = (wanted(&self.whole.requests), wanted(&after.requests), wanted(&recent.requests));
        let (was, is) = (share(before), share(since));
        let clear = before.1 >= REQUESTS_MIN
            && since.1 >= REQUESTS_MIN
            && is - was >= POINTS_MIN
            && bounds(since, Z999).0 > bounds(before, Z999).1
            && evidence(since, bounds(before, Z999).1) >= EVIDENCE_MIN;
        let lasts = now.1 < RECENT_MIN || share(now) - was >= POINTS_MIN;
        (clear && lasts && !self.growing(wanted)).then_some(Shares { before: (was, before.1), after: (is, since.1) })
    }

    /// Whether the share was growing before the moment. 95 % is enough to doubt.
    fn growing(&self, wanted: Wanted) -> bool {
        let whole = wanted(&self.whole.requests);
        self.eves.iter().map(|eve| wanted(&eve.requests)).any(|eve| {
            let rest = (whole.0.saturating_sub(eve.0), whole.1.saturating_sub(eve.1));
            eve.0 >= TREND_MIN && bounds(eve, Z95).0 > bounds(rest, Z95).1
        })
    }

    /// Whether requests had ceased to end before the moment: what hangs fails later.
    fn stalled(&self) -> bool {
        let whole = self.whole.requests.total();
        let length = BEFORE.saturating_sub(UNCLEAR).as_secs_f64();
        EVES.iter().zip(&self.eves).any(|(seconds, eve)| {
            let (seen, seconds) = (eve.requests.total(), *seconds as f64);
            let expected = whole.saturating_sub(seen) as f64 * seconds / (length - seconds);
            expected >= REQUESTS_MIN as f64 && (seen as f64) < expected / STALLED
        })
    }

    /// The least that the median may be now against the most that it may have been before.
    fn slower(&self, after: &Latencies, recent: &Latencies) -> Option<Worse> {
        let most = median(&self.whole.latencies, Z999)?.1;
        let least = median(after, Z999)?.0;
        let much = |now: Duration| now >= most.saturating_mul(SLOWER_FACTOR) && now >= most + SLOWER_BY;
        let lasts = recent.total() < RECENT_MIN || recent.quantile(0.5).is_some_and(much);
        if !much(least) || !lasts || self.slowing() {
            return None;
        }
        let (before, after) = (self.whole.latencies.quantile(0.5)?, after.quantile(0.5)?);
        Some(Worse::Slower { before, after })
    }

    /// Whether the median was growing before the moment: one step of the histogram and a half is enough to doubt.
    fn slowing(&self) -> bool {
        self.eves.iter().any(|eve| {
            let rest = self.whole.since(eve).latencies;
            match (median(&eve.latencies, Z95), median(&rest, Z95)) {
                (Some((eve, _)), Some((_, rest))) => eve > rest.saturating_mul(3) / 2,
                _ => false,
            }
        })
    }
}

/// Requests that were not served, of those that say something of the service. Our own limits count: they are what a
/// policy changes.
fn unserved(endings: &Endings) -> Part {
    let counted = endings.counted();
    (counted.saturating_sub(u64::from(endings.get(Ending::Success))), counted)
}

/// Requests whose clients left.
fn abandoned(endings: &Endings) -> Part {
    (u64::from(endings.get(Ending::Cancelled)), endings.total())
}

fn share((part, whole): Part) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn bounds((part, whole): Part, z: f64) -> (f64, f64) {
    wilson(part, whole, z)
}

/// How much speaks against chance, as the exponent of the bound of Chernoff and Hoeffding on the tail of a binomial: of
/// small shares Wilson's lower bound alone is too generous.
fn evidence((part, whole): Part, at_most: f64) -> f64 {
    let is = share((part, whole));
    if is <= at_most {
        return 0.0;
    }
    let term = |is: f64, was: f64| if is > 0.0 { is * (is / was.max(f64::MIN_POSITIVE)).ln() } else { 0.0 };
    whole as f64 * (term(is, at_most) + term(1.0 - is, 1.0 - at_most))
}

/// Between which two latencies the median lies. None = too few samples.
fn median(latencies: &Latencies, z: f64) -> Option<(Duration, Duration)> {
    let samples = latencies.total();
    if samples < SAMPLES_MIN {
        return None;
    }
    // Of the ranks around the middle: their number is binomial.
    let around = z / (2.0 * (samples as f64).sqrt());
    Some((latencies.quantile((0.5 - around).max(0.0))?, latencies.quantile((0.5 + around).min(1.0))?))
}
