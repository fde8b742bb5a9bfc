//! The real proxy, in this process, and what it is seen to do during a phase.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::account::{Reading, Tallies};
use super::script::{Dependency, Fleet, Policies, Trouble};
use super::traffic::Way;
use crate::app::{App, Settings, StartError};
use crate::clock;
use crate::policy::journal::{Change, ChangeKind};
use crate::policy::store::{ApplyError, PolicyStore};
use crate::upstreams::view::TotalsView;

/// How often a port that was free a moment ago may turn out to be taken.
const STARTS_MAX: u32 = 5;
/// How long a change of the policy file may take to be noticed. It takes a tenth of a second.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);
/// Time between two looks at the policy in force.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Stands for a listener that the demo's policy does not switch off.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What Outrigger noticed and did during a phase.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// The first endpoint ejected.
    pub ejected: Option<Moment>,
    /// The circuit of the dependency opened for the first time.
    pub opened: Option<Moment>,
    /// It closed for the last time.
    pub closed: Option<Moment>,
    /// The revision in force when the phase began.
    pub revision_before: u64,
    /// The revision in force when the phase ended.
    pub revision_after: u64,
    /// Time from writing the file, or from asking for the rollback, until the policy was in force.
    pub in_force_after: Option<Duration>,
    /// The refusal of the policy with the typing error.
    pub refusal: Option<String>,
    /// Changes by kind that were not told, because there were many.
    pub untold: u32,
}

/// When something was noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What it is about: an endpoint's address.
    pub what: String,
    /// Since the phase began.
    pub after: Duration,
    /// First attempts at the dependency that had failed by then.
    pub failures: u64,
}

/// A running proxy with its policy file.
pub struct Sidecar {
    app: App,
    policy: PathBuf,
    listen: [SocketAddr; 2],
    /// The policies it is given.
    pub policies: Arc<Policies>,
    /// The last change seen.
    last: Option<Change>,
}

impl Sidecar {
    /// Writes the good policy into `directory` and starts the proxy on free ports of 127.0.0.1. Blocks.
    ///
    /// # Errors
    /// In words.
    pub fn start(directory: &Path, fleet: &Fleet, seconds: u16) -> Result<Sidecar, String> {
        let any = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let path = directory.join("policy.yaml");
        let mut attempt = 1;
        loop {
            let listen = free_addresses().map_err(|e| format!("there is no free port on 127.0.0.1: {e}"))?;
            let policies = Policies::new(listen, fleet, seconds);
            fs::write(&path, &policies.good).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
            let settings = Settings {
                policy: path.clone(),
                workers: 1,
                state_dir: Some(directory.join("state")),
                admin_listen: any,
                metrics_listen: any,
                access_log: false,
                quit_endpoint: false,
                signals: false,
                sockets: Default::default(),
                notifier: Default::default(),
            };
            match App::start(settings) {
                Ok(app) => {
                    let last = app.store().changes().pop();
                    return Ok(Sidecar { app, policy: path, listen, policies: Arc::new(policies), last });
                }
                // Another process may have taken a port in between.
                Err(StartError::Policy(ApplyError::NotInstalled(_))) if attempt < STARTS_MAX => attempt += 1,
                Err(error) => return Err(format!("the sidecar did not start: {error}")),
            }
        }
    }

    /// Where the app would send requests for this dependency.
    pub fn listen(&self, dependency: Dependency) -> SocketAddr {
        self.listen[dependency.index()]
    }

    /// Where the admin API listens.
    pub fn admin(&self) -> SocketAddr {
        self.app.admin_addr().unwrap_or(NOWHERE)
    }

    /// Where metrics are.
    pub fn metrics(&self) -> SocketAddr {
        self.app.metrics_addr().unwrap_or(NOWHERE)
    }

    /// The policy file.
    pub fn policy(&self) -> &Path {
        &self.policy
    }

    /// The policy in force.
    pub fn revision(&self) -> u64 {
        self.app.store().snapshot().revision
    }

    /// What it has counted at a dependency.
    pub fn totals(&self, dependency: Dependency) -> TotalsView {
        let view = self.app.views().into_iter().find(|view| view.name == dependency.name());
        view.map(|view| view.totals).unwrap_or_default()
    }

    /// Counters of both sides.
    pub fn reading(&self, dependency: Dependency, direct: &Fleet, behind: &Fleet) -> Reading {
        Reading {
            totals: self.totals(dependency),
            reached_direct: direct.reached(dependency),
            reached_outrigger: behind.reached(dependency),
        }
    }

    /// Entries of the change journal since the last call, oldest first.
    pub fn news(&mut self) -> Vec<Change> {
        let mut changes = self.app.store().changes();
        let known = self.last.as_ref().and_then(|last| changes.iter().rposition(|change| change == last));
        let news = changes.split_off(known.map_or(0, |index| index + 1));
        self.last = news.last().cloned().or_else(|| self.last.take());
        news
    }

    /// The change journal, oldest entry first.
    pub fn changes(&self) -> Vec<Change> {
        self.app.store().changes()
    }

