//! Requests with an idempotency key, before anything is sent: whose key it is, what became of it, and who may go on.
//!
//! Whoever is granted the key executes the request ([`super::execution`]); everybody else is answered here.

pub(super) mod handle;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use tokio::time::timeout_at;

use super::attempt::Outgoing;
use super::route::Route;
use crate::clock;
use crate::idempotency::answer::StoredAnswer;
use crate::idempotency::claim::{Claim, LEASE, failure_of, millis};
use crate::idempotency::identity::{fingerprint, record_of};
use crate::idempotency::store::{Command, Store, StoreError};
use crate::idempotency::waiting::Waiting;
use crate::policy::idempotency::{IdempotencyPolicy, InFlight, Principal};
use crate::random::{self, Random};
use crate::reliability::Failure;
use crate::reliability::classify::Contract;
use crate::reliability::entropy::Entropy;
use crate::reliability::idempotency::{self as machine, Fingerprint, KeyStatus, Nonce, Op, RecordId, Reply, parse_key};
use crate::sabotage::{Point, crash_point};
use crate::tls::Peer;
use crate::wire::RequestBody;

/// First and longest wait between two looks at a key that another replica is at: there is no bell for that.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(250);

/// What the head of a request says of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Nothing,
    /// There is one, and this method has no use for it.
    Ignored,
    /// None, but the upstream would recognise one: each attempt is to carry the same.
    Invent,
    /// Deduplicate.
    Key {
        /// Unquoted.
        key: Vec<u8>,
        /// Whose; empty if the policy does not tell callers apart.
        principal: Vec<u8>,
    },
}

/// Reads it.
///
/// # Errors
/// [`Failure::KeyMissing`], [`Failure::KeyMalformed`] with the reason, [`Failure::KeyOfNobody`].
pub fn asked(
    policy: &IdempotencyPolicy,
    contract: Contract,
    method: &Method,
    headers: &HeaderMap,
    caller: Option<&Peer>,
) -> Result<Asked, (Failure, &'static str)> {
    let mut lines = headers.get_all(&policy.header).iter();
    let first = lines.next();
    if !policy.methods.contains(method) {
        return Ok(if first.is_some() { Asked::Ignored } else { Asked::Nothing });
    }
    let Some(line) = first else {
        return match (policy.required, contract) {
            (true, _) => Err((Failure::KeyMissing, "This route requires an idempotency key, and there is none")),
            (false, Contract::Dedupes) => Ok(Asked::Invent),
            (false, Contract::Opaque | Contract::Atomic5xx) => Ok(Asked::Nothing),
        };
    };
    if lines.next().is_some() {
        return Err((Failure::KeyMalformed, "There are several idempotency keys"));
    }
    let key = parse_key(line.as_bytes(), policy.syntax).map_err(|error| (Failure::KeyMalformed, error.as_str()))?;
    let principal = match &policy.principal {
        Principal::None => Vec::new(),
        Principal::Header(name) => principal(headers, name).ok_or((
            Failure::KeyOfNobody,
            "The header that tells whose key this is must be there once, with a value",
        ))?,
        // Nothing that the caller could write: its certificate was verified in the handshake.
        Principal::Spiffe => caller.and_then(|peer| peer.spiffe.as_ref()).map(|id| id.as_bytes().to_vec()).ok_or((
            Failure::KeyOfNobody,
            "The certificate of the caller tells whose key this is, and it has no SPIFFE id",
        ))?,
    };
    Ok(Asked::Key { key, principal })
}

/// One caller, plainly named: nobody and several are no caller, and share no key with anyone.
fn principal(headers: &HeaderMap, name: &http::HeaderName) -> Option<Vec<u8>> {
    let mut lines = headers.get_all(name).iter();
    let value = lines.next().filter(|value| !value.as_bytes().trim_ascii().is_empty())?;
    lines.next().is_none().then(|| value.as_bytes().to_vec())
}

