use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const MS: Duration = Duration::from_millis(1);

fn limits(requests: u32, pending: u32) -> Limits {
    Limits { connections: 1, requests, pending, adaptive: None, queue: None }
}

fn ask(class: Criticality, now: Instant, left: Duration) -> Ask {
    Ask { class, now, deadline: now + left }
}

/// A limit with one request in flight and nobody waiting.
fn taken(limits: &Limits) -> (Limit<u32>, Instant) {
    let now = Instant::now();
    let mut limit = Limit::new();
    limit.reconfigure(limits, now);
    let granted = limit.admit(limits, &ask(Criticality::Critical, now, 1_000 * MS), || 0);
    assert_eq!(granted, Admission::Granted(Taken { in_flight: 1 }));
    (limit, now)
}

fn wait(limit: &mut Limit<u32>, limits: &Limits, class: Criticality, now: Instant, name: u32) -> Duration {
    match limit.admit(limits, &ask(class, now, Duration::from_secs(10)), || name) {
        Admission::Queued { max_wait, displaced: None, .. } => max_wait,
        other => panic!("{other:?}"),
    }
}

/// Who gets the slots, as they come free one by one.
fn served(limit: &mut Limit<u32>, limits: &Limits, now: Instant, slots: usize) -> Vec<u32> {
    let mut names = Vec::new();
    for _ in 0..slots {
        limit.release(|| now, None);
        while let Some(next) = limit.next(limits, now) {
            if let Next::Granted(name, _) = next {
                names.push(name);
            }
        }
    }
    names
}

#[test]
fn the_wait_is_a_quarter_of_what_is_left_and_at_most_a_tenth_of_a_second() {
    let one = limits(1, 10);
    let (mut limit, now) = taken(&one);
    let mut wait_of = |left: u32| match limit.admit(&one, &ask(Criticality::Critical, now, left * MS), || 0) {
        Admission::Queued { max_wait, .. } => max_wait,
        other => panic!("{other:?}"),
    };
    assert_eq!(wait_of(1_000), 100 * MS);
    assert_eq!(wait_of(200), 50 * MS);
    let refused = limit.admit(&one, &ask(Criticality::Critical, now, Duration::ZERO), || 0);
    assert!(matches!(refused, Admission::Refused(_)), "no time left to wait: {refused:?}");
}

#[test]
fn a_full_queue_refuses_in_the_words_of_the_written_limit() {
    let (mut limit, now) = taken(&limits(1, 0));
    let ask = ask(Criticality::Critical, now, 1_000 * MS);
    let Admission::Refused(refused) = limit.admit(&limits(1, 0), &ask, || 0) else { panic!("no slot, no queue") };
    assert_eq!((refused.failure(), refused.limit), (Failure::QueueFull, 1));
    wait(&mut limit, &limits(1, 1), Criticality::Critical, now, 1);
    assert!(matches!(limit.admit(&limits(1, 1), &ask, || 0), Admission::Refused(_)));
    assert_eq!((limit.in_flight(), limit.waiting()), (1, 1));
    assert_eq!(limit.sheds().get(Criticality::Critical, Reason::QueueFull, false), 2);
}

#[test]
fn the_higher_class_is_served_first_and_the_lowest_still_gets_its_turn() {
    let many = limits(1, 1_000);
    let (mut limit, now) = taken(&many);
    for name in 0..100 {
        wait(&mut limit, &many, Criticality::Sheddable, now, 1_000 + name);
        wait(&mut limit, &many, Criticality::Critical, now, name);
    }
    let order = served(&mut limit, &many, now, 100);
    let low = order.iter().filter(|name| **name >= 1_000).count();
    assert_eq!(low, 6, "one in sixteen: {order:?}");
    assert_eq!(order[..3], [0, 1, 2], "each line in order of arrival");
    assert_eq!(order[15], 1_000);
}

#[test]
fn who_is_more_important_takes_the_place_of_who_is_less() {
    let two = limits(1, 2);
    let (mut limit, now) = taken(&two);
    wait(&mut limit, &two, Criticality::Sheddable, now, 1);
    wait(&mut limit, &two, Criticality::Critical, now, 2);
    let higher = ask(Criticality::CriticalPlus, now, 1_000 * MS);
    let Admission::Queued { displaced: Some((name, refused)), .. } = limit.admit(&two, &higher, || 3) else {
        panic!("there was somebody to displace")
    };
    assert_eq!((name, refused.class, refused.reason), (1, Criticality::Sheddable, Reason::Displaced));
    assert_eq!(refused.failure(), Failure::Shed);
    let equal = limit.admit(&two, &ask(Criticality::Critical, now, 1_000 * MS), || 4);
    assert!(matches!(equal, Admission::Refused(_)), "nobody gives way to an equal: {equal:?}");
    assert_eq!(served(&mut limit, &two, now, 2), [3, 2]);
}

