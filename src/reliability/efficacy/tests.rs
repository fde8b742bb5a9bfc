use super::*;
use crate::reliability::entropy::SplitMix;
use crate::reliability::verdict::history::{History, Tick, latency_bucket};
use std::time::Instant;

const SEC: Duration = Duration::from_secs(1);
const ROUTE: RouteNumber = RouteNumber(7);

fn tries(good: u64, bad: u64) -> Tries {
    let mut tries = Tries::default();
    (0..good).for_each(|_| tries.add(true));
    (0..bad).for_each(|_| tries.add(false));
    tries
}

fn retry(good: bool) -> ledger::Retried {
    ledger::Retried { place: 1, elsewhere: None, good, took: Duration::from_millis(10) }
}

struct Book {
    start: Instant,
    ledgers: Ledgers,
    entropy: SplitMix,
}

impl Book {
    fn new() -> Book {
        let start = Instant::now();
        let mut ledgers = Ledgers::default();
        ledgers.keep(start, [ROUTE]);
        Book { start, ledgers, entropy: SplitMix::new(5) }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    /// A retry after a timeout, if it is allowed.
    fn retry(&mut self, second: u64, good: bool) -> bool {
        let now = self.at(second);
        let allowed = self.ledgers.allows(now, ROUTE, FailureClass::Timeout);
        if allowed {
            self.ledgers.on_allowed(now, ROUTE, FailureClass::Timeout, &mut self.entropy);
            self.ledgers.on_retried(now, ROUTE, FailureClass::Timeout, retry(good));
        }
        allowed
    }

    fn retries(&mut self, count: u32, second: u64, good: bool) {
        for _ in 0..count {
            self.retry(second, good);
        }
    }

    fn report(&self, second: u64) -> Report {
        self.ledgers.reports(self.at(second), ROUTE).remove(0)
    }
}

#[test]
fn v1_v2_v3_the_published_verdicts_hold() {
    let verdict = |good, bad| Helpfulness::of(&tries(good, bad), Harm::default());
    assert_eq!(verdict(0, 34), Helpfulness::Marginal);
    assert_eq!(verdict(0, 35), Helpfulness::NotHelping);
    assert_eq!(verdict(10, 10), Helpfulness::Marginal);
    assert_eq!(verdict(11, 9), Helpfulness::Helping);
    assert_eq!(verdict(0, 19), Helpfulness::Unknown);
    let harm = |rising, amplification| Helpfulness::of(&tries(0, 35), Harm { rising, amplification });
    assert_eq!(harm(true, 1.2), Helpfulness::Harmful);
    assert_eq!(harm(true, 1.1), Helpfulness::NotHelping, "a load of 1.1 is none");
    assert_eq!(harm(false, 2.0), Helpfulness::NotHelping);
    assert_eq!(Helpfulness::of(&tries(20, 0), Harm { rising: true, amplification: 2.0 }), Helpfulness::Helping);
}

#[test]
fn each_failure_has_its_class() {
    use crate::reliability::failure::{Failure, Sent};
    let failed = |failure| FailureClass::of(&Outcome::failed(failure, Sent::Maybe));
    assert_eq!(failed(Failure::ConnectionRefused), FailureClass::Connect);
    assert_eq!(failed(Failure::DnsError), FailureClass::Connect);
    assert_eq!(failed(Failure::ConnectionLimit), FailureClass::Connect);
    assert_eq!(failed(Failure::ConnectionTerminated), FailureClass::Reset);
    assert_eq!(failed(Failure::TryTimeout), FailureClass::Timeout);
    assert_eq!(failed(Failure::IdleTimeout), FailureClass::Timeout);
    assert_eq!(FailureClass::of(&Outcome::answered(503)), FailureClass::Error);
    assert_eq!(FailureClass::of(&Outcome::answered(429)), FailureClass::Overload);
    let busy = Outcome { retry_after: Some(SEC), ..Outcome::answered(503) };
    assert_eq!(FailureClass::of(&busy), FailureClass::Overload);
    // A policy may list a status that is no failure to anyone else.
    assert_eq!(FailureClass::of(&Outcome::answered(404)), FailureClass::Error);
}

#[test]
fn what_is_held_gets_a_probe_about_every_ten_seconds_and_its_verdict_stays() {
    let mut book = Book::new();
    assert!((0..35).all(|_| book.retry(0, false)));
    assert!(!book.retry(9, false));
    let probes = (0..1000).filter(|second| book.retry(*second, false)).count();
    assert!((80..=120).contains(&probes), "{probes} in 1000 s");
    assert_eq!(book.report(1000).verdict, Helpfulness::NotHelping, "although 30 probes would not prove it");
    assert!(book.report(1000).tries.retries() < 35);
}

#[test]
fn three_of_the_last_five_probes_end_a_hold_and_two_do_not() {
    let mut book = Book::new();
    book.retries(35, 0, false);
    let answers = [true, false, true, false, false, true, false, true, true];
    let mut second = 0;
    for good in answers {
        assert!(book.report(second).held, "second {second}");
        while !book.retry(second, good) {
            second += 1;
        }
    }
    let report = book.report(second);
    assert!(!report.held);
    assert_eq!((report.verdict, report.tries), (Helpfulness::Unknown, Tries::default()), "the window begins anew");
    assert_eq!(report.all_tries.retries(), 44, "what was, was");
    assert!(book.retry(second, false) && book.retry(second, false));
}

#[test]
fn a_hold_whose_evidence_has_aged_away_ends() {
    let mut book = Book::new();
    book.retries(35, 0, false);
    assert!(!book.retry(5, false));
    book.ledgers.review(book.at(301), Harm::default());
    assert_eq!((book.report(301).held, book.report(301).verdict), (false, Helpfulness::Unknown));
    let last = book.ledgers.take_changes().pop().map(|change| (change.from, change.to));
    assert_eq!(last, Some((Helpfulness::NotHelping, Helpfulness::Unknown)));
}

#[test]
fn harm_comes_and_goes_with_the_review_and_stays_in_between() {
    let mut book = Book::new();
    book.retries(35, 0, false);
    let harm = Harm { rising: true, amplification: 1.5 };
    book.ledgers.review(book.at(1), harm);
    assert_eq!(book.report(1).verdict, Helpfulness::Harmful);
    assert!(book.retry(11, false));
    assert_eq!(book.report(11).verdict, Helpfulness::Harmful);
    book.ledgers.review(book.at(12), Harm::default());
    assert_eq!(book.report(12).verdict, Helpfulness::NotHelping);
    let words: Vec<_> = book.ledgers.take_changes().into_iter().map(|change| change.to).collect();
    let expected = [Helpfulness::Marginal, Helpfulness::NotHelping, Helpfulness::Harmful, Helpfulness::NotHelping];
    assert_eq!(words, expected);
    assert!(book.ledgers.take_changes().is_empty());
}

#[test]
fn a_rescue_that_nobody_waited_for_is_wasted() {
    let mut book = Book::new();
    book.retries(4, 0, true);
    let rescue = Rescue { route: ROUTE, class: FailureClass::Timeout, held_out: false, compared: false };
    book.ledgers.on_late(book.at(200), rescue);
    let report = book.report(200);
    assert_eq!((report.tries.retries(), report.tries.rescued(), report.tries.wasted()), (4, 3, 1));
    // The answers leave the window before the news that one of them was late.
    assert_eq!((book.report(400).tries.retries(), book.report(400).tries.rescued()), (0, 0));
    assert_eq!(book.report(400).all_tries.rescued(), 3);
}

#[test]
fn routes_that_are_gone_are_forgotten_and_strangers_are_not_counted() {
    let mut book = Book::new();
    assert!(book.retry(0, true));
    let (kept, stranger) = (RouteNumber(8), RouteNumber(9));
    book.ledgers.keep(book.at(1), [ROUTE, kept]);
    assert_eq!(book.report(1).tries.retries(), 1);
    book.ledgers.keep(book.at(1), [kept]);
    book.ledgers.keep(book.at(1), [kept, ROUTE]);
    assert!(book.ledgers.reports(book.at(1), ROUTE).is_empty());
    book.ledgers.on_retried(book.at(1), stranger, FailureClass::Error, retry(false));
    assert!(book.ledgers.reports(book.at(1), stranger).is_empty());
    book.ledgers.keep(book.at(2), (0..5_000).map(RouteNumber));
    book.ledgers.on_failed(book.at(2), RouteNumber(4_999), FailureClass::Error);
    assert!(book.ledgers.reports(book.at(2), RouteNumber(4_999)).is_empty(), "there is a bound");
}

#[test]
fn changes_that_nobody_takes_are_bounded() {
    let mut book = Book::new();
    for round in 0..100 {
        book.retries(35, round * 400, false);
        book.ledgers.review(book.at(round * 400 + 350), Harm::default());
    }
    assert_eq!(book.ledgers.take_changes().len(), 64);
}

#[test]
fn all_classes_together_are_not_held_as_long_as_one_of_them_helps() {
    let mut book = Book::new();
    book.retries(35, 0, false);
    assert_eq!(book.report(0).verdict, Helpfulness::NotHelping);
    (0..200).for_each(|_| book.ledgers.on_retried(book.start, ROUTE, FailureClass::Connect, retry(true)));
    let report = book.report(0);
    assert_eq!((report.verdict, report.held), (Helpfulness::Helping, true));
    assert!(book.ledgers.allows(book.at(0), ROUTE, FailureClass::Connect));
}

fn tick(requests: u32, attempts: u32, overload: u32, latency: Duration) -> Tick {
    let mut tick = Tick::default();
    tick.requests.add(Ending::Success, requests);
    tick.attempts.add(Ending::Success, attempts - overload);
    tick.attempts.add(Ending::Overload, overload);
    tick.latencies.0[latency_bucket(latency)] += attempts - overload;
    tick
}

#[test]
fn harm_is_a_latency_or_a_share_of_refusals_that_has_clearly_risen_under_load() {
    let ms = Duration::from_millis;
    let quiet = tick(20, 20, 0, ms(10));
    let over = |last: Tick| {
        let start = Instant::now();
        let mut history = History::new(start);
        for second in 1..=400 {
            history.record(start + Duration::from_secs(second), if second <= 370 { &quiet } else { &last });
        }
        Harm::of(&history, start + 400 * SEC)
    };
    assert_eq!(over(quiet), Harm { rising: false, amplification: 1.0 });
    assert!(over(tick(20, 30, 0, ms(40))).is_done(), "slower");
    assert!(over(tick(20, 30, 10, ms(10))).is_done(), "refusing");
    assert!(!over(tick(20, 20, 5, ms(40))).is_done(), "no load of retries");
    assert!(!over(tick(20, 30, 0, ms(10))).is_done(), "nothing gets worse");
    assert!(!over(tick(20, 30, 0, ms(11))).is_done());
    let start = Instant::now();
    assert!(!Harm::of(&History::new(start), start).is_done(), "nothing is known");
}

#[test]
fn an_effect_needs_both_groups() {
    let mut control = Control::default();
    control.add(false, true);
    assert_eq!(control.effect(), None);
    control.add(true, false);
    let effect = control.effect().expect("both are there");
    assert_eq!(effect.difference, 1.0);
    assert!(effect.low < 0.0 && effect.high == 1.0, "{effect:?}");
}
