//! Whom a finished request is told to: the access log, the stories that are kept, and who watches live.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use jiff::Timestamp;

use super::{AttemptNote, Record};
use crate::clock;
use crate::random::Random;
use crate::reliability::attempts::{Denied, Kind};
use crate::reliability::entropy::Entropy;
use crate::reliability::idempotency::KeyStatus;
use crate::telemetry::access_log::{self, AccessEntry, AttemptEndEntry, AttemptEntry};
use crate::telemetry::metrics::{AttemptEnd, RequestOutcome};
use crate::telemetry::sketch::{self, StreamKey};
use crate::telemetry::stories::taps::Glimpse;
use crate::telemetry::stories::told::{self, ATTEMPTS_MAX, Kept, REQUEST_ID_BYTES_MAX, Told, ToldAttempt};

impl Record {
    /// Tells it to whom it concerns: of a request without trouble that is usually nobody.
    pub(super) fn tell(&self, outcome: RequestOutcome, elapsed: Duration, now: Instant) {
        if self.telemetry.stories.recorder.is_on() {
            self.sketch(outcome, now);
        }
        let troubled = outcome != RequestOutcome::Success || self.retried();
        let logged = access_log::should_log(&self.snapshot.policy.access_log, troubled, Random.next_u64());
        let kept = self.kept(troubled, logged, elapsed);
        let watched = self.telemetry.stories.taps.watched();
        if !logged && kept.is_none() && !watched {
            return;
        }
        if logged {
            self.log(outcome, elapsed);
        }
        let told = kept.map(|kept| Arc::new(self.told(outcome, elapsed, Some(kept))));
        if watched {
            self.show(outcome, elapsed, now, troubled || kept == Some(Kept::Troubled), told.as_ref());
        }
        if let Some(told) = told {
            self.telemetry.stories.keep(told);
        }
    }

    /// Tells the recorder. Of what it is told nothing says who asked for what.
    fn sketch(&self, outcome: RequestOutcome, now: Instant) {
        let Some((upstream, route)) = self.target() else { return };
        let (upstream, route) = (Arc::clone(&upstream.name), Arc::clone(&route.name));
        let key = StreamKey { upstream, route, idempotent: self.method.is_idempotent() };
        let attempt = |note: &AttemptNote| sketch::Attempt {
            endpoint: note.endpoint,
            launched: note.launched,
            elapsed: note.elapsed,
            end: note.end,
            ending: note.ending,
        };
        let good = outcome == RequestOutcome::Success && !self.is_overload();
        self.telemetry.stories.recorder.note(now, &key, self.started, good, self.notes().map(attempt));
    }

    /// Whether its story is kept, and why.
    fn kept(&self, troubled: bool, logged: bool, elapsed: Duration) -> Option<Kept> {
        if troubled || self.dead_letter.is_some() || self.key_status.is_some_and(is_eventful) {
            Some(Kept::Troubled)
        } else if self.is_slow(elapsed) {
            Some(Kept::Slow)
        } else {
            logged.then_some(Kept::Sampled)
        }
    }

    /// Compared to its upstream, up to the head of its answer: a long body is not a slow answer.
    fn is_slow(&self, elapsed: Duration) -> bool {
        let (Some(first), Some(upstream)) = (&self.first, self.upstream()) else { return false };
        // Nearly always the whole request was fast enough, and so was its head.
        if !upstream.is_slow(elapsed) {
            return false;
        }
        let answered = first.launched.saturating_duration_since(self.started).saturating_add(first.elapsed);
        upstream.is_slow(answered)
    }

    fn show(&self, outcome: RequestOutcome, elapsed: Duration, now: Instant, troubled: bool, told: Option<&Arc<Told>>) {
        let target = self.target();
        let (upstream, route) = (target.map(|(u, _)| &*u.name), target.map(|(_, r)| &*r.name));
        let tell = || told.map_or_else(|| Arc::new(self.told(outcome, elapsed, None)), Arc::clone);
        self.telemetry.stories.taps.show(&Glimpse { upstream, route, troubled }, now, tell);
    }

    fn arrived(&self, elapsed: Duration) -> Timestamp {
        clock::wall().checked_sub(elapsed).and_then(|t| Timestamp::try_from(t).ok()).unwrap_or_default()
    }

    /// Whom the client's certificate names. Of what a request says of its sender, nothing is looked at.
    pub(super) fn peer(&self) -> Option<&str> {
        self.connection.identity.as_ref()?.word()
    }

    /// What the client was sent, if it was sent anything.
    fn status_sent(&self) -> Option<u16> {
        (self.status != 0 && self.status != 499).then_some(self.status)
    }

    fn notes(&self) -> impl Iterator<Item = &AttemptNote> {
        self.first.iter().chain(&self.more)
    }

