//! The store beside this process: one SQLite file, one thread that writes it, and an index in memory.
//!
//! The index is the truth while the process runs, and decides every command by the pure machine; it also knows where
//! each record is in the file, whose rows are written one behind the other. A claim never touches
//! the disk: a crash there has sent nothing. What must outlive a crash (SENT, and everything after it) goes through
//! the writer, which decides when its turn has come, and is acknowledged after the commit. While the writer has a
//! command of some key in hand, every other command of that key queues up behind it; so nobody is told of a change
//! that may still be taken back.

mod batch;
mod deliveries;
mod error;
mod file;
mod index;
mod letters;
mod load;
mod rows;
mod settings;
mod shared;
mod step;
mod sweep;
mod time;
mod trips;
mod writer;

use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

pub use self::error::OpenError;
pub use self::settings::{EmbeddedSettings, Opened, Orphan};
pub use self::time::{Clock, Moment, system_clock};

use self::batch::Ask;
use self::deliveries::Deliveries;
use self::index::{Live, alive};
use self::letters::{Asked, Desk};
use self::shared::{Shared, closed};
use self::step::{Effect, Pinning, Step};
use self::time::Timekeeper;
use self::writer::{Order, Writer};
use super::store::{Answered, Command, Pending, Shown, Store, StoreError};
use crate::dead_letters::letter::{
    Audited, Bounds, Change, Deed, Filter, Letter, LetterId, NewLetter, Refusal, Sealed, Tally,
};
use crate::random;
use crate::reliability::idempotency::{Millis, RecordId};

/// How long closing waits for the writer.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Letters that a part of an id may name; more than one is an ambiguity.
const FOUND_MAX: usize = 5;

/// Jobs of replays that are remembered.
const JOBS_MAX: i64 = 200;

/// A full store looks for expired records at most this often, in ms.
const SEARCH_EVERY: Millis = 200;

/// Records in one file. Closes itself when it is dropped.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    orders: SyncSender<Order>,
    secret: [u8; 32],
    thread: Mutex<Option<(JoinHandle<()>, Receiver<()>)>>,
}

/// What is known at once.
enum Started<T> {
    Now(Result<T, StoreError>),
    Later(oneshot::Receiver<Result<T, StoreError>>),
    /// There is no room, unless something has expired.
    Crowded(Command),
}

