//! The second in which something began.

use super::rates::Counted;
use std::time::Instant;

/// The first second of the latest change for the worse: the split of `seconds` (oldest first) into a better and a worse
/// part that explains the counts best. `None` if nothing bad was counted.
pub(super) fn onset(seconds: &[(Instant, Counted)]) -> Option<Instant> {
    let sum = |part: &[(Instant, Counted)]| {
        part.iter().fold(Counted::default(), |sum, (_, c)| Counted { bad: sum.bad + c.bad, all: sum.all + c.all })
    };
    let mut best: Option<(f64, Instant)> = None;
    for (at, (begins, counted)) in seconds.iter().enumerate() {
        // A change begins with something bad.
        if counted.bad == 0 {
            continue;
        }
        let (before, after) = seconds.split_at(at);
        let (before, after) = (sum(before), sum(after));
        if before.all > 0 && before.share() >= after.share() {
            continue;
        }
        let fit = likelihood(before) + likelihood(after);
        if best.is_none_or(|(most, _)| fit > most) {
            best = Some((fit, *begins));
        }
    }
    let first_bad = seconds.iter().find(|(_, counted)| counted.bad > 0);
    best.map(|(_, begins)| begins).or(first_bad.map(|(begins, _)| *begins))
}

/// The logarithm of how likely the counts are under their own share.
fn likelihood(counted: Counted) -> f64 {
    let share = counted.share();
    let part = |count: u64, p: f64| if count == 0 { 0.0 } else { count as f64 * p.ln() };
    part(counted.bad, share) + part(counted.all - counted.bad, 1.0 - share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn found(bad: &[u64]) -> Option<u64> {
        let t0 = Instant::now();
        let second = |(at, bad): (usize, &u64)| (t0 + Duration::from_secs(at as u64), Counted { bad: *bad, all: 20 });
        let seconds: Vec<_> = bad.iter().enumerate().map(second).collect();
        onset(&seconds).map(|at| (at - t0).as_secs())
    }

    #[test]
    fn it_is_the_first_second_of_the_change_and_not_the_first_failure() {
        assert_eq!(found(&[0, 0, 0]), None);
        assert_eq!(found(&[0, 0, 20, 20, 20]), Some(2));
        assert_eq!(found(&[1, 0, 1, 0, 0, 9, 8, 9, 20]), Some(5));
        assert_eq!(found(&[20, 20, 20]), Some(0));
        assert_eq!(found(&[20, 20, 0, 0, 0, 0, 0, 0, 0, 19, 20]), Some(9));
    }
}
