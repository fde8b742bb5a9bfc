//! A thread on a core of its own, which can tell its CPU time.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

/// A thread that runs one body with a tokio runtime of its own.
#[derive(Debug)]
pub struct Thread<T> {
    name: &'static str,
    handle: JoinHandle<Option<T>>,
}

impl<T: Send + 'static> Thread<T> {
    /// Starts it, pinned to `core` if one is given.
    ///
    /// # Errors
    /// No thread, no runtime, or no such core.
    pub fn start(
        name: &'static str,
        core: Option<u32>,
        body: impl FnOnce(&Runtime) -> T + Send + 'static,
    ) -> Result<Thread<T>, String> {
        let (tell, told) = mpsc::channel();
        let run = move || {
            let runtime = pin(core).and_then(|()| {
                Builder::new_current_thread().enable_all().build().map_err(|e| format!("no runtime: {e}"))
            });
            // The starter waits for this word.
            let _ = tell.send(runtime.as_ref().map(|_| ()).map_err(String::clone));
            runtime.ok().map(|runtime| body(&runtime))
        };
        let handle = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        let handle = handle.map_err(|e| format!("cannot start the {name} thread: {e}"))?;
        told.recv().map_err(|_| format!("the {name} thread ended at its start"))??;
        Ok(Thread { name, handle })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It panicked.
    pub fn join(self) -> Result<T, String> {
        self.handle.join().ok().flatten().ok_or_else(|| format!("the {} thread failed", self.name))
    }
}

fn pin(core: Option<u32>) -> Result<(), String> {
    let Some(core) = core else { return Ok(()) };
    let mut set = CpuSet::new();
    if core as usize >= CpuSet::MAX_CPU {
        return Err(format!("there is no core {core}"));
    }
    set.set(core as usize);
    sched_setaffinity(None, &set).map_err(|e| format!("cannot run on core {core}: {e}"))
}

/// CPU time that the calling thread has used.
pub fn cpu_time() -> Duration {
    // The kernel gives no negative time.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
