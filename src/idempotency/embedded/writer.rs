//! The one thread that reads and writes the file.
//!
//! Commands that concern the file come in order. What has queued up meanwhile is one transaction, and is acknowledged
//! when that is committed; so a slow disk makes batches larger, and a fast one costs nobody a wait.

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::batch::{Ask, Batch, Broken, Suspect, is_full};
use super::file::{self, Trouble};
use super::letters::{Desk, Errand};
use super::rows::{Placed, Rows, checkpoint};
use super::sweep::{Stale, Sweeper};
use super::{EmbeddedSettings, Shared};
use crate::clock;
use crate::idempotency::store::StoreError;
use crate::reliability::idempotency::{Record, State};

/// Commands in one transaction.
const BATCH_MAX: usize = 256;

/// Between two looks for expired records.
const SWEEP_EVERY: Duration = Duration::from_secs(2);

/// Pages in the log from which on it is copied into the file.
const CHECKPOINT_PAGES: usize = 1000;

/// After an error of the disk, the file is opened again, ever more patiently.
const REOPEN_FIRST: Duration = Duration::from_millis(100);
const REOPEN_LAST: Duration = Duration::from_secs(10);

/// What the writer is asked for.
pub(super) enum Order {
    Ask(Ask),
    /// Something about letters.
    Errand(Box<dyn Errand>),
    /// There is no room: look for expired records at once.
    Sweep(oneshot::Sender<()>),
    /// Bring what was acknowledged to the disk: the process may be about to end.
    Secure(oneshot::Sender<()>),
    /// Nothing more will come.
    Close,
}

/// What has queued up.
#[derive(Default)]
struct Gathered {
    batch: Batch,
    errands: Vec<Box<dyn Errand>>,
    sweeps: Vec<oneshot::Sender<()>>,
    secured: Vec<oneshot::Sender<()>>,
}

/// The thread's own.
pub(super) struct Writer {
    pub shared: Arc<Shared>,
    pub settings: EmbeddedSettings,
    pub orders: Receiver<Order>,
    pub boot: [u8; 16],
    /// Released when everything else is done.
    pub lock: File,
}

impl Writer {
    /// Works until the store is closed. `expired`: rows that a start has left to the sweeper.
    pub fn run(self, mut connection: Connection, expired: Stale) {
        let mut sweeper = Sweeper::new(clock::now() + SWEEP_EVERY, expired);
        loop {
            let Err(broken) = self.serve(&connection, &mut sweeper) else { break };
            self.shared.fall(format!("writing failed ({}); the file will be opened again", broken.error));
            tracing::error!(error = %broken.error, "the store of idempotency records failed and refuses all commands");
            drop(connection);
            let Some(reopened) = self.reopen(&broken.suspects) else { return };
            connection = reopened;
            self.shared.rise();
            tracing::info!("the store of idempotency records works again");
        }
        // An empty log makes the next start faster; without it that start reads the log.
        if let Err(error) = checkpoint(&connection, "TRUNCATE") {
            tracing::warn!(%error, "the log of the idempotency records could not be emptied");
        }
        drop(connection);
        drop(self.lock);
    }

    fn serve(&self, connection: &Connection, sweeper: &mut Sweeper) -> Result<(), Broken> {
        let mut rows = Rows::prepare(connection, self.boot)?;
        self.measure(&mut rows)?;
        let mut crowd = false;
        loop {
            let first = match self.orders.recv_timeout(sweeper.next.saturating_duration_since(clock::now())) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            if crowd {
                // Whoever shares this core has more to say in a moment.
                thread::yield_now();
            }
            let Gathered { mut batch, errands, sweeps, secured } = self.gather(first);
            crowd = batch.len() > 1;
            if !batch.is_empty() {
                batch.run(&self.shared, &mut rows)?;
                self.measure(&mut rows)?;
            }
            for errand in errands {
                self.go(errand, &mut rows)?;
            }
            if !sweeps.is_empty() {
                sweeper.everything(&self.shared, &mut rows)?;
                self.measure(&mut rows)?;
            }
            for done in sweeps {
                // Who waits looks again at once; who has gone does not need to know.
                let _ = done.send(());
            }
            if sweeper.next <= clock::now() {
                sweeper.one_pass(&self.shared, &mut rows, clock::now() + SWEEP_EVERY)?;
                self.measure(&mut rows)?;
            }
            rows.checkpoint(if secured.is_empty() { CHECKPOINT_PAGES } else { 0 })?;
            for done in secured {
                // Who waits no longer has been told by a timeout.
                let _ = done.send(());
            }
            if self.shared.is_closing() {
                return self.rest(&mut rows);
            }
        }
    }

    /// One transaction's worth of commands.
    fn gather(&self, first: Option<Order>) -> Gathered {
        let Gathered { mut batch, mut errands, mut sweeps, mut secured } = Gathered::default();
        let mut next = first;
        while let Some(order) = next {
            match order {
                Order::Ask(ask) => batch.push(ask),
                Order::Errand(errand) => errands.push(errand),
                Order::Sweep(done) => sweeps.push(done),
                Order::Secure(done) => secured.push(done),
                Order::Close => {}
            }
            next = if batch.len() < BATCH_MAX { self.orders.try_recv().ok() } else { None };
        }
        Gathered { batch, errands, sweeps, secured }
    }

