//! Child processes that cannot outlive us: not an error, not a panic, not Ctrl-C.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outrigger::clock;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::credentials::Dialer;
use crate::measure::members;

/// Longest wait for a program to answer its first request, and for it to end after SIGTERM.
const READY_MAX: Duration = Duration::from_secs(10);
const STOP_MAX: Duration = Duration::from_secs(3);
/// Between two looks.
const POLL: Duration = Duration::from_millis(20);
/// One request that asks whether it is ready.
const ASK_MAX: Duration = Duration::from_secs(2);
/// Lines of standard error that are shown when it failed.
const SHOWN_LINES: usize = 12;
/// Exit code after SIGINT, as shells have it.
const INTERRUPTED: i32 = 130;

/// Process groups that run, for [`on_interrupt`].
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn groups() -> MutexGuard<'static, BTreeSet<i32>> {
    // A set of numbers cannot be left half changed.
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program in a process group of its own, which ends with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    exited: Option<ExitStatus>,
    name: String,
    stderr: PathBuf,
}

impl Process {
    /// Starts it in `folder`, on `core` if there is one. Standard error goes to a file there, standard output nowhere.
    ///
    /// # Errors
    /// The program, `taskset` or `setpriv` cannot be started.
    pub fn start(program: &Path, arguments: &[OsString], folder: &Path, core: Option<u32>) -> Result<Process, String> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stderr = folder.join("stderr.txt");
        let log = File::create(&stderr).map_err(|e| format!("{}: {e}", stderr.display()))?;
        let mut line: Vec<OsString> = Vec::new();
        // Ends it even if we are killed outright and cannot.
        line.extend(["setpriv", "--pdeathsig", "TERM"].map(OsString::from));
        if let Some(core) = core {
            line.extend(["taskset", "-c", &core.to_string()].map(OsString::from));
        }
        line.push(program.into());
        line.extend_from_slice(arguments);
        let (first, rest) = line.split_first().ok_or("nothing to start")?;
        let mut command = Command::new(first);
        command.args(rest).current_dir(folder).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child =
            command.spawn().map_err(|e| format!("cannot start {name} through setpriv (package util-linux): {e}"))?;
        let process = Process { child, exited: None, name, stderr };
        groups().insert(process.group());
        Ok(process)
    }

    /// The number of its process group, which is that of its first process.
    pub fn group(&self) -> i32 {
        // Linux counts processes up to 2^22.
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// Sends real requests until one is answered by less than 500.
    ///
    /// # Errors
    /// It ended, or did not answer in time; with the end of its standard error.
    pub fn wait_until_ready(&mut self, address: SocketAddr, path: &str, dialer: Option<&Dialer>) -> Result<(), String> {
        let until = clock::now() + READY_MAX;
        let mut last = String::from("no connection");
        loop {
            if let Some(ended) = self.ended() {
                return Err(ended);
            }
            match ask(address, path, dialer) {
                Ok(status) if status < 500 => return Ok(()),
                Ok(status) => last = format!("status {status}"),
                Err(e) => last = if clock::now() > until { e } else { last },
            }
            if clock::now() > until {
                let said = self.said();
                return Err(format!(
                    "{} did not become ready within {} s ({last}){said}",
                    self.name,
                    READY_MAX.as_secs()
                ));
            }
            std::thread::sleep(POLL);
        }
    }

    /// What it said, if it has ended on its own.
    pub fn ended(&mut self) -> Option<String> {
        self.poll().map(|status| format!("{} ended with {status}{}", self.name, self.said()))
    }

    /// Signals its first process.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<(), String> {
        if let Some(ended) = self.ended() {
            return Err(ended);
        }
        // Not reaped yet, so that the number is still its own.
        let pid = Pid::from_raw(self.group()).ok_or("no process number")?;
        kill_process(pid, signal).map_err(|e| format!("cannot signal {}: {e}", self.name))
    }

    /// Ends it and everything it started: SIGTERM, and SIGKILL for what is left after a while.
    fn stop(&mut self) {
        // Both fail only if it has ended, which is what they are for.
        let _ = self.signal(Signal::TERM);
        let until = clock::now() + STOP_MAX;
        while self.poll().is_none() && clock::now() < until {
            std::thread::sleep(POLL);
        }
        let group = self.group();
        if self.exited.is_none() || !members(&[group]).is_empty() {
            kill_group(group);
        }
        if self.exited.is_none() {
            self.exited = self.child.wait().ok();
        }
        groups().remove(&group);
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().ok().flatten();
        }
        self.exited
    }

    /// The end of its standard error, on lines of their own; empty if there is nothing.
    fn said(&self) -> String {
        let text = fs::read_to_string(&self.stderr).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let shown = lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default();
        shown.iter().map(|line| format!("\n    {line}")).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn kill_group(group: i32) {
    if let Some(group) = Pid::from_raw(group) {
        // Fails if nothing of it is left.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Status of one `GET`.
fn ask(address: SocketAddr, path: &str, dialer: Option<&Dialer>) -> Result<u16, String> {
    let said = |e: std::io::Error| e.to_string();
    let mut stream = TcpStream::connect_timeout(&address, ASK_MAX).map_err(said)?;
    stream.set_read_timeout(Some(ASK_MAX)).map_err(said)?;
    stream.set_write_timeout(Some(ASK_MAX)).map_err(said)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut head = [0; 12];
    match dialer {
        None => exchange(&mut stream, &request, &mut head),
        Some(Dialer { config, name }) => {
            let connection = rustls::ClientConnection::new(Arc::clone(config), name.clone());
            let connection = connection.map_err(|e| e.to_string())?;
            exchange(&mut rustls::StreamOwned::new(connection, stream), &request, &mut head)
        }
    }
    .map_err(said)?;
    let status = head.strip_prefix(b"HTTP/1.1 ").and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.ok_or_else(|| format!("no HTTP answer: {:?}", String::from_utf8_lossy(&head)))
}

fn exchange(stream: &mut (impl Read + Write), request: &str, answer: &mut [u8]) -> std::io::Result<()> {
    stream.write_all(request.as_bytes())?;
    stream.read_exact(answer)
}

/// From now on, SIGINT, SIGTERM and SIGHUP end all started programs, remove `folder`, and end this program.
///
/// # Errors
/// No thread, or no handler.
pub fn on_interrupt(folder: PathBuf) -> Result<(), String> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let wait = move || {
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
            else {
                return std::future::pending().await;
            };
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} _ = hangup.recv() => {} }
        });
        end_all();
        let _ = fs::remove_dir_all(&folder);
        eprintln!("\ninterrupted; scenarios that were finished are kept");
        #[expect(
            clippy::disallowed_methods,
            reason = "the main thread waits for a round; all that it holds is ended above"
        )]
        std::process::exit(INTERRUPTED);
    };
    std::thread::Builder::new().name("interrupt".to_owned()).spawn(wait).map(drop).map_err(|e| e.to_string())
}

