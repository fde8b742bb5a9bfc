//! The thread on which all upstreams of a scenario run, and their fault script.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use outrigger::faults::ServerTls;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};

use super::app;
use super::endpoint::{Counts, Endpoint};
use crate::generate::attack::rapid_reset;
use crate::generate::thread::{Thread, cpu_time};
use crate::results::UpstreamSide;
use crate::scenario::{Fault, FaultKind, Scenario, UpstreamPlan};

/// How long after the clients' last outcome upstreams may still be busy: retries and abandoned work.
const SETTLE_MAX: Duration = Duration::from_secs(10);
/// Without a new request and without work for this long, they are quiet.
const QUIET: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(20);

/// What upstreams saw in one play.
#[derive(Debug)]
pub(super) struct Seen {
    pub side: UpstreamSide,
    /// Requests by second since the beginning.
    pub seconds: Vec<u64>,
    /// Streams of an attacker.
    pub reset_streams: u64,
}

/// All upstreams of a scenario. They end when this value is dropped.
#[derive(Debug)]
pub(super) struct Upstream {
    addresses: Vec<SocketAddr>,
    orders: Option<UnboundedSender<Order>>,
    thread: Option<Thread<()>>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // Nobody is left to tell of a panic.
            let _ = thread.join();
        }
    }
}

enum Order {
    Service(SocketAddr, mpsc::Sender<Result<SocketAddr, String>>),
    Begin(Begin),
    Settle(mpsc::Sender<Result<Seen, String>>),
}

/// A play begins at `zero` and is measured for so many seconds.
struct Begin {
    zero: Instant,
    seconds: u32,
    /// Who is attacked.
    victim: Option<SocketAddr>,
    reload: Box<dyn Fn() + Send>,
}

impl Upstream {
    pub fn start(
        scenario: &Scenario,
        seed: u64,
        core: Option<u32>,
        tls: Option<ServerTls>,
    ) -> Result<Upstream, String> {
        let (orders, inbox) = unbounded_channel();
        let (tell, told) = mpsc::channel();
        let stand = Stand {
            plan: scenario.upstream.clone(),
            lean: Endpoint::lean_suffices(scenario),
            faults: scenario.faults.clone(),
            seed,
            tls,
        };
        let thread = Thread::start("upstream", core, move |runtime| stand.run(runtime, inbox, &tell))?;
        let addresses = told.recv().map_err(|_| "the upstreams ended at their start".to_owned())??;
        Ok(Upstream { addresses, orders: Some(orders), thread: Some(thread) })
    }

    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub fn service(&self, next: SocketAddr) -> Result<SocketAddr, String> {
        self.ask(|reply| Order::Service(next, reply))
    }

    /// Plays the fault script from `zero` on; `reload` is called on the upstreams' thread and must not block.
    pub fn begin(
        &self,
        zero: Instant,
        seconds: u32,
        victim: Option<SocketAddr>,
        reload: impl Fn() + Send + 'static,
    ) -> Result<(), String> {
        self.order(Order::Begin(Begin { zero, seconds, victim, reload: Box::new(reload) }))
    }

    /// Waits until they are quiet, and tells what they saw since the beginning.
    pub fn settle(&self) -> Result<Seen, String> {
        self.ask(Order::Settle)
    }

    fn ask<T>(&self, order: impl FnOnce(mpsc::Sender<Result<T, String>>) -> Order) -> Result<T, String> {
        let (reply, answer) = mpsc::channel();
        self.order(order(reply))?;
        answer.recv().map_err(|_| ended())?
    }

    fn order(&self, order: Order) -> Result<(), String> {
        self.orders.as_ref().and_then(|orders| orders.send(order).ok()).ok_or_else(ended)
    }
}

fn ended() -> String {
    "the upstreams have ended".to_owned()
}

/// What the thread is started with.
struct Stand {
    plan: UpstreamPlan,
    lean: bool,
    faults: Vec<Fault>,
    seed: u64,
    tls: Option<ServerTls>,
}

