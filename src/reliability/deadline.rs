//! Deadlines: what a caller grants, what is left, and how it is written on the wire.

use std::time::{Duration, Instant};

/// `timeouts` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Total over all attempts and the waits between them. Default 15 s.
    pub request: Duration,
    /// One attempt. None = derived from the dependency's latency.
    pub backend_request: Option<Duration>,
    /// Establishing one connection. Default 250 ms.
    pub connect: Duration,
    /// Nothing moved on an open exchange. Default 60 s.
    pub idle: Duration,
}

/// Less than this is as good as nothing: no exchange with an upstream fits into it.
const LEAST: Duration = Duration::from_millis(1);

/// Longer deadlines are cut to this, so that `Instant` arithmetic cannot overflow.
const MOST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The header has at most this many digits (gRPC over HTTP/2, `TimeoutValue`).
const GRPC_DIGITS: usize = 8;

/// Units of `grpc-timeout`, finest first: letter and length in nanoseconds.
const GRPC_UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// Parses `grpc-timeout`: 1 to 8 digits and one of `H M S m u n`. None = malformed: to be ignored and
/// counted, since a wrong deadline is worse than none.
pub fn parse_grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.len() > GRPC_DIGITS {
        return None;
    }
    let (_, nanos) = GRPC_UNITS.iter().find(|(letter, _)| letter == unit)?;
    let count = parse_digits(digits)?;
    // 99,999,999 hours exceed u64 nanoseconds, so seconds and the rest are built separately.
    let total = u128::from(count) * u128::from(*nanos);
    let seconds = u64::try_from(total / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, (total % 1_000_000_000) as u32))
}

/// Parses whole milliseconds (`x-envoy-expected-rq-timeout-ms`). Zero means that the caller's time is up:
/// no sender writes 0 for "no limit" into this header. None = malformed or beyond 64 bits.
pub fn parse_timeout_ms(value: &[u8]) -> Option<Duration> {
    parse_digits(value).map(Duration::from_millis)
}

