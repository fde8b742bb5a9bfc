//! Certificates in use: who learns of what happens to them, and who sees their files change.

use std::sync::Arc;

use super::news::Door;
use super::{Core, StartError};
use crate::admin::api::{CertificateStatus, CertificateView};
use crate::policy::watch::Watcher;
use crate::telemetry::metrics::{CertificateGauge, Metrics};
use crate::tls::{self, Event, Held, Registry, Standing};

/// A registry whose events are counted, written to the log, and, where they are changes, to the journal.
pub fn registry(metrics: &Arc<Metrics>, door: Door) -> Registry {
    let metrics = Arc::clone(metrics);
    Registry::new(Arc::new(move |event| {
        if let Event::Refused { holder, reason, .. } = event {
            metrics.tls_refused(holder.direction, &holder.name, reason);
        }
        match event {
            Event::Refused { told: None, .. } => {}
            Event::Refused { .. } | Event::Replaced { .. } | Event::Unusable { .. } | Event::Recovered { .. } => {
                door.tell_encryption(event);
            }
        }
    }))
}

/// Watches their files from now on.
///
/// # Errors
/// A thread cannot be started.
pub fn watch(core: &Core) -> Result<(), StartError> {
    let (files, reloads) = (Arc::clone(&core.tls), Arc::clone(&core.tls));
    let watcher = Watcher::follow("tls-watch", move || files.files(), move |_| reloads.reload())
        .map_err(|e| StartError::Process(format!("cannot watch certificates: {e}")))?;
    if let Some(reason) = watcher.degraded() {
        tracing::warn!(
            event = "watch-degraded",
            reason,
            "directories of certificates cannot be watched; they are polled"
        );
    }
    // There is one start.
    let _ = core.certificates.set(watcher);
    Ok(())
}

impl Core {
    /// Looks at the files of certificates soon: others may be in use now, or somebody asked.
    pub fn look_at_certificates(&self) {
        if let Some(watcher) = self.certificates.get() {
            watcher.wake();
        }
    }
}

/// What operators see of them.
pub fn views(core: &Core) -> Vec<CertificateStatus> {
    let now = tls::now();
    let view = |held: Held| CertificateView {
        validity: held.validity(now).as_str().to_owned(),
        expires_in_seconds: held.not_after - now,
        lifetime_seconds: held.lifetime(),
        not_after: tls::date(held.not_after),
        file: held.file.display().to_string(),
        subject: held.subject,
        fingerprint: held.fingerprint,
    };
    let status = |standing: Standing| CertificateStatus {
        direction: standing.holder.direction.as_str().to_owned(),
        upstream: standing.holder.name.to_string(),
        presented: standing.presented.map(view),
        believed: standing.believed.map(view),
        error: standing.error,
    };
    core.tls.standings().into_iter().map(status).collect()
}

/// Tells the metrics.
pub fn measure(core: &Core) {
    let gauge = |standing: Standing| {
        let times = |held: Held| (held.not_after, held.lifetime());
        CertificateGauge {
            direction: standing.holder.direction.as_str(),
            upstream: standing.holder.name.to_string(),
            presented: standing.presented.map(times),
            believed: standing.believed.map(times),
            refused: standing.error.is_some(),
        }
    };
    core.metrics.certificates_held(core.tls.standings().into_iter().map(gauge).collect());
}
