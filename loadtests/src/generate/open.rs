//! The open loop: requests are sent when they are due, whatever became of those before. Latency counts from the
//! intended time, so that a stall is seen by all requests that it hits and not only by those that were sent.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::client::{Client, Http1, Http2};
use super::pool::{Given, Job, Pool};
use super::record::{Failure, Record};
use super::request::Template;
use super::wait::Alarm;
use super::{Plan, Ran, Recorder, Start};
use crate::scenario::Protocol;

/// Connections opened before the first request.
const OPENED_AHEAD: usize = 64;
/// How long that may take; who has not connected by then does it later.
const OPENING: Duration = Duration::from_secs(2);
/// Requests that share one HTTP/2 connection: what servers usually allow.
const STREAMS: usize = 100;

/// Sends every arrival of the plan; returns when each has come to its end.
pub async fn run(plan: &Plan, arrivals: &[Duration], record: &Recorder, start: Start) -> Result<Ran, String> {
    let alarm = Alarm::new().map_err(|e| format!("no timer: {e}"))?;
    let clients = clients(plan);
    let pool = Arc::new(Pool::new(clients.len()));
    let ahead = clients.len().min(OPENED_AHEAD);
    let mut tasks = JoinSet::new();
    for (number, (client, template)) in clients.into_iter().enumerate() {
        let worker = Worker {
            number,
            client,
            template: template?,
            pool: Arc::clone(&pool),
            record: Arc::clone(record),
            timeout: plan.load.timeout,
        };
        tasks.spawn(worker.run(number < ahead));
    }
    // Whoever is late connects with its first request.
    let _ = tokio::time::timeout(OPENING, pool.rested(tasks.len())).await;
    let begun = start.wait().await?;
    for (number, offset) in (0u64..).zip(arrivals) {
        let due = begun.zero + *offset;
        alarm.until(due).await.map_err(|e| format!("no timer: {e}"))?;
        pool.dispatch(Job { number, offset: *offset, due });
        if number % 64 == 63 {
            // Behind schedule nothing above waits, and answers must be read all the same.
            tokio::task::yield_now().await;
        }
    }
    pool.drain().await;
    while tasks.join_next().await.is_some() {}
    let (first, last) = (arrivals.first().copied().unwrap_or_default(), arrivals.last().copied().unwrap_or_default());
    Ok(begun.ended((last - first).as_secs_f64()))
}

/// Clients spread evenly over the targets.
fn clients(plan: &Plan) -> Vec<(Client, Result<Arc<Template>, String>)> {
    let load = &plan.load;
    let templates: Vec<_> = plan.targets.iter().map(|to| Template::new(load, *to, &plan.keys).map(Arc::new)).collect();
    let connections = load.connections as usize;
    let spread = |n: usize| n % plan.targets.len();
    match load.protocol {
        Protocol::Http1 => (0..connections)
            .map(|n| {
                (Http1::new(plan.targets[spread(n)], plan.dialer.clone(), load.requests_per_connection), spread(n))
            })
            .map(|(client, to)| (Client::Http1(Box::new(client)), templates[to].clone()))
            .collect(),
        Protocol::Http2 | Protocol::Grpc => {
            let open = |n: usize| Arc::new(Http2::new(plan.targets[spread(n)], plan.dialer.clone()));
            let shared: Vec<_> = (0..connections).map(open).collect();
            // Neighbours use different connections.
            (0..connections * STREAMS)
                .map(|n| n % connections)
                .map(|n| (Client::Http2(Arc::clone(&shared[n])), templates[spread(n)].clone()))
                .collect()
        }
    }
}

struct Worker {
    number: usize,
    client: Client,
    template: Arc<Template>,
    pool: Arc<Pool>,
    record: Recorder,
    timeout: Duration,
}

impl Worker {
    async fn run(mut self, open_ahead: bool) {
        if open_ahead {
            let _ = tokio::time::timeout(OPENING, self.client.open()).await;
        }
        loop {
            let given = match self.pool.next() {
                Some(given) => given,
                None => {
                    self.pool.rest(self.number, self.client.is_open());
                    self.client.rest(self.pool.woken(self.number)).await;
                    let Some(given) = self.pool.given(self.number) else { return };
                    given
                }
            };
            self.play(given).await;
            self.pool.finished();
        }
    }

    async fn play(&mut self, Given { job, waited }: Given) {
        let begun = Instant::now();
        let lag = begun.saturating_duration_since(job.due);
        let outcome = if waited && lag >= self.timeout {
            Err(Failure::Unsent)
        } else {
            let exchange = self.client.exchange(&self.template, job.number);
            let end = (job.due + self.timeout).into();
            tokio::time::timeout_at(end, exchange).await.unwrap_or(Err(Failure::Timeout))
        };
        let latency = Instant::now().saturating_duration_since(job.due);
        let mut record = self.lock();
        if !waited {
            record.lag(lag);
        }
        record.outcome(job.offset, latency, outcome);
        if self.template.is_critical(job.number) == Some(true) {
            record.critical(outcome);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
