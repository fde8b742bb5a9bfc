//! What one key goes through: who asks for it, how often, and what the upstream does to it. Made by dice with a seed.

use std::sync::Arc;
use std::time::Duration;

use outrigger::reliability::entropy::{Entropy, SplitMix};
use tokio::task::JoinSet;

use super::call::{Contract, History, Leave, Link, Outcome, Request};
use super::counter::padded;

/// Calls of one caller for one key.
const TRIES_MAX: usize = 8;
/// …tries to connect, for the whole of them…
const CONNECTS_MAX: usize = 2_000;
/// …and the time between two.
const PAUSE: Duration = Duration::from_millis(4);
/// More than the socket of the other side takes at once.
const LARGE_BODY: usize = 6_000_000;

/// Callers of one key.
#[derive(Clone, Debug)]
pub struct Job {
    request: Request,
    callers: usize,
    /// With the same key and another body.
    rivals: usize,
    leave: Option<Leave>,
    again: bool,
    /// Whoever is told of a failure does not ask again.
    gives_up: bool,
}

impl Job {
    /// A job by the dice. Keys are unique by worker and number; those of tenants are shared by two jobs or so.
    pub fn draw(dice: &mut SplitMix, worker: usize, number: u64) -> Job {
        let (path, contract, tenant) = match dice.below(10) {
            0..=4 => ("/opaque", Contract::Opaque, ""),
            5 | 6 => ("/atomic", Contract::Atomic5xx, ""),
            7 | 8 => ("/dedupes", Contract::Dedupes, ""),
            _ => ("/tenant", Contract::Opaque, ["alice", "bob"][dice.below(2)]),
        };
        let number = if tenant.is_empty() { number } else { number / 30 };
        let acts = [act(dice), act(dice), "Answer"].join(",");
        let large = dice.below(150) == 0;
        let size = if large { LARGE_BODY } else { 20 + dice.below(200) };
        let key = format!("{}-{worker}-{number}", &path[1..]);
        let body = Arc::new(padded(&key, size).into_bytes());
        let acts = if tenant.is_empty() { acts } else { "Answer".to_owned() };
        let body = if tenant.is_empty() { body } else { Arc::new(key.clone().into_bytes()) };
        Job {
            request: Request { path, contract, tenant, key, acts, body },
            callers: if large { 1 } else { [1, 1, 1, 2, 3][dice.below(5)] },
            rivals: usize::from(dice.below(8) == 0 && !large),
            leave: (dice.below(12) == 0)
                .then(|| [Leave::MidHead, Leave::MidBody, Leave::AtOnce, Leave::Later][dice.below(4)]),
            again: dice.below(3) == 0,
            gives_up: dice.below(3) == 0,
        }
    }

    /// What is asked for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Everybody asks, each until there is nothing more to learn.
    pub async fn run(self, history: Arc<History>, to: &[std::net::SocketAddr]) {
        let mut callers = JoinSet::new();
        for number in 0..self.callers + self.rivals {
            let (history, job) = (Arc::clone(&history), self.clone());
            let link = Link::new(to[number % to.len()]);
            let mut request = self.request.clone();
            if number >= self.callers {
                request = request.rival();
            }
            callers.spawn(async move { job.insist(&history, link, &request).await });
        }
        while let Some(ended) = callers.join_next().await {
            ended.expect("no caller panics");
        }
    }

    async fn insist(&self, history: &History, mut link: Link, request: &Request) {
        let (mut leave, mut again) = (self.leave, self.again);
        let mut tries = 0;
        for _ in 0..CONNECTS_MAX {
            let Some(outcome) = history.call(&mut link, request, leave.take()).await else {
                // It is being restarted.
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            tries += 1;
            match outcome {
                Outcome::Stored(_) if tries < TRIES_MAX && std::mem::take(&mut again) => {}
                Outcome::Stored(_) | Outcome::Replayed(_) | Outcome::SeenUnknown | Outcome::Mismatch => return,
                Outcome::BecameUnknown | Outcome::NotExecuted if self.gives_up => return,
                _ if tries == TRIES_MAX => return,
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

fn act(dice: &mut SplitMix) -> &'static str {
    match dice.below(40) {
        0..=21 => "Answer",
        22..=25 => "Slow",
        26 => "Large",
        27..=29 => "Error",
        30..=32 => "Lost",
        33 => "Hang",
        34 | 35 => "Cut",
        36 | 37 => "Dropped",
        _ => "Refused",
    }
}
