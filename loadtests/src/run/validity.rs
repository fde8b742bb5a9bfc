//! Which rounds may be used. Every rule gives its reason in words, and none looks at who won.

use crate::results::{ArmRun, Mode, Round};

/// Open loop: a generator or upstream busier than this adds waiting of its own. They share a core.
const BUSY_MAX: f64 = 0.90;
/// Highest CPU time per request over the lowest one, minus 1, in the rounds of one arm.
const SPREAD_MAX: f64 = 0.15;

/// How much noise figures bear.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// Open loop: requests that were handed to a free connection later than this (99th percentile, microseconds) were
    /// not sent as the scenario says.
    lag_max_us: u64,
    /// Share of the proxy's core that something else may use.
    stolen_max: f64,
}

impl Noise {
    /// Where cost is the point, microseconds count; what faults do is counted in requests and in tenths of seconds.
    pub const fn borne(cost: bool) -> Noise {
        if cost { Noise { lag_max_us: 1_000, stolen_max: 0.05 } } else { Noise { lag_max_us: 5_000, stolen_max: 0.20 } }
    }
}

/// Why the round must not be used; empty if it may.
pub fn of_round(round: &Round, mode: Mode, noise: Noise) -> Vec<String> {
    let Noise { lag_max_us, stolen_max } = noise;
    let mut reasons = Vec::new();
    let client = &round.client;
    match mode {
        Mode::Poisson | Mode::Constant => {
            if client.send_lag_p99 > lag_max_us {
                let lag = client.send_lag_p99;
                reasons.push(format!(
                    "the generator was late: {lag} us at the 99th percentile, {lag_max_us} us are allowed"
                ));
            }
            for (who, busy) in [
                ("the generator's thread was", client.generator_busy),
                ("the upstream's thread was", round.upstream.busy),
                ("generator and upstream together were", client.generator_busy + round.upstream.busy),
            ] {
                if busy > BUSY_MAX {
                    reasons.push(format!("{who} busy {}, {} are allowed", percent(busy), percent(BUSY_MAX)));
                    break;
                }
            }
        }
        // Something is always the bottleneck. If it was not the proxy, its throughput is shown as a lower bound.
        Mode::Closed => {}
    }
    if client.intended == 0 {
        reasons.push("no request was sent".to_owned());
    }
    if let Some(cost) = &round.cost
        && cost.core_stolen > stolen_max
    {
        let (stolen, allowed) = (percent(cost.core_stolen), percent(stolen_max));
        reasons.push(format!("other load took {stolen} of the proxy's core, {allowed} are allowed"));
    }
    reasons
}

/// Why the figures of a scenario must not be used; empty if they may. `cost`: CPU time is its point.
pub fn of_scenario(arms: &[ArmRun], cost: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    for arm in arms.iter().filter(|arm| arm.unable.is_none()) {
        let valid: Vec<&Round> = arm.rounds.iter().filter(|round| round.invalid.is_empty()).collect();
        // Half of the rounds may fail on a machine with other work; beyond that, what is left was picked by luck.
        if valid.len() * 2 < arm.rounds.len() || valid.is_empty() {
            let reason = arm.rounds.iter().find_map(|round| round.invalid.first()).map_or("", String::as_str);
            reasons.push(format!("{}: {} of {} rounds are valid ({reason})", arm.arm, valid.len(), arm.rounds.len()));
        }
        if cost
            && let Some(spread) = spread(valid.iter().filter_map(|round| cpu_us(round)))
            && spread > SPREAD_MAX
        {
            let (spread, allowed) = (percent(spread), percent(SPREAD_MAX));
            reasons.push(format!(
                "{}: CPU time per request differs by {spread} between rounds, {allowed} are allowed",
                arm.arm
            ));
        }
    }
    reasons
}

/// User and system time of each request.
fn cpu_us(round: &Round) -> Option<f64> {
    let cost = round.cost.as_ref().filter(|cost| cost.requests > 0)?;
    Some((cost.user_s + cost.system_s) * 1e6 / cost.requests as f64)
}

