//! Whether a few of several endpoints are to blame.

use super::finding::{EndpointSeen, Symptom};
use super::rates::{self, Counted, of_attempts};
use crate::reliability::ending::{Ending, Endings};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Seconds that are kept of each endpoint.
const SECONDS: usize = 10;
/// Endpoints that are watched; of more than that, the rest is told by the upstream as a whole. A watched one takes about
/// 1 KiB.
const WATCHED_MAX: usize = 256;
/// Failing attempts that make an endpoint a suspect, and the share of its attempts that they are.
const FAILED_LEAST: u64 = 3;
const FAILED_SHARE: f64 = 0.3;
/// Seconds that are now.
const FAILING_NOW: usize = 3;
/// The suspects' part of all failures, at least.
const BLAME: f64 = 0.8;
/// Attempts of the others, at least, before it is said that they do well.
const OTHERS_LEAST: u64 = 5;
/// An endpoint is slow that takes this many times as long as the others, and this much longer.
const SLOW_RATIO: u32 = 3;
const SLOW_MORE: Duration = Duration::from_millis(20);
/// Answers that prove it, and the seconds in which they came: a pause of a collector takes less.
const SLOW_ANSWERS: u64 = 8;
const SLOW_SECONDS: usize = 4;
/// A balancer avoids a slow endpoint, so that few answers come: these many suffice if they are slower by this much, which
/// is more than who waits for a collector waits on average.
const FEW_ANSWERS: u64 = 3;
const FEW_MORE: Duration = Duration::from_millis(400);
/// Connections in a row that did not come about, without an answer in between, after which nothing can be there. A
/// balancer goes around such an endpoint, so that there will not be many more.
const DEAD_AFTER: u64 = 2;
/// What is avoided shows nothing new: so long it is still held to be slow, or dead.
const AVOIDED: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    endings: Endings,
    answered: u64,
    answered_in: Duration,
}

/// One endpoint.
#[derive(Clone, Debug)]
struct Watched {
    name: String,
    read: Second,
    seconds: [Second; SECONDS],
    ejected: bool,
    last_failure: Option<Ending>,
    /// When it last was slow, while it is held to be slow.
    slow_at: Option<Instant>,
    /// Connections that did not come about since its last answer, and when that was last so.
    unconnected: u64,
    unconnected_at: Option<Instant>,
}

/// What endpoints are to blame for.
#[derive(Clone, Debug)]
pub(super) struct Blamed {
    pub names: Vec<String>,
    pub symptom: Symptom,
    /// Mean latencies of these and of the others, if it is slowness.
    pub latencies: Option<(Duration, Duration)>,
    /// Their share of the upstream's attempts.
    pub share: f64,
    /// Attempts of the others.
    pub others: u64,
    /// It would be said even if the upstream as a whole did not show it.
    pub proven: bool,
}

/// The endpoints of one upstream.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints {
    watched: Vec<Watched>,
    total: usize,
    second: usize,
}

impl Endpoints {
    /// Takes in a look.
    pub fn look(&mut self, now: Instant, seen: &[EndpointSeen]) {
        self.total = seen.len();
        self.second = (self.second + 1) % SECONDS;
        let seen = seen.get(..WATCHED_MAX).unwrap_or(seen);
        if !self.watched.iter().map(|watched| &watched.name).eq(seen.iter().map(|seen| &seen.name)) {
            self.follow(seen);
        }
        self.watched.iter_mut().zip(seen).for_each(|(watched, seen)| watched.take_in(self.second, seen, now));
        self.find_slow(now);
    }

