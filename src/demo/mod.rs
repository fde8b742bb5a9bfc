//! `outrigger demo`: a minute of scripted trouble, with and without Outrigger, in one process.
//!
//! Upstreams are real servers on loopback ([`crate::faults`]), the sidecar is the one that `outrigger run`
//! starts ([`crate::app`]), with a policy file in a temporary directory. Every arrival is sent twice at the
//! same moment: directly to an upstream, and through Outrigger. All numbers are measured in this run.

mod account;
mod overload;
mod page;
mod payment;
mod script;
mod sidecar;
mod stage;
mod status;
mod telling;
mod traffic;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::DemoArgs;
use crate::clock;
use page::{Page, Tone};
use script::Fleet;
use sidecar::Sidecar;
use stage::Stage;

/// Threads for both fleets and all clients.
const THREADS: usize = 2;

/// Runs the demo. Exit code 1 if Outrigger did not do what it owes, or could not be started.
pub fn run(args: DemoArgs) -> ExitCode {
    let mut page = Page::stdout();
    match play(args.seconds, &mut page) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(broken)) => {
            page.say(Tone::Bad, &format!("Outrigger did not do better where it must. {broken}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("outrigger demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The promise that was broken, if one was.
fn play(seconds: u16, page: &mut Page<io::Stdout>) -> Result<Option<String>, String> {
    let began = clock::now();
    let directory = Directory::create().map_err(|e| format!("cannot create a temporary directory: {e}"))?;
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).thread_name("demo").enable_all().build();
    let runtime = runtime.map_err(|e| format!("cannot start threads: {e}"))?;
    let fleets = runtime.block_on(async { Ok::<_, io::Error>((Fleet::start().await?, Fleet::start().await?)) });
    let (direct, behind) = fleets.map_err(|e| format!("cannot start the upstreams: {e}"))?;
    // It brings its own threads, and must be started and ended outside of ours.
    let sidecar = Sidecar::start(directory.path(), &behind, seconds)?;
    let mut stage = Stage::new(began, seconds, direct, behind, sidecar, page);
    let played = runtime.block_on(async {
        tokio::select! {
            played = stage.play() => played,
            stopped = asked_to_stop() => stopped.map(|()| false).map_err(|e| format!("cannot listen for signals: {e}")),
        }
    });
    // Clients go first: what they left behind must not hold the sidecar up.
    let (sidecar, mut broken) = stage.conclude();
    if played == Ok(true) {
        let paid = runtime.block_on(async {
            tokio::select! {
                paid = payment::play(directory.path(), page) => paid,
                _ = asked_to_stop() => Ok(None),
            }
        });
        broken = broken.or(paid?);
        let shed = runtime.block_on(async {
            tokio::select! {
                shed = overload::play(directory.path(), page) => shed,
                _ = asked_to_stop() => Ok(None),
            }
        });
        broken = broken.or(shed?);
        page.gap();
        runtime.block_on(final_status(&sidecar, page));
    }
    drop(runtime);
    let clean = sidecar.shutdown();
    page.say(
        Tone::Faint,
        if clean { "The sidecar has drained; nothing was cut." } else { "The sidecar was cut short." },
    );
    // Who stops early has not seen it break a promise: a phase cut short proves nothing.
    played.map(|complete| broken.filter(|_| complete))
}

/// The whole of `outrigger status`, after everything.
async fn final_status(sidecar: &Sidecar, page: &mut Page<io::Stdout>) {
    let said = status::ask(sidecar.admin()).await;
    page.say(Tone::Strong, "outrigger status, at the end:");
    for (index, line) in said.iter().enumerate() {
        if index < status::ANSWERS {
            page.say_hanging(Tone::Plain, &format!("  {line}"), 4);
        } else {
            page.verbatim(Tone::Plain, &format!("      {line}"));
        }
    }
    page.gap();
}

/// Ready at Ctrl-C or SIGTERM.
async fn asked_to_stop() -> io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// A directory that goes with this value.
struct Directory(PathBuf);

impl Directory {
    fn create() -> io::Result<Directory> {
        let name = format!("outrigger-demo-{:016x}", crate::random::bits128() as u64);
        let path = std::env::temp_dir().join(name);
        // Fails if it exists, so that nothing of somebody else's is removed at the end.
        std::fs::create_dir(&path)?;
        Ok(Directory(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nothing more can be done about it here, and the system clears its temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
