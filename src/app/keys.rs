//! What operators ask and order of one idempotency key, carried out at its store.

use std::sync::Arc;

use http::HeaderMap;

use super::control::Sources;
use crate::admin::api::{KeyAnswer, KeyView, ResolveAs, ResolvedKey};
use crate::admin::control::{KeyName, Outcome, Refused, ResolveOrder};
use crate::admin::keys::sentence;
use crate::clock;
use crate::idempotency::answer::StoredAnswer;
use crate::idempotency::claim::millis;
use crate::idempotency::identity::record_of;
use crate::idempotency::store::{Command, Shown, Store, StoreError};
use crate::policy::idempotency::{IdempotencyPolicy, Principal};
use crate::policy::journal::Entry;
use crate::policy::{Direction, Policy, RoutePolicy, UpstreamPolicy};
use crate::reliability::idempotency::{Millis, Op, RecordId, Reply, State};

/// The record of a key, and the store that has it.
struct Place {
    store: Arc<dyn Store>,
    policy: Arc<IdempotencyPolicy>,
    id: RecordId,
    /// `upstream/route` as asked.
    route: String,
}

/// Looks at it. May wait for the store.
pub fn show(sources: &Sources, name: &KeyName) -> Result<KeyView, Refused> {
    let place = find(sources, name)?;
    shown(sources, &place).map(|shown| view(&shown))
}

/// Settles it, and writes that to the journal. May wait for the store and the disk.
pub fn resolve(sources: &Sources, order: &ResolveOrder) -> Result<ResolvedKey, Refused> {
    let place = find(sources, &order.name)?;
    let shown_before = shown(sources, &place)?;
    let nonce = shown_before.record.nonce;
    let (outcome, op, answer) = match &order.outcome {
        Outcome::NotExecuted => (ResolveAs::NotExecuted, Op::ResolveNotExecuted { nonce }, None),
        Outcome::Executed { status, body } => {
            if body.len() > place.policy.max_stored_body {
                let max = place.policy.max_stored_body;
                return Err(Refused::Invalid(format!("`body` is longer than the {max} bytes of `maxStoredBody`")));
            }
            let answer = StoredAnswer::new(*status, &HeaderMap::new(), Some(body.clone().into()));
            (ResolveAs::Executed, Op::ResolveExecuted { nonce, keep: millis(place.policy.ttl) }, Some(answer))
        }
    };
    let now_replayed = answer.as_ref().map(kept);
    let record = short(place.id);
    let what = format!(
        "{}: {} outcome of the key with record {record} resolved as {}",
        place.route,
        open_question(&shown_before),
        match outcome {
            ResolveAs::Executed => "executed",
            ResolveAs::NotExecuted => "not executed",
        }
    );
    let journal = |line: String| {
        let ResolveOrder { name, outcome: _, reason, author } = order;
        sources.store.record(Entry::by_hand(Some(&name.upstream), author, reason, line));
    };
    let command = Command { id: place.id, op, route: None, answer, letter: None };
    match sources.core.stores.wait(place.store.apply(command)) {
        Ok(answered) if answered.reply == Reply::Done => {
            journal(what);
            let was = shown_before.record.state.as_str().to_owned();
            Ok(ResolvedKey { outcome, was, route: place.route, record, answer: now_replayed })
        }
        // Also if somebody has settled it or claimed it anew meanwhile: it is told as it is now.
        Ok(_) => {
            let now = view(&shown(sources, &place)?);
            Err(Refused::Settled(format!("the key at {} is {}", place.route, sentence(&now))))
        }
        Err(error) => {
            // It may have been applied and the answer lost: no resolution goes without a trace.
            journal(format!("{what}, perhaps: {error}"));
            Err(failed(&error))
        }
    }
}

fn open_question(shown: &Shown) -> &'static str {
    if shown.record.state == State::Complete { "ambiguous" } else { "unknown" }
}

