use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::taps::{Filter, Glimpse, RATE_MAX, TAPS_MAX, WAITING_MAX};
use super::told::{ToldAttempt, cut, path, request_id};
use super::*;
use crate::policy::Direction;
use crate::reliability::attempts::{Kind, Stop};
use crate::reliability::ending::Ending;
use crate::reliability::inheritance::DeadlineFrom;
use crate::telemetry::metrics::{AttemptEnd, RequestOutcome};
use crate::telemetry::trace_context::TraceContext;

fn attempt(kind: Kind, at_ms: u64, elapsed_ms: u64, status: u16) -> ToldAttempt {
    ToldAttempt {
        endpoint: Some("10.2.3.4:8080".parse().unwrap()),
        kind,
        at: Duration::from_millis(at_ms),
        elapsed: Duration::from_millis(elapsed_ms),
        left: Duration::from_millis(1_000 - at_ms),
        end: AttemptEnd::Status(status),
        ending: if status < 500 { Ending::Success } else { Ending::Error },
    }
}

/// A request with the id `r1` that a retry saved.
pub(crate) fn rescued() -> Told {
    Told {
        trace_id: TraceContext::create(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, false).trace_id(),
        request_id: Some("r1".into()),
        peer: None,
        at: Timestamp::from_second(1_795_000_000).unwrap(),
        method: "GET".into(),
        path: "/pay/7".into(),
        direction: Direction::Outbound,
        upstream: Some("payments".into()),
        route: Some("charge".into()),
        outcome: RequestOutcome::Success,
        status: Some(200),
        failure: None,
        call: None,
        duration: Duration::from_millis(52),
        waited: Duration::ZERO,
        deadline_from: DeadlineFrom::Policy,
        attempts: [attempt(Kind::First, 0, 12, 503), attempt(Kind::Retry, 43, 9, 200)].into(),
        denied: None,
        stop: Some(Stop::Answered),
        key: None,
        dead_letter: None,
        policy_revision: 7,
        request_bytes: 0,
        response_bytes: 5,
        kept: Some(Kept::Troubled),
    }
}

fn of(upstream: &str, trace: u128) -> Arc<Told> {
    let trace_id = TraceContext::create(trace, false).trace_id();
    Arc::new(Told { trace_id, upstream: Some(upstream.into()), request_id: None, ..rescued() })
}

fn traces(found: &Found) -> Vec<String> {
    match found {
        Found::Stories(found) => found.iter().map(|told| told.trace_id.to_string()).collect(),
        Found::Several(_) | Found::Nothing => Vec::new(),
    }
}

fn listed(stories: &Stories, upstream: &str) -> usize {
    stories.list(&Wanted { upstream: Some(upstream.to_owned()), limit: usize::MAX, ..Wanted::default() }).len()
}

#[test]
fn a_story_is_found_by_each_of_its_names_and_by_nothing_else() {
    let stories = Stories::default();
    let letter = "01890a5d-ac96-774b-bcce-b302099a8057";
    stories.keep(Arc::new(Told { dead_letter: Some(letter.into()), ..rescued() }));
    let names = [
        "0af7651916cd43dd8448eb211c80319c",
        "0AF7651916CD43DD8448EB211C80319C",
        " 0af76519 ",
        "r1",
        letter,
        "01890a5d",
        "099a8057",
    ];
    for name in names {
        assert_eq!(traces(&stories.find(name)).len(), 1, "{name}");
    }
    for name in ["", "0af7651", "0af76510", "R1", "r", "51916cd43dd8448e", "a8057"] {
        assert!(matches!(stories.find(name), Found::Nothing), "{name}");
    }
}

#[test]
fn a_part_that_fits_two_traces_names_both_and_a_whole_id_finds_all_of_its_requests() {
    let stories = Stories::default();
    for trace in [0xabcd_1234_u128 << 96, (0xabcd_1234_u128 << 96) | 1, 7, 7] {
        stories.keep(of("payments", trace));
    }
    let Found::Several(traces_of) = stories.find("abcd1234") else { panic!("not ambiguous") };
    assert_eq!(traces_of.len(), 2);
    assert_eq!(traces(&stories.find(&format!("{:032x}", 7))).len(), 2);
}

#[test]
fn a_flood_of_one_upstream_does_not_push_out_the_others() {
    let stories = Stories::default();
    for trace in 1..=20 {
        stories.keep(of("quiet", trace));
    }
    for trace in 1..=(3 * TROUBLED_MAX as u128) {
        stories.keep(of("loud", trace));
    }
    assert_eq!(listed(&stories, "quiet"), 20);
    let holdings = stories.holdings();
    assert_eq!(listed(&stories, "loud"), holdings.troubled - 20);
    assert!(holdings.troubled <= TROUBLED_MAX && holdings.troubled > TROUBLED_MAX / 2, "{holdings:?}");
    // The oldest of the loud ones left, not the newest.
    assert!(matches!(stories.find(&format!("{:032x}", 3 * TROUBLED_MAX)), Found::Stories(_)));
    assert!(stories.holdings().forgotten > 0);
}

#[test]
fn two_floods_share_evenly() {
    let stories = Stories::default();
    for trace in 1..=(2 * TROUBLED_MAX as u128) {
        stories.keep(of("first", trace));
    }
    for trace in 1..=(2 * TROUBLED_MAX as u128) {
        stories.keep(of("second", trace));
    }
    let (first, second) = (listed(&stories, "first"), listed(&stories, "second"));
    assert!(first.abs_diff(second) <= 2, "{first} and {second}");
}

