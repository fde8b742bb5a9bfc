use super::*;

const ROUTE: RouteNumber = RouteNumber(0);
const MS: Duration = Duration::from_millis(1);

fn hedges(now: Instant) -> Hedges {
    let mut hedges = Hedges::default();
    hedges.keep(now, [ROUTE]);
    hedges
}

fn at(share: f64) -> HedgePolicy {
    HedgePolicy { delay: Delay::Percentile(share), min_delay: MS, ..HedgePolicy::default() }
}

#[test]
fn a_percentile_is_believed_from_a_hundred_samples_on_and_from_more_the_higher_it_is() {
    let now = Instant::now();
    for (share, needed) in [(0.5, 100u64), (0.95, 100), (0.99, 500), (0.999, 5_000)] {
        let mut hedges = hedges(now);
        (1..needed).for_each(|_| hedges.on_first(now, ROUTE, 30 * MS));
        assert_eq!(hedges.begin(now, ROUTE, &at(share)), None, "{share}");
        hedges.on_first(now, ROUTE, 30 * MS);
        let later = now + REFRESH;
        let delay = hedges.begin(later, ROUTE, &at(share)).map(|delay| delay.as_millis());
        assert!(delay.is_some_and(|delay| (29..=31).contains(&delay)), "{share}: {delay:?}");
    }
}

#[test]
fn the_percentile_is_found_once_a_second_and_has_a_floor() {
    let now = Instant::now();
    let mut hedges = hedges(now);
    (0..200).for_each(|_| hedges.on_first(now, ROUTE, 10 * MS));
    let first = hedges.begin(now, ROUTE, &at(0.95)).unwrap();
    (0..2_000).for_each(|_| hedges.on_first(now, ROUTE, 80 * MS));
    assert_eq!(hedges.begin(now + REFRESH - MS, ROUTE, &at(0.95)), Some(first));
    assert!(hedges.begin(now + REFRESH, ROUTE, &at(0.95)).unwrap() > 70 * MS);
    let floor = HedgePolicy { min_delay: 500 * MS, ..at(0.95) };
    assert_eq!(hedges.begin(now + REFRESH, ROUTE, &floor), Some(500 * MS));
    let fixed = HedgePolicy { delay: Delay::After(5 * MS), ..floor };
    assert_eq!(hedges.begin(now, ROUTE, &fixed), Some(5 * MS), "a written time is meant");
}

#[test]
fn a_route_that_stays_keeps_what_is_known_of_it() {
    let now = Instant::now();
    let mut hedges = hedges(now);
    (0..200).for_each(|_| hedges.on_first(now, ROUTE, 10 * MS));
    hedges.suppress(ROUTE, Suppressed::Panic);
    hedges.keep(now, [ROUTE, RouteNumber(1)]);
    let report = hedges.report(now, ROUTE, &at(0.95)).unwrap();
    assert_eq!((report.samples, report.counts.suppressed[Suppressed::Panic as usize]), (200, 1));
    hedges.keep(now, [RouteNumber(1)]);
    assert_eq!(hedges.report(now, ROUTE, &at(0.95)), None);
    assert_eq!(hedges.report(now, RouteNumber(1), &at(0.95)).unwrap().samples, 0);
}

#[test]
fn a_pause_lasts_as_long_as_was_asked_for_and_a_minute_at_most() {
    let now = Instant::now();
    let mut hedges = hedges(now);
    hedges.on_pushback(now, 2 * Duration::from_secs(1));
    hedges.on_pushback(now, MS);
    assert!(hedges.is_paused(now + Duration::from_millis(1_999)) && !hedges.is_paused(now + Duration::from_secs(2)));
    hedges.on_pushback(now, Duration::from_secs(300));
    assert!(!hedges.is_paused(now + PAUSE_MAX));
}

#[test]
fn the_reasons_are_in_declaration_order_since_counts_are_indexed_by_them() {
    assert!(Suppressed::ALL.iter().enumerate().all(|(place, why)| *why as usize == place));
    let mut words: Vec<&str> = Suppressed::ALL.iter().map(|why| why.token()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Suppressed::ALL.len());
}
