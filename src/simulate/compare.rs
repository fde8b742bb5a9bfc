//! One policy or two on the same load, under the same seeds, and what differs beyond chance.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::estimate::Estimate;
use super::measure::{Better, Measure, Unit, denied};
use super::model::Model;
use super::subject::Subject;
use crate::reliability::attempts::Denied;
use crate::reliability::sim::system::{Outcome, run};

/// Version of the JSON form.
pub const FORMAT: u32 = 1;

/// How often to play.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// The first one; the others follow it.
    pub first: u64,
    /// So many plays of each policy.
    pub count: u32,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// [`FORMAT`].
    pub format: u32,
    /// Of the scenario or recording.
    pub title: String,
    /// The load, in words.
    pub load: String,
    /// Seconds counted, of each play.
    pub seconds: f64,
    /// Requests of one play, on average.
    pub requests: f64,
    /// First seed, and plays of each policy.
    pub seed: u64,
    /// Plays of each policy.
    pub plays: u32,
    /// Endpoints behind the sidecar.
    pub endpoints: usize,
    /// Old (if there is one), then new.
    pub policies: Vec<Tried>,
    /// One per measure that has a value.
    pub rows: Vec<Row>,
    /// Retries that were not made, per 100 requests, by reason.
    pub denied: Vec<DeniedRow>,
    /// What to make of it.
    pub verdict: Verdict,
    /// What is left out.
    pub notes: Vec<String>,
    /// What went wrong when.
    pub trouble: Vec<Span>,
}

/// One policy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// Its file.
    pub file: String,
    /// The upstream of it that was tried.
    pub upstream: String,
    /// By second.
    pub curve: Vec<Point>,
    /// Stretches in which its breaker was not closed, in the first play; seconds.
    pub open: Vec<(f64, f64)>,
}

/// One second of all plays, on average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Requests that came.
    pub requests: f64,
    /// Of them, those that succeeded.
    pub succeeded: f64,
    /// What endpoints received.
    pub received: f64,
    /// Half of the requests were answered in so many milliseconds.
    pub p50_ms: f64,
    /// 99 in 100.
    pub p99_ms: f64,
}

/// A stretch of the fault script, in seconds.
#[derive(Clone, Debug, Serialize)]
pub struct Span {
    /// What goes wrong.
    pub label: String,
    /// Begin.
    pub from: f64,
    /// End.
    pub to: f64,
}

/// One measure.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Which.
    pub measure: Measure,
    /// Under the old policy.
    pub old: Option<Estimate>,
    /// Under the new one.
    pub new: Option<Estimate>,
    /// Plays in which there was no end of the trouble.
    pub never_old: usize,
    /// The same under the new policy.
    pub never_new: usize,
    /// New minus old, play by play.
    pub difference: Option<Estimate>,
    /// Better or worse, beyond chance and by more than a trifle.
    pub judged: Option<Judged>,
}

impl Row {
    /// Whether people want to see it: what never happened, under neither policy, only fills the table.
    pub fn is_told(&self) -> bool {
        let happened = |of: &Option<Estimate>| of.is_some_and(|of| of.mean != 0.0);
        self.measure.judged().0 != Better::Neither || happened(&self.old) || happened(&self.new)
    }
}

/// A reason, under both.
#[derive(Clone, Debug, Serialize)]
pub struct DeniedRow {
    /// As in metrics.
    pub reason: &'static str,
    /// Per 100 requests.
    pub old: Option<Estimate>,
    /// The same.
    pub new: Option<Estimate>,
}

/// Of one measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// The new policy is better in it.
    Better,
    /// It is worse.
    Worse,
}

/// Of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// There was nothing to compare with.
    Alone,
    /// No measure differs beyond chance.
    NoDifference,
    /// Some are better, none is worse.
    Better,
    /// Some are worse, none is better.
    Worse,
    /// Some of each.
    Mixed,
}