    fn told(&self, outcome: RequestOutcome, elapsed: Duration, kept: Option<Kept>) -> Told {
        let target = self.target();
        Told {
            trace_id: self.trace.trace_id(),
            request_id: self.request_id.as_ref().map(|id| told::request_id(id.as_bytes())),
            peer: self.peer().map(told::peer),
            at: self.arrived(elapsed),
            method: told::method(self.method.as_str()),
            path: told::path(self.path.as_ref().map_or("*", |p| p.path())),
            direction: self.direction,
            upstream: target.map(|(u, _)| Arc::clone(&u.name)),
            route: target.map(|(_, r)| Arc::clone(&r.name)),
            outcome,
            status: self.status_sent(),
            call: self.call,
            failure: self.failure,
            duration: elapsed,
            waited: self.waited,
            deadline_from: self.deadline_from,
            attempts: self.notes().take(ATTEMPTS_MAX).map(|note| self.told_attempt(note)).collect(),
            denied: self.denied,
            stop: self.stop,
            key: self.key_status,
            dead_letter: self.dead_letter.map(|id| id.to_string().into()),
            policy_revision: self.snapshot.revision,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            kept,
        }
    }

    fn told_attempt(&self, note: &AttemptNote) -> ToldAttempt {
        ToldAttempt {
            endpoint: note.endpoint,
            kind: note.kind,
            at: note.launched.saturating_duration_since(self.started),
            elapsed: note.elapsed,
            left: note.left(),
            end: note.end,
            ending: note.ending,
        }
    }

    fn log(&self, outcome: RequestOutcome, elapsed: Duration) {
        let notes: Vec<&AttemptNote> = self.notes().collect();
        let addresses: Vec<String> =
            notes.iter().map(|n| n.endpoint.map_or_else(String::new, |e| e.to_string())).collect();
        // Of two at once, the one that ended last.
        let ends = notes.iter().scan(None, |last: &mut Option<Instant>, note| {
            *last = (*last).max(Some(note.launched + note.elapsed));
            Some(*last)
        });
        let attempts: Vec<AttemptEntry<'_>> = notes
            .iter()
            .zip(&addresses)
            .zip(std::iter::once(None).chain(ends))
            .map(|((note, endpoint), before)| AttemptEntry {
                endpoint,
                kind: note.kind.as_str(),
                at: note.launched.saturating_duration_since(self.started),
                backoff: before
                    .filter(|_| note.kind != Kind::Hedge)
                    .map(|before| note.launched.saturating_duration_since(before)),
                duration: note.elapsed,
                end: match note.end {
                    AttemptEnd::Status(status) => AttemptEndEntry::Status(status),
                    AttemptEnd::Call(code) => AttemptEndEntry::Call(code),
                    AttemptEnd::Failed(failure) => AttemptEndEntry::Failed(failure),
                    AttemptEnd::Cancelled => AttemptEndEntry::Cancelled,
                },
            })
            .collect();
        let target = self.target();
        let trace_id = self.trace.trace_id();
        let letter = self.dead_letter.map(|id| id.to_string());
        self.telemetry.access_log.log(&AccessEntry {
            timestamp: self.arrived(elapsed),
            method: self.method.as_str().as_bytes(),
            path: self.path.as_ref().map_or(b"*", |p| p.path().as_bytes()),
            status: self.status_sent(),
            host: self.host.as_ref().map_or(b"", HeaderValue::as_bytes),
            duration: elapsed,
            trace_id: trace_id.as_str(),
            request_id: self.request_id.as_ref().map(|id| bounded(id.as_bytes())),
            peer: self.peer(),
            direction: self.direction,
            upstream: target.map(|(u, _)| &*u.name),
            route: target.map(|(_, r)| &*r.name),
            outcome,
            call: self.call,
            failure: self.failure.map(|(failure, _)| failure),
            sent: self.failure.map(|(_, sent)| sent),
            waited: self.waited,
            deadline_from: self.deadline_from.word(),
            attempts: &attempts,
            retry_denied: self.denied.map(Denied::token),
            idempotency: self.key_status.map(KeyStatus::as_str),
            dead_letter: letter.as_deref(),
            policy_revision: self.snapshot.revision,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
        });
    }
}

/// Whether something became of the key that somebody may ask about. A key that was free and is stored is routine.
const fn is_eventful(status: KeyStatus) -> bool {
    match status {
        KeyStatus::Stored | KeyStatus::Ignored => false,
        KeyStatus::NotStored
        | KeyStatus::StoreFailed
        | KeyStatus::Replayed
        | KeyStatus::InFlight
        | KeyStatus::Unknown
        | KeyStatus::Mismatch
        | KeyStatus::Bypassed => true,
    }
}

fn bounded(id: &[u8]) -> &[u8] {
    id.get(..REQUEST_ID_BYTES_MAX).unwrap_or(id)
}