    /// What this phase does to the policy. `pause`: between the rollback and the typing error.
    pub fn policy_change(&self, trouble: Trouble, pause: Duration) -> PolicyChange {
        PolicyChange {
            store: Arc::clone(self.app.store()),
            path: self.policy.clone(),
            policies: Arc::clone(&self.policies),
            trouble,
            pause,
        }
    }

    /// Ends the proxy. True = nothing was cut. Blocks.
    pub fn shutdown(self) -> bool {
        self.app.shutdown()
    }
}

impl Story {
    /// Takes note of a change of this dependency.
    pub fn note(&mut self, change: &Change, about: Dependency, began: Instant, failures: u64) {
        let after = clock::now().saturating_duration_since(began);
        let text = change.effect.first().map(String::as_str).unwrap_or_default();
        if change.source != about.name() {
            return;
        }
        let moment = |what: &str| Some(Moment { what: what.to_owned(), after, failures });
        match change.kind {
            ChangeKind::Ejection if self.ejected.is_none() => {
                let endpoint = text.split_once("endpoint ").and_then(|(_, rest)| rest.split_once(" ejected"));
                self.ejected = endpoint.and_then(|(address, _)| moment(address));
            }
            ChangeKind::Breaker if text.contains("-> open") => {
                self.opened = self.opened.take().or_else(|| moment(about.name()));
            }
            ChangeKind::Breaker if text.contains("-> closed") => self.closed = moment(about.name()),
            ChangeKind::Ejection
            | ChangeKind::Endpoints
            | ChangeKind::Breaker
            | ChangeKind::Resolution
            | ChangeKind::Retries
            | ChangeKind::Certificate
            | ChangeKind::Policy
            | ChangeKind::PolicyRefused
            | ChangeKind::Rollback
            | ChangeKind::Guard
            | ChangeKind::Start
            | ChangeKind::Stop
            | ChangeKind::Manual => {}
        }
    }
}

/// A hand at the policy.
pub struct PolicyChange {
    store: Arc<PolicyStore>,
    path: PathBuf,
    policies: Arc<Policies>,
    trouble: Trouble,
    pause: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct PolicyNews {
    /// Time until the policy was in force.
    pub in_force_after: Option<Duration>,
    /// Time until the typing error was refused, and the refusal.
    pub refused: Option<(Duration, String)>,
}

impl PolicyChange {
    /// Does what the phase does to the policy; at once for most phases.
    ///
    /// # Errors
    /// In words.
    pub async fn make(self) -> Result<PolicyNews, String> {
        match self.trouble {
            Trouble::Calm | Trouble::Tail | Trouble::OneDead | Trouble::Slow | Trouble::Down | Trouble::Back => {
                Ok(PolicyNews::default())
            }
            Trouble::BadPolicy => {
                let before = self.store.snapshot().revision;
                self.write(&self.policies.bad)?;
                let in_force = self.until(|store| (store.snapshot().revision > before).then_some(())).await;
                Ok(PolicyNews { in_force_after: in_force.map(|(after, ())| after), refused: None })
            }
            Trouble::RolledBack => {
                let began = clock::now();
                let (store, good) = (Arc::clone(&self.store), self.revision_of(&self.policies.good)?);
                // It waits for the disk.
                let done = tokio::task::spawn_blocking(move || store.rollback(good, "demo", None, None)).await;
                done.map_err(|e| format!("rollback: {e}"))?.map_err(|e| format!("rollback: {e}"))?;
                let in_force_after = Some(clock::now().saturating_duration_since(began));
                tokio::time::sleep(self.pause).await;
                self.write(&self.policies.typo)?;
                let refused = self.until(|store| store.status().reload.error.filter(|e| e.contains("timeuot"))).await;
                Ok(PolicyNews { in_force_after, refused })
            }
        }
    }

    fn write(&self, text: &str) -> Result<(), String> {
        // Under another name first, as careful editors do: nobody must read half a policy.
        let part = self.path.with_extension("part");
        let written = fs::write(&part, text).and_then(|()| fs::rename(&part, &self.path));
        written.map_err(|e| format!("cannot write {}: {e}", self.path.display()))
    }

    fn revision_of(&self, text: &str) -> Result<u64, String> {
        let kept = self.store.history().into_iter().rfind(|kept| kept.text == text);
        kept.map(|kept| kept.revision).ok_or_else(|| "rollback: the good policy is not kept".to_owned())
    }

    /// Waits until `look` finds something; None after [`NOTICED_WITHIN`].
    async fn until<T>(&self, look: impl Fn(&PolicyStore) -> Option<T>) -> Option<(Duration, T)> {
        let began = clock::now();
        loop {
            let after = clock::now().saturating_duration_since(began);
            if let Some(found) = look(&self.store) {
                return Some((after, found));
            }
            if after > NOTICED_WITHIN {
                return None;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Success so far in percent, both ways.
pub fn so_far(tallies: &Tallies, about: Dependency) -> Option<(f64, f64)> {
    let percent = |way| tallies.of(way, about).success_percent();
    Some((percent(Way::Direct)?, percent(Way::Outrigger)?))
}

/// Two addresses that nothing listens on at the moment.
pub fn free_addresses() -> io::Result<[SocketAddr; 2]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // Both are held before either is released: else they could be the same.
    let (one, other) = (bind()?, bind()?);
    Ok([one.local_addr()?, other.local_addr()?])
}
