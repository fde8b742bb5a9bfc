use super::super::ejection::{Ejection, EjectionPolicy, EndpointSignal, SetState, set_state};
use super::super::entropy::SplitMix;
use super::super::latency::{PeakEwma, Quantiles};
use super::*;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

mod scale_out;

const WELL: View = View { available: true, used: false, pending: 0, ewma: 0.03, weight: 1.0 };
const ALL: [Balance; 4] = [Balance::PeakEwma, Balance::LeastRequest, Balance::RoundRobin, Balance::Hash];
const EJECTED: View = View { available: false, ..WELL };
const USED: View = View { used: true, ..WELL };
const BOTH: View = View { available: false, used: true, ..WELL };

fn counts(by: Balance, views: &[View], picks: usize) -> Vec<usize> {
    let mut entropy = SplitMix::new(1);
    let mut counts = vec![0; views.len()];
    for turn in 0..picks {
        counts[pick(by, views.len(), turn, |index| views[index], &mut entropy).expect("an endpoint")] += 1;
    }
    counts
}

#[test]
fn only_an_empty_set_has_no_pick() {
    for by in ALL {
        assert_eq!(pick(by, 0, 3, |_| WELL, &mut SplitMix::new(1)), None);
        for view in [WELL, EJECTED, USED, BOTH] {
            assert_eq!(counts(by, &[view], 5), [5]);
            assert_eq!(counts(by, &[view; 3], 50).iter().sum::<usize>(), 50);
        }
    }
    assert_eq!(first_available(std::iter::empty(), |_| WELL, &mut SplitMix::new(1)), None);
}

#[test]
fn available_and_unused_goes_before_used_before_ejected_before_both() {
    let ranks = [BOTH, EJECTED, USED, WELL];
    for by in ALL {
        for best in 0..4 {
            // The best one at each place, everything worse around it, however cheap.
            for place in 0..4 {
                let mut views = [View { ewma: 0.0, ..ranks[best.max(1) - 1] }; 4];
                views[place] = View { pending: 1_000, ewma: 9.0, ..ranks[best] };
                let picked = counts(by, &views, 100);
                assert!(best == 0 || picked[place] == 100, "{by:?} rank {best} at {place}: {picked:?}");
            }
        }
    }
}

#[test]
fn a_retry_never_meets_a_used_endpoint_while_there_are_others() {
    for by in ALL {
        for n in [2, 3, 10, 100] {
            for unused in 0..n {
                let views: Vec<View> = (0..n).map(|index| if index == unused { WELL } else { USED }).collect();
                assert_eq!(counts(by, &views, 3)[unused], 3);
            }
        }
    }
}

#[test]
fn round_robin_takes_turns_and_skips_the_ejected() {
    assert_eq!(counts(Balance::RoundRobin, &[WELL; 4], 400), [100; 4]);
    assert_eq!(counts(Balance::RoundRobin, &[WELL, EJECTED, WELL], 3)[1], 0);
    let mut entropy = SplitMix::new(1);
    assert_eq!(pick(Balance::RoundRobin, 3, usize::MAX, |_| WELL, &mut entropy), Some(usize::MAX % 3));
}

#[test]
fn hash_takes_the_first_of_the_ring_that_may_be_used() {
    let views = [EJECTED, USED, WELL, WELL];
    let first = |order: &[usize]| first_available(order.iter().copied(), |index| views[index], &mut SplitMix::new(1));
    assert_eq!(first(&[0, 1, 3, 2]), Some(3));
    assert_eq!(first(&[0, 1]), Some(1));
    assert_eq!(first(&[0]), Some(0));
}

#[test]
fn of_two_the_cheaper_and_by_what_the_policy_says() {
    let slow_idle = View { ewma: 0.3, ..WELL };
    let fast_busy = View { pending: 2, ewma: 0.03, ..WELL };
    assert_eq!(counts(Balance::PeakEwma, &[slow_idle, fast_busy], 100), [0, 100]);
    assert_eq!(counts(Balance::LeastRequest, &[slow_idle, fast_busy], 100), [100, 0]);
    // Decayed to nothing: what is in flight decides.
    let forgotten = View { ewma: 0.0, ..WELL };
    assert_eq!(counts(Balance::PeakEwma, &[View { pending: 1, ..forgotten }, forgotten], 100), [0, 100]);
    assert_eq!(counts(Balance::PeakEwma, &[View { ewma: f64::NAN, ..WELL }, WELL], 100), [0, 100]);
}

#[test]
fn equal_endpoints_get_equal_shares_also_when_few_are_left_and_all_are_looked_at() {
    for by in [Balance::PeakEwma, Balance::LeastRequest] {
        for eligible in [2, 3, 5] {
            for n in [eligible, 50] {
                let views: Vec<View> = (0..n).map(|index| if index < eligible { WELL } else { EJECTED }).collect();
                let share = 30_000 / eligible;
                for count in &counts(by, &views, 30_000)[..eligible] {
                    assert!(count.abs_diff(share) < share / 20, "{by:?} {eligible} of {n}: {count}");
                }
            }
        }
    }
}

