//! How attempts and requests end, as far as a verdict tells the endings apart.

use super::classify::{Outcome, Reply};
use super::failure::Failure;
use std::ops::{AddAssign, Sub};

/// One word for how an attempt, or a request, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    /// An answer below 500 that is not 429, or a gRPC call that weighs as one.
    Success,
    /// The endpoint refused the connection.
    Refused,
    /// No connection for another reason, or nobody to connect to.
    Unreachable,
    /// Time was over: of a try, of the request, or between two bytes.
    TimedOut,
    /// The connection ended, or what came over it made no sense.
    Broken,
    /// An answer 5xx.
    Error,
    /// The upstream asks for less: 429, or 503 with Retry-After.
    Overload,
    /// No TLS session: the handshake or a certificate.
    Tls,
    /// The name could not be resolved.
    Dns,
    /// Refused unsent because the breaker is open or the throttle holds it back: a consequence of earlier endings.
    Shed,
    /// Refused by one of our own limits: slots, queue, connections, memory, store.
    OwnLimit,
    /// This proxy failed, is shutting down, or has no route.
    OwnFault,
    /// The caller's mistake: what it sent, or that it left no time.
    CallerFault,
    /// The client left before the answer was complete; or the attempt was given up for another reason that is not the
    /// upstream's.
    Cancelled,
}

impl Ending {
    /// Every ending, in declaration order.
    pub const ALL: [Ending; 14] = [
        Ending::Success,
        Ending::Refused,
        Ending::Unreachable,
        Ending::TimedOut,
        Ending::Broken,
        Ending::Error,
        Ending::Overload,
        Ending::Tls,
        Ending::Dns,
        Ending::Shed,
        Ending::OwnLimit,
        Ending::OwnFault,
        Ending::CallerFault,
        Ending::Cancelled,
    ];

    /// Of an attempt.
    pub const fn of(outcome: &Outcome) -> Ending {
        match outcome.reply {
            Reply::Status(429) => Ending::Overload,
            Reply::Status(503) if outcome.retry_after.is_some() => Ending::Overload,
            Reply::Status(500..) => Ending::Error,
            Reply::Status(_) => Ending::Success,
            Reply::Call(code) => code.ending(outcome.retry_after.is_some()),
            Reply::Failed(failure) => Ending::of_failure(failure),
        }
    }

    /// Of a failure of our own making.
    pub const fn of_failure(failure: Failure) -> Ending {
        match failure {
            Failure::ConnectionRefused => Ending::Refused,
            Failure::ConnectTimeout | Failure::Unroutable | Failure::ConnectFailed | Failure::NoEndpoint => {
                Ending::Unreachable
            }
            Failure::TryTimeout | Failure::DeadlineExceeded | Failure::IdleTimeout => Ending::TimedOut,
            Failure::TlsTimeout | Failure::TlsFailed | Failure::TlsCertificate | Failure::TlsAlert => Ending::Tls,
            Failure::ConnectionTerminated
            | Failure::StreamRefused
            | Failure::StreamReset
            | Failure::ResponseMalformed
            | Failure::ResponseHeadTooLarge
            | Failure::ResponseIncomplete
            | Failure::UpgradeFailed => Ending::Broken,
            Failure::DnsTimeout | Failure::DnsError => Ending::Dns,
            Failure::CircuitOpen | Failure::Throttled => Ending::Shed,
            Failure::QueueFull
            | Failure::QueueTimeout
            | Failure::Shed
            | Failure::ConnectionLimit
            | Failure::Overloaded
            | Failure::StoreUnavailable
            | Failure::StoreFull => Ending::OwnLimit,
            Failure::NoRoute | Failure::LoopDetected | Failure::Draining | Failure::Internal => Ending::OwnFault,
            Failure::BadRequest
            | Failure::MethodNotAllowed
            | Failure::RequestBodyTimeout
            | Failure::RequestBodyIncomplete
            | Failure::RequestBodyTooLarge
            | Failure::DeadlineOnArrival
            | Failure::RateLimited
            | Failure::KeyMissing
            | Failure::KeyMalformed
            | Failure::KeyOfNobody
            | Failure::KeyReused
            | Failure::KeyInProgress
            | Failure::OutcomeUnknown
            | Failure::AnswerNotRetained => Ending::CallerFault,
            Failure::ClientGone | Failure::ClientStalled => Ending::Cancelled,
        }
    }

    /// Whether the upstream did not do what it was asked for, or could not be asked.
    pub const fn is_upstreams_failure(self) -> bool {
        match self {
            Ending::Refused
            | Ending::Unreachable
            | Ending::TimedOut
            | Ending::Broken
            | Ending::Error
            | Ending::Overload
            | Ending::Tls
            | Ending::Dns
            | Ending::Shed => true,
            Ending::Success | Ending::OwnLimit | Ending::OwnFault | Ending::CallerFault | Ending::Cancelled => false,
        }
    }

    /// Whether it says anything of how the service does: what callers do wrong, and that they leave, does not.
    pub const fn counts(self) -> bool {
        !matches!(self, Ending::CallerFault | Ending::Cancelled)
    }
}

/// How many ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endings(pub [u32; Ending::ALL.len()]);

impl Endings {
    /// So many ended so.
    pub const fn get(&self, ending: Ending) -> u32 {
        self.0[ending as usize]
    }

    /// One more.
    pub fn add(&mut self, ending: Ending, count: u32) {
        let slot = &mut self.0[ending as usize];
        *slot = slot.saturating_add(count);
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    fn sum(&self, wanted: impl Fn(Ending) -> bool) -> u64 {
        Ending::ALL.iter().filter(|ending| wanted(**ending)).map(|ending| u64::from(self.get(*ending))).sum()
    }

    /// Those that say something of the service.
    pub fn counted(&self) -> u64 {
        self.sum(Ending::counts)
    }

    /// What came since `earlier`, where both are readings of counters modulo 2^32. Nothing counts to 2^31 between two
    /// looks: a counter that seems to has begun anew, because what it belongs to was replaced.
    pub fn since(&self, earlier: &Endings) -> Endings {
        let came = *self - *earlier;
        if came.0.iter().any(|count| began_anew(*count)) { *self } else { came }
    }

    /// Those that are the upstream's failure.
    pub fn failed(&self) -> u64 {
        self.sum(Ending::is_upstreams_failure)
    }
}

/// Whether a difference of two readings modulo 2^32 says that the counter ran backwards.
pub const fn began_anew(came: u32) -> bool {
    came > u32::MAX / 2
}

impl AddAssign for Endings {
    fn add_assign(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }
}

impl Sub for Endings {
    type Output = Endings;

    /// What came since `other`.
    fn sub(mut self, other: Self) -> Endings {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            // Counters wrap.
            *mine = mine.wrapping_sub(theirs);
        }
        self
    }
}
