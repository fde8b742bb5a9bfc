//! Where tests make the disk fail. The program has nothing of it.

#[cfg(test)]
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(not(test))]
#[derive(Default)]
pub(super) struct Trips;

#[cfg(not(test))]
impl Trips {
    /// Fails if a test has said so.
    pub const fn pass(&self) -> rusqlite::Result<()> {
        Ok(())
    }
}

/// So many of the next writes fail as if the disk did.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Trips(pub AtomicUsize);

#[cfg(test)]
impl Trips {
    /// Fails if a test has said so.
    pub fn pass(&self) -> rusqlite::Result<()> {
        let one_less = |left: usize| left.checked_sub(1);
        match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR), None)),
            Err(_) => Ok(()),
        }
    }
}
