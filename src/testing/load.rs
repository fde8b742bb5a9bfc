//! Steady load over keep-alive connections: counts what came back, and what did not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Answer, Client, within};

/// Failures kept as text.
const FAILURES_MAX: usize = 20;

/// Load that runs until it is stopped. Every connection sends its next request when it has its answer.
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    answered: Arc<AtomicU64>,
    workers: JoinSet<Report>,
}

/// What a load met.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a complete answer.
    pub failed: u64,
    /// Connections that could not be opened.
    pub refused: u64,
    /// The first failures in words.
    pub failures: Vec<String>,
    /// Kept connections that were closed before any byte of an answer: RFC 9112 §9.3.1 lets the client send
    /// again, and this one does.
    pub resent: u64,
    /// Times from the first byte sent to the last byte received.
    pub latencies: Vec<Duration>,
}

impl Report {
    /// All answers.
    pub fn answers(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Answers with this status.
    pub fn with(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// Latency that this share (0.0 to 1.0) of the answers did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let index = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
        sorted.get(index).copied().unwrap_or_default()
    }

    /// Panics unless every request was answered with this status.
    pub fn assert_all(&self, status: u16) {
        assert!(self.answers() > 0, "nothing was answered: {self:?}");
        let lost = self.failed + self.refused;
        assert_eq!((self.with(status), lost), (self.answers(), 0), "{:?} {:?}", self.statuses, self.failures);
    }

    fn note(&mut self, why: String) {
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(why);
        }
    }

    fn merge(&mut self, other: Report) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.failed += other.failed;
        self.refused += other.refused;
        self.resent += other.resent;
        self.failures.extend(other.failures);
        self.failures.truncate(FAILURES_MAX);
        self.latencies.extend(other.latencies);
    }
}

impl Load {
    /// Starts `connections` that send `request` (whole, a GET unless it says otherwise) over and over.
    pub fn start(address: SocketAddr, connections: usize, request: &str) -> Load {
        Load::begin(address, connections, request, u64::MAX)
    }

    /// Sends `each` requests on each of `connections` and reports.
    pub async fn run(address: SocketAddr, connections: usize, each: u64, request: &str) -> Report {
        Load::begin(address, connections, request, each).join().await
    }

    /// Waits until this many further requests were answered.
    pub async fn progress(&self, answers: u64) {
        let target = self.answered.load(Ordering::Relaxed) + answers;
        super::eventually("progress of the load", async || {
            (self.answered.load(Ordering::Relaxed) >= target).then_some(())
        })
        .await;
    }

    /// Lets every connection finish its request and reports.
    pub async fn stop(self) -> Report {
        self.stop.send_replace(true);
        self.join().await
    }

    fn begin(address: SocketAddr, connections: usize, request: &str, each: u64) -> Load {
        let (stop, _) = watch::channel(false);
        let answered = Arc::new(AtomicU64::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            let worker = Worker {
                address,
                request: request.to_string(),
                stop: stop.subscribe(),
                answered: Arc::clone(&answered),
                report: Report::default(),
            };
            workers.spawn(worker.run(each));
        }
        Load { stop, answered, workers }
    }

    async fn join(mut self) -> Report {
        let mut total = Report::default();
        while let Some(report) = within("the end of the load", self.workers.join_next()).await {
            total.merge(report.unwrap_or_else(|e| panic!("a connection of the load panicked: {e}")));
        }
        total
    }
}

struct Worker {
    address: SocketAddr,
    request: String,
    stop: watch::Receiver<bool>,
    answered: Arc<AtomicU64>,
    report: Report,
}

impl Worker {
    async fn run(mut self, each: u64) -> Report {
        let mut kept: Option<Client> = None;
        let mut done = 0;
        while done < each && !*self.stop.borrow() {
            let reused = kept.is_some();
            let client = match kept.take() {
                Some(client) => client,
                None => match Client::try_connect(self.address).await {
                    Ok(client) => client,
                    Err(e) => {
                        self.report.refused += 1;
                        self.report.note(format!("connect: {e}"));
                        done += 1;
                        // Not a busy loop while the listener is gone.
                        tokio::time::sleep(super::POLL).await;
                        continue;
                    }
                },
            };
            match self.exchange(client, reused).await {
                Exchange::Answered(client) => kept = client,
                Exchange::Raced => continue,
                Exchange::Failed => {}
            }
            done += 1;
        }
        self.report
    }

    async fn exchange(&mut self, mut client: Client, reused: bool) -> Exchange {
        let (began, before) = (Instant::now(), client.received());
        let sent = client.try_send(&self.request).await;
        let method = self.request.split(' ').next().unwrap_or("GET");
        let answer = match sent {
            Ok(()) => client.try_answer(method).await,
            Err(e) => Err(e),
        };
        match answer {
            Ok(Some(answer)) => {
                *self.report.statuses.entry(answer.status).or_default() += 1;
                self.report.latencies.push(began.elapsed());
                self.answered.fetch_add(1, Ordering::Relaxed);
                Exchange::Answered(keeps(&answer).then_some(client))
            }
            Ok(None) | Err(_) if reused && client.received() == before => {
                self.report.resent += 1;
                Exchange::Raced
            }
            Ok(None) => {
                self.report.failed += 1;
                self.report.note("closed without an answer".to_string());
                Exchange::Failed
            }
            Err(e) => {
                self.report.failed += 1;
                self.report.note(e.to_string());
                Exchange::Failed
            }
        }
    }
}

enum Exchange {
    /// The connection, if it is kept.
    Answered(Option<Client>),
    Raced,
    Failed,
}

fn keeps(answer: &Answer) -> bool {
    !answer.head.lists("connection", "close") && answer.head.line[0] == "HTTP/1.1"
}