/// The store and the id, by the policy in force.
fn find(sources: &Sources, name: &KeyName) -> Result<Place, Refused> {
    let Some(proxy) = sources.core.proxy.get() else {
        return Err(Refused::Conflict("no policy is in force yet".to_owned()));
    };
    let snapshot = proxy.snapshot.load_full();
    let (upstream, route) = route_of(&snapshot.policy, name)?;
    let label = format!("{}/{}", upstream.name, route.name);
    let Some(policy) = route.idempotency.clone() else {
        let why = "does not deduplicate: it has no `idempotency` in the policy, and so no records of keys";
        return Err(Refused::Unknown(format!("the route {label} {why}")));
    };
    let principal = principal(&policy, &label, name.principal.as_deref())?;
    let Some(store) = proxy.stores.load().of(policy.store).cloned() else {
        return Err(Refused::Store(format!("the store `{}` is not open", policy.store.as_str())));
    };
    let secret = sources.core.stores.wait(store.secret()).map_err(|error| failed(&error))?;
    let direction: Direction = upstream.direction;
    let id = record_of(&secret, (direction, &upstream.name), principal, &name.key);
    Ok(Place { store, policy, id, route: label })
}

fn route_of<'a>(policy: &'a Policy, name: &KeyName) -> Result<(&'a UpstreamPolicy, &'a RoutePolicy), Refused> {
    let Some(upstream) = policy.upstreams.iter().find(|upstream| *upstream.name == *name.upstream) else {
        let names: Vec<&str> = policy.upstreams.iter().map(|upstream| &*upstream.name).collect();
        return Err(Refused::Unknown(format!(
            "there is no upstream `{}`; there are: {}",
            name.upstream,
            names.join(", ")
        )));
    };
    let route = upstream.routes.iter().find(|route| *route.name == *name.route).ok_or_else(|| {
        let names: Vec<&str> = upstream.routes.iter().map(|route| &*route.name).collect();
        let (upstream, route) = (&upstream.name, &name.route);
        Refused::Unknown(format!("`{upstream}` has no route `{route}`; it has: {}", names.join(", ")))
    })?;
    Ok((upstream, route))
}

/// A key without its caller, or with one that the policy does not look at, would be another key.
fn principal<'a>(policy: &IdempotencyPolicy, label: &str, stated: Option<&'a str>) -> Result<&'a [u8], Refused> {
    match (&policy.principal, stated.map(str::trim)) {
        (Principal::None, None) => Ok(&[]),
        (Principal::None, Some(_)) => {
            Err(Refused::Invalid(format!("{label} does not tell callers apart: leave `principal` out")))
        }
        (Principal::Header(_) | Principal::Spiffe, Some(stated)) if !stated.is_empty() => Ok(stated.as_bytes()),
        (Principal::Spiffe, _) => Err(Refused::Invalid(format!(
            "{label} tells callers apart by the SPIFFE id in their certificates: state it in `principal` (`--principal`)"
        ))),
        (Principal::Header(header), _) => Err(Refused::Invalid(format!(
            "{label} tells callers apart: state as `principal` what the caller sends as `{header}`"
        ))),
    }
}

fn shown(sources: &Sources, place: &Place) -> Result<Shown, Refused> {
    let shown = sources.core.stores.wait(place.store.show(place.id)).map_err(|error| failed(&error))?;
    shown.ok_or_else(|| {
        Refused::UnknownKey(format!(
            "there is no record of this key at {}: it was never used, was freed, or has expired",
            place.route
        ))
    })
}

fn failed(error: &StoreError) -> Refused {
    Refused::Store(error.to_string())
}

pub fn view(shown: &Shown) -> KeyView {
    let record = &shown.record;
    let now = clock::wall_millis();
    // The store's clock counts; ours is near enough to tell a person.
    let left = |until: Millis| until.saturating_sub(now);
    let owned = matches!(record.state, State::Claimed | State::Sent);
    KeyView {
        state: record.state.as_str().to_owned(),
        attempt: record.attempt,
        fence: record.fence,
        contract: record.contract.as_str().to_owned(),
        ambiguous: record.ambiguous,
        pinned: record.pinned,
        expires_in_ms: (!record.pinned).then(|| left(record.expires)),
        lease_left_ms: owned.then(|| left(record.lease_until)),
        route: shown.route.to_string(),
        answer: shown.answer.as_ref().map(kept),
    }
}

fn kept(answer: &StoredAnswer) -> KeyAnswer {
    KeyAnswer { status: answer.status, body_bytes: answer.body.as_ref().map(|body| body.len() as u64) }
}

/// Enough of the id to find it again, and nothing of the key.
fn short(id: RecordId) -> String {
    id.0.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