    /// The set has changed: these, in their order, are watched from now on.
    fn follow(&mut self, seen: &[EndpointSeen]) {
        let before = std::mem::take(&mut self.watched).into_iter();
        let mut before: HashMap<String, Watched> = before.map(|watched| (watched.name.clone(), watched)).collect();
        self.watched = seen.iter().map(|s| before.remove(&s.name).unwrap_or_else(|| Watched::new(s))).collect();
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The last failure of any, where nothing newer tells.
    pub fn last_failure(&self) -> Option<Ending> {
        let failing = |w: &&Watched| w.ejected || w.sum().endings.failed() > 0;
        self.watched.iter().find(failing).or(self.watched.first()).and_then(|watched| watched.last_failure)
    }

    /// Those that fail while the others do well; `usual` is the upstream's share of failed attempts.
    pub fn failing(&self, usual: f64) -> Option<Blamed> {
        let (bad, good): (Vec<_>, Vec<_>) = self.watched.iter().partition(|watched| watched.fails(self.second));
        if bad.is_empty() || bad.len() > (self.watched.len() / 2).max(1) || good.is_empty() {
            return None;
        }
        let (bad_sum, good_sum) = (endings_of(&bad), endings_of(&good));
        let (blamed, others) = (of_attempts(&bad_sum), of_attempts(&good_sum));
        let most = Counted { bad: blamed.bad, all: blamed.bad + others.bad }.share() >= BLAME;
        // While they sit out there are no failures to compare.
        let sits_out = bad.iter().any(|watched| watched.is_out()) && others.bad == 0;
        let others_do_well = others.share() <= rates::limit(usual) && (others.all >= OTHERS_LEAST || sits_out);
        if !(most || sits_out) || !others_do_well {
            return None;
        }
        let last = bad.iter().find_map(|watched| watched.last_failure);
        let ending = rates::dominating(&bad_sum).map(|(ending, _)| ending).or(last).unwrap_or(Ending::Unreachable);
        let share = Counted { bad: blamed.all, all: blamed.all + others.all }.share();
        let proven = bad.iter().any(|watched| watched.is_out()) || blamed.too_many(usual);
        Some(Blamed {
            names: names(&bad),
            symptom: Symptom::Fails(ending),
            latencies: None,
            share,
            others: others.all,
            proven,
        })
    }

    /// Those that are much slower than the others.
    pub fn slow(&self) -> Option<Blamed> {
        let (slow, others): (Vec<_>, Vec<_>) = self.watched.iter().partition(|watched| watched.slow_at.is_some());
        if slow.is_empty() || others.is_empty() || slow.len() > (self.watched.len() / 2).max(1) {
            return None;
        }
        let latencies = mean_of(&slow).zip(mean_of(&others));
        let answered = |part: &[&Watched]| part.iter().map(|watched| watched.sum().answered).sum::<u64>();
        let bad = answered(&slow);
        let others = answered(&others);
        let share = Counted { bad, all: bad + others }.share();
        Some(Blamed { names: names(&slow), symptom: Symptom::Slow, latencies, share, others, proven: true })
    }

    fn find_slow(&mut self, now: Instant) {
        let means: Vec<Option<Duration>> = self.watched.iter().map(|watched| mean(&watched.sum())).collect();
        let mut sorted: Vec<Duration> = means.iter().flatten().copied().collect();
        sorted.sort_unstable();
        for (watched, own) in self.watched.iter_mut().zip(means) {
            match peers_mean(&sorted, own) {
                Some(peers) => watched.judge(self.second, now, peers),
                None => watched.slow_at = None,
            }
        }
    }
}

impl Watched {
    fn new(seen: &EndpointSeen) -> Watched {
        Watched {
            name: seen.name.clone(),
            read: Second::read(seen),
            seconds: [Second::default(); SECONDS],
            ejected: seen.ejected,
            last_failure: seen.last_failure,
            slow_at: None,
            unconnected: 0,
            unconnected_at: None,
        }
    }

    fn take_in(&mut self, second: usize, seen: &EndpointSeen, now: Instant) {
        let read = Second::read(seen);
        if let Some(slot) = self.seconds.get_mut(second) {
            *slot = Second {
                endings: read.endings.since(&self.read.endings),
                answered: read.answered.saturating_sub(self.read.answered),
                answered_in: read.answered_in.saturating_sub(self.read.answered_in),
            };
        }
        self.read = read;
        self.ejected = seen.ejected;
        self.last_failure = seen.last_failure;
        let endings = self.seconds.get(second).map(|second| second.endings).unwrap_or_default();
        let unconnected = u64::from(endings.get(Ending::Refused)) + u64::from(endings.get(Ending::Unreachable));
        if unconnected < endings.counted() {
            (self.unconnected, self.unconnected_at) = (0, None);
        } else if unconnected > 0 {
            (self.unconnected, self.unconnected_at) = (self.unconnected.saturating_add(unconnected), Some(now));
        } else if self.unconnected_at.is_some_and(|at| now.saturating_duration_since(at) > AVOIDED) {
            (self.unconnected, self.unconnected_at) = (0, None);
        }
    }

    /// It sits out, or nothing is there.
    fn is_out(&self) -> bool {
        self.ejected || self.unconnected >= DEAD_AFTER
    }

    fn sum(&self) -> Second {
        self.seconds.iter().fold(Second::default(), |mut sum, second| {
            sum.endings += second.endings;
            sum.answered += second.answered;
            sum.answered_in += second.answered_in;
            sum
        })
    }

    /// Now, or over all that is kept: what has just begun is little of that.
    fn fails(&self, second: usize) -> bool {
        let now = self.newest_first(second).take(FAILING_NOW).fold(Endings::default(), |mut sum, second| {
            sum += second.endings;
            sum
        });
        let fails = |endings: &Endings| {
            let counted = of_attempts(endings);
            counted.bad >= FAILED_LEAST && counted.share() >= FAILED_SHARE
        };
        self.is_out() || fails(&now) || fails(&self.sum().endings)
    }

    fn newest_first(&self, second: usize) -> impl Iterator<Item = &Second> {
        (0..SECONDS).filter_map(move |ago| self.seconds.get((second + SECONDS - ago) % SECONDS))
    }

