//! Tasks that shutdown waits for. Spawning anywhere else on the data plane is denied by lint.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Every task of the data plane, and the two signals that end them.
///
/// * `stop`: finish what is in flight, begin nothing new.
/// * `force`: end now.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: Stop,
    force: CancellationToken,
}

/// The signal to finish. Children are stopped with their parent, not the other way round.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    token: CancellationToken,
    /// Read on every poll of a connection; the token itself would take a lock.
    stopped: Arc<AtomicBool>,
    parent: Option<Arc<AtomicBool>>,
}

impl Stop {
    /// A signal that also fires when this one does.
    pub fn child(&self) -> Stop {
        Stop { token: self.token.child_token(), stopped: Arc::default(), parent: Some(Arc::clone(&self.stopped)) }
    }

    /// Fires the signal. Idempotent.
    pub fn cancel(&self) {
        self.stopped.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Whether the signal fired. Two relaxed loads.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.stopped.load(Ordering::Acquire) || self.parent.as_ref().is_some_and(|p| p.load(Ordering::Acquire))
    }

    /// Ready once the signal fired.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// As [`Stop::cancelled`], without a borrow.
    pub fn cancelled_owned(&self) -> tokio_util::sync::WaitForCancellationFutureOwned {
        self.token.clone().cancelled_owned()
    }
}

impl Tasks {
    /// Runs `future` as a task that shutdown waits for; it is dropped when `force` fires.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let force = self.force.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                biased;
                () = future => {}
                () = force.cancelled() => {}
            }
        })
    }

    /// As [`Tasks::spawn`] for a future that polls `force` itself (connections, which are polled per request).
    pub fn spawn_plain<F>(&self, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(future)
    }

    /// The signal to finish.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The signal to end at once.
    pub fn force(&self) -> &CancellationToken {
        &self.force
    }

    /// Fires `stop` and waits until every task has ended, at most `limit`. Returns whether they have.
    pub async fn finish(&self, limit: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }

    /// Fires `force`. Forced tasks end at their next poll; a second is ample and bounds the exit.
    pub async fn end(&self) {
        self.force.cancel();
        self.tracker.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.tracker.wait()).await;
    }
}

/// What hyper spawns, shutdown waits for, too.
impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}
