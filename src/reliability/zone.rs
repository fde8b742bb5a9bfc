//! Which zone a request goes to: our own while enough of it is well and it is not the busier one.
//!
//! Crossing a zone costs money and a millisecond; a zone that is half dead or overrun costs more. So the share that
//! stays at home falls with the health of what is there, and single requests leave a zone whose endpoints have more to
//! do than those elsewhere.

/// Attempts in flight below which an endpoint is never busy.
const BUSY_FLOOR: u32 = 4;
/// An endpoint is busy that has more than this many times the attempts of one elsewhere.
const BUSY_FACTOR: u32 = 2;

/// Share of requests that leave the zone, 0 to 1. Of the zone `total` endpoints are known and `well` take traffic;
/// `elsewhere`: endpoints of other zones that do. All stays while at least `min_healthy_percent` of the zone is well;
/// below that, what the missing ones would have carried leaves.
pub fn leaving(well: usize, total: usize, elsewhere: usize, min_healthy_percent: f64) -> f64 {
    if elsewhere == 0 {
        return 0.0;
    }
    if total == 0 {
        return 1.0;
    }
    let healthy = well as f64 / total as f64;
    let enough = (min_healthy_percent / 100.0).clamp(0.01, 1.0);
    1.0 - (healthy / enough).min(1.0)
}

/// Whether a request leaves an endpoint of the zone with `here` attempts in flight for one elsewhere with `there`.
pub const fn is_busier(here: u32, there: u32) -> bool {
    here >= BUSY_FLOOR && here > there.saturating_add(1).saturating_mul(BUSY_FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_stays_while_enough_of_the_zone_is_well() {
        for well in 7..=10 {
            assert_eq!(leaving(well, 10, 20, 70.0), 0.0, "{well} of 10");
        }
        assert!((leaving(6, 10, 20, 70.0) - 1.0 / 7.0).abs() < 1e-12);
        assert!((leaving(5, 10, 20, 70.0) - 2.0 / 7.0).abs() < 1e-12);
        assert_eq!(leaving(0, 10, 20, 70.0), 1.0);
    }

    #[test]
    fn nothing_leaves_for_where_nobody_is_and_all_leaves_a_zone_without_endpoints() {
        assert_eq!(leaving(1, 10, 0, 70.0), 0.0);
        assert_eq!(leaving(0, 10, 0, 70.0), 0.0);
        assert_eq!(leaving(0, 0, 5, 70.0), 1.0);
        assert_eq!(leaving(0, 0, 0, 70.0), 0.0);
    }

    #[test]
    fn the_share_that_leaves_falls_with_every_endpoint_that_is_well() {
        for min in [1.0, 50.0, 100.0] {
            let shares: Vec<f64> = (0..=20).map(|well| leaving(well, 20, 1, min)).collect();
            assert!(shares.windows(2).all(|pair| pair[0] >= pair[1]), "{shares:?}");
            assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        }
    }

    #[test]
    fn a_request_leaves_for_an_endpoint_with_less_than_half_to_do_and_never_from_an_idle_one() {
        assert!(!is_busier(3, 0), "three at once are none");
        assert!(is_busier(4, 0));
        assert!(!is_busier(4, 1));
        assert!(is_busier(5, 1));
        assert!(!is_busier(20, 10));
        assert!(is_busier(23, 10));
        assert!(!is_busier(u32::MAX, u32::MAX));
    }
}
