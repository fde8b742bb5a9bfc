//! Live views of requests as they end. A tap that is read slowly loses lines; it never slows a request.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::told::Told;

/// Taps that may be open at once.
pub const TAPS_MAX: usize = 4;
/// Lines that wait for the reader of a tap.
pub const WAITING_MAX: usize = 256;
/// Lines per second and tap; what is beyond is counted as sampled out.
pub const RATE_MAX: u32 = 200;

/// Which requests a tap shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this upstream.
    pub upstream: Option<String>,
    /// Of this route; `UPSTREAM/ROUTE` or the route's name.
    pub route: Option<String>,
    /// Troubled ones only.
    pub errors: bool,
}

/// What a filter looks at, before anything is put together.
#[derive(Clone, Copy, Debug)]
pub struct Glimpse<'a> {
    /// Its upstream.
    pub upstream: Option<&'a str>,
    /// Its route.
    pub route: Option<&'a str>,
    /// It was not served well, or not at the first attempt.
    pub troubled: bool,
}

impl Filter {
    fn fits(&self, glimpse: &Glimpse<'_>) -> bool {
        let route = |wanted: &String| match wanted.split_once('/') {
            Some((upstream, route)) => glimpse.upstream == Some(upstream) && glimpse.route == Some(route),
            None => glimpse.route == Some(wanted),
        };
        (!self.errors || glimpse.troubled)
            && self.upstream.as_ref().is_none_or(|wanted| glimpse.upstream == Some(wanted))
            && self.route.as_ref().is_none_or(route)
    }
}

/// Lines that a tap did not show.
#[derive(Debug, Default)]
pub struct Lost {
    slow: AtomicU64,
    rate: AtomicU64,
}

impl Lost {
    /// Those lost because the reader was slow, and those above the rate; from now on they are told.
    pub fn take(&self) -> (u64, u64) {
        (self.slow.swap(0, Ordering::Relaxed), self.rate.swap(0, Ordering::Relaxed))
    }
}

struct Tap {
    number: u64,
    filter: Filter,
    door: mpsc::Sender<Arc<Told>>,
    lost: Arc<Lost>,
    /// The second that is being counted, and its lines so far.
    second: Option<Instant>,
    lines: u32,
}

impl Tap {
    fn within_rate(&mut self, now: Instant) -> bool {
        let over = self.second.is_none_or(|began| now.saturating_duration_since(began) >= Duration::from_secs(1));
        if over {
            (self.second, self.lines) = (Some(now), 0);
        }
        self.lines += 1;
        self.lines <= RATE_MAX
    }
}

#[derive(Default)]
struct Open {
    next: u64,
    taps: Vec<Tap>,
}

/// All taps. One per process.
#[derive(Default)]
pub struct Taps {
    /// As many as are open: all that a request reads while there are none.
    count: AtomicUsize,
    open: Mutex<Open>,
}

impl Taps {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody watches.
    pub fn watched(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Shows a request to the taps that want it. `tell` is asked once, and only then.
    pub fn show(&self, glimpse: &Glimpse<'_>, now: Instant, tell: impl FnOnce() -> Arc<Told>) {
        let mut open = self.open();
        let (mut tell, mut told) = (Some(tell), None);
        for tap in &mut open.taps {
            if !tap.filter.fits(glimpse) {
                continue;
            }
            if !tap.within_rate(now) {
                tap.lost.rate.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            // A line that finds no room is not even put together.
            let Ok(place) = tap.door.try_reserve() else {
                tap.lost.slow.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            if told.is_none() {
                told = tell.take().map(|tell| tell());
            }
            if let Some(told) = &told {
                place.send(Arc::clone(told));
            }
        }
    }

    /// Opens one. `None`: there are [`TAPS_MAX`].
    pub fn listen(self: &Arc<Self>, filter: Filter) -> Option<Listening> {
        let mut open = self.open();
        if open.taps.len() >= TAPS_MAX {
            return None;
        }
        let (door, lines) = mpsc::channel(WAITING_MAX);
        let (number, lost) = (open.next, Arc::<Lost>::default());
        open.next += 1;
        open.taps.push(Tap { number, filter, door, lost: Arc::clone(&lost), second: None, lines: 0 });
        self.count.store(open.taps.len(), Ordering::Relaxed);
        Some(Listening { taps: Arc::clone(self), number, lines, lost })
    }
}

/// An open tap. Closed when dropped.
pub struct Listening {
    taps: Arc<Taps>,
    number: u64,
    lines: mpsc::Receiver<Arc<Told>>,
    /// What it did not show.
    pub lost: Arc<Lost>,
}

impl Listening {
    /// The next request.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arc<Told>>> {
        self.lines.poll_recv(cx)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut open = self.taps.open();
        open.taps.retain(|tap| tap.number != self.number);
        self.taps.count.store(open.taps.len(), Ordering::Relaxed);
    }
}
