//! Endpoints that come while others serve: cold at first, on a virtual clock.

use super::*;
use crate::reliability::balance::{Company, ramp};
use crate::reliability::sim::exponential;

/// What an old endpoint needs for a request, and how many it does at once.
const SERVICE: Duration = Duration::from_millis(10);
const WORKERS: usize = 4;
/// A fresh process takes more times as long than an old one, and gets over it with this time constant.
const WARMED_UP: f64 = 3.0;
const PER_SECOND: f64 = 600.0;
const SLOW_START: Duration = Duration::from_secs(10);
/// Nobody waits longer.
const TIMEOUT: Duration = Duration::from_millis(500);

struct Pod {
    came: Instant,
    old: bool,
    ewma: PeakEwma,
    /// When each of its workers is free.
    workers: [Instant; WORKERS],
    pending: u32,
}

struct Scene {
    by: Balance,
    now: Instant,
    pods: Vec<Pod>,
    entropy: SplitMix,
    flying: BinaryHeap<Reverse<(Instant, usize, Duration)>>,
    slow_start: bool,
    /// How many times as long a fresh process takes.
    cold: f64,
    latencies: Vec<Duration>,
    picks: Vec<usize>,
}

impl Scene {
    fn new(by: Balance, slow_start: bool, cold: f64) -> Scene {
        let now = Instant::now();
        let entropy = SplitMix::new(7);
        let (pods, flying, latencies, picks) = (Vec::new(), BinaryHeap::new(), Vec::new(), Vec::new());
        Scene { by, now, pods, entropy, flying, slow_start, cold, latencies, picks }
    }

    fn come(&mut self, count: usize, old: bool, start: Duration) {
        for _ in 0..count {
            let ewma = PeakEwma::new(self.now, start, Duration::from_secs(10));
            self.pods.push(Pod { came: self.now, old, ewma, workers: [self.now; WORKERS], pending: 0 });
            self.picks.push(0);
        }
    }

    fn weights(&self) -> Vec<f64> {
        let ramps: Vec<f64> =
            self.pods.iter().map(|pod| if pod.old { 1.0 } else { ramp(self.now - pod.came, SLOW_START) }).collect();
        let company = Company::of(ramps.iter().copied()).filter(|_| self.slow_start);
        ramps.iter().map(|ramp| company.map_or(1.0, |company| company.weight(*ramp))).collect()
    }

    /// Traffic for so many seconds. Returns the 99th percentile in milliseconds, how many timed out, and the largest
    /// share of an old pod.
    fn run(&mut self, seconds: u32) -> (f64, usize, f64) {
        self.latencies.clear();
        self.picks.fill(0);
        let end = self.now + Duration::from_secs(u64::from(seconds));
        while self.now < end {
            self.land();
            let (now, weights, pods) = (self.now, self.weights(), &self.pods);
            let view = |index: usize| View {
                available: true,
                used: false,
                pending: pods[index].pending,
                ewma: pods[index].ewma.value(now),
                weight: weights[index],
            };
            let turn = self.picks.iter().sum();
            let index = pick(self.by, pods.len(), turn, view, &mut self.entropy).expect("a pod");
            self.launch(index);
            self.now += exponential(PER_SECOND, &mut self.entropy);
        }
        self.latencies.sort_unstable();
        let p99 = self.latencies[self.latencies.len() * 99 / 100].as_secs_f64() * 1e3;
        let late = self.latencies.iter().filter(|latency| **latency > TIMEOUT).count();
        let most = self.picks.iter().zip(&self.pods).filter(|(_, pod)| pod.old).map(|(picks, _)| *picks).max();
        (p99, late, most.unwrap_or(0) as f64 / self.latencies.len() as f64)
    }

