//! What a share proves.

/// The 95 % quantile of the normal distribution, two-sided.
pub const Z95: f64 = 1.959_963_984_540_054;
/// 99.9 %: for statements that nobody may have to take back.
pub const Z999: f64 = 3.290_526_731_491_926;

/// Between which two shares the true one lies (Wilson 1927): `part` of `whole` were seen, `z` as [`Z95`]. Without
/// samples anything is possible.
pub fn wilson(part: u64, whole: u64, z: f64) -> (f64, f64) {
    if whole == 0 {
        return (0.0, 1.0);
    }
    let n = whole as f64;
    let share = part.min(whole) as f64 / n;
    let z2 = z * z;
    let middle = share + z2 / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

/// Between which two values the difference of two true shares lies (Newcombe 1998, method 10: of two Wilson intervals).
/// Each share as `(part, whole)`.
pub fn newcombe(one: (u64, u64), other: (u64, u64), z: f64) -> (f64, f64) {
    if one.1 == 0 || other.1 == 0 {
        return (-1.0, 1.0);
    }
    let share = |(part, whole): (u64, u64)| part.min(whole) as f64 / whole as f64;
    let (p, q) = (share(one), share(other));
    let ((p_low, p_high), (q_low, q_high)) = (wilson(one.0, one.1, z), wilson(other.0, other.1, z));
    let below = ((p - p_low).powi(2) + (q_high - q).powi(2)).sqrt();
    let above = ((p_high - p).powi(2) + (q - q_low).powi(2)).sqrt();
    ((p - q - below).max(-1.0), (p - q + above).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, wanted: f64) {
        assert!((value - wanted).abs() < 1e-4, "{value} is not {wanted}");
    }

    #[test]
    fn v1_v2_the_published_bounds_hold() {
        near(wilson(0, 34, Z95).1, 0.1015);
        near(wilson(0, 35, Z95).1, 0.0989);
        near(wilson(10, 20, Z95).0, 0.2993);
        near(wilson(11, 20, Z95).0, 0.3421);
    }

    #[test]
    fn newcombe_gives_the_bounds_of_his_paper() {
        // Table II of the paper, method 10: 56/70 - 48/80, 9/10 - 3/10, 10/10 - 0/20.
        for (one, other, low, high) in
            [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((10, 10), (0, 20), 0.6791, 1.0)]
        {
            let bounds = newcombe(one, other, Z95);
            near(bounds.0, low);
            near(bounds.1, high);
        }
        assert_eq!(newcombe((0, 0), (1, 1), Z95), (-1.0, 1.0));
    }

    #[test]
    fn bounds_are_shares_whatever_was_counted() {
        for (part, whole) in [(0, 0), (0, 1), (1, 1), (2, 1), (u64::MAX, u64::MAX)] {
            let (low, high) = wilson(part, whole, Z999);
            assert!((0.0..=1.0).contains(&low) && low <= high && high <= 1.0, "{part}/{whole}: {low}..{high}");
        }
    }
}
