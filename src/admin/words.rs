//! Numbers and foreign text as an operator reads them; shared with the command line.

use std::time::Duration;

/// `1204` as `1,204`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `part` of `whole` in percent, one decimal place, never rounded up to 100 or down to 0; `-` of nothing.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    percent(part as f64 * 100.0 / whole as f64)
}

/// A percentage with one decimal place where that says something. A rounded value never claims all or nothing.
pub(crate) fn percent(value: f64) -> String {
    if value <= 0.0 || value.is_nan() {
        return "0%".to_owned();
    }
    if value >= 100.0 {
        return "100%".to_owned();
    }
    let text = format!("{:.1}%", value.clamp(0.1, 99.9));
    match text.strip_suffix(".0%") {
        Some(whole) => format!("{whole}%"),
        None => text,
    }
}

/// A span in the two largest units that matter: `4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let pair = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        small => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..=9 => format!("{:.1} s", duration.as_secs_f64()),
        10..=59 => format!("{seconds} s"),
        60..=3_599 => pair(seconds / 60, "min", seconds % 60, "s"),
        3_600..=86_399 => pair(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// How long ago something was that is known to the second.
pub(crate) fn ago(seconds: u64) -> String {
    if seconds == 0 { "just now".to_owned() } else { format!("{} ago", whole(seconds)) }
}

/// [`span`] of a duration that is known to the second.
pub(crate) fn whole(seconds: u64) -> String {
    if seconds < 10 { format!("{seconds} s") } else { span(Duration::from_secs(seconds)) }
}

/// Foreign text, cut to `chars_max` and free of control characters: it goes to logs and terminals.
pub(crate) fn plain(text: &str, chars_max: usize) -> String {
    let clean = |character: char| {
        // Line and paragraph separators and the bidirectional controls rearrange what a reader sees.
        let rearranges =
            matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || rearranges { '\u{fffd}' } else { character }
    };
    let mut plain: String = text.chars().take(chars_max).map(clean).collect();
    if text.chars().nth(chars_max).is_some() {
        plain.push('…');
    }
    plain
}

/// [`plain`] between backticks.
pub(crate) fn quoted(text: &str, chars_max: usize) -> String {
    format!("`{}`", plain(text, chars_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567"), (12_345, "12,345")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_share_never_rounds_to_all_or_nothing() {
        assert_eq!(share(999_999, 1_000_000), "99.9%");
        assert_eq!(share(1, 1_000_000), "0.1%");
        assert_eq!(share(0, 10), "0%");
        assert_eq!(share(10, 10), "100%");
        assert_eq!(share(1, 4), "25%");
        assert_eq!(share(1, 3), "33.3%");
        assert_eq!(share(0, 0), "-");
        assert_eq!(percent(f64::NAN), "0%");
    }

    #[test]
    fn spans_show_the_two_units_that_matter() {
        let cases = [
            (340, "340 ms"),
            (4_200, "4.2 s"),
            (59_999, "59 s"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 5 min"),
            (273_600_000, "3 d 4 h"),
            (60_000, "1 min"),
        ];
        for (milliseconds, text) in cases {
            assert_eq!(span(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn whole_seconds_claim_no_fraction() {
        assert_eq!(ago(0), "just now");
        assert_eq!(ago(4), "4 s ago");
        assert_eq!(ago(200), "3 min 20 s ago");
        assert_eq!(whole(0), "0 s");
    }

    #[test]
    fn foreign_text_can_neither_colour_nor_rearrange_the_terminal() {
        assert_eq!(plain("a\x1b[31mb\r\nc\u{202e}d\u{2028}e", 50), "a\u{fffd}[31mb\u{fffd}\u{fffd}c\u{fffd}d\u{fffd}e");
        assert_eq!(plain("abcdef", 3), "abc…");
        assert_eq!(quoted("abc", 3), "`abc`");
    }
}
