//! Programs that others wrote, on both sides of the proxy: what our own peers agree on with us may still be wrong.
//!
//! `deploy/test-tools.sh` installs them.

mod curl;
mod grpc;
mod nghttp;
mod nginx;
mod websocket;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use outrigger::testing::{Authority, BOUND, Program, eventually};

use crate::stage::executable;

/// Debian's, which sees Debian's packages.
const PYTHON: &str = "/usr/bin/python3";

/// A folder of one test, which goes with it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("outrigger-peers-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and gives its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that runs beside the test, and ends with it.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    folder: Folder,
}

impl Peer {
    /// Starts a program; what it says goes to files.
    pub fn start(folder: Folder, program: &str, arguments: &[&str]) -> Peer {
        let log = |name: &str| File::create(folder.path().join(name)).expect("a file");
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(log("stdout")).stderr(log("stderr"));
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {program} ({e}): `make test` installs it"));
        Peer { child, folder }
    }

    /// Starts a script of Python, and waits until it says `ready PORT`.
    pub async fn python(script: &str, arguments: &[&str]) -> (Peer, u16) {
        let folder = Folder::new();
        let file = folder.file("script.py", script);
        let all: Vec<&str> = ["-u", &file].into_iter().chain(arguments.iter().copied()).collect();
        let peer = Peer::start(folder, PYTHON, &all);
        let ready = peer.says("ready ").await;
        let port = ready.parse().expect("a port");
        (peer, port)
    }

    /// Waits until it has said a line that begins so, and gives the rest of the line.
    pub async fn says(&self, begins: &str) -> String {
        eventually(begins, async || {
            let said = fs::read_to_string(self.folder.path().join("stdout")).ok()?;
            // A line that is not complete may still grow.
            let whole = said.rfind('\n').map_or("", |end| &said[..end]);
            whole.lines().find_map(|line| line.strip_prefix(begins)).map(str::to_owned)
        })
        .await
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for name in ["stdout", "stderr"] {
                let text = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
                eprintln!("--- {name} of the peer\n{text}");
            }
        }
    }
}

/// Runs a program to its end and gives what it said on standard output; panics with all of it if it fails.
pub async fn run(program: &str, arguments: &[&str]) -> String {
    let (program, arguments) = (program.to_owned(), arguments.iter().map(ToString::to_string).collect::<Vec<_>>());
    let limit = BOUND.as_secs().to_string();
    let run = move || {
        // A program that hangs must not hang the tests.
        let output = Command::new("timeout").arg(limit).arg(&program).args(&arguments).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|e| panic!("cannot start {program} ({e}): `make test` installs it"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {}\n{said}\n{errors}", output.status);
        said
    };
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

/// Runs a script of Python to its end.
pub async fn python(script: &str, arguments: &[&str]) -> String {
    let folder = Folder::new();
    let file = folder.file("script.py", script);
    let all: Vec<&str> = [file.as_str()].into_iter().chain(arguments.iter().copied()).collect();
    run(PYTHON, &all).await
}

/// Certificates for `localhost`, in files, and a policy that shows them to the callers of an app.
pub struct Encrypted {
    folder: Folder,
}

impl Encrypted {
    /// `ca.crt`, `tls.crt`, `tls.key`, and `client.crt` and `client.key` in a folder.
    pub fn new() -> Encrypted {
        let (folder, authority) = (Folder::new(), Authority::new());
        authority.write(folder.path());
        authority.server(&["localhost", "127.0.0.1"]).write(folder.path());
        let client = authority.client("spiffe://test/ns/shop/sa/cart");
        folder.file("client.crt", &client.chain);
        folder.file("client.key", &client.key);
        Encrypted { folder }
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Callers -> TLS -> the program -> `app`. `block`: further keys of `inbound`, one a line.
    pub async fn inbound(&self, app: &str, block: &str) -> Program {
        let lines: String = block.lines().map(|line| format!("  {line}\n")).collect();
        let policy = format!(
            "inbound:\n  listen: %inbound%\n  forward: {app}\n  tls: {{ cert: {}, key: {}, clientCa: {} }}\n{lines}",
            self.path("tls.crt"),
            self.path("tls.key"),
            self.path("ca.crt"),
        );
        Program::start(&executable(), &policy).await
    }

    /// The program -> TLS -> the upstream `up` at this port, which is `localhost` by its certificate. `block`: further keys of it, one a line.
    pub async fn outbound(&self, port: u16, block: &str) -> Program {
        let lines: String = block.lines().map(|line| format!("    {line}\n")).collect();
        let policy = format!(
            "upstreams:\n  up:\n    url: https://127.0.0.1:{port}\n    \
             tls: {{ ca: {}, cert: {}, key: {}, serverName: localhost }}\n{lines}",
            self.path("ca.crt"),
            self.path("client.crt"),
            self.path("client.key"),
        );
        Program::start(&executable(), &policy).await
    }
}
