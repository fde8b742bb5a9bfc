//! Connections of one endpoint: how many are open, and which are idle.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::h1::Link;

/// Bounds of a pool, from the policy. They may change with every reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Open connections, idle ones included.
    pub connections_max: u32,
    /// Idle connections kept.
    pub idle_max: u32,
    /// An idle connection older than this is closed.
    pub idle_timeout: Duration,
}

/// Keep-alive connections of one endpoint, last in first out: the warmest is used again first, the rest can age.
#[derive(Debug, Default)]
pub struct Pool {
    idle: Mutex<Vec<Link>>,
    open: AtomicU32,
    /// No connection is kept any more: the endpoint was removed.
    retired: std::sync::atomic::AtomicBool,
}

/// One place among the open connections; given back when dropped.
#[derive(Debug)]
pub struct Opening(Arc<Pool>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Opening {
    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.0
    }
}

impl Pool {
    /// The warmest idle connection that is still usable. Unusable and aged ones are closed on the way.
    pub fn checkout(&self, now: Instant, limits: &PoolLimits) -> Option<Link> {
        loop {
            // The lock is not held while a connection is probed or closed.
            let mut link = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if now.saturating_duration_since(link.idle_since()) < limits.idle_timeout && link.usable() {
                return Some(link);
            }
        }
    }

    /// A place for a new connection, or `None` at the bound.
    pub fn open(self: &Arc<Self>, limits: &PoolLimits) -> Option<Opening> {
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| (n < limits.connections_max).then_some(n + 1))
            .ok()
            .map(|_| Opening(Arc::clone(self)))
    }

    /// Takes a connection back whose exchange ended cleanly. Beyond the bound it is closed.
    pub(super) fn give_back(&self, link: Link, idle_max: u32) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: a retired pool that kept a connection would keep itself alive with it.
        if !self.retired.load(Ordering::Acquire) && idle.len() < idle_max as usize {
            idle.push(link);
        }
    }

    /// Closes idle connections that aged or that the peer closed; frees the buffers of the others.
    pub fn sweep(&self, now: Instant, limits: &PoolLimits) {
        let mut idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        idle.retain_mut(|l| {
            // What has been idle for a while needs no buffers.
            l.shrink();
            now.saturating_duration_since(l.idle_since()) < limits.idle_timeout && l.usable()
        });
        let mut current = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if self.retired.load(Ordering::Acquire) {
            return;
        }
        // What came back meanwhile is warmer; beyond the bound the coldest go.
        idle.append(&mut current);
        let excess = idle.len().saturating_sub(limits.idle_max as usize);
        drop(idle.drain(..excess));
        *current = idle;
    }

    /// Closes idle connections and keeps none from now on.
    pub fn retire(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        self.retired.store(true, Ordering::Release);
        let closed = std::mem::take(&mut *idle);
        drop(idle);
        drop(closed);
    }

    /// Open connections, idle ones included.
    pub fn open_count(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Idle connections.
    pub fn idle_count(&self) -> u32 {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).len() as u32
    }
}
