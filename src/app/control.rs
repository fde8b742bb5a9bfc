//! What operators may ask and order, answered from the parts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Core, StartError, certificates, changes, curves, keys, letters, retries, verdicts};
use crate::admin::api::{Applied, CircuitAction, PolicyDocument, PolicySummary, Readiness, Reload};
use crate::admin::control::{Ask, AskWith, CircuitOrder, Control, Refused, ReloadOrder, RollbackOrder};
use crate::admin::{Access, Door, Stranger};
use crate::clock;
use crate::policy::admin::{AdminAccess, GUARD_IT};
use crate::policy::journal::Entry;
use crate::policy::store::{self, ApplyError, PolicyStore};
use crate::reliability::breaker::Hold;
use crate::tls::{Acceptor, Registry};
use crate::upstreams::view::CircuitView;

/// What the answers are made from.
#[derive(Clone)]
pub struct Sources {
    pub core: Arc<Core>,
    pub store: Arc<PolicyStore>,
    /// The policy file.
    pub path: PathBuf,
}

/// Who is let in to the admin API, and how.
#[derive(Default)]
pub struct Guarded {
    pub access: Access,
    pub tls: Option<Arc<Acceptor>>,
}

/// What guards the admin API at `listen`, as the policy says. Reads files.
///
/// # Errors
/// Nothing would, and `listen` is not loopback; or what does cannot be used.
pub fn guarded(listen: Option<SocketAddr>, policy: &AdminAccess, registry: &Registry) -> Result<Guarded, StartError> {
    let Some(listen) = listen else { return Ok(Guarded::default()) };
    if let Some(why) = policy.refuses(listen) {
        return Err(StartError::Process(format!("{why}: {GUARD_IT}")));
    }
    let acceptor = |spec| registry.acceptor(&Arc::from("admin"), spec);
    let tls = policy.tls.as_ref().map(acceptor).transpose();
    let tls = tls.map_err(|why| StartError::Process(format!("admin.tls: {why}")))?;
    let access = Access::open(policy).map_err(StartError::Process)?;
    Ok(Guarded { access, tls })
}

/// Binds both listeners and serves them on the control runtime.
///
/// # Errors
/// An address cannot be had.
pub fn serve(
    control: &Runtime,
    sources: Sources,
    (admin, guarded): (Option<SocketAddr>, Guarded),
    metrics: Option<SocketAddr>,
    stop: &CancellationToken,
) -> Result<(Option<SocketAddr>, Option<SocketAddr>), StartError> {
    let admin = admin.map(|addr| bind(control, addr, "admin.listen")).transpose()?;
    let metrics = metrics.map(|addr| bind(control, addr, "metrics.listen")).transpose()?;
    let addrs = (admin.as_ref().map(|(_, addr)| *addr), metrics.as_ref().map(|(_, addr)| *addr));
    // Without an admin listener nobody can name it in a Host header.
    let named = addrs.0.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    let control_points = Arc::new(points(&sources, named, guarded.access));
    let door = |tls| Door { tls, control: Arc::clone(&control_points) };
    if let Some((listener, _)) = admin {
        let router = crate::admin::router(Arc::clone(&control_points));
        control.spawn(crate::admin::serve(listener, router, door(guarded.tls), stop.clone()));
    }
    if let Some((listener, _)) = metrics {
        let router = crate::admin::metrics_router(Arc::clone(&control_points));
        control.spawn(crate::admin::serve(listener, router, door(None), stop.clone()));
    }
    Ok(addrs)
}

fn bind(control: &Runtime, addr: SocketAddr, key: &str) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = control.block_on(TcpListener::bind(addr)).and_then(|l| l.local_addr().map(|local| (l, local)));
    bound.map_err(|e| {
        StartError::Process(format!(
            "cannot listen on {addr} ({key}): {e}. Another outrigger may be running; set {key} in the policy"
        ))
    })
}

/// A question that is answered from `sources`.
fn ask<T>(sources: &Sources, answer: impl Fn(&Sources) -> T + Send + Sync + 'static) -> Ask<T> {
    let sources = sources.clone();
    Box::new(move || answer(&sources))
}

/// A question or an order with arguments.
fn ask_with<A, T>(sources: &Sources, answer: impl Fn(&Sources, A) -> T + Send + Sync + 'static) -> AskWith<A, T> {
    let sources = sources.clone();
    Box::new(move |argument| answer(&sources, argument))
}

