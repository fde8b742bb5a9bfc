//! Waiting for a moment more exactly than tokio's timers, which count whole milliseconds.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use tokio::io::unix::AsyncFd;

/// A timer of the system: some microseconds late, and nothing spins.
#[derive(Debug)]
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// No descriptor is left.
    #[expect(deprecated, reason = "about descriptors that are closed while registered; an OwnedFd is not")]
    pub fn new() -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Alarm(AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    /// Waits until `at`; not at all if it is past.
    ///
    /// # Errors
    /// The timer cannot be set.
    pub async fn until(&self, at: Instant) -> io::Result<()> {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: rustix::time::Timespec::default(),
            it_value: left.try_into().map_err(|_| io::ErrorKind::InvalidInput)?,
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut expirations = [0; 8];
            match ready.try_io(|fd| Ok(rustix::io::read(fd, &mut expirations)?)) {
                Ok(read) => return read.map(|_| ()),
                Err(_would_block) => {}
            }
        }
    }
}
