//! What an attempt owes to its dependency, before and after.

use super::Stake;
use crate::reliability::breaker::{self, Permit, Signal, State};
use crate::reliability::budget::Grant;
use crate::reliability::classify::{self, Outcome, Verdict};
use crate::reliability::dependency::Dependency;
use crate::reliability::entropy::Entropy;
use std::time::{Duration, Instant};

/// Asks the breaker for the right to send one attempt.
pub(super) fn acquire(
    now: Instant,
    dependency: &mut Dependency,
    entropy: &mut impl Entropy,
) -> Result<Permit, breaker::Refusal> {
    match &mut dependency.breaker {
        Some(breaker) => breaker.acquire(now, entropy),
        None => Ok(Permit::free()),
    }
}

/// Asks breaker and throttle for a first attempt. The breaker first: what it refuses is not sent and must
/// not look to the throttle like a request that nobody accepted.
pub(super) fn admit_first(
    now: Instant,
    dependency: &mut Dependency,
    entropy: &mut impl Entropy,
) -> Result<Permit, breaker::Refusal> {
    let permit = acquire(now, dependency, entropy)?;
    if let Some(throttle) = &mut dependency.throttle
        && !throttle.admit(now, false, entropy)
    {
        // A probe goes through: it was let out to find out whether the dependency is back.
        if permit.probe {
            throttle.let_through();
            return Ok(permit);
        }
        if let Some(breaker) = &mut dependency.breaker {
            breaker.record(now, permit, Signal::Ignored, Duration::ZERO, entropy);
        }
        return Err(breaker::Refusal::Throttled);
    }
    Ok(permit)
}

/// A retry that waited is not sent after all: its tokens come back, and the throttle, which counted it,
/// must not take it for a rejection.
pub(super) fn take_back(now: Instant, grant: Grant, dependency: &mut Dependency) {
    dependency.budget.on_retry_unsent(now, grant);
    if let Some(throttle) = &mut dependency.throttle {
        throttle.on_accept(now);
    }
}

/// Tells breaker, throttle, latency and budget what one outcome means to them.
#[expect(clippy::too_many_arguments, reason = "facts of one event")]
pub(super) fn report(
    now: Instant,
    stake: Stake,
    permit: Permit,
    outcome: &Outcome,
    verdict: Verdict,
    elapsed: Duration,
    dependency: &mut Dependency,
    entropy: &mut impl Entropy,
) {
    let typical = dependency.latency.p50(now);
    let signal =
        if classify::is_cut_short(outcome, elapsed, typical) { Signal::Ignored } else { classify::signal(outcome) };
    if signal == Signal::Ignored {
        return dependency.on_cancelled(now, permit);
    }
    if let Some(breaker) = &mut dependency.breaker {
        let probe = permit.probe;
        breaker.record(now, permit, signal, elapsed, entropy);
        if let (true, State::Closed, Some(throttle)) = (probe, breaker.state(now), &mut dependency.throttle) {
            throttle.forget(now);
        }
    }
    if let Some(throttle) = &mut dependency.throttle {
        if classify::is_accepted(outcome) { throttle.on_accept(now) } else { throttle.on_reject() }
    }
    let success = verdict == Verdict::Success;
    if success {
        dependency.latency.record(now, elapsed);
    }
    match stake {
        Stake::Paid(grant) => dependency.budget.on_retry_outcome(now, grant, success),
        Stake::First if success => dependency.budget.on_first_success(now),
        Stake::First | Stake::Hedge => {}
    }
}
