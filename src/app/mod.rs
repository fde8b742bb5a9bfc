//! The composition root: the only place that builds the parts and starts the two runtimes.

mod activation;
mod certificates;
mod changes;
mod control;
mod curves;
mod ending;
mod guard;
mod keys;
mod letters;
mod news;
mod notify;
mod observer;
mod retries;
mod revisions;
mod run;
mod stores;
mod traces;
mod verdicts;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::activation::Sockets;
pub use self::notify::Notifier;
pub use self::run::run;

use crate::clock;
use crate::drain::Tasks;
use crate::policy::Policy;
use crate::policy::journal::Journal;
use crate::policy::store::{ApplyError, PolicyStore};
use crate::policy::watch::Watcher;
use crate::proxy::Proxy;
use crate::proxy::listeners::Listeners;
use crate::proxy::record::Telemetry;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use crate::tls;
use crate::upstreams::reconcile::Registry;
use crate::upstreams::view::UpstreamView;

/// How often idle upstream connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How many of these looks apart records in Redis are let go of whose letters have expired: a minute.
const LET_GO_EVERY: u64 = 12;

/// What a process is started with; the rest is policy.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The policy file. It is watched.
    pub policy: PathBuf,
    /// Threads that carry traffic, at least 1.
    pub workers: usize,
    /// Where the change journal is kept; `None` = in memory.
    pub state_dir: Option<PathBuf>,
    /// Instead of the policy's `admin.listen`.
    pub admin_listen: Option<SocketAddr>,
    /// Instead of the policy's `metrics.listen`.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether request lines are written to standard output.
    pub access_log: bool,
    /// Whether `POST /quitquitquit` on the admin listener ends the process.
    pub quit_endpoint: bool,
    /// Whether SIGTERM, SIGINT and SIGHUP are ours to obey.
    pub signals: bool,
    /// Opened for us before we started.
    pub sockets: Sockets,
    /// Who is told how far we are.
    pub notifier: Notifier,
}

