//! `tracestate`, as far as a proxy must know it: whether it may go on.
//!
//! Whoever changes `traceparent` takes part in the trace, and must not hand on a `tracestate` that nobody can read
//! (W3C Trace Context level 2, §3.3.1.5). Nothing in it is ours, so that nothing in it is changed.

use http::HeaderMap;

/// Vendors in one list.
const MEMBERS_MAX: usize = 32;
/// Longest key, and longest value.
const PART_BYTES_MAX: usize = 256;

/// Whether all lines together are a list that others can read. No line at all is one.
pub fn is_valid(headers: &HeaderMap) -> bool {
    let mut keys: Vec<&[u8]> = Vec::new();
    for line in headers.get_all("tracestate") {
        for member in line.as_bytes().split(|b| *b == b',') {
            // The white space after a value belongs to it by the grammar, and to the list by common sense.
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            let Some(equals) = member.iter().position(|b| *b == b'=') else { return false };
            let (key, value) = member.split_at(equals);
            let known = keys.contains(&key);
            if known || keys.len() == MEMBERS_MAX || !is_key(key) || !is_value(value.get(1..).unwrap_or_default()) {
                return false;
            }
            keys.push(key);
        }
    }
    true
}

/// `vendor`, or `tenant@system`.
fn is_key(key: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'*' | b'/');
    let word = |word: &[u8], most: usize, digit: bool| {
        let begins = word.first().is_some_and(|b| b.is_ascii_lowercase() || (digit && b.is_ascii_digit()));
        begins && word.len() <= most && word.iter().all(plain)
    };
    match key.iter().position(|b| *b == b'@') {
        Some(at) => {
            let (tenant, system) = key.split_at(at);
            word(tenant, 241, true) && word(system.get(1..).unwrap_or_default(), 14, false)
        }
        None => word(key, PART_BYTES_MAX, true),
    }
}

fn is_value(value: &[u8]) -> bool {
    let allowed = |b: &u8| (0x20..=0x7e).contains(b) && !matches!(b, b',' | b'=');
    !value.is_empty() && value.len() <= PART_BYTES_MAX && value.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn judged(lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("tracestate", HeaderValue::from_str(line).unwrap());
        }
        is_valid(&headers)
    }

    #[test]
    fn lists_that_others_can_read_go_on() {
        let many: Vec<String> = (0..32).map(|n| format!("v{n}=1")).collect();
        let (key, tenant) = ("k".repeat(256), "t".repeat(241));
        let value = "v".repeat(256);
        for lines in [
            &[][..],
            &[""],
            &["foo=1"],
            &["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
            &["foo=1", ""],
            &["foo=1 \t , \t bar=2, \t baz=3"],
            &["abcdefghijklmnopqrstuvwxyz0123456789_-*/@a-z0-9_-*/= !\"#$%&'()*+-./:;<>?@[]^_`{|}~"],
            &[&many.join(",")],
            &[&format!("{key}={value}"), &format!("{tenant}@ssssssssssssss=1")],
            &["0a=1,foo=1,"],
        ] {
            assert!(judged(lines), "{lines:?}");
        }
    }

    #[test]
    fn lists_that_break_the_grammar_or_its_bounds_do_not() {
        let many: Vec<String> = (0..33).map(|n| format!("v{n}=1")).collect();
        let (key, tenant, value) = ("k".repeat(257), "t".repeat(242), "v".repeat(257));
        for lines in [
            &["foo"][..],
            &["foo="],
            &["=1"],
            &["foo =1"],
            &["FOO=1"],
            &["foo.bar=1"],
            &["foo@=1,bar=2"],
            &["@foo=1,bar=2"],
            &["foo@@bar=1"],
            &["foo@bar@baz=1"],
            &["foo@1bar=1"],
            &["foo=1,foo=1"],
            &["foo=1", "foo=2"],
            &["foo=bar=baz"],
            &["foo=1\t2"],
            &[&many.join(",")],
            &[&many[..20].join(","), &many[20..].join(",")],
            &[&format!("{key}=1")],
            &[&format!("{tenant}@v=1")],
            &["t@sssssssssssssss=1"],
            &[&format!("foo={value}")],
        ] {
            assert!(!judged(lines), "{lines:?}");
        }
    }
}
