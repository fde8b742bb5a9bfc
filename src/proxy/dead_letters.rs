//! Requests that could not be served become dead letters here: what is held of them meanwhile, and their way to the
//! store. Only unsafe methods, on routes that ask for it; nothing else pays.

mod keep;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http_body::Body as _;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::attempt::Outgoing;
use super::body::Held;
use super::record::{Record, Telemetry};
use super::route::Route;
use crate::clock;
use crate::dead_letters::capture::{self, Original, Payload, Place, Redaction};
use crate::dead_letters::letter::{Captured, Ended, KeyOrigin, LetterId, NewLetter, Sealed, Stub, Words};
use crate::drain::Tasks;
use crate::idempotency::claim::NotKept;
use crate::idempotency::embedded::EmbeddedStore;
use crate::idempotency::stores::Letters;
use crate::policy::dead_letter::{CaptureAt, DeadLetterBounds, DeadLetterPolicy};
use crate::policy::idempotency::Principal;
use crate::random;
use crate::reliability::Failure;
use crate::reliability::classify::Contract;
use crate::reliability::dead_letters::{Cause, Class};
use crate::reliability::idempotency::{Fingerprint, RecordId};
use crate::telemetry::events::Event;
use crate::wire::RequestBody;

/// A client waits so long for its letter to be kept; then it gets its failure all the same.
const KEEP: Duration = Duration::from_millis(250);
/// Losses are told at most this often; the metric counts all of them.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What a route wants of its dead letters.
#[derive(Clone)]
struct Wanted {
    policy: Arc<DeadLetterPolicy>,
    bounds: Arc<DeadLetterBounds>,
    contract: Contract,
}

/// A request that becomes a dead letter if it cannot be served.
pub struct Watch {
    wanted: Wanted,
    letters: Letters,
    id: LetterId,
    original: Original,
    /// The record of its key, if it is deduplicated.
    record: Option<(RecordId, Fingerprint)>,
    /// Made when it was sent, if that was wanted.
    written: Option<(Captured, Option<Sealed>)>,
    held: Held,
}

fn wanted(route: &Route<'_>, record: &Record, method: &Method) -> Option<Wanted> {
    let policy = route.policy.dead_letter.as_ref().filter(|_| !method.is_safe())?;
    let bounds = record.snapshot().policy.dead_letters.as_ref()?;
    Some(Wanted { policy: Arc::clone(policy), bounds: Arc::clone(bounds), contract: route.policy.retry.contract })
}

/// So much of a body is held, beside what retries need.
pub fn held_max(route: &Route<'_>, record: &Record, method: &Method) -> usize {
    let bound = route.policy.replay_body_max;
    wanted(route, record, method).map_or(bound, |wanted| bound.max(wanted.bounds.max_body))
}

/// Whether a request that is refused for this becomes a letter, so that its body is read for nothing else.
pub fn counts(route: &Route<'_>, record: &Record, method: &Method, cause: Cause) -> bool {
    wanted(route, record, method).is_some_and(|wanted| wanted.policy.when.contains(&cause))
}

/// A request for whose body nobody waits long enough is lost.
pub fn lose_unread(route: &Route<'_>, record: &Record) {
    if let Some(policy) = &route.policy.dead_letter {
        record.telemetry().metrics.letter_lost(&policy.queue, "body-unread");
    }
}

