//! A real Redis server, for tests of the store that replicas share.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::program::send_signal;
use super::{eventually, free_address, within};

const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;

/// A running `redis-server` that keeps nothing on disk, in a directory of its own that goes with it.
#[derive(Debug)]
pub struct RedisServer {
    child: Option<Child>,
    address: SocketAddr,
    options: Vec<String>,
    directory: PathBuf,
}

impl RedisServer {
    /// Starts a server and waits until it answers. It evicts nothing.
    pub async fn start() -> RedisServer {
        RedisServer::start_with(&[]).await
    }

    /// As [`RedisServer::start`]; `options` are those of its command line and win over ours, as in
    /// `["--maxmemory", "3mb"]`.
    pub async fn start_with(options: &[&str]) -> RedisServer {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("outrigger-redis-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap_or_else(|e| panic!("cannot create {}: {e}", directory.display()));
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = RedisServer { child: None, address: free_address(), options, directory };
        server.restart().await;
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, for clients.
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Kills it. All its data is gone.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Either way it is gone after `wait`; a stopped process can be killed, too.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again at the same address, empty, and waits until it answers.
    pub async fn restart(&mut self) {
        self.stop();
        let log = self.directory.join("log");
        let log = File::create(&log).unwrap_or_else(|e| panic!("cannot create {}: {e}", log.display()));
        let spawned = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string(), "--dir"])
            .arg(&self.directory)
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--maxmemory-policy", "noeviction"])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn();
        let child = spawned.unwrap_or_else(|e| {
            panic!("cannot start redis-server ({e}): `make test` installs it, or: apt-get install redis-server")
        });
        self.child = Some(child);
        eventually("an answer from redis-server", async || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                panic!("redis-server ended with {status} instead of becoming ready:\n{log}");
            }
            // With a password it does not let us in, but it is there.
            let answer = exchange(self.address, "PING").await?;
            (answer.starts_with("+PONG") || answer.starts_with("-NOAUTH")).then_some(())
        })
        .await;
    }

    /// Stops its process where it stands: connections stay, nothing is answered.
    pub fn pause(&self) {
        self.signal(SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(SIGCONT);
    }

    /// The first line of its answer to one command of plain words, as `+OK` or `:1`.
    pub async fn command(&self, words: &str) -> String {
        let answer = within("an answer from redis-server", exchange(self.address, words)).await;
        answer.unwrap_or_else(|| panic!("redis-server did not answer to {words}"))
    }

    fn signal(&self, number: i32) {
        let Some(child) = &self.child else { panic!("redis-server is not running") };
        let pid = i32::try_from(child.id()).unwrap_or_else(|_| panic!("the process id is too large"));
        assert_eq!(send_signal(pid, number), 0, "cannot signal: {}", std::io::Error::last_os_error());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// One command on a connection of its own.
async fn exchange(address: SocketAddr, words: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(format!("{words}\r\n").as_bytes()).await.ok()?;
    let (mut answer, mut chunk) = (Vec::new(), [0; 512]);
    loop {
        let length = stream.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
        answer.extend_from_slice(&chunk[..length]);
        if let Some(end) = answer.windows(2).position(|pair| pair == b"\r\n") {
            return String::from_utf8(answer[..end].to_vec()).ok();
        }
    }
}
