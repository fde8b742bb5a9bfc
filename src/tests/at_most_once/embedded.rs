//! One proxy with a store of its own, under load and under repair, killed again and again: where it is told to die, and
//! at any moment.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outrigger::dead_letters::letter::LetterId;
use outrigger::idempotency::identity::record_of;
use outrigger::policy::Direction;
use outrigger::reliability::entropy::{Entropy, SplitMix};
use outrigger::reliability::idempotency::State;
use outrigger::sabotage::{CRASH_AT, DEFECT, Defect, Point};
use outrigger::testing::{Program, Signal, eventually};
use rusqlite::Connection;
use tempfile::TempDir;

use super::call::{Contract, History, Link, Request};
use super::checker::{Evidence, Standing};
use super::counter::Counter;
use super::executable;
use super::letters::{Letter, Letters};
use super::load::{Load, once_more, shown};
use super::log::Log;
use super::operator::{Desk, Notes, Operators};

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
        // The program that is started finds what the one before it has left, and each of that is a letter.
        Point::InsideLetter => &[1, 12, 30],
        // Two operators are not many.
        Point::InsideReplayStart | Point::AfterReplayStart | Point::AfterReplaySent => &[1, 4],
        Point::InsideReplayFinish => &[1, 4, 12],
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
    pub shown: HashMap<String, Standing>,
    /// What operators were told, and how often.
    pub told: BTreeMap<String, usize>,
    /// How often the program died at each point.
    pub hits: BTreeMap<String, usize>,
    pub kills: usize,
    pub posts: usize,
}

/// Keys on these routes leave letters, as the policy says.
const KEEPS: &[&str] = &["opaque", "atomic", "dedupes"];

