//! What operators may ask and order, answered from the parts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Core, StartError, keys, letters};
use crate::admin::api::{Applied, Change, CircuitAction, PolicyDocument, PolicySummary, Readiness, Reload, Revision};
use crate::admin::control::{ChangesFilter, CircuitOrder, Control, Refused};
use crate::clock;
use crate::policy::journal::{self, ChangeKind};
use crate::policy::store::{self, ApplyError, PolicyStore};
use crate::reliability::breaker::Hold;
use crate::upstreams::view::CircuitView;

/// What the answers are made from.
#[derive(Clone)]
pub struct Sources {
    pub core: Arc<Core>,
    pub store: Arc<PolicyStore>,
    /// The policy file.
    pub path: PathBuf,
}

/// Binds both listeners and serves them on the control runtime.
///
/// # Errors
/// An address cannot be had.
pub fn serve(
    control: &Runtime,
    sources: Sources,
    admin: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    stop: &CancellationToken,
) -> Result<(Option<SocketAddr>, Option<SocketAddr>), StartError> {
    let admin = admin.map(|addr| bind(control, addr, "admin.listen")).transpose()?;
    let metrics = metrics.map(|addr| bind(control, addr, "metrics.listen")).transpose()?;
    let addrs = (admin.as_ref().map(|(_, addr)| *addr), metrics.as_ref().map(|(_, addr)| *addr));
    // Without an admin listener nobody can name it in a Host header.
    let named = addrs.0.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    let control_points = Arc::new(points(sources, named));
    if let Some((listener, _)) = admin {
        let router = crate::admin::router(Arc::clone(&control_points));
        control.spawn(crate::admin::serve(listener, router, stop.clone()));
    }
    if let Some((listener, _)) = metrics {
        let router = crate::admin::metrics_router(control_points);
        control.spawn(crate::admin::serve(listener, router, stop.clone()));
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

fn points(sources: Sources, listen: SocketAddr) -> Control {
    let ask = |s: &Sources| s.clone();
    let (a, b, c, d, e) = (ask(&sources), ask(&sources), ask(&sources), ask(&sources), ask(&sources));
    let (f, g, h, i, j) = (ask(&sources), ask(&sources), ask(&sources), ask(&sources), ask(&sources));
    let (k, l, m) = (ask(&sources), ask(&sources), ask(&sources));
    let letters_of = sources;
    Control {
        name: Box::new(move || a.store.snapshot().policy.name.clone().unwrap_or_else(|| "outrigger".to_owned())),
        listen,
        uptime: Box::new(move || clock::now().saturating_duration_since(b.core.started)),
        draining: Box::new(move || c.core.draining.load(Ordering::Acquire)),
        readiness: Box::new(move || readiness(&d)),
        curves: {
            let e = e.clone();
            Box::new(move || super::curves::curves(&e.core))
        },
        views: Box::new(move || e.core.views()),
        render_metrics: Box::new(move || {
            letters::measure(&f.core);
            f.core.metrics.render(&f.core.views())
        }),
        policy: Box::new(move || document(&g)),
        changes: Box::new(move |filter| Ok(changes(&h, filter))),
        history: Box::new(move || Ok(history(&i))),
        reload: Box::new(move |order| applied(j.store.apply_file(&j.path, &order.author, true))),
        rollback: {
            let k = k.clone();
            Box::new(move |order| {
                let done = applied(k.store.rollback(order.revision, &order.author, None))?;
                let line = format!("rolled back to revision {}: {}", order.revision, order.reason);
                k.store.record(ChangeKind::Manual, "policy", &order.author, vec![line]);
                Ok(done)
            })
        },
        circuit: Box::new(move |order| circuit(&k, order)),
        show_key: Box::new(move |name| keys::show(&l, &name)),
        resolve_key: Box::new(move |order| keys::resolve(&m, &order)),
        letters: letters::points(&letters_of),
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
        age_seconds: age(&status.applied_at),
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

fn age(rfc3339: &str) -> u64 {
    let now = Timestamp::try_from(clock::wall()).unwrap_or_default();
    rfc3339.parse::<Timestamp>().map_or(0, |then| now.duration_since(then).as_secs().max(0) as u64)
}

fn changes(sources: &Sources, filter: ChangesFilter) -> Vec<Change> {
    let newest_first = sources.store.changes().into_iter().rev();
    newest_first
        .map(change)
        .filter(|c| filter.since.is_none_or(|since| Duration::from_secs(c.age_seconds) <= since))
        .take(filter.limit)
        .collect()
}

fn change(entry: journal::Change) -> Change {
    let upstream = matches!(entry.kind, ChangeKind::Breaker | ChangeKind::Endpoints | ChangeKind::Manual)
        .then(|| entry.source.clone())
        .filter(|s| s != "policy");
    let policy = entry.kind == ChangeKind::Policy;
    let mut effects = entry.effect;
    let summary = match entry.kind {
        ChangeKind::Policy => format!("policy revision {} from {}", entry.revision, entry.source),
        ChangeKind::Start => format!("started with policy revision {}", entry.revision),
        ChangeKind::Stop => "stopped".to_owned(),
        ChangeKind::Breaker | ChangeKind::Endpoints | ChangeKind::Manual => {
            if effects.is_empty() {
                String::new()
            } else {
                effects.remove(0)
            }
        }
    };
    Change {
        age_seconds: age(&entry.time),
        at: entry.time,
        kind: kind_word(entry.kind).to_owned(),
        upstream,
        summary,
        effects,
        author: Some(entry.author),
        reason: None,
        revision: policy.then_some(entry.revision),
        hash: policy.then_some(entry.hash),
    }
}

const fn kind_word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Policy => "policy-applied",
        ChangeKind::Breaker => "circuit",
        ChangeKind::Endpoints => "endpoints",
        ChangeKind::Start => "process-started",
        ChangeKind::Stop => "process-stopped",
        ChangeKind::Manual => "manual",
    }
}

fn history(sources: &Sources) -> Vec<Revision> {
    let current = sources.store.snapshot().revision;
    let changes = sources.store.changes();
    let effects = |revision: u64| {
        let told = changes.iter().find(|c| c.kind == ChangeKind::Policy && c.revision == revision);
        told.map_or_else(Vec::new, |c| c.effect.clone())
    };
    let newest_first = sources.store.history().into_iter().rev();
    newest_first
        .map(|kept| Revision {
            revision: kept.revision,
            applied_at: kept.time,
            author: kept.author,
            source: kept.source,
            hash: kept.hash,
            reason: None,
            effects: effects(kept.revision),
            current: kept.revision == current,
        })
        .collect()
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
    sources.store.record(ChangeKind::Manual, &name, &author, vec![format!("{name}: {did}: {reason}")]);
    let view = sources.core.views().into_iter().find(|v| v.name == name).and_then(|v| v.circuit);
    view.ok_or_else(|| Refused::Conflict(format!("`{name}` has just been removed")))
}
