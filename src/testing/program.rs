//! The real program as a child process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::TcpSocket;

use super::{Metrics, eventually, get};

/// Written before a policy that does not begin with `version`.
const PRELUDE: &str = "version: 1\nlisten: %listen%\nadmin: { listen: %admin% }\nmetrics: { listen: %metrics% }\n";

/// A running `outrigger run --policy FILE`, in a directory of its own that goes with it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    exited: Option<ExitStatus>,
    executable: String,
    policy: PathBuf,
    directory: PathBuf,
    addresses: BTreeMap<String, SocketAddr>,
    environment: Vec<(&'static str, String)>,
    options: Vec<String>,
}

/// A signal to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Drain and end.
    Terminate,
    /// Finish what is in flight and end.
    Interrupt,
    /// Read the policy again.
    Hangup,
    /// End at once: the program cannot see it.
    Kill,
    /// Stand still: the program cannot see it.
    Stop,
    /// Go on.
    Continue,
}

impl Program {
    /// Starts the program and waits until `/readyz` answers 200.
    ///
    /// `%NAME%` in the policy becomes a free loopback address, the same for the same name; `%listen%`,
    /// `%admin%` and `%metrics%` are given by a prelude unless the text begins with `version`.
    pub async fn start(executable: &str, policy: &str) -> Program {
        let mut program = Program::spawn(executable, policy);
        program.ready().await;
        program
    }

    /// Waits until `/readyz` answers 200; panics if the program ends instead.
    pub async fn ready(&mut self) {
        let metrics = self.address("metrics");
        eventually("readiness", async || {
            if let Some(status) = self.poll_exit() {
                panic!("the program ended with {status} instead of becoming ready");
            }
            get(metrics, "/readyz").await.filter(|answer| answer.status == 200)
        })
        .await;
    }