/// `queue` on, one slot, and a sheddable line that has stood for an interval.
fn standing(observe: bool) -> (Limit<u32>, Limits, Instant) {
    let queue = QueuePolicy { observe, ..QueuePolicy::default() };
    let limits = Limits { queue: Some(queue), ..limits(1, 100) };
    let (mut limit, t0) = taken(&limits);
    let mut now = t0;
    for name in 0..60 {
        now = t0 + 2 * MS * name;
        wait(&mut limit, &limits, Criticality::Sheddable, now, name);
        if name % 2 == 0 {
            served(&mut limit, &limits, now, 1);
        }
    }
    (limit, limits, now)
}

#[test]
fn a_queue_that_stands_is_cut_to_its_target_and_serves_the_newest() {
    let (mut limit, limits, now) = standing(false);
    assert_eq!(wait(&mut limit, &limits, Criticality::Sheddable, now, 100), 5 * MS);
    assert_eq!(served(&mut limit, &limits, now, 1), [100], "the newest");
    let cut = limit.sheds().get(Criticality::Sheddable, Reason::QueueDelay, false);
    assert!(cut > 10, "all who waited for longer than the target are told: {cut}");
    assert!(limit.waiting() <= 3, "{}", limit.waiting());
    assert_eq!(
        wait(&mut limit, &limits, Criticality::Critical, now, 101),
        100 * MS,
        "the line of another class is not cut"
    );
}

#[test]
fn a_queue_is_patient_again_when_nothing_had_to_be_cut_for_an_interval() {
    let (mut limit, limits, now) = standing(false);
    served(&mut limit, &limits, now, 1);
    let mut later = now + 250 * MS;
    served(&mut limit, &limits, later, 10);
    assert_eq!((limit.waiting(), limit.in_flight()), (0, 0));
    // An interval in which somebody was cut, one in which nobody was.
    for _ in 0..2 {
        later += 150 * MS;
        limit.admit(&limits, &ask(Criticality::Sheddable, later, 1_000 * MS), || 0);
        wait(&mut limit, &limits, Criticality::Sheddable, later, 1);
        served(&mut limit, &limits, later, 2);
    }
    later += 150 * MS;
    limit.admit(&limits, &ask(Criticality::Sheddable, later, 1_000 * MS), || 0);
    assert_eq!(wait(&mut limit, &limits, Criticality::Sheddable, later, 1), 100 * MS);
}

#[test]
fn observing_the_queue_cuts_nobody_and_counts_who_would_have_been() {
    let (mut limit, limits, now) = standing(true);
    assert_eq!(wait(&mut limit, &limits, Criticality::Sheddable, now, 100), 100 * MS);
    assert_eq!(limit.sheds().get(Criticality::Sheddable, Reason::QueueDelay, false), 0);
    assert_ne!(served(&mut limit, &limits, now, 1), [100], "in order of arrival");
    assert!(limit.sheds().get(Criticality::Sheddable, Reason::QueueDelay, true) > 0);
}

#[test]
fn expired_ones_go_before_anybody_is_served() {
    let one = limits(1, 10);
    let (mut limit, now) = taken(&one);
    wait(&mut limit, &one, Criticality::CriticalPlus, now, 1);
    let later = now + 100 * MS;
    wait(&mut limit, &one, Criticality::Sheddable, later, 2);
    limit.release(|| later, None);
    let Some(Next::Refused(1, refused)) = limit.next(&one, later) else { panic!("the first one has expired") };
    assert_eq!(refused.failure(), Failure::QueueTimeout);
    assert!(matches!(limit.next(&one, later), Some(Next::Granted(2, _))));
    assert_eq!(limit.next(&one, later), None);
}

fn adaptive(observe: bool, initial: u32) -> AdaptivePolicy {
    let algorithm = crate::reliability::adaptive::Algorithm::Aimd;
    AdaptivePolicy { algorithm, observe, min: 1, max: 100, initial }
}

#[test]
fn the_limit_that_was_found_is_in_force_below_the_written_one_and_is_named() {
    let found = Limits { adaptive: Some(adaptive(false, 2)), ..limits(10, 0) };
    let (mut limit, now) = taken(&found);
    let ask = ask(Criticality::Sheddable, now, 1_000 * MS);
    assert!(matches!(limit.admit(&found, &ask, || 0), Admission::Granted(Taken { in_flight: 2 })));
    let Admission::Refused(refused) = limit.admit(&found, &ask, || 0) else { panic!("two are in flight") };
    assert_eq!((refused.failure(), refused.limit, refused.adapted), (Failure::Shed, 2, true));
    let rtt = Duration::from_millis(1);
    limit.release(|| now, Some(Sample { rtt, in_flight: 2, dropped: false }));
    assert_eq!(limit.bound(&found), (3, true));
    limit.reconfigure(&limits(10, 0), now);
    assert_eq!(limit.bound(&limits(10, 0)), (10, false), "without the block all is as written");
}