impl EmbeddedStore {
    /// Opens the file, or makes it, and starts the writer. Reads and waits: not for a thread that carries traffic.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(settings: &EmbeddedSettings) -> Result<(EmbeddedStore, Opened), OpenError> {
        let lock = file::own(&settings.path)?;
        let time = Timekeeper::new(Arc::clone(&settings.clock));
        let found = load::open(settings, time.now())?;
        let deliveries = Deliveries::new(settings.runtime.as_ref());
        let shared = Arc::new(Shared::new(
            found.index,
            time,
            deliveries,
            settings.records_max,
            found.amnesia_until,
            settings.letters,
        ));
        shared.set_full(found.full);
        let (orders, queue) = mpsc::sync_channel(settings.queue_max);
        let (ends, finished) = mpsc::channel();
        let boot = random::bits128().to_be_bytes();
        let writer = Writer { shared: Arc::clone(&shared), settings: settings.clone(), orders: queue, boot, lock };
        let thread = thread::Builder::new().name("idempotency".to_owned()).spawn(move || {
            writer.run(found.connection, found.expired);
            drop::<mpsc::Sender<()>>(ends);
        });
        let thread = thread.map_err(|error| OpenError::Unusable { path: settings.path.clone(), error })?;
        let thread = Mutex::new(Some((thread, finished)));
        Ok((EmbeddedStore { shared, orders, secret: found.secret, thread }, found.opened))
    }

    /// Records, those included that have expired and were not swept yet.
    pub fn records(&self) -> usize {
        self.shared.index.len()
    }

    /// Does what is queued, and closes the file; commands after that are refused. Waits for it, within a bound. Does
    /// nothing the second time.
    pub fn close(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // If there is no room for it, the writer is awake anyway.
        let _ = self.orders.try_send(Order::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((thread, finished)) = thread else { return };
        match finished.recv_timeout(CLOSE_MAX) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                tracing::warn!("the store of idempotency records is still writing; the next start reads its log");
            }
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => drop(thread.join()),
        }
    }

    /// Commits what is queued, copies the log into the file and asks the disk for both. Whoever was told of a change by
    /// then keeps it even if the machine loses power. False: it could not be had, or the store is closed.
    pub async fn secure(&self) -> bool {
        let (done, waits) = oneshot::channel();
        self.orders.try_send(Order::Secure(done)).is_ok() && waits.await.is_ok()
    }

    fn start(&self, command: Command) -> Started<Answered> {
        if let Some(error) = self.shared.refusal() {
            return Started::Now(Err(error));
        }
        let now = self.shared.time.now();
        self.shared.index.with(command.id, |live| {
            // With a letter there is always something to write.
            if live.pending == 0 && command.letter.is_none() {
                let step = Step::of(live, &command.op, now, Pinning::Keep);
                if step.fresh {
                    match self.shared.room_for_one(now) {
                        Ok(true) => {}
                        Ok(false) => return Started::Crowded(command),
                        Err(error) => return Started::Now(Err(error)),
                    }
                }
                if step.effect == Effect::Nothing {
                    step.take_place(live, command.route);
                    return Started::Now(Ok(Answered::from(step.reply)));
                }
            }
            let (reply, answered) = oneshot::channel();
            self.hand_over(live, Ask::Apply(command, reply), answered)
        })
    }

    fn start_show(&self, id: RecordId) -> Started<Option<Shown>> {
        if let Some(error) = self.shared.refusal() {
            return Started::Now(Err(error));
        }
        let now = self.shared.time.now();
        self.shared.index.with(id, |live| {
            if live.pending == 0 && live.record.and_then(|record| alive(record, now)).is_none() {
                return Started::Now(Ok(None));
            }
            let (reply, shown) = oneshot::channel();
            self.hand_over(live, Ask::Show(id, reply), shown)
        })
    }

    /// Queues it for the writer. Called with the key locked, so that the order in the queue is the order of events.
    fn hand_over<T>(
        &self,
        live: &mut Live,
        ask: Ask,
        answered: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Started<T> {
        match self.orders.try_send(Order::Ask(ask)) {
            Ok(()) => {
                live.pending += 1;
                Started::Later(answered)
            }
            Err(TrySendError::Full(_)) => Started::Now(Err(StoreError::Busy)),
            Err(TrySendError::Disconnected(_)) => Started::Now(Err(closed())),
        }
    }

    /// Looks for expired records, unless that was done just now.
    async fn search(&self) {
        let (now, last) = (self.shared.time.now(), self.shared.searched.load(Ordering::Relaxed));
        let due = now.saturating_sub(last) >= SEARCH_EVERY;
        let relaxed = Ordering::Relaxed;
        if !due || self.shared.searched.compare_exchange(last, now, relaxed, relaxed).is_err() {
            return;
        }
        let (done, waits) = oneshot::channel();
        if self.orders.try_send(Order::Sweep(done)).is_ok() {
            // An error means that the writer has gone, which the next command will say.
            let _ = waits.await;
        }
    }
}

/// Dead letters.
impl EmbeddedStore {
    /// Keeps a letter of a request whose key has no record here.
    ///
    /// # Errors
    /// [`StoreError`]; inside, the bound that is reached.
    pub async fn keep_letter(&self, letter: NewLetter) -> Result<Result<LetterId, Refusal>, StoreError> {
        self.errand(move |desk| desk.keep(&letter)).await
    }

