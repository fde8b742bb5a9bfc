//! What an outcome means: success or not, retryable or not, and whose fault.
//!
//! The rule that matters most: an unsafe request without a contract is never sent twice unless it is
//! proven that nothing of it was processed.

use super::attempts::{Denied, RetryPolicy};
use super::breaker::Signal;
use super::budget::RetryClass;
use super::ejection::EndpointSignal;
use super::failure::{Failure, Sent};
use super::grpc::{Code, Pushback};
use std::time::Duration;

/// What came back for one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The head of an answer with this status.
    Status(u16),
    /// The end of a gRPC call, whatever its HTTP status.
    Call(Code),
    /// No answer.
    Failed(Failure),
}

/// What a proxy of our kind on the other side says of an answer that is not good. Either way a repetition would
/// meet the same proxy in the same state, so there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerMark {
    /// Nothing.
    None,
    /// It tried: its retries are exhausted or denied.
    GaveUp,
    /// It did not try: its own breaker or throttle is in force. Cheap, and no news of the service behind it. If
    /// this counted as a failure, the breakers of a chain would keep each other open: each one's probe would
    /// find the next one open.
    Refused,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What came back.
    pub reply: Reply,
    /// How much of the request the upstream may have seen. An answer counts as `Yes` whatever is said here.
    pub sent: Sent,
    /// Retry-After of the answer (429, 503) or pushback of the call, capped at 300 s by whoever parsed it.
    pub retry_after: Option<Duration>,
    /// What a proxy behind this attempt says of its own efforts (`x-outrigger-retry`).
    pub mark: PeerMark,
}

impl Outcome {
    /// An answer with `status` and nothing special about it.
    pub const fn answered(status: u16) -> Self {
        Outcome { reply: Reply::Status(status), sent: Sent::Yes, retry_after: None, mark: PeerMark::None }
    }

    /// A gRPC call that ended with this code, and what its server says of retries.
    pub const fn called(code: Code, pushback: Pushback) -> Self {
        let mark = if matches!(pushback, Pushback::Never) { PeerMark::GaveUp } else { PeerMark::None };
        Outcome { reply: Reply::Call(code), sent: Sent::Yes, retry_after: pushback.hint(), mark }
    }

    /// A failure without an answer.
    pub const fn failed(failure: Failure, sent: Sent) -> Self {
        Outcome { reply: Reply::Failed(failure), sent, retry_after: None, mark: PeerMark::None }
    }
}

/// What the upstream promises for unsafe methods (`idempotency.contract`, or `retry.methods`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// Nothing. Only what provably was not processed may be sent again.
    Opaque,
    /// A received 5xx had no effect. Timeouts and resets stay unknown.
    Atomic5xx,
    /// It recognises a repeated request by its key: any attempt may be repeated.
    Dedupes,
}

impl Contract {
    /// The word in the policy, the admin API and stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Contract::Opaque => "opaque",
            Contract::Atomic5xx => "atomic5xx",
            Contract::Dedupes => "dedupes",
        }
    }

    /// The contract with this word.
    pub fn of(word: &str) -> Option<Contract> {
        [Contract::Opaque, Contract::Atomic5xx, Contract::Dedupes].into_iter().find(|c| c.as_str() == word)
    }
}

/// `retry.retryOn` as flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// `connect-failure`: no connection, so nothing was sent. Name resolution included.
    pub connect_failure: bool,
    /// `refused-stream`: the peer says that it did not process the request.
    pub refused_stream: bool,
    /// `reset`: the connection ended, or its bytes made no sense, before the answer was complete.
    pub reset: bool,
    /// `timeout`: one attempt took longer than `timeouts.backendRequest`.
    pub timeout: bool,
}

impl RetryOn {
    /// The default of the policy file: all four.
    pub const ALL: RetryOn = RetryOn { connect_failure: true, refused_stream: true, reset: true, timeout: true };
}

/// A set of status codes 100..=599, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StatusSet([u64; 8]);

