//! Is this retry helping? Rescued against wasted, per route and class of failure, and what follows from it.
//!
//! A retry is counted once, when it has ended: as rescued if its answer was good and its client still there, else as
//! wasted. So `retries = rescued + wasted` holds at every moment. Transparent retries count as retries: they cost the
//! upstream an attempt as well.
//!
//! The verdict is drawn from the last five minutes. Retries that are shown not to help are held to a probe about every
//! ten seconds, until the probes show that they do. While they are held, too few are made to prove it again; so the
//! verdict stays with the hold.

mod class;
mod counts;
mod harm;
mod holdout;
mod ledger;
mod route;

pub use counts::{Counts, PLACES, Share, Tries};
pub use harm::Harm;
pub use holdout::{Control, Effect};
pub use ledger::{Change, Ended, Ledgers, Rescue, Retried, RouteNumber};
pub use route::Report;

use super::classify::{Outcome, Reply};
use super::ending::Ending;
use super::statistics::{Z95, wilson};
use std::time::Duration;

/// What verdicts are drawn from.
pub const WINDOW: Duration = Duration::from_secs(300);
/// With fewer retries than this nothing is known.
const KNOWN: u64 = 20;
/// Above this share of rescues retries help.
const HELPS: f64 = 0.3;
/// Below this one they do not.
const HELPS_NOT: f64 = 0.1;

/// How a request's first attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureClass {
    /// No connection, or no name.
    Connect,
    /// The connection ended, or what came over it made no sense.
    Reset,
    /// No answer in time.
    Timeout,
    /// An answer that the policy retries.
    Error,
    /// An answer that asks for less.
    Overload,
}

impl FailureClass {
    /// Every class, in declaration order.
    pub const ALL: [FailureClass; 5] = [
        FailureClass::Connect,
        FailureClass::Reset,
        FailureClass::Timeout,
        FailureClass::Error,
        FailureClass::Overload,
    ];

    /// The class of an attempt that failed.
    pub const fn of(outcome: &Outcome) -> FailureClass {
        match (outcome.reply, Ending::of(outcome)) {
            (_, Ending::Overload) => FailureClass::Overload,
            (_, Ending::TimedOut) => FailureClass::Timeout,
            (_, Ending::Broken) => FailureClass::Reset,
            (Reply::Status(_) | Reply::Call(_), _) => FailureClass::Error,
            (Reply::Failed(_), _) => FailureClass::Connect,
        }
    }

    /// The word in the admin API.
    pub const fn token(self) -> &'static str {
        match self {
            FailureClass::Connect => "connect",
            FailureClass::Reset => "reset",
            FailureClass::Timeout => "timeout",
            FailureClass::Error => "error",
            FailureClass::Overload => "overload",
        }
    }
}

/// Whether retries help. Ordered: the worse, the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Helpfulness {
    /// Too few to tell.
    #[default]
    Unknown,
    /// Clearly.
    Helping,
    /// Sometimes, or it is not clear yet.
    Marginal,
    /// Clearly not.
    NotHelping,
    /// Clearly not, and the dependency gets worse under them.
    Harmful,
}

impl Helpfulness {
    /// Every verdict, in declaration order.
    pub const ALL: [Helpfulness; 5] = [
        Helpfulness::Unknown,
        Helpfulness::Helping,
        Helpfulness::Marginal,
        Helpfulness::NotHelping,
        Helpfulness::Harmful,
    ];

    /// The verdict over these retries.
    pub fn of(tries: &Tries, harm: Harm) -> Helpfulness {
        if tries.retries() < KNOWN {
            return Helpfulness::Unknown;
        }
        let (low, high) = wilson(tries.rescued(), tries.retries(), Z95);
        if high < HELPS_NOT {
            return if harm.is_done() { Helpfulness::Harmful } else { Helpfulness::NotHelping };
        }
        if low > HELPS { Helpfulness::Helping } else { Helpfulness::Marginal }
    }

    /// The word in the admin API, metrics and logs.
    pub const fn token(self) -> &'static str {
        match self {
            Helpfulness::Unknown => "unknown",
            Helpfulness::Helping => "helping",
            Helpfulness::Marginal => "marginal",
            Helpfulness::NotHelping => "not-helping",
            Helpfulness::Harmful => "harmful",
        }
    }

    /// Whether retries are held to probes for it.
    pub const fn holds(self) -> bool {
        matches!(self, Helpfulness::NotHelping | Helpfulness::Harmful)
    }
}

#[cfg(test)]
mod tests;
