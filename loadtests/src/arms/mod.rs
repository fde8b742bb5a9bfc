//! Outrigger, its peers, and the direct way: which of them are here, their configurations, and their processes.
//!
//! An arm is played by [`Instance`]s: programs started with a configuration that is rendered for one scenario, each
//! in a process group of its own. What a peer cannot do is said ([`Kind::lacks`], [`Kind::unable`]), never emulated.

mod choice;
pub mod config;
mod find;
mod instance;
mod own_policy;
mod process;
#[cfg(test)]
mod tests;

pub use choice::Choice;
pub use find::{Installed, find};
pub use instance::{Instance, Place, free_addresses};
pub use process::{Process, on_interrupt};

use crate::scenario::{Protocol, Scenario, Sides, Tls};

/// What requests are sent through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: clients and upstreams alone, to be subtracted.
    Direct,
    Outrigger,
    Envoy,
    Haproxy,
    Nginx,
    Pingora,
}

impl Kind {
    /// In the order of a table: ours, then the peers.
    pub const ALL: [Kind; 6] = [Kind::Direct, Kind::Outrigger, Kind::Envoy, Kind::Haproxy, Kind::Nginx, Kind::Pingora];

    /// The word of the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Direct => "direct",
            Kind::Outrigger => "outrigger",
            Kind::Envoy => "envoy",
            Kind::Haproxy => "haproxy",
            Kind::Nginx => "nginx",
            Kind::Pingora => "pingora",
        }
    }

    /// The kind of that name.
    pub fn parse(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// What the scenarios ask for and this program has not. It plays without.
    pub const fn lacks(self) -> &'static [&'static str] {
        match self {
            Kind::Direct | Kind::Outrigger => &[],
            Kind::Envoy => &["circuit breaker by share of failures (it has caps on connections and requests)"],
            Kind::Haproxy => &[
                "deadline over all tries (its time limit holds for each try)",
                "retry budget",
                "backoff between tries on different servers",
            ],
            Kind::Nginx => &[
                "deadline over all tries (no try begins after it, a running one goes on; its time limit holds for each read)",
                "retry budget",
                "backoff between tries",
                "circuit breaker",
            ],
            Kind::Pingora => &[
                "deadline over all tries, and for each try (its time limit holds for each read)",
                "retry budget",
                "ejection of endpoints by what they answer (it has active checks)",
                "circuit breaker",
                "limits on requests and connections",
                "retries of bodies above 64 KiB",
                "keeping the upstream connection when an answer is retried",
            ],
        }
    }

    /// Why this program cannot play that scenario at all.
    pub fn unable(self, scenario: &Scenario) -> Option<String> {
        let any = |what: &dyn Fn(&Sides) -> bool| scenario.all_sides().iter().any(what);
        match self {
            Kind::Direct if scenario.reloads() => Some("there is nothing to reload".to_owned()),
            Kind::Pingora if scenario.reloads() => {
                Some("pingora has no reload: settings are code, and new code is a new process".to_owned())
            }
            Kind::Pingora if any(&|it| it.tls != Tls::None || it.upstream_tls != Tls::None) => {
                Some("this build of pingora has no TLS".to_owned())
            }
            Kind::Pingora if any(&|it| it.upstream_protocol.is_h2()) => {
                Some("this build of pingora speaks HTTP/1.1 to upstreams".to_owned())
            }
            Kind::Nginx if any(&|it| it.upstream_protocol == Protocol::Http2) => {
                Some("nginx speaks HTTP/2 to upstreams for gRPC only".to_owned())
            }
            Kind::Outrigger if any(&|it| it.tls != Tls::None && it.upstream_tls != Tls::None) => {
                Some("Outrigger ends the TLS of callers beside the app, which it calls in the clear".to_owned())
            }
            Kind::Direct if scenario.load.idle > 0 || scenario.attacked() => {
                Some("the question is what a proxy bears".to_owned())
            }
            Kind::Direct | Kind::Outrigger | Kind::Envoy | Kind::Haproxy | Kind::Nginx | Kind::Pingora => None,
        }
    }
}

/// An arm that takes part: what was asked for, and the program that was found.
#[derive(Clone, Debug)]
pub struct Arm {
    pub choice: Choice,
    /// `None` for [`Kind::Direct`].
    pub installed: Option<Installed>,
}

impl Arm {
    /// Looks for the program.
    ///
    /// # Errors
    /// Why it cannot take part, with the next step.
    pub fn new(choice: Choice) -> Result<Arm, String> {
        let installed = match choice.kind {
            Kind::Direct => None,
            Kind::Outrigger | Kind::Envoy | Kind::Haproxy | Kind::Nginx | Kind::Pingora => {
                Some(find(choice.kind, choice.binary.as_deref())?)
            }
        };
        Ok(Arm { choice, installed })
    }

    /// Asks the program about the user's own policy: its places mean something to its author, and a mistake is to be
    /// found before anything is played.
    ///
    /// # Errors
    /// What it says.
    pub fn check_policy(&self) -> Result<(), String> {
        match (&self.installed, &self.choice.policy) {
            (Some(installed), Some(policy)) => instance::check(installed, policy),
            (None, _) | (_, None) => Ok(()),
        }
    }

    /// What the program says of itself; empty for the direct way.
    pub fn version(&self) -> &str {
        self.installed.as_ref().map_or("", |installed| &installed.version)
    }
}
