//! The end of the process: in which order its parts end, and how long each may take.
//!
//! What was acknowledged is brought to the disk first: after a grace period that the app has used up, Kubernetes kills
//! a native sidecar two seconds after its SIGTERM. Only then is traffic let go, and telemetry last.
//!
//! | on SIGTERM | native sidecar | plain container |
//! |---|---|---|
//! | the app | has ended | ends at the same time |
//! | outbound | nobody calls: over at once, or a second after the last connection | kept up until the app's connections are closed, or `drain.timeout` |
//! | inbound | the app's port refuses: over at once | accepts for `drain.delay`, then finishes |

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{App, Core, traces};
use crate::clock;
use crate::policy::journal::{ChangeKind, Entry};
use crate::policy::{Direction, Policy, Target};
use crate::telemetry::events::Event;

/// What is still unwritten at the end may take this long.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// An app that has called and has no connection open may call again within this time.
const QUIET: Duration = Duration::from_secs(1);
/// How often open connections are counted, and the app's port is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The end of `drain.timeout`, in which connections that are still open are closed in order; at most a quarter of it.
const CLOSING_MAX: Duration = Duration::from_secs(2);

/// How the end is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// SIGTERM: the app beside us may still be at work, and other Pods may still send it requests.
    Patient,
    /// Somebody who knows what runs here asked for it: finish what is in flight, and no more.
    Prompt,
}

impl App {
    /// Finishes what is in flight and ends. True = nothing was cut.
    pub fn shutdown(self) -> bool {
        self.end(Manner::Prompt, std::future::pending())
    }

    /// As [`App::shutdown`]; `forced` ends the waiting.
    pub(super) fn end(mut self, manner: Manner, forced: impl Future<Output = ()>) -> bool {
        let policy = Arc::clone(&self.store.snapshot().policy);
        self.core.draining.store(true, Ordering::Release);
        self.notifier.stopping();
        self.core.guard.retire();
        let in_flight = self.core.in_flight();
        let (mut aborted, mut hurried) = (0, false);
        let timeout_ms = u64::try_from(policy.drain.timeout.as_millis()).unwrap_or(u64::MAX);
        Event::Draining { in_flight, timeout_ms }.emit();
        // Before anything waits: these are what must not be lost if the grace period is short.
        let stop = Entry::by_itself(ChangeKind::Stop, None, String::new());
        self.store.record(Entry { effect: Vec::new(), ..stop });
        self.watcher = None;
        let core = Arc::clone(&self.core);
        let clean = self.control.block_on(async {
            let drained = async { tokio::join!(secure(&core), drain(&core, &policy, manner)).1 };
            let clean = tokio::select! {
                clean = drained => clean,
                () = forced => {
                    hurried = true;
                    false
                }
            };
            aborted = core.in_flight();
            core.tasks.end().await;
            secure(&core).await;
            clean
        });
        if let Some(news) = self.news.take() {
            news.close();
        }
        let patience = if hurried { Duration::ZERO } else { traces::FLUSH_LIMIT };
        let left = self.control.block_on(self.core.traces.close(patience));
        if left > 0 {
            let error = "the process ended before they were sent";
            Event::ExportFailed { endpoint: "", error, spans_lost: left as u64 }.emit();
        }
        Event::Stopped { aborted }.emit();
        self.core.telemetry.access_log.close(FLUSH_LIMIT);
        self.stop_control.cancel();
        self.data.shutdown_timeout(FLUSH_LIMIT);
        self.control.shutdown_timeout(FLUSH_LIMIT);
        clean
    }
}

/// Keys and dead letters that somebody was told of go to the disk.
async fn secure(core: &Core) {
    if !core.stores.secure().await {
        let reason = "what was acknowledged last may not be on the disk yet; it is safe from the end of this process";
        Event::StoreDegraded { store: "embedded", reason }.emit();
    }
}

/// Lets go of traffic. True = all of it ended by itself.
async fn drain(core: &Core, policy: &Policy, manner: Manner) -> bool {
    core.listeners.stop_early();
    let patient = manner == Manner::Patient;
    let app_gone = patient && core.listeners.accepts(Direction::Inbound) && linger_inbound(policy).await;
    core.listeners.stop(Direction::Inbound);
    let until = clock::now() + policy.drain.timeout;
    if patient {
        let closing = CLOSING_MAX.min(policy.drain.timeout / 4);
        let quiet = if app_gone { Duration::ZERO } else { QUIET };
        let patience = policy.drain.timeout.saturating_sub(closing);
        // Beyond that, connections are closed after their next answer.
        let _ = tokio::time::timeout(patience, deserted(core, quiet)).await;
    }
    core.tasks.finish(until.saturating_duration_since(clock::now())).await
}

/// Endpoints of other pods learn late that this one goes: keep accepting for `drain.delay`, unless the app behind us has
/// gone already, which is returned.
async fn linger_inbound(policy: &Policy) -> bool {
    let Some(app) = policy.upstreams.iter().find(|u| u.direction == Direction::Inbound) else { return false };
    let Target::Fixed(fixed) = &app.target else { return false };
    let until = clock::now() + policy.drain.delay;
    while clock::now() < until {
        if let Some(endpoint) = fixed.first()
            && tokio::net::TcpStream::connect(endpoint.addr).await.is_err()
        {
            return true;
        }
        tokio::time::sleep(LOOK_EVERY * 4).await;
    }
    false
}

/// Ready when no caller is connected any more, and the app beside us has had no connection for `quiet`. An app that has
/// never called is not waited for. While a caller is served, the app may need its dependencies to do so.
async fn deserted(core: &Core, quiet: Duration) {
    let mut seen = 0;
    let mut since = clock::now();
    loop {
        let (open, ever) = core.listeners.of_the_app();
        let called = std::mem::replace(&mut seen, ever) != ever;
        if open > 0 || called || core.listeners.open(Direction::Inbound) > 0 {
            since = clock::now();
        }
        let over = ever == 0 || clock::now().saturating_duration_since(since) >= quiet;
        if over && open == 0 && core.listeners.open(Direction::Inbound) == 0 {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
