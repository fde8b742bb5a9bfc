//! Durations of the policy file: the grammar of GEP-2257, and its canonical form.
//!
//! `^([0-9]{1,5}(h|m|s|ms)){1,4}$`: no fractions, no days, no sign, no blanks. Every string that is
//! accepted here is accepted by Go's `time.ParseDuration` and by the Gateway API with the same meaning.

use std::time::Duration;

/// Parts of a duration, and digits of a part, that GEP-2257 allows.
const PARTS_MAX: usize = 4;
const DIGITS_MAX: usize = 5;
/// The longest one that can be written in its canonical form: 99999h59m59s999ms.
const LONGEST: Duration = Duration::from_millis(100_000 * 3_600_000 - 1);

/// Reads a duration. The error says what is wrong and what to write instead.
pub fn parse(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut parts = 0;
    if text.is_empty() {
        return Err("a duration is empty: write for example 500ms".to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        parts += 1;
        total += part(text, number, unit, tail)?;
        if parts > PARTS_MAX {
            return Err(format!("duration `{text}` has more than {PARTS_MAX} parts"));
        }
        rest = tail;
    }
    if total > LONGEST {
        return Err(format!("duration `{text}` is longer than {}", print(LONGEST)));
    }
    Ok(total)
}

fn part(text: &str, number: &str, unit: &str, tail: &str) -> Result<Duration, String> {
    if number.is_empty() {
        return Err(format!("`{text}` is not a duration: write numbers with a unit of h, m, s or ms, such as 1s500ms"));
    }
    if unit.is_empty() {
        if tail.starts_with('.') {
            return Err(format!("duration `{text}` has a fraction: write whole numbers, such as 1s500ms for 1.5s"));
        }
        if tail.is_empty() && number.len() == text.len() {
            return Err(format!("duration `{text}` has no unit: write {text}ms or {text}s"));
        }
        return Err(format!("duration `{text}` has a number without a unit: units are h, m, s and ms"));
    }
    if number.len() > DIGITS_MAX {
        return Err(format!("duration `{text}` has a number of more than {DIGITS_MAX} digits: use a larger unit"));
    }
    // At most five digits: cannot fail.
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a duration"))?;
    match unit {
        "h" => Ok(Duration::from_secs(number * 3600)),
        "m" => Ok(Duration::from_secs(number * 60)),
        "s" => Ok(Duration::from_secs(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "d" => Err(format!("duration `{text}` counts days: write hours, such as {}h", number * 24)),
        "us" | "ns" => Err(format!("duration `{text}` has the unit {unit}: the smallest unit is ms")),
        _ => Err(format!("duration `{text}` has the unknown unit `{unit}`: units are h, m, s and ms")),
    }
}

/// The canonical form: largest unit first, no zero parts, `0s` for zero. What is finer than a
/// millisecond is cut off.
pub fn print(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = millis;
    let mut text = String::new();
    for (unit, size) in units {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sum_that_has_no_canonical_form_is_refused() {
        assert_eq!(print(parse("99999h59m59s999ms").unwrap()), "99999h59m59s999ms");
        for text in ["51000h51990h", "99999h60m", "99999h59m60s"] {
            assert!(parse(text).unwrap_err().ends_with("is longer than 99999h59m59s999ms"), "{text}");
        }
    }

    #[test]
    fn the_test_vectors_of_gep_2257_hold() {
        let valid = [
            ("0h", 0, "0s"),
            ("0s", 0, "0s"),
            ("0h0m0s", 0, "0s"),
            ("1h", 3_600_000, "1h"),
            ("30m", 1_800_000, "30m"),
            ("10s", 10_000, "10s"),
            ("500ms", 500, "500ms"),
            ("2h30m", 9_000_000, "2h30m"),
            ("150m", 9_000_000, "2h30m"),
            ("7230s", 7_230_000, "2h30s"),
            ("1h30m10s", 5_410_000, "1h30m10s"),
            ("10s30m1h", 5_410_000, "1h30m10s"),
            ("100ms200ms300ms", 600, "600ms"),
        ];
        for (text, millis, canonical) in valid {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(print(duration), canonical, "{text}");
        }
        for text in ["1", "1m1", "1h30m10s20ms50h", "999999h", "1d", "1.5h", "-15m", "", " 1s", "1s ", "1S", "s", "1µs"]
        {
            assert!(parse(text).is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn a_missing_unit_is_answered_with_both_likely_readings() {
        assert_eq!(parse("500").unwrap_err(), "duration `500` has no unit: write 500ms or 500s");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_as_the_same_duration(millis in 0u64..3_600_000 * 99_999) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&print(duration)).unwrap(), duration);
        }

        #[test]
        fn exactly_the_grammar_is_accepted(text in "[0-9]{0,6}(h|m|s|ms|d|)([0-9]{0,6}(h|m|s|ms|)){0,4}") {
            let expected = millis_by_brute_force(&text).filter(|millis| u128::from(*millis) <= LONGEST.as_millis());
            prop_assert_eq!(parse(&text).ok().map(|read| read.as_millis()), expected.map(u128::from));
        }
    }

    /// The regular expression by brute force: try every split. At most one can be right, as a unit ends where digits begin.
    fn millis_by_brute_force(text: &str) -> Option<u64> {
        const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
        fn parts(text: &str, left: usize) -> Option<u64> {
            if left == 0 {
                return None;
            }
            (1..=5).filter(|digits| text.len() > *digits).find_map(|digits| {
                let number: u64 = text[..digits].parse().ok()?;
                UNITS.iter().find_map(|(unit, size)| {
                    let rest = text[digits..].strip_prefix(unit)?;
                    let others = if rest.is_empty() { 0 } else { parts(rest, left - 1)? };
                    Some(number * size + others)
                })
            })
        }
        parts(text, 4)
    }
}
