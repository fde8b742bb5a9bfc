//! One turn: upstreams, the arm's programs in front of them, the load, and what the programs used.

use std::net::SocketAddr;
use std::time::Duration;

use super::progress::Progress;
use crate::arms::{Arm, Instance, Kind, Place};
use crate::measure::{Meter, Tracer, members, resident_kib};
use crate::results::{self, Round};
use crate::scenario::Scenario;
use crate::stage::{Moment, Stage, Target};

/// The pass that counts system calls: every call is stopped twice, so it is short.
const COUNTED: Duration = Duration::from_secs(1);

/// One arm in one round of one scenario.
#[derive(Debug)]
pub struct Turn<'a> {
    pub arm: &'a Arm,
    pub scenario: &'a Scenario,
    pub place: &'a Place,
    pub load_core: Option<u32>,
    pub seed: u64,
}

/// Upstreams and programs that run. The programs end first.
#[derive(Debug)]
struct Scene {
    instances: Vec<Instance>,
    stage: Stage,
    target: Target,
}

impl Scene {
    fn groups(&self) -> Vec<i32> {
        self.instances.iter().map(Instance::group).collect()
    }

    /// An instance that has ended on its own, in its words.
    fn ended(&mut self) -> Option<String> {
        self.instances.iter_mut().find_map(Instance::ended)
    }
}

/// Longest configuration that stands in the results; that of thousands of routes tells nobody anything.
const CONFIG_KEPT: usize = 64 * 1024;

/// The configuration as it stands in the results.
fn kept(config: &str) -> String {
    let (begins, rest) = config.split_at(config.floor_char_boundary(CONFIG_KEPT));
    if rest.is_empty() { begins.to_owned() } else { format!("{begins}\n… and {} bytes more\n", rest.len()) }
}

impl Turn<'_> {
    /// Plays it. `record` gets the configuration if it has none yet.
    ///
    /// # Errors
    /// Why nothing was measured.
    pub fn play(&mut self, record: &mut results::Arm, progress: &mut Progress) -> Result<Round, String> {
        let mut scene = self.set(self.scenario)?;
        if record.command.is_empty()
            && let Some(instance) = scene.instances.first()
        {
            record.command.clone_from(&instance.command);
            record.config = kept(&instance.config);
        }
        let groups = scene.groups();
        let idle_kib = resident_kib(&groups);
        scene.stage.hold(&scene.target)?;
        scene.stage.warm_up(&scene.target)?;

        let mut meter: Option<Meter> = None;
        let mut failed: Vec<String> = Vec::new();
        let Scene { instances, stage, target } = &mut scene;
        let mut round = stage.play(target, &mut |moment| match moment {
            Moment::Begins => {
                meter = (!groups.is_empty()).then(|| Meter::begin(groups.clone(), self.place.core, idle_kib));
            }
            Moment::Reload => {
                // Old workers end soon, and what they used goes with them.
                if let Some(meter) = &mut meter {
                    meter.sample();
                }
                failed.extend(instances.iter_mut().filter_map(|instance| instance.reload().err()));
            }
            Moment::Progress { second, of, ok, failed } => {
                if let Some(meter) = &mut meter {
                    meter.sample();
                }
                progress.second(second, of, ok, failed);
            }
            Moment::Ends => {
                if let Some(meter) = &mut meter {
                    meter.stop();
                }
            }
        })?;
        round.cost = meter.map(|meter| meter.cost(sent(&round)));
        round.invalid.extend(failed.into_iter().map(|reason| format!("the reload failed: {reason}")));
        round.invalid.extend(scene.stage.release()?);
        round.invalid.extend(scene.ended());
        Ok(round)
    }

    /// The same load again, shorter and without faults, with strace looking on; into the cost of `round`.
    ///
    /// What goes wrong here leaves the figure empty and is said; the round itself is good.
    pub fn count_syscalls(&mut self, round: &mut Round, progress: &mut Progress) {
        let Some(cost) = &mut round.cost else { return };
        match self.counted() {
            Ok(Some((requests, counts))) => {
                let each = |calls: u64| calls as f64 / requests as f64;
                cost.syscalls = Some(each(counts.total()));
                cost.syscalls_by_name =
                    counts.by_name.iter().map(|(name, calls)| (name.clone(), each(*calls))).collect();
            }
            Ok(None) => progress.note_once("strace is not installed: no system calls are counted (make peers)"),
            Err(reason) => progress.note(&format!("system calls were not counted: {reason}")),
        }
    }

    fn counted(&self) -> Result<Option<(u64, crate::measure::Syscalls)>, String> {
        let mut scenario = Scenario::parse(&self.scenario.source, &self.scenario.name)?;
        scenario.faults.clear();
        scenario.duration = COUNTED.min(scenario.duration);
        scenario.warm_up = COUNTED.min(scenario.warm_up);
        let mut scene = self.set(&scenario)?;
        scene.stage.warm_up(&scene.target)?;
        let Some(tracer) = Tracer::attach(&members(&scene.groups()), &self.place.folder, self.load_core)? else {
            return Ok(None);
        };
        let round = scene.stage.play(&scene.target, &mut |_| {})?;
        let counts = tracer.finish()?;
        let requests = sent(&round);
        if requests == 0 { Err("no request was sent".to_owned()) } else { Ok(Some((requests, counts))) }
    }

    /// Upstreams, and the arm in front of them: once, or twice with a service between.
    fn set(&self, scenario: &Scenario) -> Result<Scene, String> {
        let mut stage = Stage::open(scenario, self.seed, self.load_core, Some(&self.place.credentials))?;
        let endpoints = stage.endpoints().to_vec();
        let start = |tier, endpoints: &[SocketAddr]| Instance::start(self.arm, tier, endpoints, scenario, self.place);
        let direct = self.arm.choice.kind == Kind::Direct;
        let mut instances = Vec::new();
        let two = scenario.tiers > 1;
        let addresses = match (two, direct) {
            (false, false) if scenario.between.is_some() => {
                let inner = start(2, &endpoints)?;
                let outer = start(1, &[inner.listen()])?;
                let listen = outer.listen();
                instances.extend([outer, inner]);
                vec![listen]
            }
            (false, true) => endpoints,
            (false, false) => {
                let instance = start(1, &endpoints)?;
                let listen = instance.listen();
                instances.push(instance);
                vec![listen]
            }
            (true, true) => {
                let first = endpoints.first().copied().ok_or("there is no endpoint")?;
                vec![stage.service(first)?]
            }
            (true, false) => {
                let inner = start(2, &endpoints)?;
                let service = stage.service(inner.listen())?;
                let outer = start(1, &[service])?;
                let listen = outer.listen();
                instances.extend([outer, inner]);
                vec![listen]
            }
        };
        Ok(Scene { instances, stage, target: Target { addresses, direct: direct && !two } })
    }
}

/// Requests that left the clients.
fn sent(round: &Round) -> u64 {
    let unsent = round.client.outcomes.get("unsent").copied().unwrap_or(0);
    round.client.intended.saturating_sub(unsent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_configuration_is_cut_in_the_results_and_says_so() {
        assert_eq!(kept("version: 1\n"), "version: 1\n");
        let cut = kept(&"ä".repeat(CONFIG_KEPT));
        assert!(cut.len() < CONFIG_KEPT + 100 && cut.ends_with("… and 65536 bytes more\n"), "{}", cut.len());
    }
}