    /// As [`Program::start`], with this in its environment besides ours.
    pub async fn start_in(executable: &str, policy: &str, environment: Vec<(&'static str, String)>) -> Program {
        let mut program = Program::spawn_in(executable, policy, environment);
        program.ready().await;
        program
    }

    /// As [`Program::start_in`], and does not wait.
    pub fn spawn_in(executable: &str, policy: &str, environment: Vec<(&'static str, String)>) -> Program {
        Program::spawn_whole(executable, policy, ("policy.yaml", write), environment, &[])
    }

    /// Starts the program and does not wait.
    pub fn spawn(executable: &str, policy: &str) -> Program {
        Program::spawn_in(executable, policy, Vec::new())
    }

    /// As [`Program::spawn`], with these options of `run`.
    pub fn spawn_with(executable: &str, policy: &str, options: &[&str]) -> Program {
        Program::spawn_whole(executable, policy, ("policy.yaml", write), Vec::new(), options)
    }

    /// As [`Program::spawn`], with the policy put in place by `place` (relative path and text given).
    pub fn spawn_at(executable: &str, policy: &str, file: &str, place: impl FnOnce(&Path, &str)) -> Program {
        Program::spawn_whole(executable, policy, (file, place), Vec::new(), &[])
    }

    fn spawn_whole(
        executable: &str,
        policy: &str,
        (file, place): (&str, impl FnOnce(&Path, &str)),
        environment: Vec<(&'static str, String)>,
        options: &[&str],
    ) -> Program {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("outrigger-test-{}-{number}", std::process::id()));
        let config = directory.join("config");
        fs::create_dir_all(&config).unwrap_or_else(|e| panic!("cannot create {}: {e}", config.display()));

        let mut addresses = BTreeMap::new();
        let text = fill(policy, &mut addresses);
        place(&config.join(file), &text);
        let policy = config.join(file);
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let child = launch(executable, &policy, &directory, (&environment, &options));
        let executable = executable.to_owned();
        Program { child, exited: None, executable, policy, directory, addresses, environment, options }
    }

    /// Starts it again after its end, with the same policy file and addresses, and waits until it is ready.
    pub async fn restart(&mut self) {
        self.relaunch();
        self.ready().await;
    }

    /// As [`Program::restart`], and does not wait.
    pub fn relaunch(&mut self) {
        assert!(self.exited.is_some(), "the program still runs");
        self.child = launch(&self.executable, &self.policy, &self.directory, (&self.environment, &self.options));
        self.exited = None;
    }

    /// What its environment says from its next start on, besides ours.
    pub fn set_environment(&mut self, environment: Vec<(&'static str, String)>) {
        self.environment = environment;
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The address that `%NAME%` stands for; panics if the policy does not mention it.
    pub fn address(&self, name: &str) -> SocketAddr {
        match self.addresses.get(name) {
            Some(address) => *address,
            None => panic!("the policy has no %{name}%"),
        }
    }

    /// Where the program listens for requests.
    pub fn listen(&self) -> SocketAddr {
        self.address("listen")
    }

    /// The directory in which the policy file lies.
    pub fn config(&self) -> PathBuf {
        self.directory.join("config")
    }

    /// The text of a policy with its addresses filled in, new names included.
    pub fn fill(&mut self, policy: &str) -> String {
        fill(policy, &mut self.addresses)
    }

    /// Writes the policy file in place. It is read when the program notices.
    pub fn write_policy(&mut self, policy: &str) {
        let text = self.fill(policy);
        let path = self.config().join("policy.yaml");
        fs::write(&path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    }

    /// Scrapes `/metrics`.
    pub async fn metrics(&self) -> Metrics {
        match get(self.address("metrics"), "/metrics").await {
            Some(answer) if answer.status == 200 => Metrics::parse(&answer.text()),
            other => panic!("/metrics: {other:?}"),
        }
    }

    /// Scrapes until the metrics satisfy `what`; panics with `why` after the bound.
    pub async fn metrics_when(&self, why: &str, what: impl Fn(&Metrics) -> bool) -> Metrics {
        eventually(why, async || Some(self.metrics().await).filter(|metrics| what(metrics))).await
    }

    /// `GET path` of the admin API.
    pub async fn admin(&self, path: &str) -> serde_json::Value {
        match get(self.address("admin"), path).await {
            Some(answer) if answer.status == 200 => answer.json(),
            other => panic!("admin {path}: {other:?}"),
        }
    }

    /// Resident memory, in bytes.
    pub fn rss(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        kib.unwrap_or_else(|| panic!("{path} has no VmRSS")) * 1024
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        // The child is reaped only through `poll_exit`, so that this id cannot belong to another process
        // while `exited` is empty.
        assert!(self.exited.is_none(), "the program has ended");
        let number = match signal {
            Signal::Hangup => 1,
            Signal::Interrupt => 2,
            Signal::Terminate => 15,
            Signal::Kill => 9,
            Signal::Stop => 19,
            Signal::Continue => 18,
        };
        let pid = i32::try_from(self.child.id()).unwrap_or_else(|_| panic!("the process id is too large"));
        assert_eq!(send_signal(pid, number), 0, "cannot signal: {}", std::io::Error::last_os_error());
    }

    /// Waits for the program to end.
    pub async fn exit(&mut self) -> ExitStatus {
        eventually("the end of the program", async || self.poll_exit()).await
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.directory.join("stderr")).unwrap_or_default()
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.directory.join("stdout")).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn poll_exit(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().unwrap_or_else(|e| panic!("cannot wait: {e}"));
        }
        self.exited
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.poll_exit().is_none() {
            // It may end on its own between the two calls; either way it is gone after `wait`.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- stdout of the program\n{}--- stderr of the program\n{}", self.stdout(), self.stderr());
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
}

fn launch(
    executable: &str,
    policy: &Path,
    directory: &Path,
    (environment, options): (&[(&str, String)], &[String]),
) -> Child {
    let log = |name: &str| {
        let path = directory.join(name);
        let file = File::options().create(true).append(true).open(&path);
        file.unwrap_or_else(|e| panic!("cannot open {}: {e}", path.display()))
    };
    Command::new(executable)
        .args(["run", "--policy"])
        .arg(policy)
        .args(options)
        .current_dir(directory)
        .env("NO_COLOR", "1")
        .envs(environment.iter().map(|(name, value)| (*name, value)))
        .stdin(std::process::Stdio::null())
        .stdout(log("stdout"))
        .stderr(log("stderr"))
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {executable}: {e}"))
}

fn fill(policy: &str, addresses: &mut BTreeMap<String, SocketAddr>) -> String {
    let prelude = if policy.trim_start().starts_with("version") { "" } else { PRELUDE };
    let whole = format!("{prelude}{policy}");
    let mut text = String::new();
    // Every second part stands between two percent signs.
    for (i, part) in whole.split('%').enumerate() {
        if i % 2 == 0 {
            text.push_str(part);
        } else {
            let address = addresses.entry(part.to_string()).or_insert_with(free_address);
            text.push_str(&address.to_string());
        }
    }
    text
}

/// An address of 127.0.0.1 on which nothing listens. Below the range from which the system takes ports for
/// outgoing connections, and never twice in one process: nobody takes it before the program binds it.
pub fn free_address() -> SocketAddr {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 18_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes that run side by side begin at different places.
    let offset = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(offset) % COUNT;
        let port = u16::try_from(FIRST + number).unwrap_or(u16::MAX);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Bound, never listening: a copy of this socket in a process that another thread forks right now cannot
        // keep the program from binding it.
        let free = TcpSocket::new_v4().and_then(|socket| {
            socket.set_reuseaddr(true)?;
            socket.bind(address)
        });
        if free.is_ok() {
            return address;
        }
    }
    panic!("no free port")
}

#[expect(unsafe_code, reason = "the standard library can only send SIGKILL")]
pub(super) fn send_signal(pid: i32, signal: i32) -> i32 {
    unsafe extern "C" {
        safe fn kill(pid: i32, signal: i32) -> i32;
    }
    kill(pid, signal)
}