impl Stand {
    fn run(
        self,
        runtime: &Runtime,
        inbox: UnboundedReceiver<Order>,
        tell: &mpsc::Sender<Result<Vec<SocketAddr>, String>>,
    ) {
        runtime.block_on(async {
            match self.endpoints().await {
                Ok(endpoints) => {
                    // The starter waits for it.
                    let _ = tell.send(Ok(endpoints.iter().map(Endpoint::address).collect()));
                    self.serve(Arc::new(endpoints), inbox).await;
                }
                Err(e) => drop(tell.send(Err(format!("cannot start the upstreams: {e}")))),
            }
        });
    }

    async fn endpoints(&self) -> std::io::Result<Vec<Endpoint>> {
        let mut endpoints = Vec::new();
        for number in 0..u64::from(self.plan.endpoints) {
            endpoints
                .push(Endpoint::start(&self.plan, self.lean, self.tls.clone(), self.seed.wrapping_add(number)).await?);
        }
        Ok(endpoints)
    }

    async fn serve(self, endpoints: Arc<Vec<Endpoint>>, mut inbox: UnboundedReceiver<Order>) {
        let mut play = None;
        while let Some(order) = inbox.recv().await {
            match order {
                Order::Service(next, reply) => {
                    let started = app::start(next).map_err(|e| format!("cannot start the service: {e}"));
                    // Who asked waits for the reply, here and below.
                    let _ = reply.send(started);
                }
                Order::Begin(begin) => play = Some(Play::begin(begin, &self.faults, &endpoints)),
                Order::Settle(reply) => {
                    let seen = match play.take() {
                        Some(play) => play.settle(&endpoints).await,
                        None => Err("no play has begun".to_owned()),
                    };
                    let _ = reply.send(seen);
                }
            }
        }
    }
}

/// A play that runs.
struct Play {
    before: Counts,
    script: JoinHandle<Result<u64, String>>,
    seconds: JoinHandle<Vec<u64>>,
    cpu: Duration,
    zero: Instant,
}

impl Play {
    fn begin(begin: Begin, faults: &[Fault], endpoints: &Arc<Vec<Endpoint>>) -> Play {
        for endpoint in endpoints.iter() {
            // Keys of the warm-up.
            drop(endpoint.take_executions());
        }
        let Begin { zero, seconds, victim, reload } = begin;
        Play {
            before: sum(endpoints),
            script: tokio::spawn(script(zero, changes(faults), Arc::clone(endpoints), victim, reload)),
            seconds: tokio::spawn(requests_by_second(zero, seconds, Arc::clone(endpoints))),
            cpu: cpu_time(),
            zero,
        }
    }

    async fn settle(self, endpoints: &[Endpoint]) -> Result<Seen, String> {
        let used = cpu_time().saturating_sub(self.cpu).as_secs_f64();
        let busy = used / Instant::now().saturating_duration_since(self.zero).as_secs_f64().max(1e-9);
        let reset_streams = self.script.await.map_err(|e| format!("the fault script failed: {e}"))??;
        let seconds = self.seconds.await.map_err(|e| format!("the upstreams' counting failed: {e}"))?;
        quiet(endpoints).await;
        let mut executions: HashMap<String, u64> = HashMap::new();
        for endpoint in endpoints {
            for (key, times) in endpoint.take_executions() {
                *executions.entry(key).or_default() += times;
            }
        }
        let (before, after) = (self.before, sum(endpoints));
        let side = UpstreamSide {
            requests: after.requests - before.requests,
            executed: after.executed - before.executed,
            connections: after.connections - before.connections,
            keys: executions.len() as u64,
            keys_executed_twice: executions.values().filter(|times| **times > 1).count() as u64,
            executions_max: executions.values().copied().max().unwrap_or(0),
            busy,
        };
        Ok(Seen { side, seconds, reset_streams })
    }
}