#[test]
fn the_largest_stories_stay_within_the_bytes_that_are_promised() {
    let stories = Stories::default();
    let attempts: Box<[ToldAttempt]> = vec![attempt(Kind::Retry, 1, 1, 503); 16].into();
    let long = "x".repeat(10_000);
    for (number, kept) in [Kept::Troubled, Kept::Sampled, Kept::Slow].into_iter().cycle().take(6_000).enumerate() {
        let told = Told {
            attempts: attempts.clone(),
            path: path(&long),
            request_id: Some(request_id(long.as_bytes())),
            kept: Some(kept),
            ..(*of("payments", number as u128 + 1)).clone()
        };
        assert!(told.bytes() < 3_000, "{}", told.bytes());
        stories.keep(Arc::new(told));
    }
    let holdings = stories.holdings();
    assert!(holdings.bytes <= TROUBLED_BYTES_MAX + OTHERS_BYTES_MAX, "{holdings:?}");
    assert!(holdings.troubled > 500 && holdings.others > 100, "{holdings:?}");
}

#[test]
fn slow_and_sampled_ones_never_push_out_a_troubled_one() {
    let stories = Stories::default();
    stories.keep(of("payments", 1));
    for trace in 2..2_000 {
        stories.keep(Arc::new(Told { kept: Some(Kept::Sampled), ..(*of("payments", trace)).clone() }));
    }
    assert!(matches!(stories.find(&format!("{:032x}", 1)), Found::Stories(_)));
    let troubled = Wanted { troubled: true, limit: 10, ..Wanted::default() };
    assert_eq!(stories.list(&troubled).len(), 1);
}

#[test]
fn texts_are_cut_at_characters_and_never_carry_a_query() {
    assert_eq!(&*cut("aé", 2), "a...");
    assert_eq!(&*cut("aé", 3), "aé");
    assert_eq!(&*path("/a?token=1"), "/a");
    assert!(request_id(&[0xff; 500]).len() < 140);
}

const GLIMPSE: Glimpse<'static> = Glimpse { upstream: Some("payments"), route: Some("charge"), troubled: false };

fn read(listening: &mut taps::Listening) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    std::iter::from_fn(|| matches!(listening.poll_next(&mut cx), Poll::Ready(Some(_))).then_some(())).count()
}

#[test]
fn a_tap_sees_what_its_filter_wants_and_nobody_watches_when_it_is_closed() {
    let taps = Arc::<Taps>::default();
    assert!(!taps.watched());
    let wanted = |upstream: Option<&str>, route: Option<&str>, errors| {
        let filter = Filter { upstream: upstream.map(str::to_owned), route: route.map(str::to_owned), errors };
        let mut listening = taps.listen(filter).unwrap();
        let now = Instant::now();
        taps.show(&GLIMPSE, now, || Arc::new(rescued()));
        taps.show(&Glimpse { troubled: true, ..GLIMPSE }, now, || Arc::new(rescued()));
        read(&mut listening)
    };
    assert_eq!(wanted(None, None, false), 2);
    assert_eq!(wanted(None, None, true), 1);
    assert_eq!(wanted(Some("payments"), Some("charge"), false), 2);
    assert_eq!(wanted(None, Some("payments/charge"), false), 2);
    assert_eq!(wanted(Some("search"), None, false), 0);
    assert_eq!(wanted(None, Some("search/charge"), false), 0);
    assert!(!taps.watched());
}

#[test]
fn a_slow_reader_loses_lines_which_are_counted_and_not_even_put_together() {
    let taps = Arc::<Taps>::default();
    let mut slow = taps.listen(Filter::default()).unwrap();
    let began = Instant::now();
    let mut made = 0;
    for number in 0..400_u32 {
        // Within the rate: half a second for each hundred.
        let now = began + Duration::from_millis(u64::from(number) * 5 + 5);
        taps.show(&GLIMPSE, now, || {
            made += 1;
            Arc::new(rescued())
        });
    }
    assert_eq!((made, read(&mut slow)), (WAITING_MAX, WAITING_MAX));
    assert_eq!(slow.lost.take(), (400 - WAITING_MAX as u64, 0));
    assert_eq!(slow.lost.take(), (0, 0));
}

#[test]
fn beyond_the_rate_requests_are_left_out_and_counted() {
    let taps = Arc::<Taps>::default();
    let mut listening = taps.listen(Filter::default()).unwrap();
    let now = Instant::now();
    for _ in 0..RATE_MAX + 50 {
        taps.show(&GLIMPSE, now, || Arc::new(rescued()));
    }
    assert_eq!(read(&mut listening), RATE_MAX as usize);
    assert_eq!(listening.lost.take(), (0, 50));
    taps.show(&GLIMPSE, now + Duration::from_secs(1), || Arc::new(rescued()));
    assert_eq!(read(&mut listening), 1);
}

#[test]
fn there_are_so_many_taps_and_no_more() {
    let taps = Arc::<Taps>::default();
    let mut open: Vec<_> = (0..TAPS_MAX).map(|_| taps.listen(Filter::default()).unwrap()).collect();
    assert!(taps.listen(Filter::default()).is_none());
    open.pop();
    assert!(taps.listen(Filter::default()).is_some());
}