    /// `second` is the newest one.
    fn judge(&mut self, second: usize, now: Instant, peers: Duration) {
        let limit = (peers * SLOW_RATIO).max(peers + SLOW_MORE);
        let answered: Vec<&Second> = self.newest_first(second).filter(|second| second.answered > 0).collect();
        let is_slow = |second: &&&Second| mean(second).is_some_and(|mean| mean > limit);
        let slow: Vec<&&Second> = answered.iter().take_while(|second| is_slow(second)).collect();
        let answers: u64 = slow.iter().map(|second| second.answered).sum();
        let mut all = Second::default();
        slow.iter().for_each(|second| {
            all.answered += second.answered;
            all.answered_in += second.answered_in;
        });
        let steady = answers >= SLOW_ANSWERS && slow.len() >= SLOW_SECONDS;
        let few = answers >= FEW_ANSWERS && mean(&all).is_some_and(|mean| mean > peers + FEW_MORE && mean > peers * 10);
        let fresh = self.seconds.get(second).is_some_and(|second| second.answered > 0);
        if steady || few || self.slow_at.is_some() && fresh && !slow.is_empty() {
            self.slow_at = Some(now);
        } else if fresh && slow.is_empty() || self.slow_at.is_some_and(|at| now.saturating_duration_since(at) > AVOIDED)
        {
            self.slow_at = None;
        }
    }
}

impl Second {
    fn read(seen: &EndpointSeen) -> Second {
        Second { endings: seen.endings, answered: seen.answered, answered_in: seen.answered_in }
    }
}

/// The median of the others' means, out of those of all, sorted. Without answers of others nothing can be compared.
fn peers_mean(sorted: &[Duration], own: Option<Duration>) -> Option<Duration> {
    let middle = (sorted.len() - usize::from(own.is_some())) / 2;
    let own_place = own.map_or(sorted.len(), |own| sorted.partition_point(|mean| *mean < own));
    sorted.get(middle + usize::from(middle >= own_place)).copied()
}

fn mean(second: &Second) -> Option<Duration> {
    let answered = u32::try_from(second.answered).unwrap_or(u32::MAX);
    second.answered_in.checked_div(answered)
}

fn mean_of(watched: &[&Watched]) -> Option<Duration> {
    let mut all = Second::default();
    for sum in watched.iter().map(|watched| watched.sum()) {
        all.answered += sum.answered;
        all.answered_in += sum.answered_in;
    }
    mean(&all)
}

fn endings_of(watched: &[&Watched]) -> Endings {
    let mut sum = Endings::default();
    watched.iter().for_each(|watched| sum += watched.sum().endings);
    sum
}

fn names(watched: &[&Watched]) -> Vec<String> {
    watched.iter().map(|watched| watched.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: usize, refused: u32) -> EndpointSeen {
        let mut endings = Endings::default();
        endings.add(Ending::Refused, refused);
        let (answered, answered_in, ejected, last_failure) = (0, Duration::ZERO, false, None);
        EndpointSeen { name: name.to_string(), endings, answered, answered_in, ejected, last_failure }
    }

    #[test]
    fn the_median_of_the_others_is_the_same_as_counted_one_by_one() {
        let lists: [&[u64]; 6] = [&[], &[5], &[1, 2], &[3, 3, 3], &[1, 2, 2, 9], &[1, 4, 6, 8, 20]];
        for list in lists {
            let sorted: Vec<Duration> = list.iter().map(|ms| Duration::from_millis(*ms)).collect();
            assert_eq!(peers_mean(&sorted, None), sorted.get(sorted.len() / 2).copied());
            for at in 0..sorted.len() {
                let mut others = sorted.clone();
                let own = others.remove(at);
                assert_eq!(peers_mean(&sorted, Some(own)), others.get(others.len() / 2).copied(), "{list:?} {at}");
            }
        }
    }

    #[test]
    fn of_a_large_set_only_the_first_are_kept_however_its_order_turns() {
        let (now, mut endpoints) = (Instant::now(), Endpoints::default());
        for turn in 0..5 {
            let set: Vec<EndpointSeen> = (0..1_000).map(|at| seen((at + turn * 200) % 1_000, 0)).collect();
            endpoints.look(now, &set);
            assert_eq!((endpoints.watched.len(), endpoints.total()), (WATCHED_MAX, 1_000));
            assert_eq!(endpoints.watched[0].name, (turn * 200).to_string());
        }
    }

    #[test]
    fn an_address_that_comes_back_with_new_counters_has_not_failed_billions_of_times() {
        let (now, mut endpoints) = (Instant::now(), Endpoints::default());
        for refused in [0, 9, 1] {
            endpoints.look(now, &[seen(1, refused), seen(2, 0)]);
        }
        assert_eq!(endpoints.watched[0].sum().endings.failed(), 10);
    }
}
