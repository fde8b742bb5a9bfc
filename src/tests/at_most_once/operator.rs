//! Operators that repair dead letters while clients ask for the same keys and the program is killed: they send again,
//! give up and settle what they find. Of a request's fate they know only what the upstream's log says; the risk of a
//! second execution they never take upon themselves.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outrigger::reliability::entropy::{Entropy, SplitMix};
use outrigger::testing::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::call::History;
use super::letters::Resolve;
use super::log;

/// Two, so that they come to the same letters.
const OPERATORS: u64 = 2;
/// A letter has to stand unchanged for so long before the log is believed to say all about it.
const QUIET: Duration = Duration::from_millis(1500);
/// Letters in one look.
const PAGE: usize = 12;
const PAUSE: Duration = Duration::from_millis(8);
/// Undecided letters that one operator keeps an eye on.
const PENDING_MAX: usize = 40;
/// More replays of one letter than this would only make its history long.
const REPLAYS_MAX: u64 = 4;

/// What they have seen and done.
#[derive(Default)]
pub struct Notes {
    /// States by number: the last that is final, or `open`.
    pub seen: HashMap<String, String>,
    pub resolves: Vec<Resolve>,
    /// How often an order was answered in which way.
    pub told: BTreeMap<String, usize>,
}

/// Running, until they are stopped.
pub struct Operators {
    stop: Arc<AtomicBool>,
    notes: Arc<Mutex<Notes>>,
    tasks: JoinSet<()>,
}

impl Operators {
    /// `admin`: where the program takes orders; `log`: the upstream's.
    pub fn start(seed: u64, history: &Arc<History>, admin: SocketAddr, log: PathBuf) -> Operators {
        let (stop, notes): (Arc<AtomicBool>, Arc<Mutex<Notes>>) = Default::default();
        let mut tasks = JoinSet::new();
        for number in 0..OPERATORS {
            let mut operator = Operator {
                desk: Desk::new(admin),
                dice: SplitMix::new(seed.wrapping_mul(31).wrapping_add(number)),
                notes: Arc::clone(&notes),
                history: Arc::clone(history),
                log: log.clone(),
                pending: VecDeque::new(),
            };
            let stop = Arc::clone(&stop);
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // Without an answer it is being restarted.
                    let _ = operator.round().await;
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Operators { stop, notes, tasks }
    }

    /// Nobody has ended by a panic.
    pub fn is_well(&mut self) -> bool {
        self.tasks.try_join_next().is_none()
    }

    /// Returns when nobody orders anything any more. The program must run.
    pub async fn stop(mut self) -> Notes {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no operator panics");
        }
        std::mem::take(&mut *self.notes.lock().expect("no panic"))
    }
}

/// A connection to the admin API.
pub struct Desk {
    admin: SocketAddr,
    client: Option<Client>,
}

impl Desk {
    pub fn new(admin: SocketAddr) -> Desk {
        Desk { admin, client: None }
    }

    /// `None`: it did not answer.
    pub async fn get(&mut self, path: &str) -> Option<Value> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.admin);
        let (status, answer) = self.exchange(&head, "GET").await?;
        assert!(status == 200 || status == 404 || status >= 500, "{path}: {status} {answer}");
        (status == 200).then_some(answer)
    }

    /// Status and answer.
    pub async fn post(&mut self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let text = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nx-outrigger-admin: 1\r\n\
             Content-Length: {}\r\n\r\n{text}",
            self.admin,
            text.len()
        );
        self.exchange(&head, "POST").await
    }

    async fn exchange(&mut self, head: &str, method: &str) -> Option<(u16, Value)> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::try_connect(self.admin).await.ok()?,
        };
        client.try_send(head).await.ok()?;
        let answer = client.try_answer(method).await.ok()??;
        self.client = Some(client);
        Some((answer.status, answer.json()))
    }

    /// Every letter, page by page: states by number.
    pub async fn all(&mut self) -> BTreeMap<String, String> {
        let (mut all, mut after) = (BTreeMap::new(), String::new());
        loop {
            let page = self.get(&format!("/dead-letters?state=all&limit=500{after}")).await.expect("it runs");
            for letter in page["letters"].as_array().expect("a list") {
                all.insert(word(letter, "id"), word(letter, "state"));
            }
            let Some(next) = page["next"].as_str() else {
                assert_eq!(page["total"], all.len(), "the pages hold all there are");
                return all;
            };
            after = format!("&after={next}");
        }
    }

    /// Whether a replay of many is under way.
    pub async fn is_replaying(&mut self) -> bool {
        let jobs = self.get("/replays").await.expect("it runs");
        jobs["replays"].as_array().expect("a list").iter().any(|job| job["state"] == "running")
    }
}

fn word(letter: &Value, field: &str) -> String {
    letter[field].as_str().unwrap_or_else(|| panic!("no {field}: {letter}")).to_owned()
}

/// A letter about which the log will be asked.
struct Pending {
    since: Instant,
    id: String,
    version: u64,
}

struct Operator {
    desk: Desk,
    dice: SplitMix,
    notes: Arc<Mutex<Notes>>,
    history: Arc<History>,
    log: PathBuf,
    pending: VecDeque<Pending>,
}

