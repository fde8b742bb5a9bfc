//! Many jobs at once, and what is asked when they are over.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use outrigger::reliability::entropy::SplitMix;
use outrigger::reliability::idempotency::State;
use outrigger::testing::{Client, Program};
use tokio::task::JoinSet;

use super::call::{History, Link, Outcome, Request};
use super::checker::Standing;
use super::job::Job;

/// Jobs at once.
const WORKERS: usize = 12;

/// Every key is asked for once more.
pub async fn once_more(history: &Arc<History>, requests: &[Request], to: SocketAddr) {
    let mut closing = JoinSet::new();
    for requests in requests.chunks(requests.len().div_ceil(WORKERS).max(1)) {
        let (history, requests) = (Arc::clone(history), requests.to_vec());
        closing.spawn(async move {
            let mut link = Link::new(to);
            for request in &requests {
                // The claim of a request that died lasts for its own repetition, and for no other.
                if history.call(&mut link, request, None).await == Some(Outcome::Mismatch) {
                    history.call(&mut link, &request.rival(), None).await;
                }
            }
        });
    }
    while let Some(ended) = closing.join_next().await {
        ended.expect("no caller panics");
    }
}

/// Their records, as an operator is shown them. What has none is left out.
pub async fn shown(program: &Program, requests: &[Request]) -> HashMap<String, Standing> {
    let admin = program.address("admin");
    let (mut client, mut shown) = (Client::connect(admin).await, HashMap::new());
    for request in requests {
        let mut question =
            serde_json::json!({ "upstream": "up", "route": &request.path[1..], "key": request.key.as_str() });
        if request.path == "/tenant" {
            question["principal"] = request.tenant.into();
        }
        let text = question.to_string();
        let head = format!(
            "POST /idempotency/show HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\n\
             x-outrigger-admin: 1\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        client.send(head).await;
        let answer = client.answer("POST").await;
        if answer.status == 200 {
            let key = answer.json();
            let state = state(key["state"].as_str().unwrap_or_default());
            let is = |field: &str| key[field].as_bool().expect("true or false");
            shown.insert(request.name(), Standing { state, ambiguous: is("ambiguous"), pinned: is("pinned") });
        } else {
            assert_eq!(answer.status, 404, "{}", answer.text());
        }
    }
    shown
}

fn state(word: &str) -> State {
    let states = [State::Claimed, State::Sent, State::Complete, State::Unknown, State::Retryable];
    states.into_iter().find(|state| state.as_str() == word).unwrap_or_else(|| panic!("no state: {word}"))
}

/// Workers that draw jobs until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<Mutex<HashMap<String, Request>>>,
    workers: JoinSet<()>,
}

impl Load {
    /// `to`: the proxies; callers of one key are spread over them.
    pub fn start(seed: u64, history: &Arc<History>, to: Vec<SocketAddr>) -> Load {
        let (stop, asked): (Arc<AtomicBool>, Arc<Mutex<HashMap<_, _>>>) = Default::default();
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            let (history, to) = (Arc::clone(history), to.clone());
            let mut dice = SplitMix::new(seed.wrapping_add(worker as u64 * 7919));
            workers.spawn(async move {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let job = Job::draw(&mut dice, worker, number);
                    let request = job.request().clone();
                    asked.lock().expect("no panic").insert(request.name(), request);
                    job.run(Arc::clone(&history), &to).await;
                }
            });
        }
        Load { stop, asked, workers }
    }

    /// Nobody has ended by a panic.
    pub fn is_well(&mut self) -> bool {
        self.workers.try_join_next().is_none()
    }

    /// Every job is brought to its end. Returns what was asked for.
    pub async fn stop(mut self) -> Vec<Request> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.workers.join_next().await {
            ended.expect("no worker panics");
        }
        std::mem::take(&mut *self.asked.lock().expect("no panic")).into_values().collect()
    }
}
