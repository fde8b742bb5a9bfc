//! W3C Trace Context: `traceparent` read, created and passed on.
//!
//! A trace id ties the caller's trace, our access log and our failure answers together, also while no span is
//! exported. A header that is malformed, or that comes twice, is treated as absent, and then `tracestate` must
//! not be passed on either (W3C Trace Context level 2, §3.3 and §4.3): [`TraceContext::inherited`] says so.

use std::fmt;

use http::HeaderMap;

/// The caller may have recorded the trace.
pub const SAMPLED: u8 = 0x01;
/// At least the right-most 7 bytes of the trace id are random (level 2).
pub const RANDOM: u8 = 0x02;
/// Flags that level 2 defines. Others must be sent as zero.
const KNOWN_FLAGS: u8 = SAMPLED | RANDOM;

/// Length of a version 00 `traceparent`.
pub const TRACEPARENT_BYTES: usize = 55;

/// A longer value is no `traceparent` of any version that we could read; bounds the work.
const TRACEPARENT_BYTES_MAX: usize = 512;

/// Which trace a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Never zero.
    trace_id: u128,
    /// Span of the caller; never zero. None if the trace begins here.
    parent_id: Option<u64>,
    flags: u8,
}

impl TraceContext {
    /// Reads `traceparent`. None if it is absent, malformed, or there more than once.
    pub fn extract(headers: &HeaderMap) -> Option<TraceContext> {
        let mut values = headers.get_all("traceparent").iter();
        let value = values.next()?;
        match values.next() {
            Some(_) => None,
            None => TraceContext::parse(value.as_bytes()),
        }
    }

    /// Reads one value. Versions after 00 may append fields after a dash; those are not passed on.
    pub fn parse(value: &[u8]) -> Option<TraceContext> {
        if value.len() > TRACEPARENT_BYTES_MAX {
            return None;
        }
        let (head, rest) = value.split_at_checked(TRACEPARENT_BYTES)?;
        let dashes = [2, 35, 52].iter().all(|at| head[*at] == b'-');
        let version = hex(&head[..2])?;
        let length = match version {
            0x00 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        if !dashes || !length {
            return None;
        }
        let trace_id = hex(&head[3..35]).filter(|id| *id != 0)?;
        // 16 digits fit in 64 bits, 2 digits in 8.
        let parent_id = hex(&head[36..52]).filter(|id| *id != 0)? as u64;
        let flags = hex(&head[53..])? as u8 & KNOWN_FLAGS;
        Some(TraceContext { trace_id, parent_id: Some(parent_id), flags })
    }

    /// A trace that begins here. `random` must be uniform: the random flag says so to others. `sampled` tells
    /// everyone downstream whether to record.
    pub fn create(random: u128, sampled: bool) -> TraceContext {
        let flags = if sampled { RANDOM | SAMPLED } else { RANDOM };
        TraceContext { trace_id: random.max(1), parent_id: None, flags }
    }

    /// The trace came from the caller; so `tracestate` and `baggage` go on with it.
    pub const fn inherited(&self) -> bool {
        self.parent_id.is_some()
    }

    /// The caller's span, if the trace was inherited.
    pub const fn parent_id(&self) -> Option<u64> {
        self.parent_id
    }

    /// The caller may have recorded the trace.
    pub const fn sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same with another decision about recording.
    #[must_use]
    pub const fn with_sampled(self, sampled: bool) -> TraceContext {
        let flags = if sampled { self.flags | SAMPLED } else { self.flags & !SAMPLED };
        TraceContext { flags, ..self }
    }

    /// The flags that go on.
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// 63 bits of the trace id by which ratios of traces are drawn (OpenTelemetry, TraceIdRatioBased).
    pub const fn random_bits(&self) -> u64 {
        self.trace_id as u64 >> 1
    }

    /// The trace id.
    pub const fn id(&self) -> u128 {
        self.trace_id
    }

    /// The trace id as OTLP wants it.
    pub const fn trace_id_bytes(&self) -> [u8; 16] {
        self.trace_id.to_be_bytes()
    }

    /// For logs and problem details.
    pub fn trace_id(&self) -> TraceId {
        let mut text = [0; 32];
        write_hex(self.trace_id, &mut text);
        TraceId(text)
    }

    /// The header for one attempt, whose span is `span_id` (random; zero is replaced, as it means "none").
    /// Flags go on as they came.
    pub fn traceparent(&self, span_id: u64) -> [u8; TRACEPARENT_BYTES] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(self.trace_id, &mut text[3..35]);
        write_hex(u128::from(span_id.max(1)), &mut text[36..52]);
        write_hex(u128::from(self.flags), &mut text[53..]);
        text
    }
}

