//! Active health checks: what a row of answers says of an endpoint, and when it is asked next.
//!
//! Passive ejection learns from requests that fail; a check learns without one. What a check says is its own reason to
//! sit out, with its own panic rule: where fewer than half of the set pass, checks are ignored, because it is likelier
//! that the check is wrong than that most endpoints are down, and the rest could not carry the load anyway.
//!
//! An endpoint of which nothing is known yet is used: it was announced, and a sidecar that has just started must not
//! refuse its first requests.

use super::ejection::{self, SetState};
use super::ending::Ending;
use super::entropy::Entropy;
use super::grpc::Code;
use std::fmt;
use std::time::{Duration, Instant};

/// A verdict that is not settled is asked for so much sooner than one that is…
const HASTE: u32 = 5;
/// …but not more often than this.
const SOONEST: Duration = Duration::from_millis(100);
/// Checks are spread, so that a thousand sidecars do not ask in step: an interval is drawn from this range of itself.
const JITTER: (f64, f64) = (0.9, 1.1);

/// `healthCheck` of an upstream, as far as decisions need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    /// between two checks of one endpoint; default 5 s
    pub interval: Duration,
    /// an answer that takes longer is none; default 1 s
    pub timeout: Duration,
    /// passed checks in a row that let an endpoint in again; default 2
    pub healthy: u32,
    /// failed checks in a row that take it out; default 3
    pub unhealthy: u32,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        HealthPolicy { interval: Duration::from_secs(5), timeout: Duration::from_secs(1), healthy: 2, unhealthy: 3 }
    }
}

impl HealthPolicy {
    /// The wait while the next check may change the verdict.
    fn soon(&self) -> Duration {
        (self.interval / HASTE).max(SOONEST).min(self.interval)
    }
}

/// What checks say of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// nothing yet; it is used
    #[default]
    Unknown,
    /// they pass
    Healthy,
    /// they fail
    Unhealthy,
}

impl Standing {
    /// The word in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Standing::Unknown => "unknown",
            Standing::Healthy => "healthy",
            Standing::Unhealthy => "unhealthy",
        }
    }
}

/// Something operators want to know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// it fails its checks now
    Fails,
    /// it passes them again
    Passes,
}

/// The checks of one endpoint. One small lock per endpoint in the shell.
#[derive(Clone, Debug)]
pub struct Health {
    standing: Standing,
    /// results in a row that speak against the standing
    against: u32,
    /// passed checks in a row
    passed: u32,
    due: Instant,
}

impl Health {
    /// Nothing is known. The first check comes soon, and not at the same moment as that of the others.
    pub fn new(now: Instant, policy: &HealthPolicy, entropy: &mut impl Entropy) -> Self {
        let due = now + policy.soon().mul_f64(entropy.unit());
        Health { standing: Standing::Unknown, against: 0, passed: 0, due }
    }

    /// What they say.
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// When the next check is due.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Passed checks in a row.
    pub const fn passed(&self) -> u32 {
        self.passed
    }

    /// A check begins. Until it is recorded there is no other; one that is never recorded is made good for.
    pub fn begin(&mut self, now: Instant, policy: &HealthPolicy) {
        self.due = now + policy.timeout.saturating_mul(2).max(policy.interval);
    }

    /// The block has changed: what is said stays until the new check has its say, which is soon.
    pub fn ask_anew(&mut self, now: Instant, policy: &HealthPolicy, entropy: &mut impl Entropy) {
        (self.against, self.passed) = (0, 0);
        self.due = now + policy.soon().mul_f64(entropy.unit());
    }

    /// A check has ended.
    pub fn record(
        &mut self,
        now: Instant,
        passed: bool,
        policy: &HealthPolicy,
        entropy: &mut impl Entropy,
    ) -> Option<Change> {
        self.passed = if passed { self.passed.saturating_add(1) } else { 0 };
        let change = self.weigh(passed, policy);
        let settled = self.standing != Standing::Unknown && self.against == 0;
        let wait = if settled { policy.interval } else { policy.soon() };
        self.due = now + wait.mul_f64(entropy.between(JITTER.0, JITTER.1));
        change
    }

    fn weigh(&mut self, passed: bool, policy: &HealthPolicy) -> Option<Change> {
        let (next, needed, change) = match (self.standing, passed) {
            // One success is more than is known of it.
            (Standing::Unknown, true) => (Standing::Healthy, 1, None),
            (Standing::Unknown | Standing::Healthy, false) => {
                (Standing::Unhealthy, policy.unhealthy, Some(Change::Fails))
            }
            (Standing::Unhealthy, true) => (Standing::Healthy, policy.healthy, Some(Change::Passes)),
            (Standing::Healthy, true) | (Standing::Unhealthy, false) => {
                self.against = 0;
                return None;
            }
        };
        self.against = self.against.saturating_add(1);
        if self.against < needed.max(1) {
            return None;
        }
        (self.standing, self.against) = (next, 0);
        change
    }
}

/// Who sits out of a set: by its checks, and by ejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bench {
    /// those that fail their checks do; false: so many fail that checks are ignored
    pub failing: bool,
    /// so many of the tripped ones do that pass their checks
    pub ejected: usize,
}

/// `failing`: fail their checks, where these are enforced. `tripped`: tripped, and not failing. Checks go first, because
/// they ask the question that ejection can only guess; both together never leave less than half.
pub fn bench(failing: usize, tripped: usize, total: usize, max_ejected_percent: u32) -> Bench {
    let heeded = ejection::set_state(failing, total) == SetState::Normal;
    let out = if heeded { failing } else { 0 };
    let ejected = ejection::enforced(out + tripped, total, max_ejected_percent).saturating_sub(out);
    Bench { failing: heeded && failing > 0, ejected: ejected.min(tripped) }
}

/// Why a check did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// nobody listens
    Refused,
    /// no connection came about
    Unreachable,
    /// no answer within `timeout`
    TimedOut,
    /// no TLS session came about
    Tls,
    /// the connection broke, or the answer made no sense
    Broken,
    /// a status that is not among `codes`
    Status(u16),
    /// the call ended so
    Call(Code),
    /// the call went well, and said that the service does not
    NotServing,
}

impl Miss {
    /// For verdicts, which compare it with how requests end.
    pub const fn ending(self) -> Ending {
        match self {
            Miss::Refused => Ending::Refused,
            Miss::Unreachable => Ending::Unreachable,
            Miss::TimedOut => Ending::TimedOut,
            Miss::Tls => Ending::Tls,
            Miss::Broken => Ending::Broken,
            Miss::Status(_) | Miss::Call(_) | Miss::NotServing => Ending::Error,
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Refused => f.write_str("connection refused"),
            Miss::Unreachable => f.write_str("no connection"),
            Miss::TimedOut => f.write_str("no answer in time"),
            Miss::Tls => f.write_str("no TLS session"),
            Miss::Broken => f.write_str("connection broken"),
            Miss::Status(status) => write!(f, "answered {status}"),
            Miss::Call(code) => write!(f, "answered {}", code.as_str()),
            Miss::NotServing => f.write_str("NOT_SERVING"),
        }
    }
}

#[cfg(test)]
mod tests;
