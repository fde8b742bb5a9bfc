//! The way of a request with an idempotency key, up to its execution or to the answer that it gets without one.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, TE};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Named, Told};
use crate::dead_letters::letter::LetterId;
use crate::idempotency::claim::Claim;
use crate::idempotency::store::StoreError;
use crate::policy::idempotency::{ForwardKey, IdempotencyPolicy, OnStoreError, Oversize, StoreKind};
use crate::proxy::admit;
use crate::proxy::attempt::Outgoing;
use crate::proxy::body::{Body, Bounds};
use crate::proxy::connection::Connection;
use crate::proxy::dead_letters::{self, Watch};
use crate::proxy::execution::Execution;
use crate::proxy::grpc;
use crate::proxy::hygiene::Present;
use crate::proxy::record::Record;
use crate::proxy::respond::{self, Explained};
use crate::proxy::route::Route;
use crate::proxy::{Prepared, Proxy};
use crate::reliability::idempotency::KeyStatus;
use crate::reliability::{Failure, Sent};
use crate::wire::RequestBody;

/// Memory for bodies comes free with the next request that ends.
const CROWDED: Duration = Duration::from_secs(1);

/// A client that is refused does not wait longer to hear of the letter.
const ASK_FOR_LETTER: Duration = Duration::from_millis(100);

/// A request's idempotency key, and how the route treats it.
pub(in crate::proxy) struct Keyed<'a> {
    pub(in crate::proxy) policy: &'a Arc<IdempotencyPolicy>,
    pub(in crate::proxy) key: &'a [u8],
    pub(in crate::proxy) principal: &'a [u8],
}

impl Proxy {
    /// A request with an idempotency key: its body first, then the store, and only then everything else. What was
    /// answered before is answered again whatever the breaker says.
    pub(in crate::proxy) async fn handle_keyed(
        &self,
        connection: &Arc<Connection>,
        route: &Route<'_>,
        key: Keyed<'_>,
        request: Request<Incoming>,
        present: Present,
        mut record: Box<Record>,
    ) -> Response<Body> {
        let policy = key.policy;
        let entered = self.enter(connection, route, &request, present, &mut record);
        let prepared = match entered {
            Ok(deadline) => {
                // With a key all of it is waited for: it is what the key stands for.
                let bounds = Bounds { deadline, bytes: policy.max_body, talks: false };
                self.prepare(connection, route, request, present, &mut record, bounds).await
            }
            Err(failure) => Err(failure),
        };
        let Prepared { mut outgoing, client_upgrade, held, too_large, crowded, .. } = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => return respond::fail(failure.into(), record),
        };
        if let Some(refused) = unfit(&outgoing, policy, crowded) {
            // What is left of it is not read: the connection cannot be used again.
            connection.close_soon();
            record.key_status = crowded.then_some(KeyStatus::NotStored);
            return respond::fail(refused, record);
        }
        let (told, named) =
            if too_large || outgoing.upgrade { (None, None) } else { self.ask(route, &key, &outgoing).await };
        let mut watch = match &told {
            // With everything that the client sent: a replay comes by this door again.
            Some(Told::Execute(_)) | None if route.policy.dead_letter.is_some() => {
                dead_letters::watch(self.stores.load().letters.as_ref(), route, &record, &outgoing, None)
            }
            _ => None,
        };
        as_anyone(&mut outgoing, policy);
        let claim = match told {
            Some(Told::Execute(claim)) => Arc::new(match (&mut watch, named) {
                (Some(watch), Some(named)) => with_letters(claim, policy.store, watch, named, &record),
                _ => claim,
            }),
            Some(Told::Replay(answer)) => {
                record.key_status = Some(KeyStatus::Replayed);
                return respond::replay(answer, record);
            }
            Some(Told::Refused { failure, status, retry_after }) => {
                record.key_status = Some(status);
                if status == KeyStatus::Unknown {
                    record.dead_letter = self.letter_of(named).await;
                }
                return respond::fail(Explained { sent: sent_before(status), retry_after, ..failure.into() }, record);
            }
            None => {
                record.key_status = Some(KeyStatus::Bypassed);
                // It was too large for the key, which says nothing of retries.
                let prepared = Prepared { outgoing, client_upgrade, held, too_large: false, crowded, watch };
                return self.bypass(connection, route, prepared, record).await;
            }
        };
        outgoing.claim = Some(Arc::clone(&claim));
        let (waiting, tasks, late) = (Arc::clone(&self.waiting), self.tasks.clone(), self.late.clone());
        let (route, policy) = (route.id, Arc::clone(policy));
        let execution = Execution { route, policy, outgoing, record, claim, waiting, tasks, held, watch, late };
        let (tell, told) = oneshot::channel();
        self.tasks.spawn(async move {
            // Nobody may be there any more to be told.
            let _ = tell.send(execution.run().await);
        });
        told.await.unwrap_or_else(|_| respond::cut_short())
    }

    /// The open letter of a key, if there is one: whoever asks can name it to an operator.
    async fn letter_of(&self, named: Option<Named>) -> Option<LetterId> {
        let letters = self.stores.load().letters.clone()?;
        let asked = letters.store.letter_of(named?.id);
        timeout(ASK_FOR_LETTER, asked).await.ok()?.ok()?
    }

    /// What the store says to a key. `None`: it fails, and the policy lets requests through without it.
    pub(in crate::proxy) async fn ask(
        &self,
        route: &Route<'_>,
        key: &Keyed<'_>,
        outgoing: &Outgoing,
    ) -> (Option<Told>, Option<Named>) {
        let mut name = None;
        let asked = async {
            let Some(store) = self.stores.load().of(key.policy.store).cloned() else {
                return Err(StoreError::Unavailable("no such store is open".to_owned()));
            };
            let named = super::name(&store, route, (key.key, key.principal), outgoing).await?;
            name = Some(named);
            super::claim(&store, &self.waiting, route, key.policy, named, outgoing.deadline).await
        };
        let told = match asked.await {
            Ok(told) => Some(told),
            Err(StoreError::Full) => Some(super::closed(&StoreError::Full)),
            Err(error) => (key.policy.on_store_error == OnStoreError::Closed).then(|| super::closed(&error)),
        };
        (told, name)
    }

    /// Without deduplication, as the policy says.
    async fn bypass(
        &self,
        connection: &Connection,
        route: &Route<'_>,
        prepared: Prepared,
        mut record: Box<Record>,
    ) -> Response<Body> {
        let asks = (&prepared.outgoing.headers, prepared.outgoing.present);
        match admit::admit(route, asks, record.started(), prepared.outgoing.deadline).await {
            Ok((slot, waited)) => {
                record.waited(waited);
                self.exchange(connection, route, prepared, slot, record).await
            }
            Err(refusal) => {
                if let Some(watch) = prepared.watch {
                    Box::pin(self.keep_failed(watch, prepared.held, (refusal.failure, Sent::No), &mut record)).await;
                }
                respond::refuse(&refusal, record)
            }
        }
    }
}