impl StatusSet {
    /// Word and bit of a status; None outside of 100..=599.
    fn place(status: u16) -> Option<(usize, u64)> {
        let index = status.checked_sub(100).filter(|index| *index < 500)?;
        Some((usize::from(index / 64), 1 << (index % 64)))
    }

    /// Adds a status. Anything outside of 100..=599 is no status and is left out.
    pub fn insert(&mut self, status: u16) {
        if let Some((word, bit)) = Self::place(status) {
            self.0[word] |= bit;
        }
    }

    /// Whether the status was inserted.
    pub fn contains(&self, status: u16) -> bool {
        Self::place(status).is_some_and(|(word, bit)| self.0[word] & bit != 0)
    }

    /// All members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (100..600).filter(|status| self.contains(*status))
    }
}

impl FromIterator<u16> for StatusSet {
    fn from_iter<I: IntoIterator<Item = u16>>(codes: I) -> Self {
        let mut set = StatusSet::default();
        codes.into_iter().for_each(|code| set.insert(code));
        set
    }
}

/// A retry that policy and safety permit. Budget, deadline and breaker are still to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// What it costs. `Transparent` is an upper bound: only one per request is free.
    pub class: RetryClass,
    /// It is free only on another endpoint: this one cannot be connected to.
    pub elsewhere: bool,
    /// The server's own minimum delay.
    pub hint: Option<Duration>,
}

/// What one outcome means for its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is good. Deposits into the budget, or rescues.
    Success,
    /// Not good, and nothing that the policy retries.
    Final,
    /// May be retried.
    Retry(Retry),
    /// The policy would retry it, but it is not safe or the peer forbids it.
    Denied(Denied),
}

/// Which word of `retryOn` covers a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Connect,
    Resolve,
    Reset,
    Timeout,
    Never,
}

/// Decides about one outcome. `idempotent`: the method is, by RFC 9110 §9.2.2.
pub fn classify(outcome: &Outcome, policy: &RetryPolicy, idempotent: bool) -> Verdict {
    match outcome.reply {
        Reply::Status(status) => classify_status(status, outcome, policy, idempotent),
        Reply::Call(code) => classify_call(code, outcome, policy, idempotent),
        Reply::Failed(failure) => classify_failure(failure, outcome, policy, idempotent),
    }
}

fn classify_status(status: u16, outcome: &Outcome, policy: &RetryPolicy, idempotent: bool) -> Verdict {
    if !policy.codes.contains(status) {
        return if status < 500 && status != 429 { Verdict::Success } else { Verdict::Final };
    }
    let safe = idempotent
        || match policy.contract {
            Contract::Dedupes => true,
            Contract::Atomic5xx => status >= 500,
            Contract::Opaque => false,
        };
    let overload = status == 429 || (status == 503 && outcome.retry_after.is_some());
    let class = if overload { RetryClass::Overload } else { RetryClass::Ordinary };
    permit(safe, outcome, Retry { class, elsewhere: false, hint: outcome.retry_after })
}

fn classify_call(code: Code, outcome: &Outcome, policy: &RetryPolicy, idempotent: bool) -> Verdict {
    if !policy.grpc_codes.contains(code) {
        return if code.is_failure() { Verdict::Final } else { Verdict::Success };
    }
    let safe = policy.may_repeat(idempotent) || code.is_not_executed(policy.contract);
    let overload = code == Code::ResourceExhausted || (code == Code::Unavailable && outcome.retry_after.is_some());
    let class = if overload { RetryClass::Overload } else { RetryClass::Ordinary };
    permit(safe, outcome, Retry { class, elsewhere: false, hint: outcome.retry_after })
}

