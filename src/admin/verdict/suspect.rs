//! What changed just before, in words.

use std::time::Instant;

use crate::admin::api::Suspect;
use crate::admin::words;
use crate::reliability::verdict::finding::{Change, Suspicion};

/// Effects told of one change.
const EFFECTS_MAX: usize = 2;
/// Longest text of a change in a sentence.
const CHANGE_CHARS_MAX: usize = 160;

pub(super) fn of(name: &str, suspicion: &Suspicion, now: Instant) -> Suspect {
    let Suspicion { change, before, rates: (was, is), latencies } = suspicion;
    let summary = summary(name, change);
    let when = match before.as_secs() {
        0 => format!("with {summary}"),
        seconds => format!("{} after {summary}", words::whole(seconds)),
    };
    let percent = |share: &f64| words::percent(share * 100.0);
    let plain = words::plain(name, 80);
    let text = match latencies {
        Some((was, is)) => {
            format!("latency of {plain} rose from {} to {} {when}", words::span(*was), words::span(*is))
        }
        None if is > was => format!("error rate of {plain} rose from {} to {} {when}", percent(was), percent(is)),
        None => format!("the trouble of {plain} began {when}"),
    };
    Suspect {
        kind: change.kind.as_str().to_owned(),
        summary,
        at: super::timestamp(now.saturating_duration_since(change.at)),
        before_seconds: before.as_secs(),
        revision: change.revision,
        before_percent: Some(round(*was)),
        after_percent: Some(round(*is)),
        text,
    }
}

fn round(share: f64) -> f64 {
    (share * 1_000.0).round() / 10.0
}

/// The change in one line, with those of its effects that concern the upstream.
fn summary(name: &str, change: &Change) -> String {
    let concerns = |line: &&String| {
        let subject = line.split(": ").next().unwrap_or_default();
        subject.split('/').next() == Some(name)
    };
    let own: Vec<&String> = change.effects.iter().filter(concerns).collect();
    let all: Vec<&String> = if own.is_empty() { change.effects.iter().collect() } else { own };
    let mut told: Vec<&str> = all.iter().take(EFFECTS_MAX).map(|line| line.as_str()).collect();
    let more = format!("and {} more", all.len().saturating_sub(EFFECTS_MAX));
    if all.len() > EFFECTS_MAX {
        told.push(&more);
    }
    let what = words::plain(&change.summary, CHANGE_CHARS_MAX);
    if told.is_empty() { what } else { format!("{what} ({})", words::plain(&told.join("; "), CHANGE_CHARS_MAX)) }
}
