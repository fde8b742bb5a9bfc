//! Whether the app behind `inbound` fails by itself, or because something that it needs does.

use super::finding::{Finding, Symptom};
use super::{Cause, Condition};
use crate::reliability::ending::Ending;
use std::time::{Duration, Instant};

/// The dependency may be found to fail from a little later on than the app: its counts are of attempts that end.
const SLACK: Duration = Duration::from_secs(5);
/// A dependency that recovers does so before the app that needs it.
const REMEMBERED: Duration = Duration::from_secs(30);
/// From this share of failures on, a degraded dependency can make an app fail.
const SHARE: f64 = 0.1;

/// Whom the app's failure is put down to, and when that was last seen.
#[derive(Clone, Debug, Default)]
pub struct Blame {
    last: Option<(String, Instant, Instant)>,
}

impl Blame {
    /// Names the dependency in `app`, if there is one to name.
    pub fn settle<'a>(
        &mut self,
        now: Instant,
        app: &mut Finding,
        dependencies: impl Iterator<Item = (&'a str, &'a Finding)>,
    ) {
        if app.cause != Cause::TheApp || !may_pass_on(app.symptom) {
            return;
        }
        let suspects = dependencies.filter(|(_, finding)| finding.since <= app.since + SLACK && is_bad(finding));
        let worst = suspects.max_by(|(_, a), (_, b)| {
            (a.condition, a.share).partial_cmp(&(b.condition, b.share)).unwrap_or(std::cmp::Ordering::Equal)
        });
        let remembered = self
            .last
            .take()
            .filter(|(_, since, at)| *since == app.since && now.saturating_duration_since(*at) < REMEMBERED);
        self.last = worst.map(|(name, _)| (name.to_owned(), app.since, now)).or(remembered);
        if let Some((name, ..)) = &self.last {
            app.cause = Cause::AppsDependency;
            app.dependency = Some(name.clone());
        }
    }
}

/// An app that is not there fails by itself.
const fn may_pass_on(symptom: Symptom) -> bool {
    matches!(
        symptom,
        Symptom::Slow
            | Symptom::Stalls
            | Symptom::Fails(Ending::Error | Ending::TimedOut | Ending::Overload | Ending::Broken)
    )
}

fn is_bad(finding: &Finding) -> bool {
    let numbers = &finding.numbers;
    let attempts = numbers.attempts_failed as f64 / numbers.attempts.max(1) as f64;
    let at_fault = !matches!(finding.cause, Cause::ClientAborts | Cause::Ourselves);
    at_fault
        && (finding.condition == Condition::Failing
            || finding.share >= SHARE
            || attempts >= SHARE
            || finding.symptom == Symptom::Slow)
}
