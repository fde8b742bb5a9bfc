use super::*;
use crate::reliability::failure::Failure;

const MS: Duration = Duration::from_millis(1);

fn key(upstream: &str) -> StreamKey {
    StreamKey { upstream: upstream.into(), route: "default".into(), idempotent: true }
}

fn attempt(launched: Instant, port: u16, end: AttemptEnd, ending: Ending) -> Attempt {
    Attempt { endpoint: Some(SocketAddr::from(([10, 0, 0, 1], port))), launched, elapsed: 5 * MS, end, ending }
}

fn good(launched: Instant, port: u16) -> Attempt {
    attempt(launched, port, AttemptEnd::Status(200), Ending::Success)
}

fn done(recorder: &Recorder, now: Instant) -> Arc<Sketch> {
    match recorder.standing(now) {
        Standing::Done(sketch) => sketch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bucket_holds_what_lies_between_its_edges() {
    for micros in (1..3_000_000).step_by(977) {
        let (from, to) = edges(bucket(Duration::from_micros(micros)));
        assert!((from..to).contains(&micros.max(16)), "{micros}: {from} {to}");
    }
}

#[test]
fn requests_and_attempts_are_counted_in_their_second() {
    let (recorder, now) = (Recorder::default(), Instant::now());
    recorder.start(now, 3 * STEP, None, false).unwrap();
    let at = now + 1_500 * MS;
    let failed = attempt(at, 1, AttemptEnd::Failed(Failure::TryTimeout), Ending::TimedOut);
    recorder.note(at, &key("up"), at, true, [failed, good(at + 600 * MS, 2)].into_iter());
    recorder.note(at, &key("up"), at, true, [good(at, 1)].into_iter());
    assert!(matches!(recorder.standing(at), Standing::Running(left) if left == 1_500 * MS));
    let sketch = done(&recorder, now + 3 * STEP);
    assert!(!recorder.is_on());
    assert_eq!(sketch.streams[0].arrivals, [0, 2]);
    assert_eq!(sketch.cells[&(0, 0, 1)].ends, [(End::Status(200), 1), (End::Timeout, 1)]);
    assert_eq!(sketch.cells[&(0, 1, 2)].ends, [(End::Status(200), 1)]);
    assert_eq!(sketch.cells[&(0, 1, 2)].latencies.len(), 1);
}

#[test]
fn there_is_one_at_a_time_and_the_next_one_replaces_it() {
    let (recorder, now) = (Recorder::default(), Instant::now());
    assert!(matches!(recorder.standing(now), Standing::Nothing));
    recorder.start(now, STEP, None, false).unwrap();
    assert_eq!(recorder.start(now + 400 * MS, STEP, None, false), Err(Busy(600 * MS)));
    assert_eq!(recorder.start(now + STEP, STEP, None, false), Ok(()));
    assert!(recorder.is_on());
}

#[test]
fn what_began_before_or_belongs_to_another_upstream_is_left_out() {
    let (recorder, now) = (Recorder::default(), Instant::now());
    let before = now.checked_sub(MS).unwrap();
    recorder.start(now, STEP, Some("up".to_owned()), false).unwrap();
    recorder.note(now, &key("up"), before, true, [good(before, 1)].into_iter());
    recorder.note(now, &key("other"), now, true, [good(now, 1)].into_iter());
    let sketch = done(&recorder, now + STEP);
    assert!(sketch.cells.is_empty() && sketch.streams.iter().all(|stream| stream.arrivals.is_empty()));
}

#[test]
fn a_sketch_is_bounded_and_says_what_it_dropped() {
    let (recorder, now) = (Recorder::default(), Instant::now());
    recorder.start(now, 10_000 * STEP, None, false).unwrap();
    let mut noted = 0;
    for second in 0..600 {
        for port in 0..20 {
            let at = now + second * STEP;
            recorder.note(at, &key("up"), at, true, [good(at, port)].into_iter());
            noted += 1;
        }
    }
    let sketch = done(&recorder, now + LONGEST);
    assert_eq!(sketch.cells.len(), CELLS_MAX);
    assert_eq!(sketch.dropped, noted - CELLS_MAX as u64);
}

#[test]
fn what_says_nothing_of_an_endpoint_is_not_held_against_it() {
    let (recorder, now) = (Recorder::default(), Instant::now());
    recorder.start(now, STEP, None, false).unwrap();
    let cancelled = attempt(now, 1, AttemptEnd::Cancelled, Ending::Cancelled);
    recorder.note(now, &key("up"), now, false, [cancelled].into_iter());
    let sketch = done(&recorder, now + STEP);
    assert!(sketch.cells.is_empty());
    assert_eq!((sketch.streams[0].arrivals.as_slice(), sketch.streams[0].succeeded), (&[1][..], 0));
}