/// Digits only: no sign, no space, no empty string.
fn parse_digits(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| match digit {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Formats a remainder as `grpc-timeout` in the finest unit that takes at most 8 digits. Rounds down: a
/// callee must never believe that it has more time than its caller.
pub fn format_grpc_timeout(left: Duration) -> String {
    let most = 10u128.pow(GRPC_DIGITS as u32) - 1;
    let nanos = left.as_nanos();
    for (letter, unit) in GRPC_UNITS {
        let count = nanos / u128::from(unit);
        if count <= most {
            return format!("{count}{}", char::from(letter));
        }
    }
    format!("{most}H")
}

/// When this request must be over: the route's `total` or what the caller grants, whichever is less. A
/// caller can shorten, never lengthen. None = less than 1 ms remains: refuse on arrival.
pub fn inherit(now: Instant, total: Duration, caller: Option<Duration>) -> Option<Instant> {
    let granted = caller.map_or(total, |caller| caller.min(total)).min(MOST);
    if granted < LEAST { None } else { now.checked_add(granted) }
}

/// What is left at `now`, less the `margin`; zero when nothing is left.
pub fn remaining(now: Instant, deadline: Instant, margin: Duration) -> Duration {
    deadline.saturating_duration_since(now).saturating_sub(margin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn every_unit_of_grpc_timeout_is_read() {
        let table: [(&[u8], Duration); 8] = [
            (b"1H", Duration::from_secs(3600)),
            (b"2M", Duration::from_secs(120)),
            (b"3S", Duration::from_secs(3)),
            (b"4m", Duration::from_millis(4)),
            (b"5u", Duration::from_micros(5)),
            (b"6n", Duration::from_nanos(6)),
            (b"0S", Duration::ZERO),
            (b"99999999H", Duration::from_secs(99_999_999 * 3600)),
        ];
        for (text, expected) in table {
            assert_eq!(parse_grpc_timeout(text), Some(expected));
        }
    }

    #[test]
    fn malformed_timeouts_are_refused() {
        let grpc: [&[u8]; 12] =
            [b"", b"S", b"1", b"123456789S", b"000000001S", b"1s", b"1h", b"-1S", b"+1S", b" 1S", b"1.5S", b"1S "];
        for text in grpc {
            assert_eq!(parse_grpc_timeout(text), None, "{text:?}");
        }
        let ms: [&[u8]; 6] = [b"", b"-5", b"5ms", b" 5", b"1.5", b"18446744073709551616"];
        for text in ms {
            assert_eq!(parse_timeout_ms(text), None, "{text:?}");
        }
        assert_eq!(parse_timeout_ms(b"0"), Some(Duration::ZERO));
        assert_eq!(parse_timeout_ms(b"1500"), Some(1500 * MS));
    }

    #[test]
    fn a_remainder_is_written_in_the_finest_unit_that_fits() {
        let table = [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_999), "100000u"),
            (Duration::from_secs(99), "99000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::from_secs(6_000_000_059), "1666666H"),
            (Duration::MAX, "99999999H"),
        ];
        for (left, expected) in table {
            assert_eq!(format_grpc_timeout(left), expected);
        }
    }

    #[test]
    fn a_caller_shortens_and_never_lengthens() {
        let now = Instant::now();
        assert_eq!(inherit(now, 300 * MS, None), Some(now + 300 * MS));
        assert_eq!(inherit(now, 300 * MS, Some(100 * MS)), Some(now + 100 * MS));
        assert_eq!(inherit(now, 300 * MS, Some(900 * MS)), Some(now + 300 * MS));
        assert_eq!(inherit(now, 300 * MS, Some(Duration::from_micros(999))), None);
        assert_eq!(inherit(now, 300 * MS, Some(Duration::ZERO)), None);
        assert_eq!(inherit(now, 300 * MS, Some(MS)), Some(now + MS));
        assert_eq!(inherit(now, Duration::MAX, None), Some(now + MOST));
    }

    #[test]
    fn three_seconds_less_two_point_seven_spent_leave_three_tenths() {
        let start = Instant::now();
        let deadline = start + 3000 * MS;
        assert_eq!(remaining(start + 2700 * MS, deadline, Duration::ZERO), 300 * MS);
        assert_eq!(remaining(start + 2700 * MS, deadline, 10 * MS), 290 * MS);
        assert_eq!(remaining(start + 2995 * MS, deadline, 10 * MS), Duration::ZERO);
        assert_eq!(remaining(start + 4000 * MS, deadline, Duration::ZERO), Duration::ZERO);
    }

    proptest! {
            #[test]
            fn a_deadline_never_grows_along_a_chain(totals in prop::collection::vec(1u32..100_000, 1..6), hop in 0u32..50) {
                let mut now = Instant::now();
                let mut caller: Option<Instant> = None;
                for total in totals {
                    let header = caller.map(|deadline| format_grpc_timeout(remaining(now, deadline, MS)));
                    let granted = header.and_then(|text| parse_grpc_timeout(text.as_bytes()));
                    let Some(deadline) = inherit(now, total * MS, granted) else { return Ok(()) };
                    if let Some(caller) = caller { prop_assert!(deadline <= caller); }
                    caller = Some(deadline);
                    now += hop * MS;
                }
            }

            #[test]
            fn formatting_rounds_down_and_loses_little(secs in 0u64..300_000_000, nanos in 0u32..1_000_000_000) {
                let left = Duration::new(secs, nanos);
                let text = format_grpc_timeout(left);
                prop_assert!(text.len() <= 9);
                let back = parse_grpc_timeout(text.as_bytes()).ok_or(TestCaseError::fail("unreadable"))?;
                prop_assert!(back <= left);
    // Where a finer unit no longer fits, the next one has at least 5 digits.
                prop_assert!(left - back <= left / 99_999 + Duration::from_nanos(1), "{left:?} {text}");
            }

            #[test]
            fn any_bytes_are_parsed_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
                let _ = parse_timeout_ms(&bytes);
                let _ = parse_grpc_timeout(&bytes);
            }
        }
}
