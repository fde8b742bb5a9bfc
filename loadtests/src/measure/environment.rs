//! The machine, and the source that the tool was run in.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::proc;
use crate::results::Environment;

/// Reads it all; what cannot be read is empty.
pub fn environment(proxy_core: Option<u32>, load_core: Option<u32>) -> Environment {
    let file = |path: &str| proc::read(path).unwrap_or_default();
    Environment {
        cores: cores(&file("/proc/stat")),
        cpu: field(&file("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
        memory_mib: field(&file("/proc/meminfo"), "MemTotal").map_or(0, |value| kib(&value) / 1024),
        commit: commit(),
        proxy_core,
        load_core,
    }
}

/// Puts this thread, and those that it will start, on a core; `None` leaves it where it is.
///
/// # Errors
/// There is no such core for us.
pub fn pin(core: Option<u32>) -> Result<(), String> {
    let Some(core) = core else { return Ok(()) };
    let mut set = CpuSet::new();
    if core as usize >= CpuSet::MAX_CPU {
        return Err(format!("core {core} is beyond what can be named"));
    }
    set.set(core as usize);
    sched_setaffinity(None, &set).map_err(|e| format!("core {core} cannot be used: {e}; name others, or --no-pin"))
}

/// Lets this process and those that it will start open as many files as the system allows: a thousand connections
/// are two thousand files in a proxy, and most systems begin with 1,024. Without it, scenarios that need more say so.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Cores that are online, whatever this process may use.
fn cores(stat: &str) -> u32 {
    let is_core =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    u32::try_from(stat.lines().filter(is_core).count()).unwrap_or(u32::MAX)
}

/// The value behind `key:` where it stands first.
fn field(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

fn kib(value: &str) -> u64 {
    value.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The commit of the current folder, `+changes` behind it if something differs; empty outside of a repository.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return String::new() };
    let changed = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    if changed { commit + "+changes" } else { commit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_counted_without_their_sum() {
        assert_eq!(cores("cpu  1 2\ncpu0 1 2\ncpu1 1 2\ncpu12 1 2\nintr 3\ncpufreq 4\n"), 3);
    }

    #[test]
    fn the_first_model_name_is_taken() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\n\nmodel name\t: Other\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU @ 2.0GHz"));
        assert_eq!(field("MemTotal:       24689872 kB\n", "MemTotal").map(|v| kib(&v)), Some(24_689_872));
        assert_eq!(field(text, "vendor"), None);
    }

    #[test]
    fn this_machine_has_a_core_and_memory() {
        let here = environment(None, Some(1));
        assert!(here.cores > 0 && here.memory_mib > 0 && !here.kernel.is_empty() && !here.cpu.is_empty(), "{here:?}");
        assert_eq!((here.proxy_core, here.load_core), (None, Some(1)));
    }
}