/// Why the process could not be started. The text is complete: it needs no prefix.
#[derive(Debug)]
pub enum StartError {
    /// The policy is unreadable or wrong: exit code 2.
    Policy(ApplyError),
    /// Something the process needs is not to be had.
    Process(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Policy(error) => error.fmt(f),
            StartError::Process(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StartError {}

/// A running proxy.
pub struct App {
    core: Arc<Core>,
    store: Arc<PolicyStore>,
    watcher: Option<Watcher>,
    admin: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    stop_control: CancellationToken,
    notifier: Notifier,
    news: Option<news::Desk>,
    signals: Option<run::Signals>,
    /// Dropped last, in this order: traffic before control.
    data: Runtime,
    control: Runtime,
}

/// The parts that callbacks hold on to.
struct Core {
    proxy: OnceLock<Arc<Proxy>>,
    listeners: Listeners,
    registry: Registry,
    tls: Arc<tls::Registry>,
    /// Who watches their files.
    certificates: OnceLock<Watcher>,
    stores: stores::Open,
    metrics: Arc<Metrics>,
    telemetry: Arc<Telemetry>,
    traces: Arc<Traces>,
    tasks: Tasks,
    started: Instant,
    draining: AtomicBool,
    /// Somebody asked over the admin API for the end of the process.
    quit: Notify,
    jobs: letters::Jobs,
    observer: observer::Observer,
    guard: guard::Guard,
}

impl Core {
    /// Brings a policy into force: bind, reconcile, swap, start. On an error nothing has changed.
    fn install(&self, policy: &Arc<Policy>, revision: u64) -> Result<(), String> {
        let prepared = self.listeners.prepare(&policy.listeners)?;
        let stores = Arc::new(self.stores.follow(policy)?);
        let mut snapshot = self.registry.reconcile(Arc::clone(policy), revision)?;
        snapshot.tracing = self.traces.follow(policy);
        let proxy = match self.proxy.get() {
            Some(proxy) => {
                // Before the policy that names them; what a request of the old one uses stays open with it.
                proxy.stores.store(stores);
                proxy.snapshot.store(Arc::new(snapshot));
                proxy
            }
            None => {
                let telemetry = Arc::clone(&self.telemetry);
                let proxy = Proxy::new(snapshot, telemetry, self.tasks.clone());
                proxy.stores.store(stores);
                self.proxy.get_or_init(|| Arc::new(proxy))
            }
        };
        self.listeners.commit(&policy.listeners, prepared, proxy);
        self.look_at_certificates();
        Ok(())
    }

    /// Requests in flight.
    fn in_flight(&self) -> u64 {
        self.views().iter().map(|v| u64::from(v.limits.in_flight)).sum()
    }

    /// Runs a task as part of traffic, which drain waits for.
    fn spawn_on_data(&self, future: impl Future<Output = ()> + Send + 'static) {
        let _inside = self.stores.data().enter();
        self.tasks.spawn(future);
    }

    /// As `spawn_on_data`, and waits for it for a while; it goes on afterwards. Only where blocking is allowed.
    fn run_for<T: Send + 'static>(
        &self,
        patience: Duration,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = std::sync::mpsc::channel();
        self.spawn_on_data(async move {
            // Nobody may wait any more.
            let _ = tell.send(future.await);
        });
        told.recv_timeout(patience).ok()
    }

    fn views(&self) -> Vec<UpstreamView> {
        self.proxy.get().map_or_else(Vec::new, |proxy| proxy.snapshot.load().views())
    }
}

impl App {
    /// Starts everything; when it returns, the listeners are bound and traffic is served.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(settings: Settings) -> Result<App, StartError> {
        let data = runtime("traffic", settings.workers.max(1))?;
        let control = runtime("control", 1)?;
        // Before anybody can learn that we run: the default of a signal is a sudden end.
        let signals = if settings.signals { Some(run::Signals::register(&control)?) } else { None };
        let journal = Arc::new(Journal::open(settings.state_dir.as_deref()));
        let metrics = Metrics::new();
        let news = news::Desk::open(Arc::clone(&metrics));
        let news = news.map_err(|e| StartError::Process(format!("cannot start a thread: {e}")))?;
        let core = Arc::new(build(&settings, &data, &control, &metrics, news.door())?);
        let store = revisions::open_store(&settings.policy, &core, journal).map_err(StartError::Policy)?;
        news.follow(Arc::clone(&store));

        let watcher = revisions::watch(&settings.policy, &store, settings.notifier.clone())?;
        certificates::watch(&core)?;
        let stop_control = CancellationToken::new();
        let policy = Arc::clone(&store.snapshot().policy);
        // `listen: none` in the policy: no listener at all.
        let admin = settings.admin_listen.or(policy.admin);
        let scrape = settings.metrics_listen.or(policy.metrics);
        let wanted: Vec<SocketAddr> = policy.listeners.iter().map(|l| l.addr).chain(admin).chain(scrape).collect();
        let parts =
            control::Sources { core: Arc::clone(&core), store: Arc::clone(&store), path: settings.policy.clone() };
        let (sockets, quit) = (settings.sockets.clone(), settings.quit_endpoint);
        let guarded = control::guarded(admin, &policy.admin_access, &core.tls)?;
        let doors = control::Doors { admin, guarded, metrics: scrape, sockets, quit };
        core.look_at_certificates();
        let (admin, scrape) = control::serve(&control, parts, doors, &stop_control)?;
        settings.sockets.complain_of_unused(&wanted);
        sweep(&core, &data);
        control.spawn(observer::observe(Arc::clone(&core), Arc::clone(&store)));
        letters::resume(&core);
        let notifier = settings.notifier;
        if let Some(every) = notifier.watchdog() {
            control.spawn(notify::feed(Arc::clone(&core), notifier.clone(), every));
        }
        let news = Some(news);
        Ok(App { core, store, watcher, admin, metrics: scrape, stop_control, notifier, news, signals, data, control })
    }

    /// Where the admin API listens, if it does.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Where metrics and probes listen, if they do.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// What operators see of every dependency.
    pub fn views(&self) -> Vec<UpstreamView> {
        self.core.views()
    }

    /// The policy in force and the door to change it.
    pub fn store(&self) -> &Arc<PolicyStore> {
        &self.store
    }

    /// Looks at the policy file and at certificates now, also if their content was refused before.
    pub fn reload(&self) {
        if let Some(watcher) = &self.watcher {
            watcher.force();
        }
        self.core.look_at_certificates();
    }
}

fn runtime(name: &'static str, threads: usize) -> Result<Runtime, StartError> {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(|e| StartError::Process(format!("cannot start the {name} threads: {e}")))
}

fn build(
    settings: &Settings,
    data: &Runtime,
    control: &Runtime,
    metrics: &Arc<Metrics>,
    door: news::Door,
) -> Result<Core, StartError> {
    let dropped = metrics.log_lines_dropped();
    let access_log = if settings.access_log {
        AccessLog::start(std::io::stdout(), dropped)
    } else {
        AccessLog::start(std::io::sink(), dropped)
    };
    let access_log = access_log.map_err(|e| StartError::Process(format!("cannot start a thread: {e}")))?;
    let guard = guard::Guard::new(door.clone());
    let tls = Arc::new(certificates::registry(metrics, door.clone()));
    let events = Arc::new(move |event| door.tell(event));
    Ok(Core {
        proxy: OnceLock::new(),
        listeners: Listeners::new(data.handle().clone(), settings.sockets.source()),
        registry: Registry::new(Arc::clone(metrics), Arc::clone(&tls), events, control.handle().clone()),
        stores: stores::Open::new(data.handle().clone(), Arc::clone(&tls)),
        tls,
        certificates: OnceLock::new(),
        metrics: Arc::clone(metrics),
        telemetry: Arc::new(Telemetry { metrics: Arc::clone(metrics), access_log, stories: Arc::default() }),
        traces: traces::start(control, metrics),
        tasks: Tasks::default(),
        started: clock::now(),
        draining: AtomicBool::new(false),
        quit: Notify::new(),
        jobs: letters::Jobs::default(),
        observer: observer::Observer::default(),
        guard,
    })
}

fn sweep(core: &Arc<Core>, data: &Runtime) {
    let core = Arc::clone(core);
    let stop = core.tasks.stop().clone();
    let _inside = data.enter();
    let tasks = core.tasks.clone();
    tasks.spawn(async move {
        let sweeping = async {
            for round in 1_u64.. {
                tokio::time::sleep(SWEEP_EVERY).await;
                if round % LET_GO_EVERY == 0 {
                    letters::let_go(&core).await;
                }
                let Some(proxy) = core.proxy.get() else { continue };
                let snapshot = proxy.snapshot.load_full();
                let now = clock::now();
                for (upstream, policy) in snapshot.upstreams.iter().zip(&snapshot.policy.upstreams) {
                    upstream.sweep(policy, now);
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = sweeping => {}
        }
    });
}