/// What is kept of an answer is for everyone who may ask again with this key, whatever they understand.
pub(in crate::proxy) fn as_anyone(outgoing: &mut Outgoing, policy: &IdempotencyPolicy) {
    if policy.forward_key == ForwardKey::Strip {
        outgoing.headers.remove(&policy.header);
    }
    // What is kept is not in a coding that the next one may not know.
    const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
    outgoing.headers.insert(ACCEPT_ENCODING, IDENTITY);
    if outgoing.present.grpc() {
        outgoing.headers.insert(grpc::ACCEPT_ENCODING, IDENTITY);
    } else {
        // Trailers are kept of calls, which end with them, and of nothing else.
        outgoing.headers.remove(TE);
    }
}

/// A body that cannot be held is not asked about.
fn unfit(outgoing: &Outgoing, policy: &IdempotencyPolicy, crowded: bool) -> Option<Explained<'static>> {
    match &outgoing.body {
        // Not its own fault, and `oversize: bypass` was not said of this: deduplication does not end with the memory.
        Some(RequestBody::Streaming { .. }) if crowded => {
            Some(Explained { retry_after: Some(CROWDED), ..Failure::Overloaded.into() })
        }
        Some(RequestBody::Streaming { .. }) if policy.oversize == Oversize::Reject => {
            Some(Failure::RequestBodyTooLarge.into())
        }
        _ => None,
    }
}

/// Of this request nothing was sent; the caller wants to know of the one before it.
const fn sent_before(status: KeyStatus) -> Sent {
    match status {
        KeyStatus::Unknown => Sent::Maybe,
        KeyStatus::Replayed => Sent::Yes,
        _ => Sent::No,
    }
}

/// Letters travel with what is told to a store that keeps both; the letter of a shared record is kept by itself.
fn with_letters(claim: Claim, kind: StoreKind, watch: &mut Watch, named: Named, record: &Record) -> Claim {
    watch.keyed(named.id, named.fingerprint);
    match kind {
        StoreKind::Embedded => claim.with_letters(watch.stub(record), None),
        StoreKind::Redis => claim.with_letters(None, Some(Arc::clone(watch.store()))),
    }
}
