//! One upstream: healthy, or as the fault script wants it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use outrigger::faults::{self, Answer, Behaviour, FaultServer, Hangup, Listening, Mode, Point, Script, ServerTls};

use super::lean::LeanServer;
use crate::scenario::{Abandoned, FaultKind, Latency, Protocol, ResetPoint, Scenario, Tls, UpstreamPlan};

/// Longest answer kept in memory by the scripted upstream.
const KEPT_MAX: u64 = 64 * 1024;

/// A running upstream.
#[derive(Debug)]
pub(super) enum Endpoint {
    /// Where the scenario asks for nothing but answers.
    Lean(LeanServer),
    Scripted(Box<Scripted>),
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub requests: u64,
    pub executed: u64,
    pub connections: u64,
    /// Requests being served now.
    pub serving: u64,
}

impl Endpoint {
    /// Starts one, healthy. `lean`: nothing is asked of it but answers.
    pub async fn start(plan: &UpstreamPlan, lean: bool, tls: Option<ServerTls>, seed: u64) -> io::Result<Endpoint> {
        if lean {
            return LeanServer::start(plan.answer).map(Endpoint::Lean);
        }
        Scripted::start(plan, tls, seed).await.map(|scripted| Endpoint::Scripted(Box::new(scripted)))
    }

    /// Whether this scenario asks nothing of its upstreams but answers.
    pub fn lean_suffices(scenario: &Scenario) -> bool {
        let plan = &scenario.upstream;
        plan.latency == Latency::None
            && plan.capacity.is_none()
            && plan.error_ratio == 0.0
            && plan.tls == Tls::None
            && !plan.protocol.is_h2()
            && !scenario.load.protocol.is_h2()
            && !scenario.load.keyed
            && scenario.faults.iter().all(|fault| fault.endpoints.is_empty())
    }

    pub const fn address(&self) -> SocketAddr {
        match self {
            Endpoint::Lean(server) => server.address(),
            Endpoint::Scripted(scripted) => scripted.address,
        }
    }

    pub fn counts(&self) -> Counts {
        match self {
            Endpoint::Lean(server) => {
                let counters = server.counters();
                Counts {
                    requests: counters.requests.load(Ordering::Relaxed),
                    executed: counters.executed.load(Ordering::Relaxed),
                    connections: counters.connections.load(Ordering::Relaxed),
                    serving: 0,
                }
            }
            Endpoint::Scripted(scripted) => {
                let faults::Counts { requests, executed, accepted, serving, .. } = scripted.server.observed().counts();
                Counts { requests, executed, connections: accepted, serving }
            }
        }
    }

    /// How often each key took effect, since the last call.
    pub fn take_executions(&self) -> HashMap<String, u64> {
        match self {
            Endpoint::Lean(_) => HashMap::new(),
            Endpoint::Scripted(scripted) => scripted.server.observed().take_executions(),
        }
    }

    /// A fault begins; it lasts until `end`.
    pub async fn fail(&self, kind: &FaultKind, end: Instant) -> io::Result<()> {
        match self {
            // Chosen only where no fault concerns an endpoint.
            Endpoint::Lean(_) => Ok(()),
            Endpoint::Scripted(scripted) => scripted.fail(kind, end).await,
        }
    }

    /// The fault is over.
    pub async fn recover(&self) -> io::Result<()> {
        match self {
            Endpoint::Lean(_) => Ok(()),
            Endpoint::Scripted(scripted) => {
                scripted.server.set(scripted.healthy.clone());
                scripted.server.mode(Mode::Accept).await
            }
        }
    }
}

/// An upstream that can fail.
#[derive(Debug)]
pub(super) struct Scripted {
    address: SocketAddr,
    server: FaultServer,
    healthy: Script,
    plan: UpstreamPlan,
    seed: u64,
}

impl Scripted {
    async fn start(plan: &UpstreamPlan, tls: Option<ServerTls>, seed: u64) -> io::Result<Scripted> {
        let good = Behaviour::from(answer(plan)).after(latency(&plan.latency, seed));
        let mut healthy = match plan.error_ratio {
            0.0 => Script::always(good),
            ratio => Script::share(ratio, Answer::status(503), good, seed),
        };
        if let Some(capacity) = plan.capacity {
            let abandoned = match capacity.abandoned {
                Abandoned::RunsOn => faults::Abandoned::RunsOn,
                Abandoned::Cancelled => faults::Abandoned::Cancelled,
            };
            healthy = healthy.capacity(capacity.slots as usize, abandoned);
        }
        // As many streams as the pool of any arm has requests.
        let listening = Listening { tls, max_streams: Some(1_000), ..Listening::default() };
        let server = FaultServer::start_as(listening, healthy.clone()).await?;
        Ok(Scripted { address: server.address(), server, healthy, plan: plan.clone(), seed })
    }

    async fn fail(&self, kind: &FaultKind, end: Instant) -> io::Result<()> {
        match kind {
            FaultKind::Dead => self.server.die().await,
            FaultKind::BlackHole => {
                self.server.stall_until(end);
                self.server.mode(Mode::BlackHole).await
            }
            FaultKind::Stall => {
                self.server.stall_until(end);
                Ok(())
            }
            FaultKind::Errors { ratio, status } => {
                self.does(self.share(*ratio, self.usual(Answer::status(*status))));
                Ok(())
            }
            FaultKind::Slow { latency: slow } => {
                self.does(Script::always(Behaviour::from(answer(&self.plan)).after(latency(slow, self.seed))));
                Ok(())
            }
            FaultKind::Reset { ratio, point } => {
                let bad = match point {
                    ResetPoint::Before => Behaviour::hang_up(Hangup::Reset, Point::Head),
                    ResetPoint::After => self.usual(Behaviour::hang_up(Hangup::Reset, Point::Body)),
                };
                self.does(self.share(*ratio, bad));
                Ok(())
            }
            FaultKind::SlowBody { piece, every } => {
                let piece = usize::try_from(*piece).unwrap_or(usize::MAX);
                self.does(Script::always(self.usual(answer(&self.plan).paced(piece, *every))));
                Ok(())
            }
            // They concern the proxy, not an endpoint; or are refused when the file is read.
            FaultKind::Reload | FaultKind::RapidReset { .. } | FaultKind::Absent => Ok(()),
        }
    }

    fn does(&self, script: Script) {
        self.server.set(self.healthy.clone().doing(script));
    }

    /// After the latency of a healthy answer.
    fn usual(&self, behaviour: impl Into<Behaviour>) -> Behaviour {
        behaviour.into().after(latency(&self.plan.latency, self.seed))
    }

    fn share(&self, ratio: f64, bad: Behaviour) -> Script {
        Script::share(ratio, bad, self.usual(answer(&self.plan)), self.seed)
    }
}

fn answer(plan: &UpstreamPlan) -> Answer {
    match usize::try_from(plan.answer) {
        Ok(length) if plan.protocol == Protocol::Grpc => Answer::grpc([vec![b'x'; length]], 0),
        Ok(length) if plan.answer <= KEPT_MAX => Answer::ok(Bytes::from(vec![b'x'; length])),
        Ok(_) | Err(_) => Answer::status(200).huge(plan.answer),
    }
}

fn latency(latency: &Latency, seed: u64) -> faults::Latency {
    match latency {
        Latency::None => faults::Latency::None,
        Latency::Fixed(fixed) => faults::Latency::Fixed(*fixed),
        // Not the seed that draws failures: slow requests are not the ones that fail.
        Latency::Quantiles(points) => faults::Latency::Quantiles { points: points.clone(), seed: !seed },
    }
}