fn points(sources: &Sources, listen: SocketAddr, access: Access) -> Control {
    let s = sources;
    Control {
        name: ask(s, |s| s.store.snapshot().policy.name.clone().unwrap_or_else(|| "outrigger".to_owned())),
        listen,
        access,
        refused: ask_with(s, |s, stranger: Stranger| s.core.metrics.admin_refused(stranger.as_str())),
        uptime: ask(s, |s| clock::now().saturating_duration_since(s.core.started)),
        draining: ask(s, |s| s.core.draining.load(Ordering::Acquire)),
        readiness: ask(s, readiness),
        views: ask(s, |s| s.core.views()),
        curves: ask(s, |s| curves::curves(&s.core)),
        verdicts: ask(s, |s| verdicts::all(&s.core)),
        retries: ask(s, |s| retries::reports(&s.core)),
        certificates: ask(s, |s| certificates::views(&s.core)),
        render_metrics: ask(s, |s| {
            letters::measure(&s.core);
            retries::measure(&s.core);
            certificates::measure(&s.core);
            s.core.metrics.render(&s.core.views())
        }),
        policy: ask(s, document),
        changes: ask_with(s, |s, filter| Ok(changes::list(s, &filter))),
        history: ask(s, |s| Ok(changes::history(s))),
        reload: ask_with(s, |s, order: ReloadOrder| {
            s.core.look_at_certificates();
            applied(s.store.apply_file(&s.path, &order.author, true))
        }),
        rollback: ask_with(s, |s, order: RollbackOrder| {
            applied(s.store.rollback(order.revision, &order.author, Some(&order.reason), None))
        }),
        circuit: ask_with(s, circuit),
        show_key: ask_with(s, |s, name| keys::show(s, &name)),
        resolve_key: ask_with(s, |s, order| keys::resolve(s, &order)),
        letters: letters::points(s),
        stories: Arc::clone(&s.core.telemetry.stories),
    }
}

fn readiness(sources: &Sources) -> Readiness {
    // Never an upstream's state: taking the Pod out of service would not heal a dependency.
    let draining = sources.core.draining.load(Ordering::Acquire);
    let reasons = if draining { vec!["shutting down".to_owned()] } else { Vec::new() };
    Readiness { ready: !draining, reasons }
}

fn summary(sources: &Sources) -> PolicySummary {
    let status = sources.store.status();
    PolicySummary {
        revision: status.revision,
        hash: status.hash,
        age_seconds: changes::age(&status.applied_at),
        applied_at: status.applied_at,
        author: status.author,
        source: status.source,
        reload: Reload { failed: status.reload.failed, error: status.reload.error },
    }
}

fn document(sources: &Sources) -> PolicyDocument {
    let policy = Arc::clone(&sources.store.snapshot().policy);
    PolicyDocument { policy: summary(sources), text: policy.text.clone() }
}

fn applied(result: Result<store::Revision, ApplyError>) -> Result<Applied, Refused> {
    match result {
        Ok(done) => {
            Ok(Applied { revision: done.revision, hash: done.hash, changed: done.changed, effects: done.effect })
        }
        Err(error) => {
            let text = error.to_string();
            Err(match error {
                ApplyError::Invalid(_) | ApplyError::TooLarge => Refused::Policy(text),
                ApplyError::UnknownRevision(_) => Refused::Unknown(text),
                ApplyError::Conflict { .. } => Refused::Conflict(text),
                ApplyError::Unreadable(_) | ApplyError::NotInstalled(_) => Refused::Failed(text),
            })
        }
    }
}

fn circuit(sources: &Sources, order: CircuitOrder) -> Result<CircuitView, Refused> {
    let CircuitOrder { upstream: name, action, ttl, reason, author } = order;
    let Some(upstream) = sources.core.registry.find(&name) else {
        let names: Vec<String> = sources.core.views().into_iter().map(|v| v.name).collect();
        return Err(Refused::Unknown(format!("there is no upstream `{name}`; there are: {}", names.join(", "))));
    };
    let now = clock::now();
    let changed = upstream.decide(|dependency| match action {
        CircuitAction::Open => dependency.hold(now, Hold::Open, now + ttl),
        CircuitAction::Close => dependency.hold(now, Hold::Closed, now + ttl),
        CircuitAction::Reset => dependency.reset(now),
    });
    if changed.is_none() {
        return Err(Refused::Conflict(format!("`{name}` has no circuit breaker: add `circuitBreaker: {{}}` to it")));
    }
    let did = match action {
        CircuitAction::Open => format!("circuit held open for {} s", ttl.as_secs()),
        CircuitAction::Close => format!("circuit held closed for {} s", ttl.as_secs()),
        CircuitAction::Reset => "circuit reset".to_owned(),
    };
    sources.store.record(Entry::by_hand(Some(&name), &author, &reason, format!("{name}: {did}")));
    let view = sources.core.views().into_iter().find(|v| v.name == name).and_then(|v| v.circuit);
    view.ok_or_else(|| Refused::Conflict(format!("`{name}` has just been removed")))
}