#[test]
fn the_two_are_never_the_same_one() {
    // Two of fifty left: if one were ever compared with itself, the dear one would win now and then.
    let mut views = [EJECTED; 50];
    (views[7], views[33]) = (View { ewma: 0.5, ..WELL }, WELL);
    assert_eq!(counts(Balance::PeakEwma, &views, 10_000)[33], 10_000);
}

/// Finagle's effort: so many pairs that all of them miss with a probability of at most one in a hundred.
fn effort(unhealthy: f64) -> u32 {
    (1..).find(|pairs| unhealthy.powi(2 * pairs) <= 0.01 + 1e-12).map_or(0, |pairs| pairs as u32)
}

#[test]
fn p4_four_pairs_are_enough_for_half_of_a_set_and_more_than_that_is_panic() {
    let efforts: Vec<u32> = [0.1, 0.3, 0.4, 0.5].into_iter().map(effort).collect();
    assert_eq!(efforts, [1, 2, 3, 4]);
    assert_eq!(effort(0.5), EFFORT as u32);
}

#[test]
fn p4_with_half_of_a_thousand_ejected_almost_no_pick_looks_at_all_of_them() {
    let mut entropy = SplitMix::new(2);
    let (looks, mut scans, mut total) = (Cell::new(0usize), 0, 0);
    for _ in 0..10_000 {
        looks.set(0);
        let view = |index: usize| {
            looks.set(looks.get() + 1);
            if index.is_multiple_of(2) { WELL } else { EJECTED }
        };
        let picked = pick(Balance::PeakEwma, 1_000, 0, view, &mut entropy).expect("an endpoint");
        assert_eq!(picked % 2, 0);
        assert!(looks.get() <= 2 * EFFORT + 1_000);
        scans += usize::from(looks.get() > 2 * EFFORT);
        total += looks.get().min(2 * EFFORT);
    }
    // Fewer than two hits in eight draws: 9/256 = 3.5 %.
    assert!((250..450).contains(&scans), "{scans} scans");
    assert!(total < 45_000, "{total} looks");
}

/// Endpoints behind the real balancer, averages, quantiles and ejection, on a virtual clock.
struct Pool {
    now: Instant,
    by: Balance,
    entropy: SplitMix,
    endpoints: Vec<Endpoint>,
    latency: Quantiles,
    flying: BinaryHeap<Reverse<Flight>>,
    eject: Option<EjectionPolicy>,
}

struct Endpoint {
    ewma: PeakEwma,
    ejection: Ejection,
    pending: u32,
    picks: usize,
    takes: Duration,
    fails: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    ends: Instant,
    index: usize,
    retry: bool,
}

impl Pool {
    fn new(by: Balance, endpoints: &[(Duration, bool)], eject: Option<EjectionPolicy>) -> Self {
        let now = Instant::now();
        let endpoint = |&(takes, fails): &(Duration, bool)| Endpoint {
            ewma: PeakEwma::new(now, Duration::from_millis(30), Duration::from_secs(10)),
            ejection: Ejection::new(now),
            pending: 0,
            picks: 0,
            takes,
            fails,
        };
        let endpoints = endpoints.iter().map(endpoint).collect();
        let (entropy, latency) = (SplitMix::new(3), Quantiles::new(now));
        Pool { now, by, entropy, endpoints, latency, flying: BinaryHeap::new(), eject }
    }

    /// `used`: the endpoint at which the first attempt failed, if this is its retry.
    fn launch(&mut self, used: Option<usize>) {
        let (now, endpoints) = (self.now, &self.endpoints);
        let tripped = |index: usize| self.eject.is_some() && endpoints[index].ejection.tripped_until(now).is_some();
        let sick = if self.eject.is_some() { (0..endpoints.len()).filter(|index| tripped(*index)).count() } else { 0 };
        let panic = set_state(sick, endpoints.len());
        let view = |index: usize| View {
            available: panic == SetState::Panic || !tripped(index),
            used: used == Some(index),
            pending: endpoints[index].pending,
            ewma: endpoints[index].ewma.value(now),
            weight: 1.0,
        };
        let index = pick(self.by, endpoints.len(), 0, view, &mut self.entropy).expect("an endpoint");
        let endpoint = &mut self.endpoints[index];
        endpoint.pending += 1;
        endpoint.picks += 1;
        self.flying.push(Reverse(Flight { ends: now + endpoint.takes, index, retry: used.is_some() }));
    }

    /// The next attempt to end by `until`, after having learned from it.
    fn land(&mut self, until: Instant) -> Option<Flight> {
        if self.flying.peek().is_none_or(|Reverse(flight)| flight.ends > until) {
            self.now = until;
            return None;
        }
        let Reverse(flight) = self.flying.pop()?;
        self.now = flight.ends;
        let p99 = self.latency.p99(self.now);
        let peers = self.eject.is_some().then(|| self.peers(flight.index)).flatten();
        let endpoint = &mut self.endpoints[flight.index];
        endpoint.pending -= 1;
        let signal = if endpoint.fails {
            endpoint.ewma.record_failure(self.now, endpoint.takes, p99);
            EndpointSignal::Soft
        } else {
            endpoint.ewma.record(self.now, endpoint.takes);
            self.latency.record(self.now, endpoint.takes);
            EndpointSignal::Success
        };
        if let Some(policy) = &self.eject {
            endpoint.ejection.record(self.now, signal, policy, peers, &mut self.entropy);
        }
        Some(flight)
    }

