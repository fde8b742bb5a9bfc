//! What reached the upstream: a file to which a line is added, and synced, before anything else happens.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

/// One request at the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Caller and key.
    pub name: String,
    /// Which call of the client it is; the proxy's own retries have the same.
    pub ask: u64,
    /// What it leaves behind, and answers with.
    pub value: String,
    /// It took effect.
    pub effect: bool,
    /// Of the body.
    pub digest: u64,
    /// The dead letter that was sent again, and the how-manieth time, as `ID;n=N`; else empty. Such an arrival belongs
    /// to no call: its `ask` is 0.
    pub replay: String,
    /// Since the run began.
    pub at_us: u64,
}

/// The writer's end. Many requests share one sync.
pub struct Log {
    path: PathBuf,
    lines: Option<Sender<(String, oneshot::Sender<()>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// A new file.
    pub fn create(path: PathBuf) -> Log {
        let file = File::options().create_new(true).append(true).open(&path).expect("a new log");
        let (lines, queue) = mpsc::channel();
        let thread = std::thread::spawn(move || write(file, &queue));
        Log { path, lines: Some(lines), thread: Some(thread) }
    }

    /// Returns when the line is on the disk.
    pub async fn append(&self, arrival: &Arrival) {
        let Arrival { name, ask, value, effect, digest, replay, at_us } = arrival;
        let line = format!("{name}\t{ask}\t{value}\t{effect}\t{digest}\t{replay}\t{at_us}\n");
        let (done, written) = oneshot::channel();
        self.lines.as_ref().expect("it is open").send((line, done)).expect("the log is written");
        written.await.expect("the line was synced");
    }

    /// For [`read`].
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(self.lines.take());
        self.thread.take().map(JoinHandle::join);
    }
}

fn write(mut file: File, queue: &Receiver<(String, oneshot::Sender<()>)>) {
    while let Ok(first) = queue.recv() {
        let batch: Vec<_> = std::iter::once(first).chain(queue.try_iter()).collect();
        let text: String = batch.iter().map(|(line, _)| line.as_str()).collect();
        file.write_all(text.as_bytes()).expect("the log is written");
        file.sync_data().expect("the log is synced");
        for (_, done) in batch {
            // Its connection may have gone meanwhile.
            let _ = done.send(());
        }
    }
}

/// Reads what is in a log; a line that is being written is not there yet.
pub fn read(path: &Path) -> Vec<Arrival> {
    let text = fs::read_to_string(path).expect("the log");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let line = |line: &str| {
        let mut cells = line.split('\t');
        let mut next = || cells.next().expect("seven cells");
        Arrival {
            name: next().to_owned(),
            ask: next().parse().expect("a number"),
            value: next().to_owned(),
            effect: next().parse().expect("true or false"),
            digest: next().parse().expect("a number"),
            replay: next().to_owned(),
            at_us: next().parse().expect("a number"),
        }
    };
    whole.lines().map(line).collect()
}

/// By name of the key.
pub fn by_name(arrivals: Vec<Arrival>) -> HashMap<String, Vec<Arrival>> {
    let mut all: HashMap<String, Vec<Arrival>> = HashMap::new();
    for arrival in arrivals {
        all.entry(arrival.name.clone()).or_default().push(arrival);
    }
    all
}