impl Operator {
    /// A look at the newest letters of a route, and what is done about them.
    async fn round(&mut self) -> Option<()> {
        let route = ["dedupes", "dedupes", "atomic", "opaque"][self.dice.below(4)];
        let state = ["open", "open", "open", "all"][self.dice.below(4)];
        let path = format!("/dead-letters?state={state}&route=up/{route}&limit={PAGE}");
        let page = self.desk.get(&path).await?;
        let letters = page["letters"].as_array()?.clone();
        for letter in &letters {
            self.note(letter);
        }
        for letter in letters.iter().filter(|letter| letter["state"] == "open") {
            match letter["repair"].as_str() {
                Some("safe") => self.repair(letter).await?,
                Some("needs-decision") => self.undecided(letter).await?,
                // Of what was not kept nobody will ever know more.
                _ if self.dice.below(6) == 0 => self.drop(letter).await?,
                _ => {}
            }
        }
        if self.dice.below(10) == 0 {
            self.replay_many(route).await?;
        }
        self.settle_those_due().await
    }

    fn note(&self, letter: &Value) {
        let (id, state) = (word(letter, "id"), word(letter, "state"));
        let state = if state == "replaying" { "open".to_owned() } else { state };
        let mut notes = self.notes.lock().expect("no panic");
        let known = notes.seen.entry(id).or_insert_with(|| "open".to_owned());
        // What one operator saw a while ago is noted after what another sees now.
        if state != "open" {
            assert!(*known == "open" || *known == state, "a closed letter is another now: {known}, {letter}");
            *known = state;
        }
    }

    fn told(&self, order: &str, status: u16, answer: &Value) {
        let end = answer["end"].as_str().unwrap_or_default();
        *self.notes.lock().expect("no panic").told.entry(format!("{order} {status} {end}")).or_default() += 1;
    }

    async fn order(&mut self, letter: &Value, what: &str, body: &Value) -> Option<u16> {
        let (status, answer) = self.desk.post(&format!("/dead-letters/{}/{what}", word(letter, "id")), body).await?;
        assert!([200, 404, 409, 412, 422, 503].contains(&status), "{what}: {status} {answer}");
        self.told(what, status, &answer);
        Some(status)
    }

    async fn repair(&mut self, letter: &Value) -> Option<()> {
        match self.dice.below(10) {
            0..=6 if letter["replays"].as_u64()? < REPLAYS_MAX => {
                let mut body = json!({ "reason": "it may be well again" });
                if self.dice.below(2) == 0 {
                    body["version"] = letter["version"].clone();
                }
                self.order(letter, "replay", &body).await.map(|_| ())
            }
            7 => self.drop(letter).await,
            _ => Some(()),
        }
    }

    async fn drop(&mut self, letter: &Value) -> Option<()> {
        self.order(letter, "drop", &json!({ "reason": "given up", "version": letter["version"] })).await.map(|_| ())
    }

    /// Without the risk being accepted this must not be sent.
    async fn undecided(&mut self, letter: &Value) -> Option<()> {
        match self.dice.below(12) {
            0 => self.order(letter, "replay", &json!({ "reason": "is it safe?" })).await.map(|_| ()),
            1 => self.drop(letter).await,
            2..=5 if self.pending.len() < PENDING_MAX => {
                let (id, version) = (word(letter, "id"), letter["version"].as_u64()?);
                self.pending.push_back(Pending { since: Instant::now(), id, version });
                Some(())
            }
            _ => Some(()),
        }
    }

    async fn replay_many(&mut self, route: &str) -> Option<()> {
        let filter = json!({ "state": "open", "route": format!("up/{route}") });
        let body = json!({ "filter": filter, "rate": 100, "max": 5, "stopAfter": 3, "reason": "all of them" });
        let (status, answer) = self.desk.post("/replays", &body).await?;
        assert!([202, 409, 503].contains(&status), "{status} {answer}");
        self.told("replay-many", status, &answer);
        Some(())
    }

    /// Asks the log about letters that have stood still for long enough.
    async fn settle_those_due(&mut self) -> Option<()> {
        if self.pending.front().is_none_or(|first| first.since.elapsed() < QUIET) {
            return Some(());
        }
        let path = self.log.clone();
        let arrivals = tokio::task::spawn_blocking(move || log::read(&path)).await.expect("no panic");
        let done: HashSet<&str> = arrivals.iter().filter(|a| a.effect).map(|a| a.name.as_str()).collect();
        while self.pending.front().is_some_and(|first| first.since.elapsed() >= QUIET) {
            let Some(Pending { id, version, .. }) = self.pending.pop_front() else { break };
            let letter = self.desk.get(&format!("/dead-letters/{id}")).await?;
            if letter["state"] != "open" || letter["version"] != version {
                continue;
            }
            // Of a letter without its request nobody can tell whose it is.
            let fields = letter["fields"].as_array()?.iter().filter_map(Value::as_str);
            let Some(name) = fields.filter_map(|field| field.strip_prefix("x-name: ")).next().map(str::to_owned) else {
                continue;
            };
            self.resolve(&letter, &name, done.contains(name.as_str())).await?;
        }
        Some(())
    }

    async fn resolve(&mut self, letter: &Value, name: &str, executed: bool) -> Option<()> {
        let mut body = json!({ "reason": "the log says so", "version": letter["version"] });
        body["as"] = if executed { "executed" } else { "not-executed" }.into();
        if executed {
            body["response"] = json!({ "status": 200, "body": format!("{name} resolved") });
        }
        let resolve = Resolve { name: name.to_owned(), executed, invoked_us: self.history.now_us() };
        // Before it is ordered: it may be killed before it answers.
        self.notes.lock().expect("no panic").resolves.push(resolve);
        self.order(letter, "resolve", &body).await.map(|_| ())
    }
}