fn classify_failure(failure: Failure, outcome: &Outcome, policy: &RetryPolicy, idempotent: bool) -> Verdict {
    let (trigger, on) = (trigger(failure), policy.on);
    let unprocessed = outcome.sent == Sent::No;
    let wanted = match trigger {
        Trigger::Connect | Trigger::Resolve => on.connect_failure,
        // Unprocessed: a pooled connection that was closed before we wrote, or a refused stream.
        Trigger::Reset if unprocessed => on.connect_failure || on.refused_stream || on.reset,
        Trigger::Reset => on.reset,
        Trigger::Timeout => on.timeout,
        Trigger::Never => false,
    };
    if !wanted {
        return Verdict::Final;
    }
    let class = match trigger {
        Trigger::Connect | Trigger::Reset if unprocessed => RetryClass::Transparent,
        // Another endpoint does not help a name that does not resolve, so this one waits and pays.
        Trigger::Connect | Trigger::Reset | Trigger::Resolve | Trigger::Timeout | Trigger::Never => {
            RetryClass::Ordinary
        }
    };
    let safe = unprocessed || policy.may_repeat(idempotent);
    permit(safe, outcome, Retry { class, elsewhere: trigger == Trigger::Connect, hint: outcome.retry_after })
}

fn permit(safe: bool, outcome: &Outcome, retry: Retry) -> Verdict {
    if !safe {
        Verdict::Denied(Denied::NotIdempotent)
    } else if outcome.mark != PeerMark::None {
        Verdict::Denied(Denied::Pushback)
    } else {
        Verdict::Retry(retry)
    }
}

const fn trigger(failure: Failure) -> Trigger {
    match failure {
        // The limit of connections is this endpoint's: another one may have room.
        Failure::ConnectionRefused
        | Failure::ConnectTimeout
        | Failure::Unroutable
        | Failure::ConnectFailed
        | Failure::TlsTimeout
        | Failure::TlsFailed
        | Failure::TlsCertificate
        | Failure::TlsAlert
        | Failure::ConnectionLimit => Trigger::Connect,
        Failure::DnsTimeout | Failure::DnsError => Trigger::Resolve,
        Failure::ConnectionTerminated
        | Failure::StreamRefused
        | Failure::StreamReset
        | Failure::ResponseMalformed
        | Failure::ResponseIncomplete => Trigger::Reset,
        Failure::TryTimeout | Failure::IdleTimeout => Trigger::Timeout,
        Failure::BadRequest
        | Failure::MethodNotAllowed
        | Failure::RequestBodyTimeout
        | Failure::RequestBodyIncomplete
        | Failure::ClientGone
        | Failure::ClientStalled
        | Failure::NoRoute
        | Failure::LoopDetected
        | Failure::DeadlineOnArrival
        | Failure::RateLimited
        | Failure::CircuitOpen
        | Failure::Throttled
        | Failure::QueueFull
        | Failure::QueueTimeout
        | Failure::Shed
        | Failure::Draining
        | Failure::NoEndpoint
        | Failure::DeadlineExceeded
        | Failure::ResponseHeadTooLarge
        | Failure::UpgradeFailed
        | Failure::KeyMissing
        | Failure::KeyMalformed
        | Failure::KeyOfNobody
        | Failure::KeyReused
        | Failure::RequestBodyTooLarge
        | Failure::Overloaded
        | Failure::KeyInProgress
        | Failure::OutcomeUnknown
        | Failure::AnswerNotRetained
        | Failure::StoreUnavailable
        | Failure::StoreFull
        | Failure::Internal => Trigger::Never,
    }
}

/// A call as the answer that weighs the same.
const fn weighed(reply: Reply) -> Reply {
    match reply {
        Reply::Call(code) => Reply::Status(code.as_status()),
        Reply::Status(_) | Reply::Failed(_) => reply,
    }
}

/// What the breaker of the dependency learns.
pub const fn signal(outcome: &Outcome) -> Signal {
    match weighed(outcome.reply) {
        Reply::Status(429) => Signal::Overload,
        Reply::Status(500..) if matches!(outcome.mark, PeerMark::Refused) => Signal::Ignored,
        Reply::Status(500..) => Signal::Failure,
        Reply::Status(_) | Reply::Call(_) => Signal::Success,
        Reply::Failed(failure) => match blame(failure) {
            Blame::Endpoint | Blame::Answer | Blame::Dependency => Signal::Failure,
            Blame::Nobody => Signal::Ignored,
        },
    }
}