/// A fresh key as the draft writes it: a quoted UUID.
pub fn invented() -> String {
    let bits = random::bits128().to_be_bytes();
    let hex: String = bits.iter().map(|byte| format!("{byte:02x}")).collect();
    // RFC 9562: version 4, variant 10.
    let variant = char::from_digit(8 | u32::from(bits[8] >> 6), 16).unwrap_or('8');
    format!("\"{}-{}-4{}-{variant}{}-{}\"", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

/// A key and the request that came with it, as stores know them.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// Of the key.
    pub id: RecordId,
    /// Of the request.
    pub fingerprint: Fingerprint,
}

/// Hashes key and request. The body has been read.
///
/// # Errors
/// The store has no secret to give.
pub async fn name(
    store: &Arc<dyn Store>,
    route: &Route<'_>,
    (key, principal): (&[u8], &[u8]),
    request: &Outgoing,
) -> Result<Named, StoreError> {
    let secret = store.secret().await?;
    let id = record_of(&secret, (route.upstream.direction, &route.upstream.name), principal, key);
    let field = |name| request.headers.get(name).map_or(&b""[..], HeaderValue::as_bytes);
    let body = match &request.body {
        Some(RequestBody::Buffered { data, .. }) => &data[..],
        Some(RequestBody::Empty | RequestBody::Streaming { .. }) | None => &[],
    };
    let (path, query) = (request.uri.path().as_bytes(), request.uri.query());
    let fingerprint = fingerprint(&[
        request.method.as_str().as_bytes(),
        path,
        // No query and an empty one are two requests.
        if query.is_some() { b"?" } else { b"" },
        query.unwrap_or_default().as_bytes(),
        field(CONTENT_TYPE),
        field(CONTENT_ENCODING),
        body,
    ]);
    Ok(Named { id, fingerprint })
}

/// What a request with a key is told.
pub enum Told {
    /// Go on: the claim is yours.
    Execute(Claim),
    /// The answer of the request before.
    Replay(StoredAnswer),
    /// No.
    Refused {
        /// Why.
        failure: Failure,
        /// In a word.
        status: KeyStatus,
        /// When it makes sense to ask again.
        retry_after: Option<Duration>,
    },
}

impl Told {
    fn refused(failure: Failure, status: KeyStatus) -> Told {
        Told::Refused { failure, status, retry_after: None }
    }
}

/// Asks the store, and waits for whoever is at it as long as the policy allows. `Err`: the store failed, and the
/// policy says what that means.
///
/// # Errors
/// [`StoreError`]
pub async fn claim(
    store: &Arc<dyn Store>,
    waiting: &Waiting,
    route: &Route<'_>,
    policy: &IdempotencyPolicy,
    named: Named,
    deadline: Instant,
) -> Result<Told, StoreError> {
    let nonce = Nonce(random::bits128().to_be_bytes());
    let op = Op::Claim(machine::Claim {
        fingerprint: named.fingerprint,
        nonce,
        lease: millis(LEASE),
        keep: millis(policy.unknown_ttl),
        contract: route.policy.retry.contract,
    });
    let label: Arc<str> = format!("{}/{}", route.upstream.name, route.policy.name).into();
    let patience = match policy.in_flight {
        InFlight::Wait(patience) => patience,
        InFlight::Reject => Duration::ZERO,
    };
    let until = deadline.min(clock::now() + patience);
    let (mut place, mut pause) = (None, LOOK_AGAIN);
    loop {
        // Taken before the store is asked: an end in between is not missed.
        let bell = place.as_ref().map(crate::idempotency::waiting::Place::bell);
        let command = Command { id: named.id, op, route: Some(Arc::clone(&label)), answer: None, letter: None };
        crash_point(Point::BeforeClaim);
        let answered = store.apply(command).await?;
        match (answered.reply, answered.answer) {
            (Reply::Granted { .. }, _) => {
                crash_point(Point::AfterClaim);
                let claim = Claim::new(Arc::clone(store), named.id, nonce, policy.ttl, policy.unknown_ttl);
                return Ok(Told::Execute(claim));
            }
            (Reply::Replay { .. }, Some(answer)) => return Ok(replay(answer)),
            (Reply::Mismatch, _) => return Ok(Told::refused(Failure::KeyReused, KeyStatus::Mismatch)),
            (Reply::Unknown, _) => return Ok(Told::refused(Failure::OutcomeUnknown, KeyStatus::Unknown)),
            (Reply::Busy { .. }, _) => {}
            (reply, _) => return Err(StoreError::Unavailable(format!("it said {reply:?} to a claim"))),
        }
        let now = clock::now();
        if now >= until {
            return Ok(in_progress());
        }
        if place.is_none() {
            drop(bell);
            place = waiting.enter(named.id);
            if place.is_none() {
                return Ok(in_progress());
            }
            continue;
        }
        if let Some(bell) = bell {
            // Woken, or not: either way the store is asked again.
            let _ = timeout_at(until.min(now + pause.mul_f64(0.5 + 0.5 * Random.unit())).into(), bell).await;
        }
        pause = (pause * 2).min(LOOK_AGAIN_MAX);
    }
}

fn replay(answer: StoredAnswer) -> Told {
    if answer.body.is_some() {
        Told::Replay(answer)
    } else {
        Told::refused(Failure::AnswerNotRetained, KeyStatus::Replayed)
    }
}

fn in_progress() -> Told {
    let retry_after = Some(Duration::from_secs(1));
    Told::Refused { failure: Failure::KeyInProgress, status: KeyStatus::InFlight, retry_after }
}

/// The store failed, and the policy wants no request to go on without it.
pub fn closed(error: &StoreError) -> Told {
    let retry_after = Some(Duration::from_secs(1));
    Told::Refused { failure: failure_of(error), status: KeyStatus::NotStored, retry_after }
}
