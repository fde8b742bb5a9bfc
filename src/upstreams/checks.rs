//! Asks endpoints how they do: one task for each upstream that is checked, on the control runtime.
//!
//! Each check has a connection of its own. It so tries what a new request may need, a listener that accepts and a
//! handshake that succeeds; it takes no place among the connections of requests; and it works while these are all in
//! use, which is when it matters.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};

use super::endpoint::{Due, Endpoint};
use super::line::Speech;
use super::{Event, Upstream};
use crate::clock;
use crate::policy::endpoints::{HealthCheckPolicy, Question};
use crate::policy::tls::Protocol;
use crate::reliability::Failure;
use crate::reliability::grpc::Code;
use crate::reliability::health::{Change, Miss};
use crate::tls::Offer;
use crate::wire::probe::{Asked, Heard, Probe};

/// Checks that run at once, of all upstreams together.
const CHECKS_MAX: usize = 64;
/// How long a task sleeps that has nothing to check.
const IDLE: Duration = Duration::from_secs(60);

/// How soon after a check of theirs endpoints are looked through.
const SOON: Duration = Duration::from_millis(50);

/// Room for checks that run at once.
pub type Places = Arc<Semaphore>;

/// Room for as many as may run at once.
pub fn places() -> Places {
    Arc::new(Semaphore::new(CHECKS_MAX))
}

/// What is asked, and how it is said.
#[derive(Clone, Debug)]
pub struct Checking {
    /// The block.
    pub policy: Arc<HealthCheckPolicy>,
    /// As with requests.
    pub speech: Arc<Speech>,
}

impl PartialEq for Checking {
    fn eq(&self, other: &Self) -> bool {
        self.policy == other.policy && Arc::ptr_eq(&self.speech, &other.speech)
    }
}

impl Upstream {
    /// Nobody is checked any more.
    pub(super) fn forget_checks(&self) {
        let set = self.endpoints();
        set.endpoints.iter().for_each(|endpoint| endpoint.forget_checks());
        set.recount_soon();
    }

    /// Everybody is asked soon, since something else is asked.
    pub(super) fn check_anew(&self, checking: &Checking, now: Instant) {
        let set = self.endpoints();
        set.endpoints.iter().for_each(|endpoint| endpoint.ask_anew(now, &checking.policy.timing));
        set.recount_soon();
    }

    fn checked(&self, endpoint: &Endpoint, result: Result<(), Miss>, policy: &HealthCheckPolicy, now: Instant) {
        self.meters.health_checked(result.is_ok());
        if let Err(Miss::Refused | Miss::Unreachable) = result {
            // Nobody is there: the address may be stale.
            self.on_connect_failure();
        }
        let tripped = endpoint.tripped_until(now).is_some();
        let change = endpoint.record_check(now, result, &policy.timing);
        let ended = tripped && endpoint.tripped_until(now).is_none();
        if change.is_none() && !ended {
            return;
        }
        self.endpoints().recount_soon();
        if let Some(change) = change {
            let miss = if change == Change::Fails { endpoint.miss() } else { None };
            let (upstream, endpoint) = (Arc::clone(&self.name), endpoint.addr.to_string());
            (self.events)(Event::Health { upstream, endpoint, miss, enforced: !policy.observe });
        }
    }
}

/// Checks the endpoints of an upstream until it is gone. Dropped, it ends its checks.
pub(super) async fn keep_checked(upstream: Weak<Upstream>, checking: Checking, places: Places) {
    let mut running: JoinSet<()> = JoinSet::new();
    loop {
        let Some(alive) = upstream.upgrade() else { return };
        let now = clock::now();
        let mut next = now + IDLE;
        for endpoint in &alive.endpoints().endpoints {
            match endpoint.check_due(now, &checking.policy.timing) {
                Due::At(due) => next = next.min(due),
                Due::Now => {
                    let (upstream, checking) = (Weak::clone(&upstream), checking.clone());
                    running.spawn(check(upstream, Arc::clone(endpoint), checking, Arc::clone(&places)));
                }
            }
        }
        let changed = Arc::clone(&alive.set_changed);
        drop(alive);
        loop {
            tokio::select! {
                () = changed.notified() => break,
                () = sleep_until(next.into()) => break,
                // Whoever has been checked is due again, and not at once: a thousand endpoints are not looked through
                // for each of them.
                Some(_ended) = running.join_next() => next = next.min(clock::now() + SOON),
            }
        }
    }
}

async fn check(upstream: Weak<Upstream>, endpoint: Arc<Endpoint>, checking: Checking, places: Places) {
    // Its time begins with its turn.
    let Ok(_place) = places.acquire_owned().await else { return };
    let by = clock::now() + checking.policy.timing.timeout;
    let result = match timeout_at(by.into(), ask(&endpoint, &checking, by)).await {
        Ok(result) => result,
        Err(_elapsed) => Err(Miss::TimedOut),
    };
    if let Some(upstream) = upstream.upgrade() {
        upstream.checked(&endpoint, result, &checking.policy, clock::now());
    }
}

async fn ask(endpoint: &Endpoint, checking: &Checking, by: Instant) -> Result<(), Miss> {
    let (Checking { policy, speech }, grpc) = (checking, matches!(checking.policy.question, Question::Grpc { .. }));
    let offer = match (speech.protocol, &speech.connector) {
        _ if grpc => Offer::Http2,
        (Protocol::Http2, _) => Offer::Http2,
        (Protocol::Auto, Some(_)) => Offer::Either,
        (Protocol::Http1, _) | (Protocol::Auto, None) => Offer::Http1,
    };
    let asked = match &policy.question {
        Question::Http { path, .. } => Asked::Http { path },
        Question::Grpc { service } => Asked::Grpc { service },
    };
    let connector = speech.connector.as_deref();
    let probe = Probe { addr: endpoint.addr, authority: &endpoint.authority, connector, offer, asked };
    let heard = probe.send(by).await.map_err(miss)?;
    match (heard, &policy.question) {
        (Heard::Status(status), Question::Http { codes, .. }) if codes.contains(status) => Ok(()),
        (Heard::Call { code: Code::Ok, serving: true }, Question::Grpc { .. }) => Ok(()),
        (Heard::Call { code: Code::Ok, serving: false }, _) => Err(Miss::NotServing),
        (Heard::Call { code, .. }, _) => Err(Miss::Call(code)),
        (Heard::Status(status), _) => Err(Miss::Status(status)),
    }
}

fn miss(failure: Failure) -> Miss {
    match failure {
        Failure::ConnectionRefused => Miss::Refused,
        Failure::ConnectTimeout | Failure::TlsTimeout => Miss::TimedOut,
        Failure::Unroutable | Failure::ConnectFailed => Miss::Unreachable,
        Failure::TlsFailed | Failure::TlsCertificate | Failure::TlsAlert => Miss::Tls,
        _ => Miss::Broken,
    }
}
