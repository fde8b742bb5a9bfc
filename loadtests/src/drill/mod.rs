//! Drills: a real sidecar, real traffic, one fault; and the first lines of `outrigger status` must name it in time.
//!
//! [`script`] is what a drill's file says, [`cast`] the servers and clients that play it, [`play`] the order of events,
//! and [`judge`] what must be read on the screen.

#![expect(clippy::disallowed_methods, reason = "a drill lives outside of the proxy: its own clock and tasks")]

mod cast;
mod judge;
mod play;
mod script;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use script::Drill;

use crate::arms::Place;
use play::{Played, Seen};

/// Threads for the servers and clients of all drills.
const THREADS: usize = 2;

/// Plays the drills, `at_once` at a time, and tells of each as it ends. True = all were read in time.
///
/// # Errors
/// The sidecar's program is not there, or something of the machine.
pub fn run(drills: Vec<Drill>, program: &Path, at_once: usize, calm_only: bool) -> Result<bool, String> {
    let place = Arc::new(Place::new(None)?);
    crate::arms::on_interrupt(place.folder.clone())?;
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let runtime = runtime.map_err(|e| format!("cannot start threads: {e}"))?;
    let count = drills.len();
    let results = runtime.block_on(async {
        let slots = Arc::new(Semaphore::new(at_once.max(1)));
        let mut plays = JoinSet::new();
        for (index, drill) in drills.into_iter().enumerate() {
            let (slots, place, program) = (Arc::clone(&slots), Arc::clone(&place), program.to_owned());
            plays.spawn(async move {
                // Never closed: an error would only let one more begin.
                let _slot = slots.acquire_owned().await;
                let played = play::play(&drill, &program, &place.folder, calm_only).await;
                (index, drill, played)
            });
        }
        let mut passed = 0;
        while let Some(ended) = plays.join_next().await {
            let (_, drill, played) = ended.map_err(|e| format!("a drill broke off: {e}"))?;
            passed += usize::from(tell(&drill, &played).map_err(|e| format!("standard output: {e}"))?);
        }
        Ok::<usize, String>(passed)
    })?;
    let mut out = io::stdout().lock();
    writeln!(out, "\n{results} of {count} drills passed").map_err(|e| format!("standard output: {e}"))?;
    Ok(results == count)
}

/// One drill's account. True = it passed.
fn tell(drill: &Drill, played: &Result<Played, String>) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match played {
        Ok(Played { named_after, healthy_after, screen, wrong: None }) => {
            let named = named_after.map_or_else(String::new, |after| format!(", named after {}", seconds(after)));
            let healthy =
                healthy_after.map_or_else(String::new, |after| format!(", healthy again after {}", seconds(after)));
            writeln!(out, "\nok    {}{named}{healthy}", drill.title)?;
            show(&mut out, screen)?;
            Ok(true)
        }
        Ok(Played { screen, wrong: Some(wrong), .. }) => {
            writeln!(out, "\nWRONG {}: {wrong}", drill.title)?;
            show(&mut out, screen)?;
            Ok(false)
        }
        Err(reason) => {
            writeln!(out, "\nWRONG {}: could not be played: {reason}", drill.title)?;
            Ok(false)
        }
    }
}

fn show(out: &mut impl Write, screen: &Seen) -> io::Result<()> {
    for line in &screen.first_lines {
        writeln!(out, "      | {line}")?;
    }
    Ok(())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
