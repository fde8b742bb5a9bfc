//! Two proxies that share one Redis: raced, killed, stopped over a lease, and with a store that fails under them.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use outrigger::idempotency::claim::LEASE;
use outrigger::reliability::entropy::{Entropy, SplitMix};
use outrigger::reliability::idempotency::State;
use outrigger::sabotage::{CRASH_AT, DEFECT, Defect, Point, STOP_AT};
use outrigger::testing::{BOUND, Program, RedisServer, Signal, eventually};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::call::{Contract, History, Link, Outcome, Request};
use super::checker::{Evidence, Standing, assert_holds};
use super::counter::Counter;
use super::letters::Letters;
use super::load::{Load, once_more, shown};
use super::log::Log;
use super::{executable, seed};

/// What an acknowledged write has to outlive when the server is killed.
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];
/// Faults of the long run, and the time between two of them in ms.
const FAULTS: usize = 24;
const PAUSE_MS: usize = 250;
/// What hangs is given up soon, or after everything else.
pub const HASTY: &str = "request: 700ms";
pub const PATIENT: &str = "request: 1m, backendRequest: 1m";
/// Where a proxy can die whose store is elsewhere.
const POINTS: [Point; 10] = [
    Point::BeforeClaim,
    Point::AfterClaim,
    Point::BeforeSent,
    Point::AfterSent,
    Point::BeforeFirstByte,
    Point::AfterRequest,
    Point::MidResponse,
    Point::AfterResponse,
    Point::AfterComplete,
    Point::MidReply,
];
/// Clients of one key.
const CROWD: usize = 64;

pub struct Stage {
    pub history: Arc<History>,
    pub counter: Counter,
    pub redis: RedisServer,
    pub proxies: [Program; 2],
    _directory: TempDir,
}

pub fn policy(url: &str, redis: &RedisServer, timeouts: &str) -> String {
    let route = |(name, more): (&str, &str)| {
        format!("    - {{ name: {name}, match: {{ path: /{name} }}, idempotency: {{ maxBody: 8MiB, {more} }} }}\n")
    };
    let routes: String = [
        ("opaque", "principal: none, inFlightWait: 300ms"),
        ("atomic", "principal: none, inFlightWait: 300ms, contract: atomic5xx"),
        ("dedupes", "principal: none, inFlightWait: 300ms, contract: dedupes"),
        ("tenant", "principal: 'header:X-Tenant', inFlightWait: 300ms"),
        ("crowd", "principal: none, inFlightWait: 20s"),
    ]
    .into_iter()
    .map(route)
    .collect();
    format!(
        "limits: {{ replayBytes: 512MiB }}\nstores: {{ redis: {{ url: \"{}\", service: shop, timeout: 150ms }} }}\n\
         upstreams:\n  up:\n    url: {url}\n    timeouts: {{ {timeouts} }}\n    \
         retry: {{ attempts: 1, codes: [500], backoff: 1ms }}\n    retryBudget: {{ percent: 100, minPerSecond: 50 }}\n    \
         routes:\n{routes}",
        redis.url()
    )
}

impl Stage {
    pub async fn set(timeouts: &str) -> Stage {
        let directory = tempfile::tempdir().expect("a directory");
        let history = History::new();
        let counter = Counter::start(Log::create(directory.path().join("arrivals.log")), history.begin).await;
        let redis = RedisServer::start_with(&DURABLE).await;
        let text = policy(&counter.url(), &redis, timeouts);
        let proxies = [Program::start(&executable(), &text).await, Program::start(&executable(), &text).await];
        Stage { history, counter, redis, proxies, _directory: directory }
    }

    pub fn request(&self, path: &'static str, key: &str, acts: &str, body: &str) -> Request {
        Request {
            path,
            contract: Contract::Opaque,
            tenant: "",
            key: key.to_owned(),
            acts: acts.to_owned(),
            body: Arc::new(body.as_bytes().to_vec()),
        }
    }

