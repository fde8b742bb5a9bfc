//! What happens in the demo: phases as data, what they do to the upstreams, and the policies.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::faults::{Answer, Behaviour, FaultServer, Hangup, Latency, Mode, Point, Script};

/// How long a client waits for an answer, whichever way it asks.
pub const PATIENCE: Duration = Duration::from_millis(600);
/// `timeouts.request`: below [`PATIENCE`], so that the client hears of a failure rather than giving up.
const REQUEST_MS: u64 = 550;
/// `timeouts.backendRequest`.
const TRY_MS: u64 = 120;
/// What someone writes in its place. Shorter than many good answers take.
const TRY_TOO_SHORT_MS: u64 = 20;
/// The slow answers of [`Trouble::Slow`]: longer than anyone waits.
const SLOW: Duration = Duration::from_millis(1_500);
/// Share of slow answers.
const SLOW_SHARE: f64 = 0.2;
/// The slow answers of [`Trouble::Tail`]: within everybody's patience, and far from what is usual.
pub const TAIL: Duration = Duration::from_millis(400);
/// Share of those.
const TAIL_SHARE: f64 = 0.04;
/// `hedge.delay` of catalog: longer than nearly all good answers take, so that only the tail is hedged.
const HEDGE_MS: u64 = 90;
/// How long a failing dependency takes to say so.
const DOWN_AFTER: Duration = Duration::from_millis(60);
/// Seconds for which the times in the policy are meant; a shorter run has proportionally shorter ones.
const FULL_SECONDS: u64 = 60;
/// Seed of arrivals, latencies and faults: two runs meet the same.
pub const SEED: u64 = 20_261_123;

/// A service that the demo's app calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// Three endpoints.
    Catalog,
    /// One endpoint.
    Payments,
}

impl Dependency {
    /// Both, in the order of [`Dependency::index`].
    pub const ALL: [Dependency; 2] = [Dependency::Catalog, Dependency::Payments];

    /// Its name in the policy.
    pub const fn name(self) -> &'static str {
        match self {
            Dependency::Catalog => "catalog",
            Dependency::Payments => "payments",
        }
    }

    /// Its place in tables of two.
    pub const fn index(self) -> usize {
        match self {
            Dependency::Catalog => 0,
            Dependency::Payments => 1,
        }
    }

    /// What is asked of it.
    pub const fn path(self) -> &'static str {
        match self {
            Dependency::Catalog => "/items",
            Dependency::Payments => "/quotes",
        }
    }
}

/// What a phase does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    Calm,
    /// One answer of 25 takes long.
    Tail,
    /// One of three endpoints refuses connections.
    OneDead,
    /// A fifth of the answers takes longer than anyone waits.
    Slow,
    /// Every answer is a 503 or a reset.
    Down,
    /// The outage is over.
    Back,
    /// The policy file is changed for the worse; the upstreams are well.
    BadPolicy,
    /// The policy is rolled back; then a policy with a typing error is written.
    RolledBack,
}

/// A part of the demo.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    /// What the account calls it.
    pub name: &'static str,
    /// What happens, told when it begins.
    pub tells: &'static str,
    /// Whose requests it is about.
    pub about: Dependency,
    /// What happens.
    pub trouble: Trouble,
    /// Its share of the time.
    pub weight: u32,
}

