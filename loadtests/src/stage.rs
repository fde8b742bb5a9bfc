//! Where a scenario is played: its upstreams, its fault script, its clients.
//!
//! Upstreams run on a thread of their own ([`upstream`]), the generator on another, both on the load's core; the
//! proxy has the other core. Arrivals and faults count from the same zero.

#![expect(clippy::disallowed_methods, reason = "load lives outside of the proxy: its own clock and tasks")]

mod app;
mod endpoint;
mod lean;
#[cfg(test)]
mod tests;
mod upstream;

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use crate::credentials::{Credentials, Dialer};
use crate::generate::idle::Held;
use crate::generate::{Generator, Plan, Told};
use crate::results;
use crate::scenario::Scenario;
use upstream::Upstream;

/// Between the word to begin and the first moment of the play: both threads must have heard it.
const LEAD: Duration = Duration::from_millis(50);
/// How long a generator may take to open its first connections.
const PREPARING_MAX: Duration = Duration::from_secs(60);
/// How long after the last timeout a play may last.
const GRACE: Duration = Duration::from_secs(30);
/// Set apart from the seed of the measured part, so that a warm-up does not teach it.
const WARM_UP: u64 = 0x7761_726d_2d75_7021;

/// Where the clients send their requests.
#[derive(Clone, Debug)]
pub struct Target {
    /// One address for a proxy; every endpoint for the direct way, over which the clients spread evenly.
    pub addresses: Vec<SocketAddr>,
    /// Whether these are the upstreams' own, which are encrypted as the upstreams are.
    pub direct: bool,
}

/// What [`Stage::play`] tells while it plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The measured part begins.
    Begins,
    /// The proxy is to reload its policy now.
    Reload,
    /// Once a second. `ok` and `failed` count since the beginning.
    Progress { second: u32, of: u32, ok: u64, failed: u64 },
    /// Every request has come to an end.
    Ends,
}

/// Upstreams that run.
#[derive(Debug)]
pub struct Stage {
    upstream: Upstream,
    plan: Plan,
    /// How clients reach a proxy, and the upstreams themselves.
    dialers: [Option<Dialer>; 2],
    held: Option<Held>,
    warm_up: Duration,
    load_core: Option<u32>,
    plays: u64,
}

enum News {
    Load(Told),
    Reload,
}

impl Stage {
    /// Starts the upstreams, healthy.
    ///
    /// # Errors
    /// No socket, no thread, or no such core.
    pub fn open(
        scenario: &Scenario,
        seed: u64,
        load_core: Option<u32>,
        credentials: Option<&Credentials>,
    ) -> Result<Stage, String> {
        let plan = Plan {
            targets: Vec::new(),
            load: scenario.load.clone(),
            dialer: None,
            duration: scenario.duration,
            seed,
            keys: String::new(),
        };
        let dialer = |tls| credentials.map_or(Ok(None), |made| made.dialer(tls, scenario.load.protocol));
        let dialers = [dialer(scenario.load.tls)?, dialer(scenario.upstream.tls)?];
        let secret = credentials.map_or(Ok(None), |made| made.upstream(scenario.upstream.tls))?;
        let upstream = Upstream::start(scenario, seed, load_core, secret)?;
        Ok(Stage { upstream, plan, dialers, held: None, warm_up: scenario.warm_up, load_core, plays: 0 })
    }

    /// Where the upstreams listen.
    pub fn endpoints(&self) -> &[SocketAddr] {
        self.upstream.addresses()
    }

    /// Two tiers: a service in the middle, which calls `next` for every request and answers with its answer.
    ///
    /// # Errors
    /// No socket.
    pub fn service(&mut self, next: SocketAddr) -> Result<SocketAddr, String> {
        self.upstream.service(next)
    }

    /// Opens the scenario's idle connections, which are held from now on.
    ///
    /// # Errors
    /// One of them could not be opened, or was not answered.
    pub fn hold(&mut self, target: &Target) -> Result<(), String> {
        let count = self.plan.load.idle;
        let Some(address) = target.addresses.first().copied().filter(|_| count > 0) else { return Ok(()) };
        let dialer = self.dialers[usize::from(target.direct)].clone();
        self.held = Some(Held::open(count, address, self.plan.load.path.clone(), dialer, self.load_core)?);
        Ok(())
    }

