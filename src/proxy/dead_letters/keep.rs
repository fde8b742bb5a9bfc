//! Letters of requests without a key of their own, and of those that pass by the store of keys.

use std::time::Duration;

use http::{HeaderMap, Request};
use hyper::body::Incoming;

use super::{Post, Watch};
use crate::clock;
use crate::proxy::body::{Bounds, Held};
use crate::proxy::connection::Connection;
use crate::proxy::grpc;
use crate::proxy::hygiene::Present;
use crate::proxy::keeper::Keeper;
use crate::proxy::record::Record;
use crate::proxy::respond;
use crate::proxy::route::Route;
use crate::proxy::{Prepared, Proxy};
use crate::reliability::classify::{Contract, PeerMark};
use crate::reliability::dead_letters::{Cause, Class, of_answer, of_failure};
use crate::reliability::{Failure, Sent};
use crate::wire::Answer;

/// A body that is read for a letter alone may take this long: the client waits for its refusal.
const READ: Duration = Duration::from_secs(1);

impl Proxy {
    /// Begins to hold what a letter would need. On a route without letters: one look.
    pub(in crate::proxy) fn watch(
        &self,
        route: &Route<'_>,
        record: &Record,
        prepared: &mut Prepared,
        invented: Option<&str>,
    ) {
        if route.policy.dead_letter.is_some() {
            let stores = self.stores.load();
            prepared.watch = super::watch(stores.letters.as_ref(), route, record, &prepared.outgoing, invented);
        }
    }

    /// No answer came.
    pub(in crate::proxy) async fn keep_failed(
        &self,
        mut watch: Box<Watch>,
        held: Held,
        (failure, executed): (Failure, Sent),
        record: &mut Record,
    ) {
        watch.hold(held);
        let post = watch.failed(of_failure(failure, executed), failure, record);
        self.send(post, record).await;
    }

    /// The head of an answer goes to the client: is it a letter already, or if its body breaks off?
    pub(in crate::proxy) async fn keep_answered(
        &self,
        contract: Contract,
        mut watch: Box<Watch>,
        held: Held,
        (answer, earlier): (&Answer, Sent),
        record: &mut Record,
    ) -> Option<Keeper> {
        watch.hold(held);
        let (status, fields) = (grpc::weight(answer), answer.headers());
        let sorted = of_answer(status, mark(fields), earlier, contract);
        if watch.wants(sorted) {
            let post = watch.answered(sorted, (status, fields, None), record);
            self.send(post, record).await;
            return None;
        }
        let broken = Some((Cause::OutcomeUnknown, Class::Unknown));
        watch.wants(broken).then(|| Keeper {
            record: None,
            watch: Some(watch),
            sorted: None,
            tasks: self.tasks.clone(),
        })
    }

    /// Nothing was tried. Its body has not been read, and is now if that makes a letter.
    pub(in crate::proxy) async fn keep_refused(
        &self,
        connection: &Connection,
        route: &Route<'_>,
        request: Request<Incoming>,
        present: Present,
        record: &mut Record,
        failure: Failure,
    ) {
        let sorted = of_failure(failure, Sent::No);
        let wanted = sorted.is_some_and(|(cause, _)| super::counts(route, record, request.method(), cause));
        if !wanted || self.stores.load().letters.is_none() {
            return;
        }
        let bytes = super::held_max(route, record, request.method());
        let bounds = Bounds { deadline: clock::now() + READ, bytes, talks: present.grpc() };
        let Ok(mut prepared) = self.prepare(connection, route, request, present, record, bounds).await else {
            return super::lose_unread(route, record);
        };
        self.watch(route, record, &mut prepared, None);
        if let Some(watch) = prepared.watch {
            self.keep_failed(watch, prepared.held, (failure, Sent::No), record).await;
        }
    }

    async fn send(&self, post: Option<Post>, record: &mut Record) {
        if let Some(post) = post {
            record.dead_letter = post.send_within(&self.tasks).await;
        }
    }
}

/// What a proxy of our kind says of an answer.
fn mark(fields: &HeaderMap) -> PeerMark {
    fields.get(respond::RETRY_MARK).map_or(PeerMark::None, respond::read_mark)
}