/// Holds what a letter would need. `None`: it would be none. `invented`: the key that we have given it.
pub fn watch(
    letters: Option<&Letters>,
    route: &Route<'_>,
    record: &Record,
    outgoing: &Outgoing,
    invented: Option<&str>,
) -> Option<Box<Watch>> {
    let wanted = wanted(route, record, &outgoing.method)?;
    let letters = letters.filter(|_| !outgoing.upgrade)?.clone();
    let deduplication = route.policy.idempotency.as_deref();
    let key = deduplication.and_then(|policy| {
        let given = outgoing.headers.get(&policy.header).map(|value| (value.clone(), KeyOrigin::Client));
        let own = || Some((invented?.parse().ok()?, KeyOrigin::Generated));
        given.or_else(own).map(|(value, origin)| (policy.header.clone(), value, origin))
    });
    let principal = deduplication.and_then(|policy| match &policy.principal {
        // Nothing to keep, and nothing that a caller wrote.
        Principal::None | Principal::Spiffe => None,
        Principal::Header(name) => Some(name.clone()),
    });
    let body = match &outgoing.body {
        None | Some(RequestBody::Empty) => Payload::Whole(Bytes::new()),
        Some(RequestBody::Buffered { data, trailers: None }) => Payload::Whole(data.clone()),
        Some(RequestBody::Buffered { data, trailers: Some(_) }) => Payload::WithTrailers(data.clone()),
        Some(body @ RequestBody::Streaming { .. }) => Payload::Streamed { length: body.size_hint().exact() },
    };
    let (method, target, fields) = (outgoing.method.clone(), outgoing.uri.clone(), outgoing.headers.clone());
    let caller = record.connection().identity.as_ref().and_then(|peer| peer.spiffe.clone());
    let original = Original { method, target, fields, body, key, principal, caller };
    let id = LetterId::new(clock::wall_millis(), random::bits128());
    Some(Box::new(Watch { wanted, letters, id, original, record: None, written: None, held: Held::default() }))
}

impl Watch {
    /// It has a key, and this is its record.
    pub fn keyed(&mut self, id: RecordId, fingerprint: Fingerprint) {
        self.record = Some((id, fingerprint));
    }

    /// Where letters are kept.
    pub fn store(&self) -> &Arc<EmbeddedStore> {
        &self.letters.store
    }

    /// Its body stays in memory for as long as a letter may be written.
    pub fn hold(&mut self, held: Held) {
        self.held = held;
    }

    /// Whether an end of this kind makes it a letter.
    pub fn wants(&self, sorted: Option<(Cause, Class)>) -> bool {
        sorted.is_some_and(|(cause, _)| self.wanted.policy.when.contains(&cause))
    }

    /// What is written when it is sent, if the route wants that.
    pub fn stub(&mut self, record: &Record) -> Option<Stub> {
        let Wanted { policy, .. } = &self.wanted;
        if policy.capture != CaptureAt::Send || !policy.when.contains(&Cause::ProcessEnded) {
            return None;
        }
        let (captured, sealed) = self.write(record);
        self.written = Some((captured.clone(), sealed.clone()));
        Some(Stub { id: self.id, captured, sealed })
    }

    /// Its letter, if this end makes it one.
    pub fn failed(self: Box<Self>, sorted: Option<(Cause, Class)>, reason: Failure, record: &Record) -> Option<Post> {
        let ended = Ended {
            reason: reason.token().to_owned(),
            status: Some(reason.status()),
            attempts: record.tried(),
            ..Ended::default()
        };
        self.post(sorted, ended, record)
    }

    /// Its letter, if this answer makes it one. `body`: what has been read of it.
    pub fn answered(
        self: Box<Self>,
        sorted: Option<(Cause, Class)>,
        (status, fields, body): (u16, &http::HeaderMap, Option<&Bytes>),
        record: &Record,
    ) -> Option<Post> {
        let redaction = Redaction::new(&self.wanted.bounds, self.original.key.as_ref().map(|(name, ..)| name));
        let ended = Ended {
            reason: format!("status-{status}"),
            status: Some(status),
            attempts: record.tried(),
            answer_fields: capture::shown_fields(fields, &redaction),
            answer_text: body.map(capture::shown_answer).unwrap_or_default(),
        };
        self.post(sorted, ended, record)
    }

    fn post(mut self: Box<Self>, sorted: Option<(Cause, Class)>, ended: Ended, record: &Record) -> Option<Post> {
        let (cause, class) = sorted.filter(|_| self.wants(sorted))?;
        let (captured, sealed) = self.written.take().unwrap_or_else(|| self.write(record));
        let contract = self.wanted.contract;
        let words = Words { captured, ended };
        let letter = NewLetter { id: self.id, class, cause, contract, record: self.record, words, sealed };
        let telemetry = Arc::clone(record.telemetry());
        Some(Post { letter: Box::new(letter), store: self.letters.store, telemetry, _held: self.held })
    }

