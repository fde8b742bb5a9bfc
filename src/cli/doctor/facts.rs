//! Everything the checks look at, read once.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::DoctorArgs;
use super::mounts::{self, Mount};
use crate::admin::api::Status;
use crate::cli::Login;
use crate::cli::client::{Client, ClientError};
use crate::cli::policy_commands::GRACE_PERIOD;
use crate::clock;
use crate::policy::compile::{self, Compiled};
use crate::policy::diagnostic::Diagnostics;
use crate::policy::duration;
use crate::policy::watch::Watcher;

/// Where the image expects it.
const POLICY: &str = "/etc/outrigger/policy.yaml";

/// What this machine and the running proxy are like.
#[derive(Debug)]
pub(super) struct Facts {
    pub policy_path: PathBuf,
    /// The policy, or why there is none.
    pub policy: Result<Box<Compiled>, Unusable>,
    /// When the policy file was written.
    pub policy_written: Option<SystemTime>,
    /// The link that the policy's directory entry is, if it is one.
    pub policy_link: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
    pub grace: Option<Duration>,
    pub mounts: Vec<Mount>,
    /// Why the directory of the policy cannot be watched.
    pub watch_error: Option<String>,
    pub keys: Vec<KeyFile>,
    /// Addresses of the policy that somebody else has, and the system's words. Empty while the proxy runs.
    pub taken: Vec<(SocketAddr, String)>,
    pub now: SystemTime,
    /// Files and sockets that the proxy may have open at once.
    pub descriptors: Option<u64>,
    pub process: Process,
    /// Whether this looks like a Pod.
    pub in_pod: bool,
}

#[derive(Debug)]
pub(super) enum Unusable {
    Unread(String),
    Wrong(Diagnostics),
}

#[derive(Debug)]
pub(super) enum Process {
    NotAsked,
    Silent(String),
    Running(Box<Status>),
}

/// A file that holds a secret.
#[derive(Debug)]
pub(super) struct KeyFile {
    pub path: PathBuf,
    pub mode: u32,
    /// Put there by the kubelet: only containers that mount it see it.
    pub mounted: bool,
}

/// Reads all of it.
///
/// # Errors
/// A sentence about a word that was given and makes no sense.
pub(super) fn gather(args: &DoctorArgs, addr: &str, login: &Login) -> Result<Facts, String> {
    let process = if args.offline { Process::NotAsked } else { ask(addr, login)? };
    let pid = match &process {
        Process::Running(status) => Some(status.pid),
        Process::NotAsked | Process::Silent(_) => None,
    };
    // Of another PID namespace, this may be another program: then it has no such words.
    let command = pid.and_then(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).ok()).unwrap_or_default();
    let stated = |word| argument(&command, word).map(PathBuf::from).filter(|path| path.is_absolute());
    let policy_path = args.policy.clone().or_else(|| stated("--policy")).unwrap_or_else(|| POLICY.into());
    let policy_path = std::path::absolute(&policy_path).unwrap_or(policy_path);
    let state_dir = args.state_dir.clone().or_else(|| stated("--state-dir"));
    let policy = load(&policy_path);
    let compiled = policy.as_ref().ok();
    let mount_table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let limits = pid.map_or("/proc/self/limits".to_owned(), |pid| format!("/proc/{pid}/limits"));
    let limits = std::fs::read_to_string(limits).unwrap_or_default();
    Ok(Facts {
        policy_written: std::fs::metadata(&policy_path).and_then(|data| data.modified()).ok(),
        policy_link: std::fs::read_link(&policy_path).ok(),
        grace: grace(args)?,
        mounts: mounts::parse(&mount_table),
        watch_error: watch(&policy_path),
        keys: compiled.map(|compiled| keys(compiled)).unwrap_or_default(),
        taken: compiled.filter(|_| pid.is_none()).map(|compiled| taken(compiled)).unwrap_or_default(),
        now: clock::wall(),
        descriptors: descriptors(&limits),
        in_pod: std::env::var_os("KUBERNETES_SERVICE_HOST").is_some(),
        policy_path,
        policy,
        state_dir,
        process,
    })
}

fn ask(addr: &str, login: &Login) -> Result<Process, String> {
    let client = match Client::new(addr, login) {
        Ok(client) => client,
        Err(ClientError::Address(addr)) => {
            return Err(format!("{addr} is not an address\nnext: write HOST:PORT, such as 127.0.0.1:4490"));
        }
        Err(error) => return Ok(Process::Silent(format!("{error:?}"))),
    };
    Ok(match client.get::<Status>("/status") {
        Ok(status) => Process::Running(Box::new(status)),
        Err(ClientError::Unreachable { addr, why } | ClientError::Foreign { addr, why }) => {
            Process::Silent(format!("{addr}: {why}"))
        }
        Err(error) => Process::Silent(format!("{addr}: {error:?}")),
    })
}

/// The word behind `--name`, or after its `=`.
pub(super) fn argument(command: &[u8], name: &str) -> Option<String> {
    let words: Vec<&str> = command.split(|byte| *byte == 0).filter_map(|word| std::str::from_utf8(word).ok()).collect();
    let joined = words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let apart = words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1).copied());
    joined.or(apart).map(str::to_owned)
}

fn grace(args: &DoctorArgs) -> Result<Option<Duration>, String> {
    if args.grace_period.is_some() {
        return Ok(args.grace_period);
    }
    let stated = std::env::var(GRACE_PERIOD).ok().filter(|text| !text.is_empty());
    let stated = stated.map(|text| duration::parse(&text)).transpose();
    stated.map_err(|why| format!("{GRACE_PERIOD}: {why}\nnext: write it as 30s, or leave it away"))
}

fn load(path: &Path) -> Result<Box<Compiled>, Unusable> {
    let bytes = std::fs::read(path).map_err(|error| Unusable::Unread(error.to_string()))?;
    compile::load_bytes(&path.display().to_string(), &bytes).map(Box::new).map_err(Unusable::Wrong)
}

/// Really watches, as the proxy does, for a moment.
fn watch(path: &Path) -> Option<String> {
    match Watcher::start(path, |_| {}) {
        Ok(watcher) => watcher.degraded().map(str::to_owned),
        Err(error) => Some(error.to_string()),
    }
}

fn keys(compiled: &Compiled) -> Vec<KeyFile> {
    let policy = &compiled.policy;
    let stated = policy.dead_letters.as_ref().and_then(|letters| letters.key_file.clone());
    let beside = policy.stores.embedded.as_ref().map(|store| {
        let mut name = store.path.clone().into_os_string();
        name.push(".key");
        PathBuf::from(name)
    });
    stated.into_iter().chain(beside).filter_map(|path| key_file(&path)).collect()
}

/// `None` = there is no such file.
fn key_file(path: &Path) -> Option<KeyFile> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let mounted = path.parent().is_some_and(|directory| directory.join("..data").exists());
    Some(KeyFile { path: path.to_owned(), mode, mounted })
}

fn taken(compiled: &Compiled) -> Vec<(SocketAddr, String)> {
    let policy = &compiled.policy;
    let traffic = policy.listeners.iter().map(|listener| listener.addr);
    let all = traffic.chain(policy.admin).chain(policy.metrics);
    all.filter_map(|addr| TcpListener::bind(addr).err().map(|error| (addr, error.to_string()))).collect()
}

/// The soft limit in the text of `/proc/PID/limits`; None = unlimited or unknown.
pub(super) fn descriptors(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
