//! Byte sizes of the policy file: a whole number and one of B, KiB, MiB, GiB; nothing else.

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a size in bytes. The error says what to write instead.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!("`{text}` is not a size: write for example 64KiB"));
    }
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(match unit {
            "" => format!("size `{text}` has no unit: write {text}B or {text}KiB"),
            "K" | "k" | "Ki" | "KB" | "kB" | "kb" | "kib" => format!("size `{text}`: write {number}KiB"),
            "M" | "m" | "Mi" | "MB" | "mb" | "mib" => format!("size `{text}`: write {number}MiB"),
            "G" | "g" | "Gi" | "GB" | "gb" | "gib" => format!("size `{text}`: write {number}GiB"),
            _ => format!("size `{text}` has the unknown unit `{unit}`: units are B, KiB, MiB and GiB"),
        });
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*factor))
        .ok_or_else(|| format!("size `{text}` is too large"))
}

/// The largest unit that divides it.
pub fn print(bytes: u64) -> String {
    let fits = UNITS.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    match fits {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_printed_in_their_largest_unit() {
        for (text, bytes, canonical) in [
            ("0B", 0, "0B"),
            ("64KiB", 65_536, "64KiB"),
            ("1024KiB", 1 << 20, "1MiB"),
            ("1GiB", 1 << 30, "1GiB"),
            ("1500B", 1500, "1500B"),
        ] {
            assert_eq!(parse(text).unwrap(), bytes);
            assert_eq!(print(bytes), canonical);
        }
    }

    #[test]
    fn decimal_and_kubernetes_units_are_answered_with_ours() {
        assert_eq!(parse("64KB").unwrap_err(), "size `64KB`: write 64KiB");
        assert_eq!(parse("64Ki").unwrap_err(), "size `64Ki`: write 64KiB");
        assert_eq!(parse("64").unwrap_err(), "size `64` has no unit: write 64B or 64KiB");
        assert!(parse("1.5MiB").is_err());
        assert!(parse("-1B").is_err());
        assert!(parse("99999999999999999999B").is_err());
        assert!(parse("99999999999999999GiB").is_err());
    }
}
