use super::*;

fn hedges(won: u64, lost: u64) -> HedgeView {
    HedgeView {
        mode: "enforce".to_owned(),
        delay_ms: Some(25.4),
        samples: 4_000,
        first_attempts: 4_000,
        won,
        lost,
        ..HedgeView::default()
    }
}

#[test]
fn hedges_are_called_waste_once_enough_of_them_are_known_and_hardly_any_wins() {
    for (won, lost, wasteful) in [(0, 19, false), (0, 20, true), (2, 18, false), (1, 19, true), (10, 10, false)] {
        let view = hedges(won, lost);
        assert_eq!(view.is_wasteful(), wasteful, "{won} of {}", won + lost);
        assert_eq!(view.sentence().contains("hardly help"), wasteful, "{}", view.sentence());
    }
}

#[test]
fn what_there_is_to_say_is_said_in_a_sentence() {
    assert_eq!(hedges(30, 10).sentence(), "30 of 40 hedges won, for 1.0% more load.");
    assert_eq!(hedges(0, 0).sentence(), "Nothing was slow enough yet: a hedge is sent after 25 ms.");
    let learning = HedgeView { delay_ms: None, samples: 42, ..hedges(0, 0) };
    assert_eq!(learning.sentence(), "42 first attempts are known; a percentile needs more.");
    let observed = HedgeView { mode: "observe".to_owned(), observed: 31, ..hedges(0, 0) };
    assert_eq!(observed.sentence(), "Observed: after 25 ms 31 of 4000 would have been hedged.");
}