    fn write(&self, record: &Record) -> (Captured, Option<Sealed>) {
        let Wanted { policy, bounds, contract } = &self.wanted;
        let (upstream, route) = record.target().map_or(("", ""), |(u, r)| (&*u.name, &*r.name));
        let trace_id = record.trace.trace_id();
        let place = Place {
            queue: &policy.queue,
            upstream,
            route,
            direction: record.direction(),
            contract: *contract,
            trace_id: trace_id.as_str(),
            policy_revision: record.snapshot().revision,
        };
        let mut captured = capture::captured(&self.original, &place, bounds);
        let contents = capture::contents(&self.original, bounds);
        let sealed = contents.and_then(|contents| self.letters.keys.seal(self.id, &contents));
        if sealed.is_none() && captured.not_replayable.is_none() {
            captured.not_replayable = Some("It could not be sealed".to_owned());
        }
        (captured, sealed)
    }
}

/// A letter on its way.
pub struct Post {
    letter: Box<NewLetter>,
    store: Arc<EmbeddedStore>,
    telemetry: Arc<Telemetry>,
    /// The body counts as held until the letter is written: letters that wait must not fill the memory.
    _held: Held,
}

impl Post {
    /// What is kept.
    pub fn letter(&self) -> &NewLetter {
        &self.letter
    }

    /// Keeps it, by itself.
    pub async fn send(self) -> Option<LetterId> {
        let kept = match self.store.keep_letter((*self.letter).clone()).await {
            Ok(Ok(id)) => Ok(Some(id)),
            Ok(Err(refusal)) => Err(NotKept::Refused(refusal)),
            Err(error) => Err(NotKept::Store(error)),
        };
        self.end(&kept)
    }

    /// Keeps it, by itself, in a task; waits for that for as long as a client can be made to wait.
    pub async fn send_within(self, tasks: &Tasks) -> Option<LetterId> {
        let (tell, told) = oneshot::channel();
        tasks.spawn(async move {
            // Nobody may wait for it any more.
            let _ = tell.send(self.send().await);
        });
        timeout(KEEP, told).await.ok()?.ok()?
    }

    /// It is known whether it is kept. Its number, if it is.
    pub fn end(self, kept: &Result<Option<LetterId>, NotKept>) -> Option<LetterId> {
        let NewLetter { id, cause, class, words: Words { captured, .. }, .. } = &*self.letter;
        match kept {
            Ok(kept) => {
                self.telemetry.metrics.letter_captured(&captured.queue, *cause, *class);
                // A request that had a letter keeps that one.
                Some(kept.unwrap_or(*id))
            }
            Err(not_kept) => {
                self.telemetry.metrics.letter_lost(&captured.queue, not_kept.as_str());
                if let Some(more) = LOSSES.tell(clock::now()) {
                    self.tell_loss(not_kept.as_str(), more);
                }
                None
            }
        }
    }

    fn tell_loss(self, reason: &'static str, more: u64) {
        // Writing may block, and this thread carries traffic.
        drop(tokio::task::spawn_blocking(move || {
            let NewLetter { id, cause, class, words: Words { captured, .. }, .. } = &*self.letter;
            let Captured { queue, upstream, route, method, trace_id, .. } = captured;
            let (letter, cause, class) = (&*id.to_string(), cause.as_str(), class.as_str());
            Event::LetterLost { queue, letter, upstream, route, method, cause, class, trace_id, reason, more }.emit();
        }));
    }
}

/// When a loss was told last, and how many were not since.
#[derive(Debug)]
struct Losses(Mutex<(Option<Instant>, u64)>);

/// Of the process: that is whose log it is.
static LOSSES: Losses = Losses(Mutex::new((None, 0)));

impl Losses {
    /// Whether this loss is told; with it, how many were not.
    fn tell(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, untold) = &mut *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < TELL_EVERY) {
            *untold += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_once_a_second_with_the_number_of_those_that_were_not() {
        let (losses, start) = (Losses(Mutex::new((None, 0))), clock::now());
        let at = |ms| losses.tell(start + Duration::from_millis(ms));
        assert_eq!(
            [at(0), at(1), at(999), at(1_000), at(1_001), at(5_000)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
