//! Watches what a new policy does to the upstreams that it changes, names it if that is clearly bad, and takes it back
//! where the policy says so.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::news::Door;
use crate::admin::words;
use crate::policy::diff::diff;
use crate::policy::journal::{ChangeKind, Entry, GUARD};
use crate::policy::store::{Applied, PolicyStore, Source};
use crate::policy::{Direction, Guard as Mode, Policy};
use crate::reliability::regression::{AFTER, Baseline, RECENT, SETTLING, Shares, Worse};
use crate::reliability::verdict::history::Tick;
use crate::telemetry::events::Event;
use crate::telemetry::metrics::Metrics;

/// Revisions that are watched at once. Beyond it the oldest is let go.
const WATCHED_MAX: usize = 16;
/// Revisions that come one after the other are compared with the time before the first for so long. Later that time says
/// too little of what would be without them.
const SUCCESSION_MAX: Duration = Duration::from_secs(120);
/// Lines of what a revision changed of one upstream.
const EFFECT_LINES_MAX: usize = 16;
/// Keys of the process as a whole that can make every upstream do worse.
const GLOBAL: [&str; 3] = ["limits.", "stores.", "deadLetter."];

/// What happened at an upstream from one time until another; `None`: it is not known.
pub type Sum<'a> = &'a dyn Fn(Direction, &str, Instant, Instant) -> Option<Tick>;

/// Watches each revision for a minute.
pub struct Guard {
    door: Door,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The policy in force, and its revision.
    current: Option<(u64, Arc<Policy>)>,
    /// Oldest first.
    watched: Vec<Watched>,
    /// Nobody is accused any more.
    retired: bool,
}

/// A revision in its first minute.
struct Watched {
    revision: u64,
    hash: String,
    at: Instant,
    /// It came with the file, which holds it still.
    of_file: bool,
    /// It was named, or is the guard's own: what is kept serves the revisions after it.
    settled: bool,
    suspects: Vec<Suspect>,
}

/// An upstream that a revision changes.
struct Suspect {
    direction: Direction,
    name: Arc<str>,
    /// What the revision changed of it.
    effect: Vec<String>,
    /// It is compared with the minute before this.
    since: Instant,
    /// The revision that was in force in that minute, its policy, and the revision that ended it.
    good: u64,
    good_policy: Arc<Policy>,
    first: u64,
    baseline: Option<Baseline>,
    /// It is treated as it was then. Whatever is wrong with it, there is nothing to take back.
    undone: bool,
}

/// A revision that made matters worse.
#[derive(Clone, Debug, PartialEq)]
pub struct Accusation {
    /// The revision, and the hash of its text.
    pub revision: u64,
    /// As in [`Applied`].
    pub hash: String,
    /// The revision that was in force while all was well.
    pub good: u64,
    /// What the policy in force wants done.
    pub mode: Mode,
    /// Whether the policy file holds it.
    pub of_file: bool,
    /// Whom it concerns.
    pub upstream: String,
    /// In what way, in words, such as `38% of 240 requests failed, 0.1% of 1203 in the minute before`.
    pub worse: String,
    /// What the revision changed of the upstream.
    pub effect: Vec<String>,
}