/// Carries a plan out.
pub async fn run(plan: Plan) -> Ended {
    let mut stage = Stage::set(&plan).await;
    let mut crew = Crew::start(&stage, &plan);
    let mut dice = SplitMix::new(plan.seed ^ 1);
    for &point in &plan.points {
        for &passage in passages(point) {
            crew.assert_well();
            stage.die_at(point, passage).await;
        }
    }
    for _ in 0..plan.kills {
        crew.assert_well();
        stage.die_sometime(&mut dice).await;
    }
    stage.live().await;
    while stage.history.posts() < plan.posts {
        crew.assert_well();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let requests = crew.load.stop().await;
    let (shown, notes, letters) = stage.close(&requests, crew.operators).await;
    let names = stage.names(&requests);
    let letters = stage.letters(&names, &notes, letters);
    let (calls, arrivals, records) = (stage.history.calls(), stage.counter.arrivals(), stage.records(&names));
    let evidence = Evidence { calls, arrivals, records, lapses: false, keeps: KEEPS, letters };
    let told = notes.told;
    Ended { posts: evidence.calls.len(), evidence, shown, told, hits: stage.hits, kills: stage.kills }
}

/// Everybody who asks something of the program.
struct Crew {
    load: Load,
    /// A program that is broken on purpose is not worth repairing.
    operators: Option<Operators>,
}

impl Crew {
    fn start(stage: &Stage, plan: &Plan) -> Crew {
        let load = Load::start(plan.seed, &stage.history, vec![stage.program.listen()]);
        let begin = || Operators::start(plan.seed, &stage.history, stage.program.address("admin"), stage.counter.log());
        Crew { load, operators: plan.defect.is_none().then(begin) }
    }

    fn assert_well(&mut self) {
        assert!(self.load.is_well(), "a worker ended");
        assert!(self.operators.as_mut().is_none_or(Operators::is_well), "an operator ended");
    }
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
    let route = |name: &str, more: &str, letters: &str| {
        format!(
            "    - {{ name: {name}, match: {{ path: /{name} }}, \
             idempotency: {{ inFlightWait: 300ms, maxBody: 8MiB, {more} }}{letters} }}\n"
        )
    };
    let routes: String = [
        ("opaque", "principal: none", ", deadLetter: { capture: failure }"),
        ("atomic", "principal: none, contract: atomic5xx", ", deadLetter: { capture: send }"),
        ("dedupes", "principal: none, contract: dedupes", ", deadLetter: { capture: send }"),
        ("tenant", "principal: 'header:X-Tenant'", ""),
        ("sweep", "principal: none", ""),
    ]
    .iter()
    .map(|(name, more, letters)| route(name, more, letters))
    .collect();
    format!(
        "limits: {{ replayBytes: 512MiB }}\ndeadLetter: {{ maxLetters: 100000 }}\nstores: {{ embedded: {{ path: {} }} }}\nupstreams:\n  up:\n    url: {url}\n    timeouts: {{ request: 700ms }}\n    \
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

    /// Everybody asks once more, and nothing is killed until they have been answered. Returns some of the records and
    /// all of the letters as they are shown then, and what operators have seen.
    async fn close(
        &mut self,
        requests: &[Request],
        operators: Option<Operators>,
    ) -> (HashMap<String, Standing>, Notes, Letters) {
        once_more(&self.history, requests, self.program.listen()).await;
        let notes = match operators {
            Some(operators) => operators.stop().await,
            None => Notes::default(),
        };
        let mut desk = Desk::new(self.program.address("admin"));
        eventually("the last replay", async || (!desk.is_replaying().await).then_some(())).await;
        let listed = desk.all().await;
        let audit = desk.get("/audit?limit=1000").await.expect("it runs");
        let intact = audit["intact"] == true;
        let shown = shown(&self.program, &requests[..requests.len().min(SHOWN)]).await;
        self.kill().await;
        self.live().await;
        self.kill().await;
        (shown, notes, Letters { listed, intact, ..Letters::default() })
    }

    fn open(&self) -> Connection {
        Connection::open(database(&self.directory)).expect("the file")
    }

    /// The number of each key's record, as the file has it, and its name.
    fn names(&self, requests: &[Request]) -> HashMap<[u8; 16], String> {
        let secret: [u8; 32] = self
            .open()
            .query_row("SELECT value FROM meta WHERE name = 'secret'", [], |row| row.get(0))
            .expect("a secret");
        let record = |tenant: &str, key: &str| {
            record_of(&secret, (Direction::Outbound, "up"), tenant.as_bytes(), key.as_bytes()).0
        };
        requests.iter().map(|request| (record(request.tenant, &request.key), request.name())).collect()
    }

    /// Of every key, read from the file that the last process has left.
    fn records(&self, names: &HashMap<[u8; 16], String>) -> HashMap<String, Standing> {
        let connection = self.open();
        let mut query = connection.prepare("SELECT id, st, amb, pinned FROM idem").expect("a table");
        let rows = query.query_map([], |row| {
            let standing = Standing { state: known(row.get(1)?), ambiguous: row.get(2)?, pinned: row.get(3)? };
            Ok((row.get::<_, [u8; 16]>(0)?, standing))
        });
        let rows = rows.expect("rows").map(|row| row.expect("a row"));
        rows.filter_map(|(id, standing)| Some((names.get(&id)?.clone(), standing))).collect()
    }

    /// Every letter in that file, and what was known of them before.
    fn letters(&self, names: &HashMap<[u8; 16], String>, notes: &Notes, shown: Letters) -> Letters {
        let connection = self.open();
        let stubs = connection.query_row("SELECT count(*) FROM dlq_stub", [], |row| row.get(0)).expect("a number");
        let mut query = connection
            .prepare(
                "SELECT dlq.id, dlq.record, state, replays, count(number) FROM dlq LEFT JOIN audit ON audit.letter = dlq.id
                 GROUP BY dlq.id",
            )
            .expect("tables");
        let rows = query.query_map([], |row| {
            let record: Option<[u8; 16]> = row.get(1)?;
            Ok(Letter {
                id: LetterId(row.get(0)?).to_string(),
                name: record.and_then(|record| names.get(&record).cloned()),
                state: row.get(2)?,
                replays: row.get::<_, u32>(3)?.into(),
                audited: row.get::<_, u32>(4)? as usize,
            })
        });
        let kept = rows.expect("rows").map(|row| row.expect("a row")).collect();
        Letters { kept, stubs, seen: notes.seen.clone(), resolves: notes.resolves.clone(), ..shown }
    }
}

fn known(state: u8) -> State {
    let states = [State::Claimed, State::Sent, State::Complete, State::Unknown, State::Retryable];
    states[usize::from(state)]
}