/// The demo in order.
pub const PHASES: [Phase; 8] = [
    Phase {
        name: "calm",
        tells: "Everything is well: what the detour through Outrigger costs.",
        about: Dependency::Catalog,
        trouble: Trouble::Calm,
        weight: 5,
    },
    Phase {
        name: "a long tail",
        tells: "One answer of 25 of catalog takes 400 ms. None fails, so no retry is due. What takes longer than 90 ms \
                gets a second attempt beside it, at another endpoint (hedge).",
        about: Dependency::Catalog,
        trouble: Trouble::Tail,
        weight: 6,
    },
    Phase {
        name: "one of three endpoints dead",
        tells: "One endpoint of catalog dies: connections to it are refused.",
        about: Dependency::Catalog,
        trouble: Trouble::OneDead,
        weight: 9,
    },
    Phase {
        name: "dependency slow",
        tells: "payments slows down: a fifth of its answers takes 1.5 s, longer than anyone waits.",
        about: Dependency::Payments,
        trouble: Trouble::Slow,
        weight: 9,
    },
    Phase {
        name: "dependency down",
        tells: "payments goes down: every request ends in a 503 or a reset. Nobody can make it succeed; \
                what counts is how long callers hang and how much it is pestered.",
        about: Dependency::Payments,
        trouble: Trouble::Down,
        weight: 6,
    },
    Phase {
        name: "dependency back",
        tells: "payments is well again. Outrigger finds out by itself and lets traffic return step by step, since it \
                cannot know that this dependency, unlike many, stands the full load at once.",
        about: Dependency::Payments,
        trouble: Trouble::Back,
        weight: 9,
    },
    Phase {
        name: "bad policy",
        tells: "Nothing fails, but someone edits the policy file: timeouts.backendRequest of catalog, \
                120ms -> 20ms.",
        about: Dependency::Catalog,
        trouble: Trouble::BadPolicy,
        weight: 7,
    },
    Phase {
        name: "rolled back",
        tells: "One command undoes it: outrigger policy rollback. Then someone saves a typing error.",
        about: Dependency::Catalog,
        trouble: Trouble::RolledBack,
        weight: 5,
    },
];

/// The time that the phase with this index gets when `left` is what remains for it and those after it.
pub fn share_of(left: Duration, index: usize) -> Duration {
    let weights: u32 = PHASES.iter().skip(index).map(|phase| phase.weight).sum();
    PHASES.get(index).map_or(Duration::ZERO, |phase| left * phase.weight / weights)
}

/// The upstreams of one side. There are two fleets with the same scripts, one asked directly and one through
/// Outrigger: so neither side disturbs the other, and what a fleet counts is what its side sent.
pub struct Fleet {
    catalog: [FaultServer; 3],
    payments: [FaultServer; 1],
}

impl Fleet {
    /// Starts four servers on free ports of 127.0.0.1.
    pub async fn start() -> io::Result<Fleet> {
        let start = |seed| FaultServer::start(well(seed));
        Ok(Fleet { catalog: [start(1).await?, start(2).await?, start(3).await?], payments: [start(4).await?] })
    }

    /// The servers of a dependency.
    pub fn servers(&self, of: Dependency) -> &[FaultServer] {
        match of {
            Dependency::Catalog => &self.catalog,
            Dependency::Payments => &self.payments,
        }
    }

    /// Requests that have reached a dependency.
    pub fn reached(&self, dependency: Dependency) -> u64 {
        self.servers(dependency).iter().map(|server| server.observed().counts().requests).sum()
    }

    /// Ends the trouble of the phase before and begins this one.
    pub async fn meet(&self, trouble: Trouble) -> io::Result<()> {
        let [dying, ..] = &self.catalog;
        let [payments] = &self.payments;
        match trouble {
            Trouble::Calm | Trouble::BadPolicy | Trouble::RolledBack => Ok(()),
            Trouble::Tail => {
                for (server, seed) in self.catalog.iter().zip(1..) {
                    let late = Behaviour::from(Answer::ok("late")).after(TAIL);
                    server.set(Script::share(TAIL_SHARE, late, fine(seed), SEED ^ seed));
                }
                Ok(())
            }
            Trouble::OneDead => {
                self.catalog.iter().zip(1..).for_each(|(server, seed)| server.set(well(seed)));
                dying.die().await
            }
            Trouble::Slow => {
                dying.mode(Mode::Accept).await?;
                let slow = Behaviour::from(Answer::ok("late")).after(SLOW);
                payments.set(Script::share(SLOW_SHARE, slow, fine(4), SEED));
                Ok(())
            }
            Trouble::Down => {
                let reset = Behaviour::hang_up(Hangup::Reset, Point::Body).after(DOWN_AFTER);
                payments.set(Script::share(0.3, reset, Behaviour::from(Answer::status(503)).after(DOWN_AFTER), SEED));
                Ok(())
            }
            Trouble::Back => {
                payments.set(well(4));
                Ok(())
            }
        }
    }
}

/// Mostly quick, with the tail that real services have.
fn fine(seed: u64) -> Behaviour {
    let at = |share, millis| (share, Duration::from_millis(millis));
    let points = vec![at(0.0, 4), at(0.5, 12), at(0.9, 36), at(0.99, 70)];
    Behaviour::from(Answer::ok("here you are")).after(Latency::Quantiles { points, seed: SEED ^ seed })
}

