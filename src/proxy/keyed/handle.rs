//! The way of a request with an idempotency key, up to its execution or to the answer that it gets without one.

use std::sync::Arc;

use http::header::TE;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::Told;
use crate::idempotency::store::StoreError;
use crate::policy::idempotency::{ForwardKey, IdempotencyPolicy, OnStoreError, Oversize};
use crate::proxy::admit::{self, Refusal};
use crate::proxy::attempt::Outgoing;
use crate::proxy::body::Body;
use crate::proxy::connection::Connection;
use crate::proxy::execution::Execution;
use crate::proxy::hygiene::Present;
use crate::proxy::record::Record;
use crate::proxy::respond::{self, Explained};
use crate::proxy::route::Route;
use crate::proxy::{Prepared, Proxy};
use crate::reliability::idempotency::KeyStatus;
use crate::reliability::{Failure, Sent};
use crate::wire::RequestBody;

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
        let entered = self.enter(connection, route, &request, present, &record);
        let prepared = match entered {
            Ok(deadline) => {
                let bounds = (deadline, policy.max_body);
                self.prepare(connection, route, request, present, &mut record, bounds).await
            }
            Err(failure) => Err(failure),
        };
        let Prepared { mut outgoing, client_upgrade, held, too_large } = match prepared {
            Ok(prepared) => prepared,
            Err(failure) => return respond::fail(failure.into(), record),
        };
        if outgoing.body.as_ref().is_some_and(RequestBody::is_streaming) && policy.oversize == Oversize::Reject {
            // What is left of it is not read: the connection cannot be used again.
            connection.close_soon();
            return respond::fail(Failure::RequestBodyTooLarge.into(), record);
        }
        let told = if too_large || outgoing.upgrade { None } else { self.ask(route, &key, &outgoing).await };
        if policy.forward_key == ForwardKey::Strip {
            outgoing.headers.remove(&policy.header);
        }
        // What is kept is the body alone, and for everyone who may ask again.
        outgoing.headers.remove(TE);
        let claim = match told {
            Some(Told::Execute(claim)) => Arc::new(claim),
            Some(Told::Replay(answer)) => {
                record.key_status = Some(KeyStatus::Replayed);
                return respond::replay(answer, record);
            }
            Some(Told::Refused { failure, status, retry_after }) => {
                record.key_status = Some(status);
                // Of this request nothing was sent; the caller wants to know of the one before it.
                let sent = match status {
                    KeyStatus::Unknown => Sent::Maybe,
                    KeyStatus::Replayed => Sent::Yes,
                    _ => Sent::No,
                };
                return respond::fail(Explained { sent, retry_after, ..failure.into() }, record);
            }
            None => {
                record.key_status = Some(KeyStatus::Bypassed);
                // It was too large for the key, which says nothing of retries.
                let prepared = Prepared { outgoing, client_upgrade, held, too_large: false };
                return self.bypass(connection, route, prepared, record).await;
            }
        };
        outgoing.claim = Some(Arc::clone(&claim));
        let (waiting, tasks) = (Arc::clone(&self.waiting), self.tasks.clone());
        let execution =
            Execution { route: route.id, policy: Arc::clone(policy), outgoing, record, claim, waiting, tasks, held };
        let (tell, told) = oneshot::channel();
        self.tasks.spawn(async move {
            // Nobody may be there any more to be told.
            let _ = tell.send(execution.run().await);
        });
        told.await.unwrap_or_else(|_| respond::cut_short())
    }

    /// What the store says to a key. `None`: it fails, and the policy lets requests through without it.
    async fn ask(&self, route: &Route<'_>, key: &Keyed<'_>, outgoing: &Outgoing) -> Option<Told> {
        let asked = async {
            let Some(store) = self.stores.load().of(key.policy.store).cloned() else {
                return Err(StoreError::Unavailable("no such store is open".to_owned()));
            };
            let named = super::name(&store, route, (key.key, key.principal), outgoing).await?;
            super::claim(&store, &self.waiting, route, key.policy, named, outgoing.deadline).await
        };
        match asked.await {
            Ok(told) => Some(told),
            Err(StoreError::Full) => Some(super::closed(&StoreError::Full)),
            Err(error) => (key.policy.on_store_error == OnStoreError::Closed).then(|| super::closed(&error)),
        }
    }

    /// Without deduplication, as the policy says.
    async fn bypass(
        &self,
        connection: &Connection,
        route: &Route<'_>,
        prepared: Prepared,
        record: Box<Record>,
    ) -> Response<Body> {
        match admit::admit(route, record.started(), prepared.outgoing.deadline).await {
            Ok(slot) => self.exchange(connection, route, prepared, slot, record).await,
            Err(Refusal { failure, retry_after }) => respond::fail(Explained { retry_after, ..failure.into() }, record),
        }
    }
}
