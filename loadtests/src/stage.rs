//! Where a scenario is played: its upstreams, its fault script, its clients.

use std::net::SocketAddr;

use crate::results;
use crate::scenario::Scenario;

/// Where the clients send their requests.
#[derive(Clone, Debug)]
pub struct Target {
    /// One address for a proxy; every endpoint for the direct way, over which the clients spread evenly.
    pub addresses: Vec<SocketAddr>,
}

/// What [`Stage::play`] tells while it plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The measured part begins.
    Begins,
    /// The proxy is to reload its policy now.
    Reload,
    /// Once a second. `ok` and `failed` count since the beginning.
    Progress { second: u32, of: u32, ok: u64, failed: u64 },
    /// Every request has come to an end.
    Ends,
}

/// Upstreams that run.
#[derive(Debug)]
pub struct Stage {
    endpoints: Vec<SocketAddr>,
}

impl Stage {
    /// Starts the upstreams, healthy.
    ///
    /// # Errors
    /// No socket, no thread, or no such core.
    pub fn open(_scenario: &Scenario, _seed: u64, _load_core: Option<u32>) -> Result<Stage, String> {
        Err("the stage is not built yet".to_owned())
    }

    /// Where the upstreams listen.
    pub fn endpoints(&self) -> &[SocketAddr] {
        &self.endpoints
    }

    /// Two tiers: a service in the middle, which calls `next` for every request and answers with its answer.
    ///
    /// # Errors
    /// No socket.
    pub fn service(&mut self, _next: SocketAddr) -> Result<SocketAddr, String> {
        Err("the stage is not built yet".to_owned())
    }

    /// The load without faults, not measured.
    ///
    /// # Errors
    /// The generator could not run.
    pub fn warm_up(&mut self, _target: &Target) -> Result<(), String> {
        Err("the stage is not built yet".to_owned())
    }

    /// The measured part. `on` is called on the calling thread. The cost is left to the caller.
    ///
    /// # Errors
    /// The generator or the upstreams could not run.
    pub fn play(&mut self, _target: &Target, _on: &mut dyn FnMut(Moment)) -> Result<results::Round, String> {
        Err("the stage is not built yet".to_owned())
    }
}
