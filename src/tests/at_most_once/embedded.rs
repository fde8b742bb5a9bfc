//! One proxy with a store of its own, under load, killed again and again: where it is told to die, and at any moment.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outrigger::idempotency::identity::record_of;
use outrigger::policy::Direction;
use outrigger::reliability::entropy::{Entropy, SplitMix};
use outrigger::reliability::idempotency::State;
use outrigger::sabotage::{CRASH_AT, DEFECT, Defect, Point};
use outrigger::testing::{Program, Signal};
use rusqlite::Connection;
use tempfile::TempDir;

use super::call::{Contract, History, Link, Request};
use super::checker::Evidence;
use super::counter::Counter;
use super::executable;
use super::load::{Load, once_more, shown};
use super::log::Log;

/// A point that is not reached within this is not reached.
const REACH_MAX: Duration = Duration::from_secs(15);
/// A random kill comes within so many milliseconds.
const MOMENT_MS: usize = 110;
/// Keys that are looked at over the admin API as well.
const SHOWN: usize = 200;
/// Rows for the sweeper.
const SWEPT: u64 = 40;

/// At which of its passages the program dies at a point.
pub fn passages(point: Point) -> &'static [u64] {
    match point {
        // Once in the life of a process.
        Point::Recovery => &[1],
        // The sweeper comes every other second, and checkpoints need hundreds of writes.
        Point::InsideSweep => &[1, SWEPT / 2],
        Point::BeforeCheckpoint | Point::AfterCheckpoint => &[1],
        Point::InsideFail | Point::InsideRelease | Point::MidRequest => &[1, 4],
        _ => &[1, 4, 23],
    }
}

/// What is done to the program.
pub struct Plan {
    pub seed: u64,
    /// Where it dies.
    pub points: Vec<Point>,
    /// How often it dies besides.
    pub kills: usize,
    /// POSTs, before the closing ones.
    pub posts: usize,
    pub defect: Option<Defect>,
}

/// What came of it.
pub struct Ended {
    pub evidence: Evidence,
    /// Some of the records, as an operator was shown them before the end.
    pub shown: HashMap<String, State>,
    /// How often the program died at each point.
    pub hits: BTreeMap<String, usize>,
    pub kills: usize,
    pub posts: usize,
}