fn sum(endpoints: &[Endpoint]) -> Counts {
    endpoints.iter().map(Endpoint::counts).fold(Counts::default(), |a, b| Counts {
        requests: a.requests + b.requests,
        executed: a.executed + b.executed,
        connections: a.connections + b.connections,
        serving: a.serving + b.serving,
    })
}

/// Waits until nothing is served and nothing new comes.
async fn quiet(endpoints: &[Endpoint]) {
    let begun = Instant::now();
    let (mut last, mut since) = (sum(endpoints), begun);
    while begun.elapsed() < SETTLE_MAX {
        tokio::time::sleep(LOOK).await;
        let counts = sum(endpoints);
        if counts != last || counts.serving > 0 {
            (last, since) = (counts, Instant::now());
        } else if since.elapsed() >= QUIET {
            return;
        }
    }
}

/// Requests that arrived in each second from `zero` on.
async fn requests_by_second(zero: Instant, seconds: u32, endpoints: Arc<Vec<Endpoint>>) -> Vec<u64> {
    tokio::time::sleep_until(zero.into()).await;
    let mut before = sum(&endpoints).requests;
    let mut counted = Vec::new();
    for second in 1..=seconds {
        tokio::time::sleep_until((zero + Duration::from_secs(u64::from(second))).into()).await;
        let now = sum(&endpoints).requests;
        counted.push(now - before);
        before = now;
    }
    counted
}

/// A step of the fault script.
#[derive(Clone, Debug)]
struct Change {
    at: Duration,
    what: Step,
}

#[derive(Clone, Debug)]
enum Step {
    Fail { endpoint: usize, kind: FaultKind, until: Duration },
    Recover { endpoint: usize },
    Attack { streams: u64, until: Duration },
    Reload,
}

/// In order of time; where one fault ends as another begins, the end comes first.
fn changes(faults: &[Fault]) -> Vec<Change> {
    let mut changes = Vec::new();
    for Fault { at, until, endpoints, kind } in faults {
        if *kind == FaultKind::Reload {
            changes.push(Change { at: *at, what: Step::Reload });
        }
        if let FaultKind::RapidReset { streams } = kind {
            changes.push(Change { at: *at, what: Step::Attack { streams: *streams, until: *until } });
        }
        for endpoint in endpoints.iter().copied() {
            let fail = Step::Fail { endpoint, kind: kind.clone(), until: *until };
            changes.push(Change { at: *at, what: fail });
            changes.push(Change { at: *until, what: Step::Recover { endpoint } });
        }
    }
    changes.sort_by_key(|change| (change.at, !matches!(change.what, Step::Recover { .. })));
    changes
}

/// Plays it; returns how many streams were opened to be reset.
async fn script(
    zero: Instant,
    changes: Vec<Change>,
    endpoints: Arc<Vec<Endpoint>>,
    victim: Option<SocketAddr>,
    reload: Box<dyn Fn() + Send>,
) -> Result<u64, String> {
    let mut running = JoinSet::new();
    for Change { at, what } in changes {
        // What holds from the beginning holds for the first arrival.
        if !at.is_zero() {
            tokio::time::sleep_until((zero + at).into()).await;
        }
        let endpoints = Arc::clone(&endpoints);
        match what {
            Step::Reload => reload(),
            // At several endpoints at once: a black hole takes some time to fill.
            Step::Fail { endpoint, kind, until } => {
                running.spawn(async move { endpoints[endpoint].fail(&kind, zero + until).await.map(|()| 0) });
            }
            Step::Recover { endpoint } => {
                running.spawn(async move { endpoints[endpoint].recover().await.map(|()| 0) });
            }
            Step::Attack { streams, until } => {
                let Some(victim) = victim else { continue };
                running.spawn(async move { Ok(rapid_reset(victim, streams, zero + at, zero + until).await) });
            }
        }
    }
    let mut reset_streams = 0;
    while let Some(done) = running.join_next().await {
        reset_streams += done.map_err(|e| e.to_string())?.map_err(|e| format!("a fault could not be played: {e}"))?;
    }
    Ok(reset_streams)
}
