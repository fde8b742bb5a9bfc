//! Rounds: every scenario, every round, every arm, interleaved; and what may be used of them.
//!
//! Arms take turns (A B C, A B C), so that drift of the machine meets all of them. Each turn has upstreams, proxies and
//! connections of its own: nothing that a proxy learned in one turn (ejections, latencies, an open breaker) is there
//! in the next.

mod output;
mod progress;
mod round;
mod validity;

use std::path::PathBuf;

use outrigger::clock;

pub use output::{Folder, read};

use crate::arms::{Arm, Kind, Place};
use crate::measure::environment;
use crate::results::{self, ArmRun, Run, ScenarioRun, Skipped};
use crate::scenario::Scenario;
use crate::{gates, report};
use progress::Progress;
use round::Turn;
use validity::Noise;

/// Rounds of a scenario that names none.
const ROUNDS: u32 = 3;

/// What is to be played.
#[derive(Debug)]
pub struct Plan {
    /// In order of play.
    pub scenarios: Vec<Scenario>,
    pub arms: Vec<Arm>,
    pub skipped: Vec<Skipped>,
    /// Instead of what the scenarios say.
    pub rounds: Option<u32>,
    /// Of arrivals and of the upstream's draws; each round has its own, the same for all arms.
    pub seed: u64,
    /// Core of the proxies, core of load and upstream; `None`: not pinned.
    pub proxy_core: Option<u32>,
    pub load_core: Option<u32>,
    /// Where the results go.
    pub out: PathBuf,
    /// The command that repeats it.
    pub command: String,
}

impl Plan {
    /// How often each arm plays the scenario.
    pub fn rounds_of(&self, scenario: &Scenario) -> u32 {
        self.rounds.or(scenario.rounds).unwrap_or(ROUNDS).max(1)
    }

    /// Seconds of load in all, warm-up included; starting and stopping comes on top.
    pub fn load_seconds(&self) -> f64 {
        let each = |scenario: &Scenario| {
            let turns = f64::from(self.rounds_of(scenario)) * self.arms.len() as f64;
            (scenario.warm_up + scenario.duration).as_secs_f64() * turns
        };
        self.scenarios.iter().map(each).sum()
    }
}

/// Plays the plan. The folder has what is finished, at any time.
///
/// # Errors
/// Nothing could be played or written. A turn that failed is an invalid round, not an error.
pub fn run(plan: &Plan) -> Result<Run, String> {
    let folder = Folder::create(&plan.out)?;
    let place = Place::new(plan.proxy_core)?;
    crate::arms::on_interrupt(place.folder.clone())?;
    let mut run = new_run(plan, &folder)?;
    for (index, scenario) in plan.scenarios.iter().enumerate() {
        let mut progress = Progress::new(scenario, index + 1, plan.scenarios.len());
        let played = play(plan, scenario, &place, &mut run.arms, &mut progress);
        progress.finish(&played.invalid);
        run.scenarios.push(played);
        folder.write_run(&run)?;
    }
    folder.write_reports(&run, report::page(&run)?, |out| report::print(&run, out))?;
    Ok(run)
}

fn new_run(plan: &Plan, folder: &Folder) -> Result<Run, String> {
    let started = jiff::Timestamp::try_from(clock::wall()).map_err(|e| format!("the system's time: {e}"))?;
    let arm = |arm: &Arm| results::Arm {
        name: arm.choice.label.clone(),
        version: arm.version().to_owned(),
        config: String::new(),
        command: String::new(),
        lacks: arm.choice.kind.lacks().iter().map(|lack| (*lack).to_owned()).collect(),
    };
    Ok(Run {
        format: results::FORMAT,
        name: folder.name(),
        started: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        command: plan.command.clone(),
        seed: plan.seed,
        environment: environment(plan.proxy_core, plan.load_core),
        arms: plan.arms.iter().map(arm).collect(),
        skipped: plan.skipped.clone(),
        scenarios: Vec::new(),
    })
}

/// One scenario, all rounds. `records` get the configuration of each arm where it is first seen.
fn play(
    plan: &Plan,
    scenario: &Scenario,
    place: &Place,
    records: &mut [results::Arm],
    progress: &mut Progress,
) -> ScenarioRun {
    let rounds = plan.rounds_of(scenario);
    let mut runs: Vec<ArmRun> = plan.arms.iter().map(|arm| not_played(arm, scenario)).collect();
    for (round, index) in turns(rounds, plan.arms.len()) {
        let (Some(arm), Some(arm_run), Some(record)) =
            (plan.arms.get(index), runs.get_mut(index), records.get_mut(index))
        else {
            continue;
        };
        if arm_run.unable.is_some() {
            continue;
        }
        progress.turn(round + 1, rounds, &arm.choice.label);
        let seed = plan.seed.wrapping_add(u64::from(round));
        let mut turn = Turn { arm, scenario, place, load_core: plan.load_core, seed };
        let mut played = turn
            .play(record, progress)
            .unwrap_or_else(|reason| results::Round { invalid: vec![reason], ..Default::default() });
        if played.invalid.is_empty() {
            played.invalid = validity::of_round(&played, scenario.load.arrivals, Noise::borne(scenario.cost));
        }
        let counted =
            arm_run.rounds.iter().any(|round| round.cost.as_ref().is_some_and(|cost| cost.syscalls.is_some()));
        if scenario.cost && arm.choice.kind != Kind::Direct && played.invalid.is_empty() && !counted {
            turn.count_syscalls(&mut played, progress);
        }
        progress.played(&played);
        arm_run.rounds.push(played);
    }
    judged(scenario, runs)
}

/// Before its first round.
fn not_played(arm: &Arm, scenario: &Scenario) -> ArmRun {
    ArmRun { arm: arm.choice.label.clone(), rounds: Vec::new(), unable: arm.choice.kind.unable(scenario) }
}

/// Round and arm of each turn, from 0: all arms of a round before the next round.
fn turns(rounds: u32, arms: usize) -> impl Iterator<Item = (u32, usize)> {
    (0..rounds).flat_map(move |round| (0..arms).map(move |arm| (round, arm)))
}

/// The scenario with its conditions judged.
fn judged(scenario: &Scenario, arms: Vec<ArmRun>) -> ScenarioRun {
    let mut played = ScenarioRun {
        name: scenario.name.clone(),
        title: scenario.title.clone(),
        description: scenario.description.clone(),
        source: scenario.source.clone(),
        seconds: scenario.duration.as_secs_f64(),
        load: scenario.results_load(),
        faults: scenario.fault_spans(),
        gates: Vec::new(),
        invalid: validity::of_scenario(&arms, scenario.cost),
        arms,
    };
    played.gates = gates::judge_all(&scenario.gates, &played);
    played
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_take_turns_within_each_round() {
        let order: Vec<_> = turns(2, 3).collect();
        assert_eq!(order, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
    }
}