impl Guard {
    /// Hands in at `door` what it finds.
    pub fn new(door: Door) -> Guard {
        Guard { door, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A policy came into force.
    pub fn applied(&self, applied: &Applied, now: Instant) {
        self.lock().applied(applied, now);
    }

    /// The process ends: what fails from now on is no policy's fault.
    pub fn retire(&self) {
        self.lock().retired = true;
    }

    /// Looks at what happened; to be called once a second.
    pub fn look(&self, sum: Sum<'_>, mode: Mode, now: Instant) {
        let mut state = self.lock();
        for accusation in state.look(sum, mode, now) {
            let revision = accusation.revision;
            if !self.door.accuse(accusation) {
                // Too much happens at once to be written down: it is found again by the next look.
                state.unsettle(revision);
            }
        }
    }
}

impl State {
    fn applied(&mut self, applied: &Applied, now: Instant) {
        let (revision, policy) = (applied.revision, Arc::clone(&applied.policy));
        // With the first one nothing can be compared.
        let Some((before, old)) = self.current.replace((revision, Arc::clone(&policy))) else { return };
        self.forget(now);
        let mut suspects =
            if applied.author == GUARD { Vec::new() } else { suspects(&old, &policy, before, revision, now) };
        let mut since: HashMap<u64, Effects> = HashMap::new();
        for suspect in &mut suspects {
            self.hand_over(suspect, now);
            if suspect.good != before {
                let of = || Effects::between(&suspect.good_policy, &policy);
                suspect.undone = since.entry(suspect.good).or_insert_with(of).on(&suspect.name).is_empty();
            }
        }
        if applied.author == GUARD {
            // Its minute is not told again; a revision that follows soon is compared with the time before it all.
            self.watched.iter_mut().for_each(|watched| watched.settled = true);
        }
        if self.watched.len() >= WATCHED_MAX {
            self.watched.remove(0);
        }
        self.watched.push(Watched {
            revision,
            hash: policy.hash.clone(),
            at: now,
            of_file: matches!(applied.source, Source::File(_)),
            settled: applied.author == GUARD,
            suspects,
        });
    }

    /// Of two revisions in quick succession that change an upstream, the newer one answers for it, and the time before
    /// the first is what it is compared with.
    fn hand_over(&mut self, suspect: &mut Suspect, now: Instant) {
        for watched in &mut self.watched {
            let same = |it: &Suspect| it.direction == suspect.direction && it.name == suspect.name;
            if let Some(at) = watched.suspects.iter().position(same) {
                let earlier = watched.suspects.remove(at);
                if now.saturating_duration_since(earlier.since) > SUCCESSION_MAX {
                    continue;
                }
                (suspect.since, suspect.good, suspect.first) = (earlier.since, earlier.good, earlier.first);
                suspect.good_policy = earlier.good_policy;
                suspect.baseline = earlier.baseline.map(Baseline::afresh);
            }
        }
    }

    fn unsettle(&mut self, revision: u64) {
        self.watched.iter_mut().filter(|watched| watched.revision == revision).for_each(|it| it.settled = false);
    }

    fn forget(&mut self, now: Instant) {
        self.watched.retain(|watched| now.saturating_duration_since(watched.at) <= AFTER);
    }

    fn look(&mut self, sum: Sum<'_>, mode: Mode, now: Instant) -> Vec<Accusation> {
        self.forget(now);
        let current = self.current.as_ref().map(|(revision, _)| *revision);
        let mut found = Vec::new();
        for watched in &mut self.watched {
            for suspect in &mut watched.suspects {
                suspect.remember(sum);
            }
            if watched.settled || self.retired || mode == Mode::None {
                continue;
            }
            let suspects = watched.suspects.iter_mut().filter(|it| !it.undone);
            let judged = suspects.map(|it| (it.judge(watched.at, sum, now), it));
            // Each is asked: how often in a row it was found worse is counted.
            let bad: Vec<_> = judged.filter_map(|(worse, it)| Some((worse?, it))).collect();
            if let Some((worse, suspect)) = bad.first() {
                // Another one came after it: taking that back as well would be a decision, not a repair.
                let mode = if current == Some(watched.revision) { mode } else { Mode::Warn };
                found.push(Accusation {
                    revision: watched.revision,
                    hash: watched.hash.clone(),
                    good: suspect.good,
                    mode,
                    of_file: watched.of_file,
                    upstream: suspect.name.to_string(),
                    worse: told(*worse, suspect.first),
                    effect: suspect.effect.clone(),
                });
                watched.settled = true;
            }
        }
        found
    }
}

impl Suspect {
    /// Keeps the minute before while it is known second by second.
    fn remember(&mut self, sum: Sum<'_>) {
        if self.baseline.is_none() {
            let of = |from, to| sum(self.direction, &self.name, from, to).unwrap_or_default();
            self.baseline = Some(Baseline::take(self.since, of));
        }
    }

    fn judge(&mut self, applied: Instant, sum: Sum<'_>, now: Instant) -> Option<Worse> {
        let since = applied + SETTLING;
        let recent = now.checked_sub(RECENT).unwrap_or(since).max(since);
        let of = |from| sum(self.direction, &self.name, from, now);
        self.baseline.as_mut()?.judge(&of(since)?, &of(recent)?)
    }
}

/// The upstreams that `new` treats in another way than `old`.
fn suspects(old: &Arc<Policy>, new: &Policy, before: u64, revision: u64, now: Instant) -> Vec<Suspect> {
    let changed = Effects::between(old, new);
    let known: HashSet<&str> = old.upstreams.iter().map(|upstream| &*upstream.name).collect();
    // What is new has no time before.
    let kept = new.upstreams.iter().filter(|upstream| known.contains(&*upstream.name));
    let suspect = |upstream: &crate::policy::UpstreamPolicy| {
        let effect = changed.on(&upstream.name);
        (!effect.is_empty()).then(|| Suspect {
            direction: upstream.direction,
            name: Arc::clone(&upstream.name),
            effect,
            since: now,
            good: before,
            good_policy: Arc::clone(old),
            first: revision,
            baseline: None,
            undone: false,
        })
    };
    kept.filter_map(suspect).collect()
}

/// What one policy changes of another one.
struct Effects {
    /// By upstream.
    own: HashMap<String, Vec<String>>,
    /// Of every upstream.
    global: Vec<String>,
}

impl Effects {
    fn between(old: &Policy, new: &Policy) -> Effects {
        let mut effects = Effects { own: HashMap::new(), global: Vec::new() };
        let touches = |key: &str| GLOBAL.iter().any(|prefix| key.starts_with(prefix));
        for change in diff(old, new) {
            // It may be one of the upstream's routes.
            let upstream = change.subject.split('/').next().unwrap_or_default();
            if change.subject != "outrigger" {
                effects.own.entry(upstream.to_owned()).or_default().push(change.to_string());
            } else if change.settings.iter().any(|setting| touches(setting.key)) {
                effects.global.push(change.to_string());
            }
        }
        effects
    }

    fn on(&self, upstream: &str) -> Vec<String> {
        let own = self.own.get(upstream).into_iter().flatten();
        own.chain(&self.global).take(EFFECT_LINES_MAX).cloned().collect()
    }
}

fn told(worse: Worse, first: u64) -> String {
    let before = format!("in the minute before revision {first}");
    let shares = |Shares { before: (was, of_before), after: (is, of_after) }: Shares, what: &str| {
        let (was, is) = (words::percent(was * 100.0), words::percent(is * 100.0));
        format!("{is} of {of_after} requests {what} since then, {was} of {of_before} {before}")
    };
    match worse {
        Worse::Failing(it) => shares(it, "failed"),
        Worse::Abandoned(it) => shares(it, "were given up by their clients"),
        Worse::Slower { before: was, after: is } => {
            format!("half of the answers take more than {} since then, {} {before}", words::span(is), words::span(was))
        }
    }
}

impl Accusation {
    /// The sentence, without what is done about it.
    fn text(&self) -> String {
        format!("{} does clearly worse since policy revision {}: {}", self.upstream, self.revision, self.worse)
    }

    /// What is done, and what is left to do.
    fn next(&self) -> String {
        let Accusation { revision, good, .. } = self;
        if self.mode != Mode::Rollback {
            return format!("to take it back: outrigger policy rollback {good} --reason '...'");
        }
        let file = if self.of_file {
            "the file still holds it: its next different content is taken, and SIGHUP or a restart brings it back"
        } else {
            "it can be applied again by hand"
        };
        format!("the text of revision {good} comes into force again in place of revision {revision}; {file}")
    }
}

/// Tells it, and takes the revision back if that is wanted. May wait for the disk.
pub fn act(store: &PolicyStore, metrics: &Metrics, accusation: &Accusation) {
    let (text, next) = (accusation.text(), accusation.next());
    let Accusation { revision, upstream, effect, mode, .. } = accusation;
    let action = if *mode == Mode::Rollback { "rollback" } else { "warn" };
    Event::PolicyGuard { action, revision: *revision, upstream, verdict: &text, effect, next: &next }.emit();
    let entry = |reason: &str, lines: Vec<String>| Entry {
        kind: ChangeKind::Guard,
        upstream: Some(upstream.clone()),
        author: GUARD.to_owned(),
        reason: Some(reason.to_owned()),
        effect: lines,
    };
    let changed = effect.iter().map(|line| format!("revision {revision} changed {line}"));
    let lines = [format!("{upstream}: does clearly worse since policy revision {revision}")];
    let mut lines: Vec<String> = lines.into_iter().chain(changed).collect();
    lines.push(next);
    store.record(entry(&accusation.worse, lines));
    if *mode != Mode::Rollback {
        return metrics.policy_guarded(false);
    }
    // Only if nobody has changed the policy in the meantime.
    match store.rollback(accusation.good, GUARD, Some(&text), Some(&accusation.hash)) {
        Ok(_) => metrics.policy_guarded(true),
        Err(error) => {
            let (error, good) = (error.to_string(), accusation.good);
            let next = format!("revision {revision} stays: outrigger policy rollback {good} --reason '...'");
            let verdict = format!("policy revision {revision} could not be taken back: {error}");
            Event::PolicyGuard {
                action: "failed",
                revision: *revision,
                upstream,
                verdict: &verdict,
                effect,
                next: &next,
            }
            .emit();
            store.record(entry(&error, vec![format!("{upstream}: {verdict}"), next]));
            metrics.policy_guarded(false);
        }
    }
}
