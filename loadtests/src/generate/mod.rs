//! Load: open loop by a seeded list of arrivals, or closed loop.
//!
//! A generator is one thread on the load's core. [`open`] hands each arrival to a client ([`client`]) that is free
//! ([`pool`]); [`closed`] keeps every connection busy. Both write into a [`record`].

#![expect(clippy::disallowed_methods, reason = "load lives outside of the proxy: its own clock and tasks")]

pub mod args;
mod arrivals;
pub mod attack;
mod client;
mod closed;
pub mod framing;
pub mod idle;
mod open;
mod pool;
mod record;
mod request;
#[cfg(test)]
mod tests;
pub mod thread;
mod wait;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::credentials::Dialer;
use crate::results::{ClientSide, Mode, Second};
use crate::scenario::LoadPlan;
use record::Record;
use thread::{Thread, cpu_time};

/// What one play sends.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Clients spread evenly over them; at least one.
    pub targets: Vec<SocketAddr>,
    pub load: LoadPlan,
    /// How connections are encrypted; `None`: not at all.
    pub dialer: Option<Dialer>,
    pub duration: Duration,
    /// Of the arrivals.
    pub seed: u64,
    /// What `Idempotency-Key`s begin with; another one for each play.
    pub keys: String,
}

/// What a generator tells while it runs.
#[derive(Debug)]
pub enum Told {
    /// Its first connections are open.
    Ready,
    /// A second has passed; successes and failures since the beginning.
    Second { ok: u64, failed: u64 },
    /// It has ended; [`Generator::join`] has the result.
    Ended,
}

/// What the clients saw, and the same by second; the upstream's part of a second is left at 0.
pub type Seen = (ClientSide, Vec<Second>);

/// Shared by the clients of one thread: never contended.
type Recorder = Arc<Mutex<Record>>;
type Tell = Arc<dyn Fn(Told) + Send + Sync>;

/// A generator that is ready to begin, or runs.
#[derive(Debug)]
pub struct Generator {
    thread: Thread<Result<Seen, String>>,
    begin: Option<oneshot::Sender<Instant>>,
}

impl Generator {
    /// Starts its thread, opens connections, and tells when it is ready.
    ///
    /// # Errors
    /// No thread, or no such core.
    pub fn prepare(
        plan: Plan,
        core: Option<u32>,
        tell: impl Fn(Told) + Send + Sync + 'static,
    ) -> Result<Generator, String> {
        let (begin, begins) = oneshot::channel();
        let tell: Tell = Arc::new(tell);
        let thread = Thread::start("load", core, move |runtime| {
            let seen = run(runtime, &plan, begins, &tell);
            tell(Told::Ended);
            seen
        })?;
        Ok(Generator { thread, begin: Some(begin) })
    }

    /// Begins; offsets of arrivals count from `zero`.
    pub fn begin(&mut self, zero: Instant) {
        if let Some(begin) = self.begin.take() {
            // A generator that has failed says so in `join`.
            let _ = begin.send(zero);
        }
    }

    /// What it saw. Waits for its end.
    ///
    /// # Errors
    /// It could not run.
    pub fn join(self) -> Result<Seen, String> {
        // Without a beginning it would wait for one.
        drop(self.begin);
        self.thread.join()?
    }
}

fn run(runtime: &Runtime, plan: &Plan, begins: oneshot::Receiver<Instant>, tell: &Tell) -> Result<Seen, String> {
    let load = &plan.load;
    let arrivals = arrivals::arrivals(load.arrivals, load.rate, plan.duration, plan.seed);
    let record = Arc::new(Mutex::new(Record::new(plan.duration)?));
    let start = Start { begins, tell: Arc::clone(tell), record: Arc::clone(&record) };
    let ran = match load.arrivals {
        Mode::Closed => runtime.block_on(closed::run(plan, &record, start)),
        Mode::Poisson | Mode::Constant => runtime.block_on(open::run(plan, &arrivals, &record, start)),
    }?;
    let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
    let record = std::mem::replace(&mut *record, Record::new(Duration::ZERO)?);
    Ok(record.finish(ran.seconds, ran.busy))
}

/// The starting line.
struct Start {
    begins: oneshot::Receiver<Instant>,
    tell: Tell,
    record: Recorder,
}

impl Start {
    /// Tells that all is ready, waits for the beginning, and tells of every second from there on.
    async fn wait(self) -> Result<Begun, String> {
        (self.tell)(Told::Ready);
        let zero = self.begins.await.map_err(|_| "the play was given up before it began".to_owned())?;
        tokio::spawn(async move {
            let mut at = zero;
            loop {
                at += Duration::from_secs(1);
                tokio::time::sleep_until(at.into()).await;
                let (ok, failed) = self.record.lock().unwrap_or_else(PoisonError::into_inner).so_far();
                (self.tell)(Told::Second { ok, failed });
            }
        });
        Ok(Begun { zero, cpu: cpu_time() })
    }
}

/// A play that has begun.
#[derive(Clone, Copy, Debug)]
struct Begun {
    zero: Instant,
    /// CPU time that the thread had used before.
    cpu: Duration,
}

impl Begun {
    /// The end, `seconds` after the first intended time.
    fn ended(self, seconds: f64) -> Ran {
        let wall = Instant::now().saturating_duration_since(self.zero).as_secs_f64();
        Ran { seconds, busy: cpu_time().saturating_sub(self.cpu).as_secs_f64() / wall.max(1e-9) }
    }
}

/// A play that has ended.
#[derive(Clone, Copy, Debug)]
struct Ran {
    /// From the first intended time to the last one; of a closed loop, to the last answer.
    seconds: f64,
    /// CPU time of the thread, as a share of its core.
    busy: f64,
}
