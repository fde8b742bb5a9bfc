//! How many requests one caller may send, decided from two counts: those of the running window, and those of the one
//! before it.
//!
//! Windows alone would let a caller send twice what it may around their border. So the window before counts as well, by
//! the share of it that is less than one window ago, as if its requests had come evenly. Requests that are refused are
//! not counted: who sends too much gets what it may have, and not nothing.
//!
//! All in whole numbers: `requests × per` is compared with `count × per + before × rest`, so that nothing drifts.

use std::time::Duration;

/// `rateLimit`, as far as it is arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RatePolicy {
    /// So many requests in each window, at least 1.
    pub requests: u32,
    /// The length of a window, at least 1 s.
    pub per: Duration,
    /// So many more in one window, as far as the window before has left them unused; the window after pays for them. At
    /// most `requests`.
    pub burst: u32,
}

/// What is known of one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Requests in the running window, the one that asks included.
    pub current: u64,
    /// Requests in the window before it.
    pub before: u64,
    /// How far the running window has come.
    pub elapsed: Duration,
}

/// Whether a caller's request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It may, and so many more may at this moment.
    Passes {
        /// Requests that would pass now, besides this one.
        left: u32,
        /// Until the running window ends.
        resets: Duration,
    },
    /// It may not.
    Refused {
        /// Whoever waits so long, and sends nothing meanwhile, passes.
        wait: Duration,
    },
}

impl RatePolicy {
    /// Judges the request that `counts` includes.
    pub fn judge(&self, counts: Counts) -> Judged {
        let per = self.per.as_nanos();
        let rest = per.saturating_sub(counts.elapsed.as_nanos());
        let (allowed, used) = (self.allowed(counts.before) * per, self.used(counts, rest));
        if used <= allowed {
            let left = (allowed - used).checked_div(per).unwrap_or(0);
            return Judged::Passes { left: u32::try_from(left).unwrap_or(u32::MAX), resets: duration(rest) };
        }
        Judged::Refused { wait: self.wait(counts, rest) }
    }

    /// Requests that a window may have after one with `before`. Two windows in a row never have more than twice
    /// `requests`.
    fn allowed(&self, before: u64) -> u128 {
        let (requests, burst) = (u64::from(self.requests), u64::from(self.burst));
        let unused = requests.saturating_sub(before).min(burst);
        let owed = before.saturating_sub(requests).min(burst);
        u128::from((requests + unused).saturating_sub(owed))
    }

    fn used(&self, counts: Counts, rest: u128) -> u128 {
        u128::from(counts.current) * self.per.as_nanos() + u128::from(counts.before) * rest
    }

    fn wait(&self, counts: Counts, rest: u128) -> Duration {
        // What fades of the window before may be enough, if it fades before this window ends.
        let room = self.allowed(counts.before).saturating_sub(u128::from(counts.current));
        let fades_to = room * self.per.as_nanos() / u128::from(counts.before.max(1));
        if room > 0 && fades_to > 0 {
            return duration(rest.saturating_sub(fades_to));
        }
        // Else this window has to fade in the next one, where the request that was refused is not counted.
        let before = counts.current.saturating_sub(1);
        let room = self.allowed(before).saturating_sub(1);
        let fades_to = (room * self.per.as_nanos()).checked_div(u128::from(before)).unwrap_or(self.per.as_nanos());
        duration(rest + self.per.as_nanos().saturating_sub(fades_to))
    }
}

fn duration(nanos: u128) -> Duration {
    u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
}

#[cfg(test)]
mod tests;
