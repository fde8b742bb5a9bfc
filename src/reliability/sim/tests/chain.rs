//! B14: three Outriggers in a row, four attempts each, and a backend that is dead.

use super::*;

/// What the layers know of each other.
#[derive(Clone, Copy)]
struct Manners {
    /// The attempt number is inherited, and more than 1 stops ordinary retries.
    chain_stop: bool,
    /// A layer that is out of retries says so in its answer.
    marker: bool,
}

struct Chain {
    manners: Manners,
    policy: RetryPolicy,
    dependencies: Vec<Dependency>,
    now: Instant,
    entropy: SplitMix,
    backend: u32,
}

impl Chain {
    fn new(manners: Manners) -> Self {
        let now = Instant::now();
        // The question is how attempts multiply, so the budget must not be what stops them.
        let budget = BudgetPolicy { burst: 1000, ..BudgetPolicy::default() };
        let policy = DependencyPolicy { budget, breaker: None, throttle: None };
        Chain {
            manners,
            policy: RetryPolicy { retries: 3, ..RetryPolicy::default() },
            dependencies: (0..3).map(|_| Dependency::new(&policy, now)).collect(),
            now,
            entropy: SplitMix::new(14),
            backend: 0,
        }
    }

    /// One request arrives at `layer` (0 = the backend) as attempt number `attempt` of its caller.
    fn request(&mut self, layer: usize, attempt: u32) -> Outcome {
        let Some(below) = layer.checked_sub(1) else {
            self.backend += 1;
            return Outcome::answered(503);
        };
        let inherited = self.manners.chain_stop && attempt > 1;
        let policy = self.policy.clone();
        let mut attempts = Attempts::new(Plan {
            policy: &policy,
            deadline: self.now + Duration::from_secs(3600),
            backend_request: None,
            idempotent: true,
            replayable: true,
            chain_stop: inherited,
            endpoints: 2,
            ledger: None,
            hedge: None,
        });
        loop {
            match attempts.next(self.now, &mut self.dependencies[below], &mut self.entropy) {
                Step::Launch { id, permit, .. } => {
                    let outcome = self.request(below, if inherited { attempt } else { id.0 + 1 });
                    let (dependency, entropy) = (&mut self.dependencies[below], &mut self.entropy);
                    attempts.on_outcome(self.now, id, permit, outcome, Duration::ZERO, dependency, entropy);
                }
                Step::Wait { until } => self.now = until,
                Step::Finish { stop, .. } => {
                    let gave_up = matches!(stop, Stop::AttemptsSpent | Stop::Denied(_));
                    let mark = if self.manners.marker && gave_up { PeerMark::GaveUp } else { PeerMark::None };
                    return Outcome { mark, ..Outcome::answered(503) };
                }
            }
        }
    }
}

#[test]
fn three_layers_multiply_to_64_attempts_with_chain_stop_to_10_and_with_the_marker_to_4() {
    for (chain_stop, marker, expected) in [(false, false, 64), (true, false, 10), (true, true, 4)] {
        let mut chain = Chain::new(Manners { chain_stop, marker });
        chain.request(3, 1);
        assert_eq!(chain.backend, expected, "chain stop {chain_stop}, marker {marker}");
    }
}