/// SIGTERM to all, and SIGKILL to what is left.
fn end_all() {
    // Held to the end: nothing may be started meanwhile.
    let running = groups();
    let all: Vec<i32> = running.iter().copied().collect();
    for group in all.iter().copied().filter_map(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::TERM);
    }
    let until: Instant = clock::now() + STOP_MAX;
    while !members(&all).is_empty() && clock::now() < until {
        std::thread::sleep(POLL);
    }
    for group in all {
        kill_group(group);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn shell(folder: &Path, script: &str) -> Process {
        Process::start(Path::new("/bin/sh"), &["-c".into(), script.into()], folder, None).expect("a shell")
    }

    #[test]
    fn nothing_that_it_started_is_left_even_if_it_ignores_the_signal() {
        let folder = folder();
        let process = shell(folder.path(), "trap '' TERM; (trap '' TERM; sleep 60) & sleep 60");
        let group = process.group();
        let until = clock::now() + READY_MAX;
        while members(&[group]).len() < 3 && clock::now() < until {
            std::thread::sleep(POLL);
        }
        assert!(members(&[group]).len() >= 3, "the shell, its child, and their sleeps");
        drop(process);
        // What is killed takes a moment to go.
        let until = clock::now() + READY_MAX;
        while !members(&[group]).is_empty() && clock::now() < until {
            std::thread::sleep(POLL);
        }
        assert!(members(&[group]).is_empty());
    }

    #[test]
    fn a_program_that_ends_instead_of_getting_ready_is_quoted() {
        let folder = folder();
        let mut process = shell(folder.path(), "echo 'bad option on line 3' >&2; exit 4");
        let said = process.wait_until_ready(SocketAddr::from(([127, 0, 0, 1], 9)), "/", None).expect_err("it ended");
        assert_eq!(said, "sh ended with exit status: 4\n    bad option on line 3");
    }

    #[test]
    fn it_is_ready_once_an_answer_is_no_failure_of_the_server() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        // Ends with the tests: on a busy machine a client may give up waiting and ask once more.
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let status = if count.load(Ordering::SeqCst) == 0 { "503 Unavailable" } else { "404 Not Found" };
                let mut head = [0; 1024];
                let _ = stream.read(&mut head);
                if write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").is_ok() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let folder = folder();
        let mut process = shell(folder.path(), "sleep 60");
        assert_eq!(process.wait_until_ready(address, "/x", None), Ok(()));
        assert!(asked.load(Ordering::SeqCst) >= 2, "503 is not ready");
    }
}
