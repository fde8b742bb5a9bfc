//! The order of events of one drill.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;

pub use super::judge::Seen;

use super::cast::{Clients, Servers};
use super::script::{Drill, Expect, Trouble, fill};
use crate::arms::{Process, free_addresses};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A verdict that is there and gone is none: it must still be read after this time.
const STAYS: Duration = Duration::from_secs(2);

/// How a drill went.
#[derive(Debug)]
pub struct Played {
    /// From the trouble to the first look that said everything.
    pub named_after: Option<Duration>,
    /// From its end to the first look that accused nobody.
    pub healthy_after: Option<Duration>,
    /// The look that said everything, or the last one.
    pub screen: Seen,
    /// What went wrong; `None` = it passed.
    pub wrong: Option<String>,
}

impl Played {
    fn wrong(screen: Seen, why: String) -> Played {
        Played { named_after: None, healthy_after: None, screen, wrong: Some(why) }
    }
}

/// Plays it in a folder of its own below `folder`. `calm_only`: nothing goes wrong, and nobody may be accused.
///
/// # Errors
/// It could not be played.
pub async fn play(drill: &Drill, program: &Path, folder: &Path, calm_only: bool) -> Result<Played, String> {
    let servers = Servers::start(&drill.servers).await?;
    let mut sidecar = Sidecar::start(drill, &servers, program, folder)?;
    let clients = Clients::start(&drill.load, &sidecar.addresses)?;
    sleep(drill.warm_up).await;
    let calm = sidecar.look().await?;
    if !calm.is_calm() {
        return Ok(Played::wrong(calm, "somebody is accused before anything goes wrong".to_owned()));
    }
    if calm_only {
        return Ok(Played { named_after: None, healthy_after: None, screen: calm, wrong: None });
    }
    let began = Instant::now();
    for trouble in &drill.trouble {
        servers.meet(trouble).await?;
        clients.meet(trouble);
        if let Trouble::Policy { text } = trouble {
            sidecar.write(text)?;
        }
    }
    let expect = &sidecar.expectation(&drill.expect)?;
    let (named_after, screen) = match sidecar.until(began, expect.within, |seen| seen.lacks(expect)).await? {
        (Some(after), screen) => (after, screen),
        (None, screen) => {
            let lacks = screen.lacks(expect).unwrap_or_default();
            return Ok(Played::wrong(screen, format!("after {} s {lacks}", expect.within.as_secs())));
        }
    };
    sleep(STAYS).await;
    let later = sidecar.look().await?;
    if let Some(lacks) = later.lacks(expect) {
        return Ok(Played::wrong(later, format!("it was named, and {} s later {lacks}", STAYS.as_secs())));
    }
    let Some(within) = expect.recovers else {
        return Ok(Played { named_after: Some(named_after), healthy_after: None, screen, wrong: None });
    };
    servers.heal().await?;
    clients.heal();
    if drill.trouble.iter().any(|trouble| matches!(trouble, Trouble::Policy { .. })) {
        sidecar.write(&drill.policy)?;
    }
    let over = Instant::now();
    let well = |seen: &Seen| (!seen.is_calm()).then(|| "somebody is accused".to_owned());
    match sidecar.until(over, within, well).await? {
        (Some(after), _) => {
            Ok(Played { named_after: Some(named_after), healthy_after: Some(after), screen, wrong: None })
        }
        (None, last) => {
            Ok(Played::wrong(last, format!("{} s after its end somebody is still accused", within.as_secs())))
        }
    }
}

/// A running sidecar, and the command line that asks it.
struct Sidecar {
    program: PathBuf,
    policy: PathBuf,
    addresses: BTreeMap<String, String>,
    process: Process,
}

impl Sidecar {
    fn start(drill: &Drill, servers: &Servers, program: &Path, folder: &Path) -> Result<Sidecar, String> {
        let mut addresses = servers.addresses();
        let free = free_addresses(3)?;
        for (name, address) in ["listen", "admin", "metrics"].into_iter().zip(free) {
            addresses.insert(name.to_owned(), address.to_string());
        }
        let name: String = drill.title.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let policy = folder.join("policy.yaml");
        write(&policy, &drill.policy, &mut addresses)?;
        let arguments: Vec<OsString> = vec!["run".into(), "--policy".into(), policy.clone().into()];
        let mut process = Process::start(program, &arguments, &folder, None)?;
        let metrics = addresses.get("metrics").and_then(|text| text.parse::<SocketAddr>().ok());
        process.wait_until_ready(metrics.ok_or("no address for metrics")?, "/readyz", None)?;
        Ok(Sidecar { program: program.to_owned(), policy, addresses, process })
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        write(&self.policy, text, &mut self.addresses)
    }

    /// With its addresses filled in.
    fn expectation(&mut self, expect: &Expect) -> Result<Expect, String> {
        let mut filled = expect.clone();
        for words in filled.says.iter_mut().chain(&mut filled.never_says) {
            *words = fill(words, &mut self.addresses, spare)?;
        }
        Ok(filled)
    }

    /// What an operator reads now.
    async fn look(&mut self) -> Result<Seen, String> {
        if let Some(ended) = self.process.ended() {
            return Err(ended);
        }
        let (json, text) = (self.ask(&["-o", "json", "status"]).await?, self.ask(&["status"]).await?);
        Seen::read(&json, &text)
    }

    async fn ask(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        command.args(["--addr", self.addresses.get("admin").map_or("", String::as_str)]).args(words);
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.map_err(|e| e.to_string())?.map_err(|e| format!("cannot run outrigger status: {e}"))?;
        // 1: somebody is accused.
        match output.status.code() {
            Some(0 | 1) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            _ => Err(format!("outrigger status: {}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Looks until nothing is lacking: after how long, and the last look.
    async fn until(
        &mut self,
        began: Instant,
        within: Duration,
        lacks: impl Fn(&Seen) -> Option<String>,
    ) -> Result<(Option<Duration>, Seen), String> {
        loop {
            let seen = self.look().await?;
            let after = began.elapsed();
            if lacks(&seen).is_none() {
                return Ok(((after <= within).then_some(after), seen));
            }
            if after > within {
                return Ok((None, seen));
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

fn write(path: &Path, text: &str, addresses: &mut BTreeMap<String, String>) -> Result<(), String> {
    let text = fill(text, addresses, spare)?;
    // Under another name first, as careful editors do: nobody must read half a policy.
    let part = path.with_extension("part");
    let written = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, path));
    written.map_err(|e| format!("{}: {e}", path.display()))
}

/// An address on which nothing listens.
fn spare() -> Result<String, String> {
    free_addresses(1)?.first().map(ToString::to_string).ok_or_else(|| "no free address".to_owned())
}