    /// One errand, in a transaction of its own: an order of an operator must not suffer for a request, nor the other way
    /// round.
    fn go(&self, mut errand: Box<dyn Errand>, rows: &mut Rows<'_>) -> Result<(), Broken> {
        match Desk::serve(&self.shared, rows, &mut *errand) {
            Ok(()) => errand.tell(None),
            Err(error) => {
                rows.abandon();
                if !is_full(&error) {
                    errand.tell(Some(StoreError::Unavailable(error.to_string())));
                    return Err(Broken::from(error));
                }
                errand.tell(Some(StoreError::Full));
            }
        }
        Ok(())
    }

    /// What is still queued when the store closes.
    fn rest(&self, rows: &mut Rows<'_>) -> Result<(), Broken> {
        while let Ok(order) = self.orders.try_recv() {
            let mut gathered = self.gather(Some(order));
            gathered.batch.run(&self.shared, rows)?;
            for errand in gathered.errands {
                self.go(errand, rows)?;
            }
        }
        Ok(())
    }

    fn measure(&self, rows: &mut Rows<'_>) -> Result<(), Broken> {
        self.shared.set_full(rows.fill(file::full_pages(self.settings.bytes_max))?);
        Ok(())
    }

    /// Tries until the file can be opened, is whole, and says of `suspects` what the index says. Meanwhile nobody
    /// waits. `None`: the store was closed.
    fn reopen(&self, suspects: &[Suspect]) -> Option<Connection> {
        let mut pause = REOPEN_FIRST;
        loop {
            if !self.refuse_until(clock::now() + pause) {
                return None;
            }
            match self.verified(suspects) {
                Ok(connection) => return Some(connection),
                Err(why) => self.shared.fall(format!("its file cannot be opened again ({why})")),
            }
            pause = (pause * 2).min(REOPEN_LAST);
        }
    }

    /// Returns `false` when the store was closed.
    fn refuse_until(&self, until: Instant) -> bool {
        loop {
            if self.shared.is_closing() && matches!(self.orders.try_recv(), Err(TryRecvError::Empty)) {
                return false;
            }
            match self.orders.recv_timeout(until.saturating_duration_since(clock::now())) {
                Ok(Order::Ask(ask)) => {
                    let why = self.shared.refusal();
                    ask.refuse(&self.shared, why.unwrap_or_else(|| StoreError::Unavailable("it failed".to_owned())));
                }
                Ok(Order::Errand(errand)) => {
                    let why = self.shared.refusal();
                    errand.tell(Some(why.unwrap_or_else(|| StoreError::Unavailable("it failed".to_owned()))));
                }
                Ok(Order::Sweep(done) | Order::Secure(done)) => drop(done),
                Ok(Order::Close) => {}
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn verified(&self, suspects: &[Suspect]) -> Result<Connection, String> {
        self.shared.trips.pass().map_err(|error| error.to_string())?;
        let connection = file::connect(&self.settings).map_err(|trouble| match trouble {
            Trouble::Damaged(why) => format!("it is damaged: {why}"),
            Trouble::Refused(error) => error.to_string(),
        })?;
        // What was in the log goes to the file again: an error of the disk may have lost what it seemed to have kept.
        checkpoint(&connection, "TRUNCATE").map_err(|error| error.to_string())?;
        let mut rows = Rows::prepare(&connection, self.boot).map_err(|error| error.to_string())?;
        self.repair(&mut rows, suspects).map_err(|error| error.to_string())?;
        drop(rows);
        Ok(connection)
    }

    /// A commit that failed may have been written or not. The index says what holds.
    fn repair(&self, rows: &mut Rows<'_>, suspects: &[Suspect]) -> rusqlite::Result<()> {
        let now = self.shared.time.now();
        rows.begin()?;
        for (id, written) in suspects.iter().copied() {
            let live = self.shared.index.with(id, |live| live.clone());
            let kept = live.row.filter(|_| live.on_disk);
            for row in [written, live.row].into_iter().flatten().filter(|row| Some(*row) != kept) {
                rows.delete(row, id)?;
            }
            let (Some(row), Some(record)) = (kept, live.record) else { continue };
            let placed = Placed { row, id, record: &as_written(record), answer: None };
            if !rows.change(placed, now)? {
                // Not into a place that may be another's.
                let row = rows.fresh();
                self.shared.index.with(id, |live| live.row = Some(row));
                rows.put(Placed { row, ..placed }, live.route.as_deref(), now)?;
            }
        }
        rows.commit().map(|_| ())
    }
}

/// What the row of a claimed record says: it was free to be claimed.
fn as_written(record: Record) -> Record {
    let state = if record.state == State::Claimed { State::Retryable } else { record.state };
    Record { state, ..record }
}