fn well(seed: u64) -> Script {
    Script::always(fine(seed))
}

/// The policies of the demo.
pub struct Policies {
    /// The good one.
    pub good: String,
    /// The one that is changed for the worse.
    pub bad: String,
    /// The one with a typing error.
    pub typo: String,
}

impl Policies {
    /// For these listeners (by [`Dependency::index`]) and upstreams.
    pub fn new(listen: [SocketAddr; 2], fleet: &Fleet, seconds: u16) -> Policies {
        let good = policy(listen, fleet, seconds, TRY_MS);
        Policies {
            bad: policy(listen, fleet, seconds, TRY_TOO_SHORT_MS),
            typo: good.replacen("timeouts", "timeuots", 1),
            good,
        }
    }
}

fn policy(listen: [SocketAddr; 2], fleet: &Fleet, seconds: u16, try_ms: u64) -> String {
    let urls = |of| fleet.servers(of).iter().map(FaultServer::url).collect::<Vec<_>>().join(", ");
    let (catalog, payments) = (urls(Dependency::Catalog), urls(Dependency::Payments));
    let [catalog_listen, payments_listen] = listen;
    let open_ms = (1_000 * u64::from(seconds) / FULL_SECONDS).clamp(100, 1_000);
    let max_open_ms = 2 * open_ms;
    format!(
        "version: 1
name: demo
upstreams:
  catalog:
    listen: {catalog_listen}
    endpoints: [{catalog}]
    timeouts: {{ request: {REQUEST_MS}ms, backendRequest: {try_ms}ms }}
    retry: {{ attempts: 2 }}
    hedge: {{ delay: {HEDGE_MS}ms, percent: 10 }}
    circuitBreaker: {{}}
  payments:
    listen: {payments_listen}
    url: {payments}
    timeouts: {{ request: {REQUEST_MS}ms, backendRequest: {TRY_MS}ms }}
    retry: {{ attempts: 2 }}
    circuitBreaker: {{ consecutiveFailures: 10, openDuration: {open_ms}ms, maxOpenDuration: {max_open_ms}ms }}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phases_share_the_whole_time_by_weight() {
        let mut left = Duration::from_secs(56);
        for (index, phase) in PHASES.iter().enumerate() {
            let share = share_of(left, index);
            assert!(share.abs_diff(Duration::from_secs(u64::from(phase.weight))) < Duration::from_millis(1));
            left -= share;
        }
        assert!(left < Duration::from_millis(1), "{left:?} is left over");
        assert_eq!(share_of(Duration::from_secs(1), PHASES.len()), Duration::ZERO);
    }

    #[test]
    fn what_is_told_of_a_phase_is_what_it_does() {
        let tells = |trouble| PHASES.iter().find(|phase| phase.trouble == trouble).unwrap().tells;
        assert!(tells(Trouble::Slow).contains(&format!("a fifth of its answers takes {} s", SLOW.as_secs_f64())));
        assert_eq!(SLOW_SHARE, 0.2);
        let tail = tells(Trouble::Tail);
        assert!(tail.contains(&format!("One answer of 25 of catalog takes {} ms", TAIL.as_millis())), "{tail}");
        assert!(TAIL_SHARE == 1.0 / 25.0 && tail.contains(&format!("longer than {HEDGE_MS} ms")), "{tail}");
        assert!(tells(Trouble::BadPolicy).contains(&format!("{TRY_MS}ms -> {TRY_TOO_SHORT_MS}ms")));
    }

    #[tokio::test]
    async fn the_policies_are_valid_but_for_the_one_with_the_typing_error() {
        let fleet = Fleet::start().await.unwrap();
        let listen = [SocketAddr::from(([127, 0, 0, 1], 4_501)), SocketAddr::from(([127, 0, 0, 1], 4_502))];
        for seconds in [5, 60, 3_600] {
            let Policies { good, bad, typo } = Policies::new(listen, &fleet, seconds);
            let load = |text: &str| crate::policy::compile::load("policy.yaml", text).map_err(|e| e.to_string());
            assert_ne!(load(&good).unwrap().policy.hash, load(&bad).unwrap().policy.hash);
            assert!(load(&typo).unwrap_err().contains("timeuots"));
        }
    }
}