/// The highest over the lowest, minus 1; `None` with fewer than two.
fn spread(values: impl Iterator<Item = f64> + Clone) -> Option<f64> {
    let lowest = values.clone().fold(f64::INFINITY, f64::min);
    let highest = values.clone().fold(0.0, f64::max);
    (values.count() > 1 && lowest > 0.0).then(|| highest / lowest - 1.0)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Cost;

    const COST: Noise = Noise::borne(true);

    fn round() -> Round {
        let mut round = Round {
            cost: Some(Cost { requests: 1_000, user_s: 0.01, system_s: 0.01, ..Cost::default() }),
            ..Round::default()
        };
        round.client.intended = 1_000;
        (round.client.send_lag_p99, round.client.generator_busy, round.upstream.busy) = (300, 0.4, 0.3);
        round
    }

    fn arm(cpu_us: &[f64]) -> ArmRun {
        let rounds = cpu_us.iter().map(|us| {
            let mut round = round();
            round.cost = Some(Cost { requests: 1_000_000, user_s: *us, ..Cost::default() });
            round
        });
        ArmRun { arm: "envoy".to_owned(), rounds: rounds.collect(), unable: None }
    }

    #[test]
    fn a_quiet_round_may_be_used() {
        for mode in [Mode::Poisson, Mode::Constant, Mode::Closed] {
            assert!(of_round(&round(), mode, COST).is_empty());
        }
    }

    #[test]
    fn a_late_generator_spoils_an_open_loop_and_not_a_closed_one() {
        let mut late = round();
        late.client.send_lag_p99 = COST.lag_max_us + 1;
        assert!(of_round(&late, Mode::Poisson, COST)[0].contains("was late: 1001 us"));
        assert!(of_round(&late, Mode::Constant, COST)[0].contains("was late"));
        assert!(of_round(&late, Mode::Closed, COST).is_empty());
    }

    #[test]
    fn a_busy_generator_or_upstream_is_named_once() {
        let mut busy = round();
        busy.upstream.busy = 0.95;
        assert_eq!(of_round(&busy, Mode::Poisson, COST), ["the upstream's thread was busy 95 %, 90 % are allowed"]);
        busy.client.generator_busy = 0.5;
        busy.upstream.busy = 0.5;
        assert_eq!(
            of_round(&busy, Mode::Poisson, COST),
            ["generator and upstream together were busy 100 %, 90 % are allowed"]
        );
        assert!(of_round(&busy, Mode::Closed, COST).is_empty());
    }

    #[test]
    fn other_load_on_the_proxys_core_spoils_every_mode() {
        let mut noisy = round();
        noisy.cost = Some(Cost { core_stolen: 0.08, ..Cost::default() });
        assert_eq!(of_round(&noisy, Mode::Closed, COST), ["other load took 8 % of the proxy's core, 5 % are allowed"]);
    }

    #[test]
    fn what_faults_do_is_seen_through_more_noise() {
        let mut noisy = round();
        noisy.client.send_lag_p99 = 3_000;
        noisy.cost = Some(Cost { core_stolen: 0.15, ..Cost::default() });
        assert_eq!(of_round(&noisy, Mode::Poisson, COST).len(), 2);
        assert!(of_round(&noisy, Mode::Poisson, Noise::borne(false)).is_empty());
    }

    #[test]
    fn a_round_without_requests_is_none() {
        assert_eq!(of_round(&Round::default(), Mode::Poisson, COST), ["no request was sent"]);
    }

    #[test]
    fn cpu_times_that_differ_too_much_spoil_a_scenario_about_cost() {
        assert!(of_scenario(&[arm(&[20.0, 22.0, 21.0])], true).is_empty());
        let apart = [arm(&[20.0, 25.0, 21.0])];
        assert_eq!(
            of_scenario(&apart, true),
            ["envoy: CPU time per request differs by 25 % between rounds, 15 % are allowed"]
        );
        assert!(of_scenario(&apart, false).is_empty());
        assert!(of_scenario(&[arm(&[20.0])], true).is_empty());
    }

    #[test]
    fn more_bad_rounds_than_good_ones_spoil_the_scenario() {
        let mut half = arm(&[20.0, 20.0]);
        half.rounds[0].invalid.push("late".to_owned());
        assert!(of_scenario(&[half.clone()], true).is_empty());
        half.rounds[1].invalid.push("late, too".to_owned());
        assert_eq!(of_scenario(&[half.clone()], true), ["envoy: 0 of 2 rounds are valid (late)"]);
        half.unable = Some("no reload".to_owned());
        assert!(of_scenario(&[half], true).is_empty());
    }
}
