use super::super::entropy::{Entropy, SplitMix};
use super::*;

fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s)
}

fn ewma(t0: Instant) -> PeakEwma {
    PeakEwma::new(t0, Duration::ZERO, seconds(10.0))
}

#[test]
fn p1_decays_by_the_time_constant() {
    let t0 = Instant::now();
    let mut average = ewma(t0);
    average.record(t0 + seconds(1.0), seconds(1.0));
    assert!((average.value(t0 + seconds(6.0)) - 0.606_530_659_712_633_4).abs() < 1e-12);
    average.record(t0 + seconds(11.0), Duration::ZERO);
    assert!((average.value(t0 + seconds(11.0)) - 0.367_879_441_171_442_33).abs() < 1e-12);
}

#[test]
fn p2_a_sample_above_the_decayed_value_counts_at_once() {
    let t0 = Instant::now();
    let mut average = ewma(t0);
    average.record(t0 + seconds(1.0), seconds(10.0));
    assert!((average.value(t0 + seconds(26.0)) - 0.820_849_986_238_988).abs() < 1e-12);
    average.record(t0 + seconds(26.0), seconds(1.0));
    assert_eq!(average.value(t0 + seconds(26.0)), 1.0);
}

#[test]
fn p2_stale_timestamps_are_ignored() {
    let t0 = Instant::now();
    let mut average = ewma(t0);
    average.record(t0 + seconds(5.0), seconds(1.0));
    average.record(t0 + seconds(4.0), seconds(100.0));
    assert_eq!(average.value(t0 + seconds(5.0)), 1.0);
    assert_eq!(average.value(t0), 1.0, "no growth by reading the past");
}

#[test]
fn p2_zero_decay_is_clamped() {
    let t0 = Instant::now();
    let mut average = PeakEwma::new(t0, seconds(0.03), Duration::ZERO);
    assert_eq!(average.value(t0), 0.03);
    average.record(t0, seconds(1.0));
    assert_eq!(average.value(t0), 1.0);
    assert_eq!(average.value(t0 + seconds(1.0)), 0.0);
}

#[test]
fn a_fast_failure_makes_an_endpoint_dearer_not_cheaper() {
    let t0 = Instant::now();
    let mut average = PeakEwma::new(t0, seconds(0.03), seconds(10.0));
    average.record_failure(t0, seconds(0.001), Some(seconds(0.1)));
    assert_eq!(average.value(t0), 0.2);
    average.record_failure(t0 + seconds(1.0), seconds(0.001), None);
    assert!((average.value(t0 + seconds(1.0)) - 0.2 * (-0.1f64).exp()).abs() < 1e-9);
    average.record_failure(t0 + seconds(1.0), seconds(3.0), Some(seconds(0.1)));
    assert_eq!(average.value(t0 + seconds(1.0)), 3.0);
}

#[test]
fn buckets_are_gapless_and_their_middle_is_within_two_percent() {
    assert_eq!(bucket(0), 0);
    for micros in 0..1_000_000u64 {
        assert!(bucket(micros + 1) - bucket(micros) <= 1);
    }
    let mut entropy = SplitMix::new(7);
    for _ in 0..100_000 {
        let micros = entropy.next_u64() >> (32 + entropy.below(32));
        let error = (middle(bucket(micros)).as_secs_f64() * 1e6 - micros as f64).abs();
        assert!(error <= 0.5 + micros as f64 * 0.016, "{micros} µs is off by {error}");
    }
}

#[test]
fn quantiles_match_the_sorted_samples_within_three_percent() {
    let t0 = Instant::now();
    let mut entropy = SplitMix::new(8);
    let mut quantiles = Quantiles::new(t0);
    let mut sorted: Vec<f64> = (0..10_000).map(|_| -entropy.unit().max(1e-9).ln() * 0.05).collect();
    sorted.iter().for_each(|s| quantiles.record(t0, seconds(*s)));
    sorted.sort_by(f64::total_cmp);
    for (q, rank) in [(0.01, 99), (0.5, 4_999), (0.9, 8_999), (0.99, 9_899), (1.0, 9_999)] {
        let got = quantiles.quantile(t0, q).unwrap().as_secs_f64();
        assert!((got / sorted[rank] - 1.0).abs() < 0.03, "q {q}: {got} for {}", sorted[rank]);
    }
    assert_eq!(quantiles.p99(t0), quantiles.quantile(t0, 0.99));
    assert_eq!(quantiles.p50(t0), quantiles.quantile(t0, 0.5));
}

#[test]
fn samples_are_kept_for_one_to_two_rotations() {
    let t0 = Instant::now();
    let mut quantiles = Quantiles::new(t0);
    assert_eq!(quantiles.quantile(t0, 0.5), None);
    assert_eq!(quantiles.p50(t0), None);
    quantiles.record(t0 + seconds(59.0), seconds(1.0));
    assert_eq!(quantiles.count(t0 + seconds(119.0)), 1);
    assert_eq!(quantiles.count(t0 + seconds(120.0)), 0);
    quantiles.record(t0 + seconds(61.0), seconds(2.0));
    assert_eq!(quantiles.count(t0 + seconds(61.0)), 2);
    assert_eq!(quantiles.count(t0 + seconds(120.0)), 1);
    quantiles.record(t0 + seconds(185.0), seconds(2.0));
    assert_eq!(quantiles.count(t0 + seconds(185.0)), 1, "a rotation without samples is not skipped");
    quantiles.record(t0 + seconds(600.0), seconds(3.0));
    assert_eq!(quantiles.count(t0 + seconds(600.0)), 1);
    assert!(quantiles.quantile(t0 + seconds(600.0), 0.0).unwrap() > seconds(2.9));
    assert_eq!(quantiles.p50(t0 + seconds(800.0)), None, "the cache does not outlive its samples");
}

#[test]
fn the_cache_answers_for_a_tenth_of_a_second() {
    let t0 = Instant::now();
    let mut quantiles = Quantiles::new(t0);
    quantiles.record(t0, seconds(0.01));
    let first = quantiles.p99(t0);
    quantiles.record(t0, seconds(1.0));
    assert_eq!(quantiles.p99(t0 + Duration::from_millis(99)), first);
    assert!(quantiles.p99(t0 + Duration::from_millis(100)) > first);
}

#[test]
fn extreme_values_stay_in_the_histogram() {
    let t0 = Instant::now();
    let mut quantiles = Quantiles::new(t0);
    quantiles.record(t0, Duration::ZERO);
    quantiles.record(t0, Duration::MAX);
    assert_eq!(quantiles.quantile(t0, 0.5), Some(Duration::ZERO));
    assert!(quantiles.quantile(t0, 1.0).unwrap() > seconds(4_200.0));
    assert_eq!(quantiles.quantile(t0, f64::NAN), Some(Duration::ZERO));
}
