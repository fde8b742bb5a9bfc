//! System calls by name, counted by strace in a pass that is not timed: tracing costs more than the calls.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use outrigger::clock;
use rustix::process::{Pid, Signal, kill_process};

use super::proc::{self, Status};

/// Longest wait for strace to hold all threads, and for its summary.
const BOUND: Duration = Duration::from_secs(5);
/// Between two looks.
const POLL: Duration = Duration::from_millis(10);

/// How often each call was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Syscalls {
    /// The most frequent first.
    pub by_name: Vec<(String, u64)>,
}

impl Syscalls {
    /// Reads the table of `strace -c`. Several tables (one for each personality) are added up.
    pub fn parse(text: &str) -> Syscalls {
        let mut by_name: Vec<(String, u64)> = Vec::new();
        for line in text.lines() {
            // % time, seconds, usecs/call, calls, perhaps errors, syscall
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(share), Some(calls), Some(name)) = (fields.first(), fields.get(3), fields.last()) else {
                continue;
            };
            let (Ok(_), Ok(calls)) = (share.parse::<f64>(), calls.parse::<u64>()) else { continue };
            if !(5..=6).contains(&fields.len()) || *name == "total" {
                continue;
            }
            match by_name.iter_mut().find(|(known, _)| known == name) {
                Some((_, count)) => *count += calls,
                None => by_name.push(((*name).to_owned(), calls)),
            }
        }
        by_name.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Syscalls { by_name }
    }

    /// Of all names.
    pub fn total(&self) -> u64 {
        self.by_name.iter().map(|(_, calls)| calls).sum()
    }
}

/// A running strace. Ends with its owner.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
    output: PathBuf,
}

impl Tracer {
    /// Attaches to all threads of the processes; `Ok(None)` where strace is not installed.
    pub fn attach(pids: &[u32], folder: &Path, core: Option<u32>) -> Result<Option<Tracer>, String> {
        let output = folder.join("strace.txt");
        // On the load's core, or it would take the proxy's.
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string(), "strace"]);
                command
            }
            None => Command::new("strace"),
        };
        if Command::new("strace").arg("-V").output().is_err() {
            return Ok(None);
        }
        command.args(["-c", "-f", "-q", "-o"]).arg(&output);
        for pid in pids {
            command.args(["-p", &pid.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|e| format!("cannot start strace: {e}"))?;
        let mut tracer = Tracer { child, output };
        let traced =
            || pids.iter().flat_map(|pid| proc::threads(*pid).into_iter().map(move |t| (*pid, t))).all(is_traced);
        let until = clock::now() + BOUND;
        while !traced() {
            if let Ok(Some(status)) = tracer.child.try_wait() {
                return Err(format!("strace ended with {status}: {}", tracer.stderr()));
            }
            if clock::now() > until {
                return Err(format!("strace did not attach within {} s", BOUND.as_secs()));
            }
            std::thread::sleep(POLL);
        }
        Ok(Some(tracer))
    }

    /// Detaches and reads what was counted.
    pub fn finish(mut self) -> Result<Syscalls, String> {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::INT).map_err(|e| format!("cannot stop strace: {e}"))?;
        }
        let until = clock::now() + BOUND;
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if clock::now() > until {
                return Err(format!("strace did not end within {} s", BOUND.as_secs()));
            }
            std::thread::sleep(POLL);
        }
        let text = proc::read(&self.output).ok_or_else(|| format!("strace wrote no summary: {}", self.stderr()))?;
        Ok(Syscalls::parse(&text))
    }

    /// What it said; call it only once it has ended.
    fn stderr(&mut self) -> String {
        let said = self.child.stderr.take().and_then(|stderr| std::io::read_to_string(stderr).ok());
        said.unwrap_or_default().trim().to_owned()
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It detaches from what it traces when it ends, however that happens.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn is_traced((pid, thread): (u32, u32)) -> bool {
    let text = proc::read(format!("/proc/{pid}/task/{thread}/status"));
    text.is_none_or(|text| Status::parse(&text).tracer != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 45.10    0.203641          10     20012           writev
 44.20    0.199500           9     20015      5003 recvfrom
  6.00    0.027000          11      2400           epoll_wait
  0.00    0.000000           0         1           total_like
------ ----------- ----------- --------- --------- ----------------
100.00    0.451141          10     42428      5003 total
";

    #[test]
    fn calls_are_counted_with_and_without_errors() {
        let counted = Syscalls::parse(TABLE);
        assert_eq!(counted.by_name[0], ("recvfrom".to_owned(), 20015));
        assert_eq!(counted.by_name[1], ("writev".to_owned(), 20012));
        assert_eq!(counted.total(), 20015 + 20012 + 2400 + 1);
    }

    #[test]
    fn tables_of_two_personalities_are_added() {
        let twice = Syscalls::parse(&format!("{TABLE}\nSystem call usage summary for 32 bit mode:\n{TABLE}"));
        assert_eq!(twice.total(), 2 * Syscalls::parse(TABLE).total());
        assert_eq!(Syscalls::parse("strace: Process 1 attached\n"), Syscalls::default());
    }
}