    /// Median failure rate of the others.
    fn peers(&self, index: usize) -> Option<f64> {
        let others = self.endpoints.iter().enumerate().filter(|(other, _)| *other != index);
        let mut rates: Vec<f64> = others.map(|(_, peer)| peer.ejection.failure_percent(self.now).1).collect();
        rates.sort_by(f64::total_cmp);
        (rates.len() >= 2).then(|| (rates[(rates.len() - 1) / 2] + rates[rates.len() / 2]) / 2.0)
    }

    fn shares(&self) -> Vec<f64> {
        let total: usize = self.endpoints.iter().map(|endpoint| endpoint.picks).sum();
        self.endpoints.iter().map(|endpoint| endpoint.picks as f64 / total as f64).collect()
    }

    /// `requests`, one every `every`, each with one retry elsewhere if `retries`. Returns how many succeeded
    /// and how many failed.
    fn drive(&mut self, requests: usize, every: Duration, retries: bool) -> (usize, usize) {
        let (mut succeeded, mut failed) = (0, 0);
        for _ in 0..requests {
            self.launch(None);
            let next = self.now + every;
            while let Some(flight) = self.land(next) {
                match (self.endpoints[flight.index].fails, flight.retry || !retries) {
                    (false, _) => succeeded += 1,
                    (true, true) => failed += 1,
                    (true, false) => self.launch(Some(flight.index)),
                }
            }
        }
        (succeeded, failed)
    }
}

const TENTH: Duration = Duration::from_millis(100);
const MS: Duration = Duration::from_millis(1);

#[test]
fn p3_a_hundred_equal_endpoints_share_evenly() {
    for by in [Balance::PeakEwma, Balance::LeastRequest] {
        // Ten in flight at each.
        let mut pool = Pool::new(by, &[(TENTH, false); 100], None);
        pool.drive(100_000, MS / 10, false);
        // Mean load 1,000 requests each, within 0.0005 of all requests.
        for share in pool.shares() {
            assert!((share - 0.01).abs() < 0.0005, "{by:?}: {share}");
        }
    }
}

#[test]
fn p3_an_endpoint_twice_as_slow_gets_half_of_an_equal_share_or_a_little_less() {
    let mut endpoints = [(TENTH, false); 100];
    endpoints[99].0 = 2 * TENTH;
    // Equal queues would be half; equal cost, which weighs the queue with the latency once more, a quarter.
    for (by, low, high) in [(Balance::PeakEwma, 0.0025, 0.005), (Balance::LeastRequest, 0.005, 0.0075)] {
        let mut pool = Pool::new(by, &endpoints, None);
        pool.drive(100_000, MS / 10, false);
        let share = pool.shares()[99];
        assert!((low..high).contains(&share), "{by:?}: {share}");
    }
}

#[test]
fn p3_an_endpoint_that_hangs_until_its_attempts_time_out_gets_almost_nothing() {
    let mut endpoints = [(TENTH, false); 100];
    endpoints[99] = (Duration::from_secs(1), true);
    let mut pool = Pool::new(Balance::PeakEwma, &endpoints, None);
    pool.drive(100_000, MS, false);
    let share = pool.shares()[99];
    assert!(share < 0.001, "{share}: a tenth of an equal share");
}

/// Three pods, one answers 500 at once. Returns the share of requests that succeeded, and the bad pod's share
/// of all attempts.
fn p5(requests: usize, every: Duration, eject: Option<EjectionPolicy>) -> (f64, f64) {
    let mut pool = Pool::new(Balance::PeakEwma, &[(MS, true), (TENTH, false), (TENTH, false)], eject);
    let (succeeded, failed) = pool.drive(requests, every, true);
    assert!(succeeded > requests * 9 / 10);
    (succeeded as f64 / (succeeded + failed) as f64, pool.shares()[0])
}

#[test]
fn p5_a_pod_that_fails_fast_gets_little_traffic_and_costs_no_request() {
    let eject = Some(EjectionPolicy::default());
    // By its price alone, while nobody queues at the others; at a rate at which they do, by ejection.
    for (every, eject) in [(200, None), (100, None), (100, eject.clone()), (20, eject.clone()), (5, eject)] {
        let (success, share) = p5(5_000, every * MS, eject.clone());
        let case = format!("one request per {every} ms, ejection {}", if eject.is_some() { "on" } else { "off" });
        assert!(success >= 0.999, "{case}: {success} succeeded");
        assert!(share < 0.05, "{case}: {share} of traffic");
    }
}

#[test]
fn a_pod_that_fails_fast_would_attract_traffic_if_its_failures_were_not_penalised() {
    let mut pool = Pool::new(Balance::PeakEwma, &[(MS, false), (TENTH, false), (TENTH, false)], None);
    pool.drive(5_000, 100 * MS, false);
    assert!(pool.shares()[0] > 0.5, "{:?}", pool.shares());
}