    /// Closes the idle connections, and says if some of them had been closed before: then less was held than measured.
    ///
    /// # Errors
    /// Their thread failed.
    pub fn release(&mut self) -> Result<Option<String>, String> {
        let Some(held) = self.held.take() else { return Ok(None) };
        let lost = held.lost()?;
        Ok((lost > 0).then(|| format!("{lost} of {} idle connections had been closed", self.plan.load.idle)))
    }

    /// The load without faults, not measured.
    ///
    /// # Errors
    /// The generator could not run.
    pub fn warm_up(&mut self, target: &Target) -> Result<(), String> {
        if self.warm_up.is_zero() {
            return Ok(());
        }
        let plan = Plan { duration: self.warm_up, seed: self.plan.seed ^ WARM_UP, ..self.next_plan(target)? };
        self.load(plan, |_| Ok(()), &mut |_| {}).map(|_| ())
    }

    /// The measured part. `on` is called on the calling thread. The cost is left to the caller.
    ///
    /// # Errors
    /// The generator or the upstreams could not run.
    pub fn play(&mut self, target: &Target, on: &mut dyn FnMut(Moment)) -> Result<results::Round, String> {
        let plan = self.next_plan(target)?;
        let seconds = seconds(plan.duration);
        let upstream = &self.upstream;
        let begin = |(zero, news): (Instant, Sender<News>)| {
            // Who plays hears it until the end.
            let victim = target.addresses.first().copied();
            upstream.begin(zero, seconds, victim, move || drop(news.send(News::Reload)))
        };
        let (client, mut timeline) = self.load(plan, begin, on)?;
        let seen = self.upstream.settle()?;
        for (second, requests) in timeline.iter_mut().zip(seen.seconds) {
            second.upstream = requests;
        }
        let reset_streams = seen.reset_streams;
        Ok(results::Round { client, upstream: seen.side, timeline, reset_streams, ..results::Round::default() })
    }

    fn next_plan(&mut self, target: &Target) -> Result<Plan, String> {
        if target.addresses.is_empty() {
            return Err("there is no address to send load to".to_owned());
        }
        self.plays += 1;
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // A key must not meet an idempotency store that remembers it from another play.
        let keys = format!("{:x}-{}", since_1970.as_nanos(), self.plays);
        let dialer = self.dialers[usize::from(target.direct)].clone();
        Ok(Plan { targets: target.addresses.clone(), keys, dialer, ..self.plan.clone() })
    }

    /// Runs one generator to its end.
    fn load(
        &self,
        plan: Plan,
        begin: impl FnOnce((Instant, Sender<News>)) -> Result<(), String>,
        on: &mut dyn FnMut(Moment),
    ) -> Result<crate::generate::Seen, String> {
        let (tell, news) = channel();
        let (of, longest) = (seconds(plan.duration), plan.duration + plan.load.timeout + GRACE);
        let told = tell.clone();
        let mut generator = Generator::prepare(plan, self.load_core, move |word| drop(told.send(News::Load(word))))?;
        match next(&news, PREPARING_MAX)? {
            News::Load(Told::Ready) => {}
            // It ended before it began, and says why.
            News::Load(Told::Second { .. } | Told::Ended) | News::Reload => return generator.join(),
        }
        on(Moment::Begins);
        let zero = Instant::now() + LEAD;
        begin((zero, tell))?;
        generator.begin(zero);
        let mut second = 0;
        loop {
            match next(&news, (zero + longest).saturating_duration_since(Instant::now()))? {
                News::Load(Told::Ready) => {}
                News::Load(Told::Second { ok, failed }) => {
                    second = (second + 1).min(of);
                    on(Moment::Progress { second, of, ok, failed });
                }
                News::Load(Told::Ended) => break,
                News::Reload => on(Moment::Reload),
            }
        }
        on(Moment::Ends);
        generator.join()
    }
}

fn next(news: &Receiver<News>, within: Duration) -> Result<News, String> {
    news.recv_timeout(within).map_err(|e| match e {
        RecvTimeoutError::Timeout => "the generator does not come to its end".to_owned(),
        RecvTimeoutError::Disconnected => "the generator has ended without a word".to_owned(),
    })
}

fn seconds(duration: Duration) -> u32 {
    // At most an hour.
    duration.as_secs_f64().ceil() as u32
}