/// Carries a plan out.
pub async fn run(plan: Plan) -> Ended {
    let mut stage = Stage::set(&plan).await;
    let mut load = Load::start(plan.seed, &stage.history, vec![stage.program.listen()]);
    let mut dice = SplitMix::new(plan.seed ^ 1);
    for &point in &plan.points {
        for &passage in passages(point) {
            assert!(load.is_well(), "a worker ended");
            stage.die_at(point, passage).await;
        }
    }
    for _ in 0..plan.kills {
        assert!(load.is_well(), "a worker ended");
        stage.die_sometime(&mut dice).await;
    }
    stage.live().await;
    while stage.history.posts() < plan.posts {
        assert!(load.is_well(), "a worker ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let requests = load.stop().await;
    let shown = stage.close(&requests).await;
    let records = stage.records(&requests);
    let evidence =
        Evidence { calls: stage.history.calls(), arrivals: stage.counter.arrivals(), records, lapses: false };
    Ended { posts: evidence.calls.len(), evidence, shown, hits: stage.hits, kills: stage.kills }
}

struct Stage {
    history: Arc<History>,
    counter: Counter,
    program: Program,
    directory: TempDir,
    environment: Vec<(&'static str, String)>,
    hits: BTreeMap<String, usize>,
    kills: usize,
}

fn database(directory: &TempDir) -> PathBuf {
    directory.path().join("outrigger.db")
}

/// `backoff` differs between the two policies that replace each other.
fn policy(url: &str, directory: &TempDir, backoff: &str) -> String {
    let route = |name: &str, more: &str| {
        format!(
            "    - {{ name: {name}, match: {{ path: /{name} }}, idempotency: {{ inFlightWait: 300ms, maxBody: 8MiB, {more} }} }}\n"
        )
    };
    let routes: String = [
        ("opaque", "principal: none"),
        ("atomic", "principal: none, contract: atomic5xx"),
        ("dedupes", "principal: none, contract: dedupes"),
        ("tenant", "principal: 'header:X-Tenant'"),
        ("sweep", "principal: none"),
    ]
    .iter()
    .map(|(name, more)| route(name, more))
    .collect();
    format!(
        "limits: {{ replayBytes: 512MiB }}\nstores: {{ embedded: {{ path: {} }} }}\nupstreams:\n  up:\n    url: {url}\n    timeouts: {{ request: 700ms }}\n    \
         retry: {{ attempts: 1, codes: [500], backoff: {backoff} }}\n    retryBudget: {{ percent: 100, minPerSecond: 50 }}\n    \
         routes:\n{routes}",
        database(directory).display()
    )
}

impl Stage {
    async fn set(plan: &Plan) -> Stage {
        let directory = tempfile::tempdir().expect("a directory");
        let history = History::new();
        let log = Log::create(directory.path().join("arrivals.log"));
        let counter = Counter::start(log, history.begin).await;
        let program = Program::start(&executable(), &policy(&counter.url(), &directory, "1ms")).await;
        let environment = plan.defect.map(|defect| (DEFECT, format!("{defect:?}"))).into_iter().collect();
        let mut stage = Stage { history, counter, program, directory, environment, hits: BTreeMap::new(), kills: 0 };
        stage.fill_sweep().await;
        stage.kill().await;
        stage
    }

    /// Keys of which nobody asks again, for the sweeper.
    async fn fill_sweep(&self) {
        let (aside, mut link) = (History::new(), Link::new(self.program.listen()));
        for number in 0..SWEPT {
            let request = Request {
                path: "/sweep",
                contract: Contract::Opaque,
                tenant: "",
                key: format!("sweep-{number}"),
                acts: "Answer".to_owned(),
                body: Arc::default(),
            };
            aside.call(&mut link, &request, None).await.expect("it runs");
        }
    }

    /// Makes them expire: nobody waits for a retention in a test. The program must not run.
    fn age(&self) {
        let connection = Connection::open(database(&self.directory)).expect("the file");
        let aged = connection.execute("UPDATE idem SET expires = 1 WHERE route = 'up/sweep'", []);
        assert!(aged.expect("a change") > 1, "there is something to sweep");
    }

    async fn die_at(&mut self, point: Point, passage: u64) {
        if point == Point::InsideSweep {
            self.age();
        }
        let mut environment = self.environment.clone();
        environment.push((CRASH_AT, format!("{point:?}:{passage}")));
        self.program.set_environment(environment);
        self.program.relaunch();
        let died = async {
            loop {
                if let Some(status) = self.program.poll_exit() {
                    break status;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        match tokio::time::timeout(REACH_MAX, died).await {
            Ok(status) => {
                assert_eq!(status.signal(), Some(9), "it ended otherwise at {point:?}:\n{}", self.program.stderr());
                self.kills += 1;
                *self.hits.entry(format!("{point:?}")).or_default() += 1;
            }
            Err(_) => self.kill().await,
        }
    }

    async fn die_sometime(&mut self, dice: &mut SplitMix) {
        self.program.set_environment(self.environment.clone());
        self.program.relaunch();
        // Some die while they start, and some while they read a new policy.
        if dice.below(10) > 0 {
            self.program.ready().await;
        }
        if dice.below(4) == 0 {
            let text = policy(&self.counter.url(), &self.directory, ["1ms", "2ms"][dice.below(2)]);
            self.program.write_policy(&text);
        }
        tokio::time::sleep(Duration::from_millis(dice.below(MOMENT_MS) as u64)).await;
        self.kill().await;
    }

    async fn kill(&mut self) {
        self.program.signal(Signal::Kill);
        self.program.exit().await;
        self.kills += 1;
    }

    async fn live(&mut self) {
        self.program.set_environment(self.environment.clone());
        self.program.restart().await;
    }

    /// Everybody asks once more, and nothing is killed until they have been answered.
    async fn close(&mut self, requests: &[Request]) -> HashMap<String, State> {
        once_more(&self.history, requests, self.program.listen()).await;
        let shown = shown(&self.program, &requests[..requests.len().min(SHOWN)]).await;
        self.kill().await;
        self.live().await;
        self.kill().await;
        shown
    }

    /// Of every key, read from the file that the last process has left.
    fn records(&self, requests: &[Request]) -> HashMap<String, State> {
        let connection = Connection::open(database(&self.directory)).expect("the file");
        let secret: [u8; 32] = connection
            .query_row("SELECT value FROM meta WHERE name = 'secret'", [], |row| row.get(0))
            .expect("a secret");
        let mut query = connection.prepare("SELECT id, st FROM idem").expect("a table");
        let rows = query.query_map([], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, u8>(1)?)));
        let states: HashMap<[u8; 16], State> = rows.expect("rows").map(|row| row.expect("a row")).map(known).collect();
        let state = |request: &Request| {
            let id = record_of(&secret, (Direction::Outbound, "up"), request.tenant.as_bytes(), request.key.as_bytes());
            states.get(&id.0).map(|state| (request.name(), *state))
        };
        requests.iter().filter_map(state).collect()
    }
}

fn known((id, state): ([u8; 16], u8)) -> ([u8; 16], State) {
    let states = [State::Claimed, State::Sent, State::Complete, State::Unknown, State::Retryable];
    (id, states[usize::from(state)])
}
