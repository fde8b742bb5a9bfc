//! What an outbound call inherits from the inbound request that it is made for.
//!
//! A sidecar sees both: a request that comes in, and the calls that the app makes for it. An app that passes on
//! `traceparent` alone loses attempt number and deadline on the way; the sidecar finds them again by the trace.
//!
//! Several requests of one trace may be with the app at once, and nothing says which of them a call is made for. Then
//! what is inherited is what holds for each of them: the latest deadline and the least attempt number. Nothing is cut
//! off, and no retry denied, because of a request that the call does not belong to.

use std::time::Instant;

/// What the inbound requests of one trace hand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// When the last of them is over.
    pub deadline: Instant,
    /// The attempt number of the one that is furthest from being a retry; 1 = not a retry.
    pub attempt: u32,
}

impl Inherited {
    /// What holds for both.
    #[must_use]
    pub fn and(self, other: Inherited) -> Inherited {
        Inherited { deadline: self.deadline.max(other.deadline), attempt: self.attempt.min(other.attempt) }
    }
}

/// Who sets the deadline of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeadlineFrom {
    /// `timeouts.request`.
    #[default]
    Policy,
    /// Its caller, by a header.
    Caller,
    /// The inbound request that it is made for.
    Trace,
}

impl DeadlineFrom {
    /// The word in logs and stories. None = nothing to say: it is as the policy says.
    pub const fn word(self) -> Option<&'static str> {
        match self {
            DeadlineFrom::Policy => None,
            DeadlineFrom::Caller => Some("caller"),
            DeadlineFrom::Trace => Some("trace"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn of_several_requests_the_latest_deadline_and_the_least_attempt_hold() {
        let now = Instant::now();
        let of = |seconds, attempt| Inherited { deadline: now + Duration::from_secs(seconds), attempt };
        for (one, other, both) in
            [(of(1, 2), of(5, 3), of(5, 2)), (of(5, 2), of(1, 1), of(5, 1)), (of(1, 1), of(1, 1), of(1, 1))]
        {
            assert_eq!(one.and(other), both);
            assert_eq!(other.and(one), both);
        }
    }
}