/// 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        // Always valid: write_hex writes ASCII only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Lower-case digits only, as the specification demands. At most 32 digits.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

fn write_hex(mut number: u128, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn rejects(value: &str) {
        assert_eq!(TraceContext::parse(value.as_bytes()), None, "{value}");
    }

    #[test]
    fn a_valid_header_keeps_trace_id_and_flags_and_gets_our_span() {
        let context = TraceContext::parse(VALID.as_bytes()).unwrap();
        assert!(context.inherited() && context.sampled());
        assert_eq!(context.parent_id(), Some(0xb7ad_6b71_6920_3331));
        assert_eq!(context.trace_id().as_str(), "0af7651916cd43dd8448eb211c80319c");
        let child = context.traceparent(0xabc);
        assert_eq!(&child, b"00-0af7651916cd43dd8448eb211c80319c-0000000000000abc-01");
        assert_eq!(TraceContext::parse(&child).unwrap().parent_id(), Some(0xabc));
    }

    #[test]
    fn sampled_and_random_go_on_and_undefined_flags_do_not() {
        for (sent, passed_on) in [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("ff", "03"), ("04", "00")] {
            let value = format!("{}{sent}", &VALID[..53]);
            let child = TraceContext::parse(value.as_bytes()).unwrap().traceparent(1);
            assert_eq!(&child[53..], passed_on.as_bytes());
        }
    }

    #[test]
    fn ids_of_zeros_are_invalid() {
        rejects("00-00000000000000000000000000000000-b7ad6b7169203331-01");
        rejects("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01");
    }

    #[test]
    fn upper_case_other_characters_and_wrong_dashes_are_invalid() {
        rejects(&VALID.to_uppercase());
        rejects(&VALID.replace("0af7", "0AF7"));
        rejects(&VALID.replace("b7ad", "b7ag"));
        rejects(&VALID.replace('-', "_"));
        rejects(&format!("{}0x", &VALID[..53]));
        for at in 0..TRACEPARENT_BYTES {
            let mut bytes = VALID.as_bytes().to_vec();
            bytes[at] = b'.';
            assert_eq!(TraceContext::parse(&bytes), None, "dot at {at}");
        }
    }

    #[test]
    fn version_00_has_exactly_55_characters() {
        for length in 0..TRACEPARENT_BYTES {
            rejects(&VALID[..length]);
        }
        rejects(&format!("{VALID}-"));
        rejects(&format!("{VALID}-what"));
        rejects(&format!(" {VALID}"));
    }

    #[test]
    fn a_later_version_is_read_by_its_first_four_fields_and_passed_on_as_00() {
        for value in [VALID.replacen("00", "01", 1), VALID.replacen("00", "cc", 1) + "-what-the-future-will-be"] {
            let context = TraceContext::parse(value.as_bytes()).unwrap();
            assert_eq!(context.traceparent(1)[..36], VALID.as_bytes()[..36]);
        }
        rejects(&(VALID.replacen("00", "cc", 1) + ".what"));
        rejects(&VALID.replacen("00", "ff", 1));
        rejects(&(VALID.replacen("00", "cc", 1) + "-" + &"x".repeat(500)));
    }

    #[test]
    fn a_header_that_comes_twice_is_malformed_even_if_both_agree() {
        let mut headers = HeaderMap::new();
        assert_eq!(TraceContext::extract(&headers), None);
        headers.append("traceparent", VALID.parse().unwrap());
        assert!(TraceContext::extract(&headers).is_some());
        headers.append("traceparent", VALID.parse().unwrap());
        assert_eq!(TraceContext::extract(&headers), None);
    }

    #[test]
    fn a_trace_that_begins_here_is_valid_even_for_unlucky_random_numbers() {
        for random in [0, 1, u128::MAX] {
            for sampled in [false, true] {
                let context = TraceContext::create(random, sampled);
                assert!(!context.inherited());
                let parsed = TraceContext::parse(&context.traceparent(0)).unwrap();
                assert_eq!((parsed.trace_id(), parsed.sampled()), (context.trace_id(), sampled));
                assert_eq!(parsed.flags & RANDOM, RANDOM);
            }
        }
    }
}
