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
    fn bounds_are_shares_whatever_was_counted() {
        for (part, whole) in [(0, 0), (0, 1), (1, 1), (2, 1), (u64::MAX, u64::MAX)] {
            let (low, high) = wilson(part, whole, Z999);
            assert!((0.0..=1.0).contains(&low) && low <= high && high <= 1.0, "{part}/{whole}: {low}..{high}");
        }
    }
}