/// What the health of the endpoint learns.
pub const fn endpoint_signal(outcome: &Outcome) -> EndpointSignal {
    match weighed(outcome.reply) {
        Reply::Status(429) => EndpointSignal::Overload,
        Reply::Status(500..) if matches!(outcome.mark, PeerMark::Refused) => EndpointSignal::Refused,
        Reply::Status(502..=504) => EndpointSignal::Hard,
        Reply::Status(500..) => EndpointSignal::Soft,
        Reply::Status(_) | Reply::Call(_) => EndpointSignal::Success,
        Reply::Failed(failure) => match blame(failure) {
            Blame::Endpoint => EndpointSignal::Hard,
            Blame::Answer => EndpointSignal::Soft,
            Blame::Dependency | Blame::Nobody => EndpointSignal::Ignored,
        },
    }
}

/// Whether the dependency took the request on, for the throttle: an answer that is not itself a refusal.
/// A plain 500 is an answer; throttling would not make it better.
pub const fn is_accepted(outcome: &Outcome) -> bool {
    match weighed(outcome.reply) {
        Reply::Status(status) => !matches!(status, 429 | 502..=504),
        Reply::Call(_) => true,
        Reply::Failed(_) => false,
    }
}

/// Whether a deadline cut the attempt off before the dependency's usual time (`typical`, the p50 of its
/// successes). Such an outcome says something about the caller, not about the dependency: a caller with
/// tiny deadlines must not open the breaker for all the others.
pub fn is_cut_short(outcome: &Outcome, elapsed: Duration, typical: Option<Duration>) -> bool {
    // A server that was told of the deadline gives up a little before we do.
    let by_deadline =
        matches!(outcome.reply, Reply::Failed(Failure::DeadlineExceeded) | Reply::Call(Code::DeadlineExceeded));
    by_deadline && typical.is_some_and(|typical| elapsed < typical)
}

/// Whose health a failure speaks of.
enum Blame {
    /// This endpoint, plainly.
    Endpoint,
    /// This endpoint answered, but badly.
    Answer,
    /// The dependency as a whole; no endpoint was reached.
    Dependency,
    /// The client, ourselves, or this one request.
    Nobody,
}

const fn blame(failure: Failure) -> Blame {
    match failure {
        Failure::ConnectionRefused
        | Failure::ConnectTimeout
        | Failure::Unroutable
        | Failure::ConnectFailed
        | Failure::TlsTimeout
        | Failure::TlsFailed
        | Failure::TlsCertificate
        | Failure::TlsAlert
        | Failure::ConnectionTerminated
        | Failure::TryTimeout
        | Failure::DeadlineExceeded
        | Failure::IdleTimeout
        | Failure::ResponseMalformed
        | Failure::ResponseIncomplete => Blame::Endpoint,
        // The connection lives, and other requests go on over it.
        Failure::ResponseHeadTooLarge | Failure::StreamRefused | Failure::StreamReset => Blame::Answer,
        Failure::DnsTimeout | Failure::DnsError | Failure::NoEndpoint => Blame::Dependency,
        // A refused upgrade depends on what was asked for, not on health.
        Failure::UpgradeFailed
        | Failure::BadRequest
        | Failure::MethodNotAllowed
        | Failure::RequestBodyTimeout
        | Failure::RequestBodyIncomplete
        | Failure::ClientGone
        | Failure::ClientStalled
        | Failure::NoRoute
        | Failure::LoopDetected
        | Failure::DeadlineOnArrival
        | Failure::RateLimited
        | Failure::CircuitOpen
        | Failure::Throttled
        | Failure::QueueFull
        | Failure::QueueTimeout
        | Failure::Shed
        | Failure::ConnectionLimit
        | Failure::Draining
        | Failure::KeyMissing
        | Failure::KeyMalformed
        | Failure::KeyOfNobody
        | Failure::KeyReused
        | Failure::RequestBodyTooLarge
        | Failure::Overloaded
        | Failure::KeyInProgress
        | Failure::OutcomeUnknown
        | Failure::AnswerNotRetained
        | Failure::StoreUnavailable
        | Failure::StoreFull
        | Failure::Internal => Blame::Nobody,
    }
}

#[cfg(test)]
mod tests;