    fn launch(&mut self, index: usize) {
        let (now, cold, pod) = (self.now, self.cold, &mut self.pods[index]);
        let age = (now - pod.came).as_secs_f64();
        let factor = if pod.old { 1.0 } else { 1.0 + (cold - 1.0) * (-age / WARMED_UP).exp() };
        let takes = SERVICE.mul_f64(factor * self.entropy.between(0.8, 1.2));
        let worker = pod.workers.iter_mut().min().expect("a worker");
        *worker = (*worker).max(now) + takes;
        let latency = *worker - now;
        pod.pending += 1;
        self.picks[index] += 1;
        self.latencies.push(latency);
        self.flying.push(Reverse((now + latency, index, latency)));
    }

    fn land(&mut self) {
        while self.flying.peek().is_some_and(|Reverse((ends, _, _))| *ends <= self.now) {
            let Some(Reverse((ends, index, latency))) = self.flying.pop() else { return };
            self.pods[index].pending -= 1;
            self.pods[index].ewma.record(ends, latency);
        }
    }
}

/// p99 before and in the ten seconds after three pods join three, how many requests timed out, and an old pod's
/// largest share then.
fn scale_out(by: Balance, slow_start: bool, cold: f64) -> (f64, f64, usize, f64) {
    let mut scene = Scene::new(by, slow_start, cold);
    scene.come(3, true, SERVICE);
    let (before, _, _) = scene.run(20);
    // Seeded with the pool's p90 where it is done well, and with 30 ms where it is not known.
    let seed = if slow_start { SERVICE.mul_f64(1.2) } else { 3 * SERVICE };
    scene.come(3, false, seed);
    let (after, late, most) = scene.run(10);
    (before, after, late, most)
}

const ALL_WAYS: [Balance; 3] = [Balance::PeakEwma, Balance::LeastRequest, Balance::RoundRobin];

#[test]
fn a_scale_out_from_3_to_6_times_no_request_out_and_no_old_pod_surges() {
    for by in ALL_WAYS {
        for cold in [3.0, 10.0] {
            let (before, after, late, most) = scale_out(by, true, cold);
            let (_, without, _, _) = scale_out(by, false, cold);
            let case = format!("{by:?}, {cold} times as slow: p99 {before:.1} -> {after:.1} ms, without {without:.1}");
            assert_eq!(late, 0, "{case}");
            assert!(most <= 1.0 / 3.0 + 0.01, "{case}: an old pod had a third, and has {most:.3}");
            assert!(after < without * 0.9, "{case}");
        }
    }
}

#[test]
fn by_latency_slow_start_takes_half_of_what_cold_pods_add_to_the_tail() {
    for (cold, most) in [(3.0, 2.0), (10.0, 3.0)] {
        let (before, after, _, _) = scale_out(Balance::PeakEwma, true, cold);
        let (_, without, _, _) = scale_out(Balance::PeakEwma, false, cold);
        let case = format!("{cold} times as slow: p99 {before:.1} -> {after:.1} ms, without {without:.1}");
        eprintln!("{case}");
        assert!(after <= before * most, "{case}");
        assert!(after - before <= (without - before) * 0.7, "{case}");
    }
}

#[test]
fn a_set_of_new_pods_shares_evenly_from_the_first_request_on() {
    for by in ALL_WAYS {
        let mut scene = Scene::new(by, true, 10.0);
        scene.come(4, false, SERVICE);
        scene.run(5);
        let total: usize = scene.picks.iter().sum();
        for picks in &scene.picks {
            let share = *picks as f64 / total as f64;
            assert!((share - 0.25).abs() < 0.03, "{by:?}: {share}");
        }
    }
}

#[test]
fn in_turns_what_a_new_pod_does_not_take_is_borne_by_all_the_others() {
    let mut scene = Scene::new(Balance::RoundRobin, true, 10.0);
    scene.come(3, true, SERVICE);
    scene.come(3, false, SERVICE);
    scene.run(3);
    let old = &scene.picks[..3];
    let mean = old.iter().sum::<usize>() as f64 / 3.0;
    assert!(old.iter().all(|picks| (*picks as f64 - mean).abs() < mean * 0.1), "{:?}", scene.picks);
}