#[test]
fn observing_the_limit_lets_everybody_in_and_counts_who_was_above_it() {
    let found = Limits { adaptive: Some(adaptive(true, 2)), ..limits(10, 0) };
    let (mut limit, now) = taken(&found);
    for _ in 0..5 {
        let admission = limit.admit(&found, &ask(Criticality::Sheddable, now, 1_000 * MS), || 0);
        assert!(matches!(admission, Admission::Granted(_)), "{admission:?}");
    }
    assert_eq!(limit.sheds().get(Criticality::Sheddable, Reason::OverLimit, true), 4);
    assert_eq!(limit.bound(&found), (10, false));
}

#[derive(Clone, Debug)]
enum Op {
    Ask(Criticality),
    Finish(bool),
    GiveUp,
    Gone,
    Pass(u32),
    SetLimits(u32, u32, bool, bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0usize..4).prop_map(|class| Op::Ask(Criticality::ALL[class])),
        4 => any::<bool>().prop_map(Op::Finish),
        1 => Just(Op::GiveUp),
        1 => Just(Op::Gone),
        2 => (0u32..60).prop_map(Op::Pass),
        1 => (0u32..20, 0u32..4, any::<bool>(), any::<bool>())
            .prop_map(|(requests, pending, queue, found)| Op::SetLimits(requests, pending, queue, found)),
    ]
}

proptest! {
    #[test]
    fn slots_are_never_exceeded_or_lost_and_the_queue_is_bounded(ops in prop::collection::vec(op(), 0..300)) {
        let mut now = Instant::now();
        let mut limit = Limit::new();
        let mut current = limits(3, 2);
        // What the shell holds.
        let mut running = 0u32;
        let mut queued: Vec<(u32, Ticket)> = Vec::new();
        // Lowering `pending` sends nobody away.
        let (mut names, mut longest) = (0u32, 0u32);
        for op in ops {
            match op {
                Op::Ask(class) => {
                    names += 1;
                    let name = names;
                    match limit.admit(&current, &ask(class, now, Duration::from_secs(1)), || name) {
                        Admission::Granted(taken) => {
                            running += 1;
                            prop_assert_eq!(taken.in_flight, running);
                            prop_assert!(running <= current.requests.max(1));
                        }
                        Admission::Queued { ticket, displaced, .. } => {
                            if let Some((gone, refused)) = displaced {
                                prop_assert!(refused.class < class);
                                queued.retain(|(name, _)| *name != gone);
                            }
                            queued.push((name, ticket));
                            longest = longest.max(current.pending);
                            prop_assert!(queued.len() as u32 <= longest);
                        }
                        Admission::Refused(_) => {
                            let bound = limit.bound(&current).0;
                            prop_assert!(running >= bound - bound / RESERVED);
                            prop_assert!(queued.len() as u32 >= current.pending);
                        }
                    }
                }
                Op::Finish(dropped) if running > 0 => {
                    running -= 1;
                    let sample = Sample { rtt: MS, in_flight: running + 1, dropped };
                    limit.release(|| now, Some(sample));
                    while let Some(next) = limit.next(&current, now) {
                        let (Next::Granted(name, _) | Next::Refused(name, _)) = next;
                        prop_assert!(queued.iter().any(|(known, _)| *known == name), "woken twice");
                        queued.retain(|(known, _)| *known != name);
                        if let Next::Granted(..) = next {
                            running += 1;
                            prop_assert!(running <= current.requests.max(1));
                        }
                    }
                }
                Op::GiveUp if !queued.is_empty() => {
                    let (_, ticket) = queued.remove(0);
                    prop_assert!(limit.give_up(&current, ticket, now).is_some());
                    prop_assert!(limit.give_up(&current, ticket, now).is_none());
                }
                Op::Gone if !queued.is_empty() => prop_assert!(limit.abandon(queued.remove(0).1)),
                Op::Pass(millis) => now += millis * MS,
                Op::SetLimits(requests, pending, queue, found) => {
                    current = limits(requests, pending);
                    current.queue = queue.then(QueuePolicy::default);
                    current.adaptive = found.then(|| adaptive(false, 2));
                    limit.reconfigure(&current, now);
                }
                Op::Finish(_) | Op::GiveUp | Op::Gone => {}
            }
            prop_assert_eq!((limit.in_flight(), limit.waiting()), (running, queued.len() as u32));
            let tickets: BTreeSet<u32> = queued.iter().map(|(name, _)| *name).collect();
            prop_assert_eq!(tickets.len(), queued.len());
            prop_assert!(queued.is_empty() || running > 0, "a waiter whom nobody will wake");
        }
    }
}
