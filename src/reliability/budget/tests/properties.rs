//! Whatever happens, in whatever order.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    First {
        success: bool,
    },
    Retry(RetryClass),
    /// Outcome of the oldest retry in flight.
    Outcome {
        rescued: bool,
    },
    /// The oldest retry in flight was not sent.
    Unsent,
    Reload {
        burst: u32,
        ttl_ms: u64,
        ratio: f64,
    },
}

fn any_event() -> impl Strategy<Value = Event> {
    let class = prop::sample::select(vec![RetryClass::Transparent, RetryClass::Ordinary, RetryClass::Overload]);
    prop_oneof![
        2 => (0u64..1500).prop_map(Event::Pass),
        4 => any::<bool>().prop_map(|success| Event::First { success }),
        6 => class.prop_map(Event::Retry),
        4 => any::<bool>().prop_map(|rescued| Event::Outcome { rescued }),
        1 => Just(Event::Unsent),
        1 => (0u32..20, 100u64..20_000, 0.0f64..1.0)
            .prop_map(|(burst, ttl_ms, ratio)| Event::Reload { burst, ttl_ms, ratio }),
    ]
}

/// What must hold whatever happens, counted by hand next to the budget.
struct Witness {
    start: Instant,
    now: Instant,
    policy: BudgetPolicy,
    firsts: Vec<Instant>,
    granted: Vec<Instant>,
    rescued: Vec<Instant>,
    in_flight: VecDeque<Grant>,
    earned: f64,
    spent: f64,
    floors: f64,
}

impl Witness {
    fn since(times: &[Instant], from: Option<Instant>) -> usize {
        times.iter().filter(|time| from.is_none_or(|from| **time > from)).count()
    }

    /// A retry may be granted only while less than the hard cap is wasted; windows are exact to one slot.
    fn check_grant(&self) -> Result<(), TestCaseError> {
        let surely = self.now.checked_sub(self.policy.ttl * 9 / 10);
        let at_most = self.now.checked_sub(self.policy.ttl);
        let retries = Self::since(&self.granted, surely) as f64;
        let rescues = Self::since(&self.rescued, at_most) as f64;
        let firsts = Self::since(&self.firsts, at_most) as f64;
        let allowed = f64::from(self.policy.burst).max(self.policy.max_ratio * firsts);
        let wasted = retries - rescues;
        prop_assert!(wasted < allowed, "{} wasted where {} are allowed", wasted, allowed);
        Ok(())
    }

    fn check_sums(&self, burst: u32) -> Result<(), TestCaseError> {
        let most = f64::from(burst) + self.earned + 1e-3;
        prop_assert!(self.spent <= most, "spent {} of {}", self.spent, most);
        let elapsed = self.now.duration_since(self.start).as_secs_f64();
        prop_assert!(self.floors <= 1.0 + elapsed * self.policy.floor_per_second / 0.5);
        Ok(())
    }
}

fn cost(class: RetryClass) -> f64 {
    class.cost() as f64 / TOKEN as f64
}

fn replay(events: Vec<Event>, seed: u64, reloads: bool) -> Result<(), TestCaseError> {
    let start = Instant::now();
    let mut entropy = SplitMix::new(seed);
    let mut budget = Budget::new(policy(), start);
    let mut w = Witness {
        start,
        now: start,
        policy: policy(),
        firsts: vec![],
        granted: vec![],
        rescued: vec![],
        in_flight: VecDeque::new(),
        earned: 0.0,
        spent: 0.0,
        floors: 0.0,
    };
    for event in events {
        match event {
            Event::Pass(ms) => w.now += Duration::from_millis(ms),
            Event::First { success } => {
                budget.on_first_attempt(w.now);
                w.firsts.push(w.now);
                if success {
                    budget.on_first_success(w.now);
                    w.earned += w.policy.ratio;
                }
            }
            Event::Retry(class) => {
                let Some(grant) = budget.try_retry(w.now, class, &mut entropy) else { continue };
                if !reloads {
                    w.check_grant()?;
                }
                w.granted.push(w.now);
                w.in_flight.push_back(grant);
                match grant {
                    Grant::Free => prop_assert_eq!(class, RetryClass::Transparent),
                    Grant::Tokens(class) => w.spent += cost(class),
                    Grant::Floor(_) => w.floors += 1.0,
                }
            }
            Event::Outcome { rescued } => {
                let Some(grant) = w.in_flight.pop_front() else { continue };
                budget.on_retry_outcome(w.now, grant, rescued);
                if rescued {
                    w.rescued.push(w.now);
                }
                if rescued && matches!(grant, Grant::Tokens(RetryClass::Ordinary) | Grant::Floor(RetryClass::Ordinary))
                {
                    w.earned += 1.0;
                }
            }
            Event::Unsent => {
                let Some(grant) = w.in_flight.pop_front() else { continue };
                budget.on_retry_unsent(w.now, grant);
                if let Grant::Tokens(class) = grant {
                    w.spent -= cost(class);
                }
            }
            Event::Reload { burst, ttl_ms, ratio } if reloads => {
                w.policy = BudgetPolicy { burst, ttl: Duration::from_millis(ttl_ms), ratio, ..policy() };
                let before = budget.tokens;
                budget.reconfigure(w.policy.clone(), w.now);
                prop_assert!(budget.tokens <= before);
            }
            Event::Reload { .. } => {}
        }
        w.check_sums(policy().burst)?;
        let left = budget.remaining_ratio(w.now);
        prop_assert!((0.0..=1.0).contains(&left));
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_order_of_events_grants_more_than_was_earned(
        events in prop::collection::vec(any_event(), 1..400), seed: u64,
    ) {
        replay(events, seed, false)?;
    }

    #[test]
    fn no_reload_mints_tokens(events in prop::collection::vec(any_event(), 1..400), seed: u64) {
        replay(events, seed, true)?;
    }
}