    /// The letter of this key that is not closed, if there is one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn letter_of(&self, record: RecordId) -> Result<Option<LetterId>, StoreError> {
        self.errand(move |desk| desk.letter_of(record)).await
    }

    /// There is an answer for this key, whose record is elsewhere: closes its letters, and says how many.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn supersede(&self, record: RecordId) -> Result<usize, StoreError> {
        self.errand(move |desk| desk.supersede(record)).await
    }

    /// Letters in the order of their age, behind `after`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn letters(
        &self,
        filter: Filter,
        after: Option<LetterId>,
        limit: usize,
    ) -> Result<Vec<Letter>, StoreError> {
        self.errand(move |desk| desk.list(&filter, after, limit)).await
    }

    /// Letters older than `before`, newest first, and how many match in all.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn newest_letters(
        &self,
        filter: Filter,
        before: Option<LetterId>,
        limit: usize,
    ) -> Result<(Vec<Letter>, u64), StoreError> {
        self.errand(move |desk| desk.newest(&filter, before, limit)).await
    }

    /// Letters whose id begins or ends with these hex digits, a handful at most.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn find_letters(&self, digits: String) -> Result<Vec<LetterId>, StoreError> {
        self.errand(move |desk| desk.find(&digits, FOUND_MAX)).await
    }

    /// Closes all open letters that match as dropped, if there are as many as `expected`; none otherwise. Returns how
    /// many there are.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn drop_letters(&self, filter: Filter, expected: u64, deed: Deed) -> Result<u64, StoreError> {
        let note = format!("dropped by {}: {}", deed.actor, deed.reason);
        self.errand(move |desk| desk.drop_all(&filter, expected, &note, &deed)).await
    }

    /// What a replay of this letter needs, if it was kept.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn sealed(&self, id: LetterId) -> Result<Option<Sealed>, StoreError> {
        self.errand(move |desk| desk.sealed(id)).await
    }

    /// How many letters there are of each kind.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn tallies(&self) -> Result<Vec<Tally>, StoreError> {
        self.errand(|desk| desk.tallies()).await
    }

    /// Changes a letter if it is still the one that was `seen` (its version), and writes down who did it, in one
    /// transaction. Returns it as it is afterwards.
    ///
    /// # Errors
    /// [`StoreError`]; inside, why it was not changed.
    pub async fn change_letter(
        &self,
        id: LetterId,
        seen: Option<u64>,
        (change, note): (Change, String),
        deed: Option<Deed>,
    ) -> Result<Result<Letter, Refusal>, StoreError> {
        self.errand(move |desk| desk.change(id, seen, (&change, &note), deed.as_ref())).await
    }

    /// Writes down who did something that changes no letter.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn audit(&self, letter: Option<LetterId>, deed: Deed) -> Result<(), StoreError> {
        self.errand(move |desk| desk.audit(letter, &deed)).await
    }

    /// The last rows of the audit, newest first; before `before` if that is given.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn audited(&self, before: Option<u64>, limit: usize) -> Result<Vec<Audited>, StoreError> {
        self.errand(move |desk| desk.audited(before, limit)).await
    }

    /// Keeps a job of replays, as its owner writes it; the last [`JOBS_MAX`] are remembered.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn save_job(&self, id: LetterId, job: String) -> Result<(), StoreError> {
        self.errand(move |desk| desk.save_job(id, &job, JOBS_MAX)).await
    }

    /// All jobs that are remembered, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn jobs(&self) -> Result<Vec<(LetterId, String)>, StoreError> {
        self.errand(|desk| desk.jobs()).await
    }

    /// The bounds of the letters.
    pub fn letter_bounds(&self) -> Bounds {
        self.shared.bounds()
    }

    /// Other bounds from now on. What is kept already stays.
    pub fn set_letter_bounds(&self, bounds: Bounds) {
        self.shared.set_bounds(bounds);
    }

    async fn errand<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Desk<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        if let Some(error) = self.shared.refusal() {
            return Err(error);
        }
        let (reply, told) = oneshot::channel();
        match self.orders.try_send(Order::Errand(Box::new(Asked::new(work, reply)))) {
            Ok(()) => told.await.unwrap_or_else(|_| Err(closed())),
            Err(TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(closed()),
        }
    }
}

impl Store for EmbeddedStore {
    fn secret(&self) -> Pending<'_, [u8; 32]> {
        // Made with the file, and lost with it.
        Box::pin(std::future::ready(Ok(self.secret)))
    }

    fn apply(&self, command: Command) -> Pending<'_, Answered> {
        Box::pin(async move {
            let started = match self.start(command) {
                Started::Crowded(command) => {
                    self.search().await;
                    self.start(command)
                }
                started => started,
            };
            started.ended().await
        })
    }

    fn show(&self, id: RecordId) -> Pending<'_, Option<Shown>> {
        Box::pin(async move { self.start_show(id).ended().await })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T> Started<T> {
    async fn ended(self) -> Result<T, StoreError> {
        match self {
            Started::Now(result) => result,
            Started::Later(answered) => answered.await.unwrap_or_else(|_| Err(closed())),
            Started::Crowded(_) => Err(StoreError::Full),
        }
    }
}

#[cfg(test)]
mod tests;