/// Plays `new`, and `old` if there is one. `start` gives virtual time an origin, and changes nothing.
pub fn compare(model: &Model, new: &Subject, old: Option<&Subject>, seeds: Seeds, start: Instant) -> Comparison {
    let plays = |subject: &Subject| -> Vec<Outcome> {
        let setup = model.setup(subject);
        (0..u64::from(seeds.count.max(1))).map(|at| run(&setup, seeds.first.wrapping_add(at), start)).collect()
    };
    let (new_plays, old_plays) = (plays(new), old.map(plays));
    let ends = model.trouble_ends();
    let rows: Vec<Row> =
        Measure::ALL.iter().filter_map(|of| row(*of, &new_plays, old_plays.as_deref(), model)).collect();
    let verdict = verdict(&rows, old.is_some());
    let mut notes = model.notes.clone();
    for note in new.notes().into_iter().chain(old.map(Subject::notes).unwrap_or_default()) {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    let tried = |subject: &Subject, plays: &[Outcome]| Tried {
        file: subject.file.clone(),
        upstream: subject.upstream().name.to_string(),
        curve: curve(plays),
        open: plays.first().map(open).unwrap_or_default(),
    };
    let policies = old.zip(old_plays.as_deref()).map(|(subject, plays)| tried(subject, plays)).into_iter();
    let mean = new_plays.iter().map(|play| play.requests as f64).sum::<f64>() / new_plays.len().max(1) as f64;
    let span = |(label, from, to): &(String, Duration, Duration)| Span {
        label: label.clone(),
        from: from.as_secs_f64(),
        to: to.as_secs_f64(),
    };
    if ends.is_none() && !model.trouble.is_empty() {
        notes.push("the trouble lasts to the end: recovery is not measured".to_owned());
    }
    Comparison {
        format: FORMAT,
        title: model.title.clone(),
        load: model.load.clone(),
        seconds: model.duration.as_secs_f64(),
        requests: mean,
        seed: seeds.first,
        plays: seeds.count.max(1),
        endpoints: model.endpoints.len(),
        policies: policies.chain([tried(new, &new_plays)]).collect(),
        denied: denials(&new_plays, old_plays.as_deref()),
        rows,
        verdict,
        notes,
        trouble: model.trouble.iter().map(span).collect(),
    }
}

fn row(measure: Measure, new: &[Outcome], old: Option<&[Outcome]>, model: &Model) -> Option<Row> {
    let ends = model.trouble_ends();
    // A play without an end of its trouble counts as one that ends with the play.
    let longest = model.duration.saturating_sub(ends.unwrap_or_default()).as_secs_f64();
    let values = |plays: &[Outcome]| -> Vec<Option<f64>> { plays.iter().map(|play| measure.of(play, ends)).collect() };
    let never = |values: &[Option<f64>]| values.iter().flatten().filter(|value| value.is_infinite()).count();
    let finite = |value: f64| if value.is_infinite() { longest } else { value };
    let estimate =
        |values: &[Option<f64>]| Estimate::of(&values.iter().flatten().copied().map(finite).collect::<Vec<f64>>());
    let new = values(new);
    let old = old.map(values);
    let pairs = old.iter().flat_map(|old| old.iter().zip(&new));
    let differences: Vec<f64> = pairs.filter_map(|(old, new)| Some(finite((*new)?) - finite((*old)?))).collect();
    let (difference, before) = (Estimate::of(&differences), old.as_deref().and_then(estimate));
    let row = Row {
        measure,
        new: estimate(&new),
        never_old: old.as_deref().map_or(0, never),
        never_new: never(&new),
        judged: difference.and_then(|difference| judge(measure, difference, before?.mean)),
        old: before,
        difference,
    };
    (row.new.is_some() || row.old.is_some()).then_some(row)
}

fn judge(measure: Measure, difference: Estimate, before: f64) -> Option<Judged> {
    let (better, trifle) = measure.judged();
    let trifle = if measure.unit() == Unit::Millis { trifle * before } else { trifle };
    if !difference.is_clear() || difference.mean.abs() < trifle {
        return None;
    }
    match better {
        Better::Neither => None,
        Better::Higher if difference.mean > 0.0 => Some(Judged::Better),
        Better::Lower if difference.mean < 0.0 => Some(Judged::Better),
        Better::Higher | Better::Lower => Some(Judged::Worse),
    }
}

fn verdict(rows: &[Row], compared: bool) -> Verdict {
    let any = |what| rows.iter().any(|row| row.judged == Some(what));
    match (compared, any(Judged::Better), any(Judged::Worse)) {
        (false, _, _) => Verdict::Alone,
        (true, false, false) => Verdict::NoDifference,
        (true, true, false) => Verdict::Better,
        (true, false, true) => Verdict::Worse,
        (true, true, true) => Verdict::Mixed,
    }
}

fn denials(new: &[Outcome], old: Option<&[Outcome]>) -> Vec<DeniedRow> {
    let estimate =
        |plays: &[Outcome], reason| Estimate::of(&plays.iter().map(|play| denied(play, reason)).collect::<Vec<f64>>());
    let row = |reason: &Denied| DeniedRow {
        reason: reason.token(),
        old: old.and_then(|old| estimate(old, *reason)),
        new: estimate(new, *reason),
    };
    let counts = |row: &DeniedRow| row.old.iter().chain(&row.new).any(|of| of.mean > 0.0);
    Denied::ALL.iter().map(row).filter(counts).collect()
}

fn curve(plays: &[Outcome]) -> Vec<Point> {
    let count = plays.len().max(1) as f64;
    let seconds = plays.first().map_or(0, |play| play.seconds.len());
    let point = |at: usize| {
        let mut sum = Point::default();
        for second in plays.iter().filter_map(|play| play.seconds.get(at)) {
            let millis = |share| second.times.quantile(share).map_or(0.0, |time| time.as_secs_f64() * 1e3);
            sum.requests += f64::from(second.requests) / count;
            sum.succeeded += f64::from(second.succeeded) / count;
            sum.received += f64::from(second.received) / count;
            sum.p50_ms += millis(0.5) / count;
            sum.p99_ms += millis(0.99) / count;
        }
        sum
    };
    (0..seconds).map(point).collect()
}

fn open(play: &Outcome) -> Vec<(f64, f64)> {
    play.open_spans.iter().map(|(from, to)| (from.as_secs_f64(), to.as_secs_f64())).collect()
}
