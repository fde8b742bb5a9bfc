//! Who plays: scripted servers, and clients that send at a steady rate.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use outrigger::faults::{Answer, Behaviour, FaultServer, Hangup, Latency, Mode, Point, Script};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::script::{Load, Trouble};

/// Requests of one load that wait for their end; beyond it arrivals are left out.
const WAITING_MAX: usize = 2_000;
/// Seed of latencies and shares.
const SEED: u64 = 7;

/// The servers by name.
#[derive(Debug, Default)]
pub struct Servers(BTreeMap<String, FaultServer>);

/// What a server does while all is well.
fn well() -> Script {
    let millis = Duration::from_millis;
    let points = vec![(0.0, millis(2)), (0.5, millis(5)), (0.99, millis(20))];
    Script::always(good().after(Latency::Quantiles { points, seed: SEED }))
}

fn good() -> Behaviour {
    Answer::ok("done\n").into()
}

impl Servers {
    /// Starts them.
    ///
    /// # Errors
    /// No socket.
    pub async fn start(names: &[String]) -> Result<Servers, String> {
        let mut servers = BTreeMap::new();
        for name in names {
            let server =
                FaultServer::start(well()).await.map_err(|e| format!("cannot start the server {name}: {e}"))?;
            servers.insert(name.clone(), server);
        }
        Ok(Servers(servers))
    }

    /// Where they listen.
    pub fn addresses(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(name, server)| (name.clone(), server.address().to_string())).collect()
    }

    /// Does what this trouble does to servers.
    ///
    /// # Errors
    /// The machine does not let it.
    pub async fn meet(&self, trouble: &Trouble) -> Result<(), String> {
        for server in trouble.servers().iter().filter_map(|name| self.0.get(name)) {
            meet(server, trouble).await.map_err(|e| format!("the servers cannot be changed: {e}"))?;
        }
        Ok(())
    }

    /// All of them are well again.
    ///
    /// # Errors
    /// The machine does not let them.
    pub async fn heal(&self) -> Result<(), String> {
        for server in self.0.values() {
            server.set(well());
            server.mode(Mode::Accept).await.map_err(|e| format!("the servers cannot be changed: {e}"))?;
        }
        Ok(())
    }
}

async fn meet(server: &FaultServer, trouble: &Trouble) -> std::io::Result<()> {
    match trouble {
        Trouble::Dead { .. } => return server.die().await,
        Trouble::BlackHole { .. } => {
            server.mode(Mode::BlackHole).await?;
            // What is open does not answer either, as behind a dead link.
            server.set(Behaviour::stall());
        }
        Trouble::Stall { .. } => server.set(Behaviour::stall()),
        Trouble::Errors { status, share, retry_after, .. } => {
            let answer = Answer::status(*status);
            let answer = match retry_after {
                Some(seconds) => answer.retry_after(*seconds),
                None => answer,
            };
            server.set(Script::share(share / 100.0, answer, good(), SEED));
        }
        Trouble::Slow { latency, .. } => server.set(good().after(*latency)),
        Trouble::Reset { .. } => server.set(Behaviour::hang_up(Hangup::Reset, Point::Body)),
        Trouble::Policy { .. } | Trouble::Impatience { .. } | Trouble::Crowd { .. } => {}
    }
    Ok(())
}

/// Clients that send until this value is dropped.
#[derive(Debug)]
pub struct Clients {
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

#[derive(Debug)]
struct Shared {
    /// Instead of their own patience, in ms; 0 = their own.
    patience_ms: AtomicU64,
    times: AtomicU32,
}

impl Clients {
    /// Starts them.
    ///
    /// # Errors
    /// A load names an address that there is not.
    pub fn start(loads: &[Load], addresses: &BTreeMap<String, String>) -> Result<Clients, String> {
        let shared = Arc::new(Shared { patience_ms: AtomicU64::new(0), times: AtomicU32::new(1) });
        let mut tasks = Vec::new();
        for load in loads {
            let address = addresses.get(&load.to).and_then(|text| text.parse::<SocketAddr>().ok());
            let address = address.ok_or_else(|| format!("load: there is no address %{}%", load.to))?;
            tasks.push(tokio::spawn(send_all(load.clone(), address, Arc::clone(&shared))).abort_handle());
        }
        Ok(Clients { shared, tasks })
    }

    /// Does what this trouble does to clients.
    pub fn meet(&self, trouble: &Trouble) {
        match trouble {
            Trouble::Impatience { patience } => {
                let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).max(1);
                self.shared.patience_ms.store(millis, Ordering::Relaxed);
            }
            Trouble::Crowd { times } => self.shared.times.store(*times, Ordering::Relaxed),
            _ => {}
        }
    }

    /// They are as they were.
    pub fn heal(&self) {
        self.shared.patience_ms.store(0, Ordering::Relaxed);
        self.shared.times.store(1, Ordering::Relaxed);
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn send_all(load: Load, address: SocketAddr, shared: Arc<Shared>) {
    let mut pace = interval(Duration::from_secs(1) / load.rate);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    // Ends with this task, and everything in it.
    let mut waiting = JoinSet::new();
    loop {
        pace.tick().await;
        while waiting.try_join_next().is_some() {}
        for _ in 0..shared.times.load(Ordering::Relaxed) {
            if waiting.len() < WAITING_MAX {
                let patience = match shared.patience_ms.load(Ordering::Relaxed) {
                    0 => load.patience,
                    millis => Duration::from_millis(millis),
                };
                let request = format!(
                    "{} {} HTTP/1.1\r\nHost: drill.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                    load.method, load.path
                );
                waiting.spawn(async move { drop(timeout(patience, exchange(address, request)).await) });
            }
        }
    }
}

/// One request on a connection of its own. What comes back is the sidecar's to tell.
async fn exchange(address: SocketAddr, request: String) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = [0; 4_096];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}