    /// One call at one of the two, in a task.
    pub fn ask(&self, at: usize, request: Request, calls: &mut JoinSet<Outcome>) {
        let (history, to) = (Arc::clone(&self.history), self.proxies[at % 2].listen());
        calls.spawn(async move { history.call(&mut Link::new(to), &request, None).await.expect("it runs") });
    }

    pub async fn judge(&self, requests: &[Request]) -> Evidence {
        let records = shown(&self.proxies[1], requests).await;
        let letters = Letters { intact: true, ..Letters::default() };
        let (calls, arrivals) = (self.history.calls(), self.counter.arrivals());
        Evidence { calls, arrivals, records, lapses: true, keeps: &[], letters }
    }

    async fn kill(&mut self, at: usize) {
        self.proxies[at].signal(Signal::Kill);
        self.proxies[at].exit().await;
        self.proxies[at].restart().await;
    }

    /// Both are from now on what they should not be.
    pub async fn break_it(&mut self, defect: Defect) {
        for at in 0..2 {
            self.proxies[at].set_environment(vec![(DEFECT, format!("{defect:?}"))]);
            self.kill(at).await;
        }
    }

    /// One of them dies at this point, and is replaced.
    async fn die_at(&mut self, at: usize, point: Point) {
        let proxy = &mut self.proxies[at];
        proxy.signal(Signal::Kill);
        proxy.exit().await;
        proxy.set_environment(vec![(CRASH_AT, format!("{point:?}:2"))]);
        proxy.relaunch();
        // By itself: the load leads it there.
        assert_eq!(proxy.exit().await.signal(), Some(9), "{point:?}:\n{}", proxy.stderr());
        proxy.set_environment(Vec::new());
        proxy.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_crowd_at_two_replicas_one_is_executed_and_the_others_share_its_answer() {
    let (stage, mut calls) = (Stage::set(PATIENT).await, JoinSet::new());
    let crowd = stage.request("/crowd", "crowd", "Slow", "1");
    for number in 0..CROWD {
        stage.ask(number, crowd.clone(), &mut calls);
    }
    let outcomes = calls.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Stored(_))).count(), 1);
    let told = |outcome: &Outcome| matches!(outcome, Outcome::Stored(_) | Outcome::Replayed(_) | Outcome::InFlight);
    assert!(outcomes.iter().all(told), "{outcomes:?}");
    assert_eq!(stage.counter.arrivals().len(), 1);
    assert_holds(&stage.judge(&[crowd]).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_that_race_at_two_replicas_are_one_execution_and_a_mismatch_never_is_one() {
    const PAIRS: usize = 60;
    let (stage, mut calls, mut requests) = (Stage::set(PATIENT).await, JoinSet::new(), Vec::new());
    for number in 0..PAIRS {
        for at in 0..4 {
            let request = stage.request("/crowd", &format!("pair-{number}"), "Answer", ["1", "2"][at / 2]);
            stage.ask(at, request.clone(), &mut calls);
            requests.push(request);
        }
    }
    let outcomes = calls.join_all().await;
    let count = |what: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| what(outcome)).count();
    assert_eq!(count(|outcome| matches!(outcome, Outcome::Stored(_))), PAIRS);
    assert_eq!(count(|outcome| matches!(outcome, Outcome::Replayed(_))), PAIRS);
    assert_eq!(count(|outcome| matches!(outcome, Outcome::Mismatch)), 2 * PAIRS);
    assert_eq!(stage.counter.arrivals().len(), PAIRS);
    assert_holds(&stage.judge(&requests).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_are_killed_while_their_store_fails_execute_a_key_at_most_once() {
    let seed = seed();
    let (mut stage, mut dice) = (Stage::set(HASTY).await, SplitMix::new(seed));
    let mut load = Load::start(seed, &stage.history, stage.proxies.iter().map(Program::listen).collect());
    for number in 0..FAULTS {
        assert!(load.is_well(), "a worker ended");
        tokio::time::sleep(Duration::from_millis(dice.below(PAUSE_MS) as u64)).await;
        match number % 4 {
            // Killed, with all that it has acknowledged on the disk.
            0 => stage.redis.restart().await,
            1 => {
                stage.redis.pause();
                tokio::time::sleep(Duration::from_millis(dice.below(2 * PAUSE_MS) as u64)).await;
                stage.redis.resume();
            }
            at => stage.kill(at % 2).await,
        }
    }
    for (number, point) in POINTS.into_iter().enumerate() {
        stage.die_at(number % 2, point).await;
    }
    let requests = load.stop().await;
    // Nobody says when a lease ends. What the dead have left is nobody's from then on.
    tokio::time::sleep(LEASE + Duration::from_millis(500)).await;
    once_more(&stage.history, &requests, stage.proxies[0].listen()).await;
    let evidence = stage.judge(&requests).await;
    println!("{FAULTS} faults, {} POSTs, {} keys", evidence.calls.len(), requests.len());
    assert_holds(&evidence, seed);
}

/// The first proxy stands still at this point with a request in its hands. The other one is asked for the same key
/// until the lease is over and `until` is said; then the first one goes on. Returns what its client is told, and what
/// everybody is told afterwards.
async fn stopped_over_its_lease(point: Point, until: fn(&Outcome) -> bool) -> (Outcome, Outcome, usize) {
    let mut stage = Stage::set(PATIENT).await;
    stage.proxies[0].set_environment(vec![(STOP_AT, format!("{point:?}:1"))]);
    stage.kill(0).await;
    let mut calls = JoinSet::new();
    let request = stage.request("/opaque", "stopped", "Answer", "1");
    stage.ask(0, request.clone(), &mut calls);
    let stat = format!("/proc/{}/stat", stage.proxies[0].id());
    eventually("a process that stands still", async || {
        let stat = std::fs::read_to_string(&stat).ok()?;
        stat.rsplit(')').next()?.trim_start().starts_with('T').then_some(())
    })
    .await;
    let mut link = Link::new(stage.proxies[1].listen());
    let asking = async {
        loop {
            let outcome = stage.history.call(&mut link, &request, None).await.expect("it runs");
            if until(&outcome) {
                break;
            }
            assert_eq!(outcome, Outcome::InFlight);
        }
    };
    tokio::time::timeout(BOUND, asking).await.expect("the lease ends");
    stage.proxies[0].signal(Signal::Continue);
    let first = calls.join_next().await.expect("one call").expect("no panic");
    let last = stage.history.call(&mut link, &request, None).await.expect("it runs");
    let evidence = stage.judge(std::slice::from_ref(&request)).await;
    let complete = Standing { state: State::Complete, ambiguous: false, pinned: false };
    assert_eq!(evidence.records, HashMap::from([(request.name(), complete)]));
    assert_holds(&evidence, 0);
    (first, last, evidence.arrivals.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_stands_still_over_its_lease_is_fenced_or_still_the_only_one_who_sends() {
    let fenced = stopped_over_its_lease(Point::BeforeSent, |outcome| matches!(outcome, Outcome::Stored(_)));
    let alone = stopped_over_its_lease(Point::AfterSent, |outcome| *outcome == Outcome::SeenUnknown);
    let ((fenced, after_it, arrivals), (alone, healed, sent)) = tokio::join!(fenced, alone);
    assert_eq!(fenced, Outcome::NotExecuted);
    assert!(matches!(after_it, Outcome::Replayed(_)), "{after_it:?}");
    assert!(matches!(alone, Outcome::Stored(_)), "the outcome was unknown only as long as nobody knew: {alone:?}");
    assert!(matches!(healed, Outcome::Replayed(_)), "{healed:?}");
    assert_eq!((arrivals, sent), (1, 1));
}
