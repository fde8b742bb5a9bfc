//! Connections of one endpoint: how many are open, and which are idle.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::h1::Link;
use crate::clock;
use crate::reliability::entropy::{Entropy, SplitMix};

/// Bounds of a pool, from the policy. They may change with every reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Open connections, idle ones included.
    pub connections_max: u32,
    /// Idle connections kept.
    pub idle_max: u32,
    /// An idle connection older than this is closed.
    pub idle_timeout: Duration,
    /// A connection that was opened longer ago than this, give or take a tenth, gets no request. None = any age.
    pub age_max: Option<Duration>,
}

/// Keep-alive connections of one endpoint, last in first out: the warmest is used again first, the rest can age.
#[derive(Debug, Default)]
pub struct Pool {
    idle: Mutex<Vec<Link>>,
    open: AtomicU32,
    /// Connections ever opened.
    opened: AtomicU64,
    /// No connection is kept any more: the endpoint was removed.
    retired: std::sync::atomic::AtomicBool,
}

/// One place among the open connections; given back when dropped.
#[derive(Debug)]
pub struct Opening {
    pool: Arc<Pool>,
    /// From then on its connection gets no request.
    ages_at: Option<Instant>,
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.pool.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Opening {
    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Whether its connection is too old for another request.
    pub(super) fn is_aged(&self, now: Instant) -> bool {
        self.ages_at.is_some_and(|at| now >= at)
    }

    pub(super) const fn ages_at(&self) -> Option<Instant> {
        self.ages_at
    }
}

impl Pool {
    /// The warmest idle connection that is still usable. Unusable and aged ones are closed on the way.
    pub fn checkout(&self, now: Instant, limits: &PoolLimits) -> Option<Link> {
        loop {
            // The lock is not held while a connection is probed or closed.
            let mut link = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if link.is_fresh(now, limits.idle_timeout) && link.usable() {
                return Some(link);
            }
        }
    }

    /// A place for a new connection, or `None` at the bound.
    pub fn open(self: &Arc<Self>, limits: &PoolLimits) -> Option<Opening> {
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |n| (n < limits.connections_max).then_some(n + 1))
            .ok()
            .map(|_| Opening { pool: Arc::clone(self), ages_at: limits.age_max.map(|most| self.ages_at(most)) })
    }

    /// When a connection that is opened now has reached the age of `most`, give or take a tenth: those that were opened
    /// together do not all end together.
    fn ages_at(&self, most: Duration) -> Instant {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let seed = (std::ptr::from_ref(self).addr() as u64).wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        clock::now() + most.mul_f64(SplitMix::new(seed).between(0.9, 1.1))
    }

    /// Takes a connection back whose exchange ended cleanly. Beyond the bound it is closed.
    pub(super) fn give_back(&self, link: Link, idle_max: u32) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: a retired pool that kept a connection would keep itself alive with it.
        if !self.retired.load(Ordering::Acquire) && !link.is_aged() && idle.len() < idle_max as usize {
            idle.push(link);
        }
    }

    /// Closes idle connections that aged or that the peer closed; frees the buffers of the others.
    pub fn sweep(&self, now: Instant, limits: &PoolLimits) {
        let mut idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        idle.retain_mut(|l| {
            // What has been idle for a while needs no buffers.
            l.shrink();
            l.is_fresh(now, limits.idle_timeout) && l.usable()
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
