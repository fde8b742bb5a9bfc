//! The upstream: counts what it does, durably, and only then does what its script says.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outrigger::faults::message::{self, BodyReader, Digest, Head, Inbox, Outbox};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::log::{self, Arrival, Log};

/// Pieces of a slow answer, and the time between them.
const SLOW_PIECE: usize = 8;
const SLOW_PAUSE: Duration = Duration::from_millis(3);
/// Answers as large as this leave in several writes.
pub const LARGE: usize = 200_000;
/// A late answer comes after so long.
const LATE: Duration = Duration::from_millis(400);

/// What happens to one request, when it was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Effect, 201.
    Answer,
    /// Effect, 201, and an answer that arrives in pieces.
    Slow,
    /// Effect, and 201 after a while.
    Late,
    /// Effect, 201, and much to say.
    Large,
    /// Effect, 500. Where the contract says that a 5xx has none: none.
    Error,
    /// Effect, then the connection is reset.
    Lost,
    /// Effect, then nothing.
    Hang,
    /// Effect, and half of an answer.
    Cut,
    /// No effect: the connection is reset.
    Dropped,
    /// No effect, 429.
    Refused,
}

impl Act {
    /// All.
    pub const ALL: [Act; 10] = [
        Act::Answer,
        Act::Slow,
        Act::Late,
        Act::Large,
        Act::Error,
        Act::Lost,
        Act::Hang,
        Act::Cut,
        Act::Dropped,
        Act::Refused,
    ];

    fn parse(word: &str) -> Act {
        Act::ALL.into_iter().find(|act| format!("{act:?}") == word).expect("a known act")
    }
}

/// A running upstream, until it is dropped.
pub struct Counter {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    log: Log,
    begin: Instant,
    values: AtomicU64,
    keys: Mutex<HashMap<String, Known>>,
}

/// What it remembers of a key.
#[derive(Default)]
struct Known {
    arrivals: usize,
    /// Of the effect, where this upstream deduplicates.
    value: Option<String>,
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Counter {
    /// Listens on a free port. `begin`: when the clock of the run began.
    pub async fn start(log: Log, begin: Instant) -> Counter {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { log, begin, values: AtomicU64::new(0), keys: Mutex::default() });
        let server = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                tokio::spawn(serve(stream, Arc::clone(&server)));
            }
        });
        Counter { address, shared, task: task.abort_handle() }
    }

    /// For a policy.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What arrived so far.
    pub fn arrivals(&self) -> Vec<Arrival> {
        log::read(self.shared.log.path())
    }

    /// The file that says so.
    pub fn log(&self) -> PathBuf {
        self.shared.log.path().to_owned()
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let (mut inbox, outbox) = message::split(stream);
    // An error is a peer that went away.
    while let Ok(Some(head)) = inbox.head().await {
        match request(&head, &mut inbox, &outbox, &shared).await {
            Ok(true) => {}
            Ok(false) | Err(_) => break,
        }
    }
}

/// Returns whether the connection can go on.
async fn request(head: &Head, inbox: &mut Inbox, outbox: &Outbox, shared: &Shared) -> io::Result<bool> {
    let (mut body, mut digest) = (BodyReader::new(head.request_framing()?), Digest::default());
    while let Some(piece) = body.piece(inbox).await? {
        digest.update(&piece);
    }
    let (path, script) = head.target().split_once("?acts=").expect("a script");
    let name = name(head.get("x-tenant").unwrap_or_default(), head.get("idempotency-key").unwrap_or_default());
    let replay = head.get("outrigger-replay").unwrap_or_default().to_owned();
    // A replay repeats all that the client has sent, and is not its call.
    let ask = head.get("x-ask").filter(|_| replay.is_empty()).and_then(|ask| ask.parse().ok()).unwrap_or(0);
    let (act, value, effect) = shared.decide(&name, path, script);
    let at_us = shared.begin.elapsed().as_micros() as u64;
    let (words, digest) = (format!("{name} {value}"), digest.fnv);
    let arrival = Arrival { name, ask, value, effect, digest, replay, at_us };
    shared.log.append(&arrival).await;
    act.perform(&words, &arrival.value, inbox, outbox).await
}

/// Text, and blanks behind it. A width of more than 65,535 is beyond `format!`.
pub fn padded(text: &str, length: usize) -> String {
    [text, &" ".repeat(length.saturating_sub(text.len()))].concat()
}

/// Caller and key in one word.
pub fn name(tenant: &str, key: &str) -> String {
    format!("{tenant}/{}", key.trim_matches('"'))
}

impl Shared {
    fn decide(&self, name: &str, path: &str, script: &str) -> (Act, String, bool) {
        let fresh = format!("v{}", self.values.fetch_add(1, Ordering::Relaxed));
        let mut keys = self.keys.lock().expect("no panic");
        let known = keys.entry(name.to_owned()).or_default();
        let acts: Vec<&str> = script.split(',').collect();
        let act = Act::parse(acts[known.arrivals.min(acts.len() - 1)]);
        known.arrivals += 1;
        let acts_on_it = match act {
            Act::Dropped | Act::Refused => false,
            Act::Error => path != "/atomic",
            _ => true,
        };
        if !acts_on_it {
            return (act, fresh, false);
        }
        if path != "/dedupes" {
            return (act, fresh, true);
        }
        let effect = known.value.is_none();
        (act, known.value.get_or_insert(fresh).clone(), effect)
    }
}

impl Act {
    async fn perform(self, words: &str, value: &str, inbox: &mut Inbox, outbox: &Outbox) -> io::Result<bool> {
        let (status, length) = match self {
            Act::Refused => ("429 Too Many Requests", words.len()),
            Act::Error => ("500 Internal Server Error", words.len()),
            Act::Large => ("201 Created", LARGE),
            _ => ("201 Created", words.len()),
        };
        let body = padded(words, length);
        let head = format!("HTTP/1.1 {status}\r\nLocation: /effects/{value}\r\nContent-Length: {}\r\n\r\n", body.len());
        match self {
            Act::Answer | Act::Late | Act::Large | Act::Error | Act::Refused => {
                if self == Act::Late {
                    tokio::time::sleep(LATE).await;
                }
                outbox.write([head, body].concat().as_bytes()).await?;
                Ok(true)
            }
            Act::Slow => {
                outbox.write(head.as_bytes()).await?;
                for piece in body.as_bytes().chunks(SLOW_PIECE) {
                    tokio::time::sleep(SLOW_PAUSE).await;
                    outbox.write(piece).await?;
                }
                Ok(true)
            }
            Act::Cut => {
                outbox.write([&head, &body[..body.len() / 2]].concat().as_bytes()).await?;
                Ok(false)
            }
            Act::Lost | Act::Dropped => {
                outbox.reset_on_close()?;
                Ok(false)
            }
            Act::Hang => {
                inbox.peer_gone().await;
                Ok(false)
            }
        }
    }
}
