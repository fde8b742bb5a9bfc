//! Headers that carry times and traces.

use std::time::Duration;

use outrigger::policy::{duration, size};
use outrigger::reliability::deadline;
use outrigger::telemetry::trace_context::TraceContext;

/// Each reader gets all of it.
pub fn read(data: &[u8]) {
    if let Some(left) = deadline::parse_grpc_timeout(data) {
        let text = deadline::format_grpc_timeout(left);
        assert!(text.len() <= 9, "{text}: at most eight digits and a unit");
        let again = deadline::parse_grpc_timeout(text.as_bytes()).unwrap();
        // A hop may lose precision; it may never gain time.
        assert!(again <= left || left < Duration::from_millis(1), "{text} is more than {left:?}");
    }
    if let Some(left) = deadline::parse_timeout_ms(data) {
        assert!(left.subsec_nanos().is_multiple_of(1_000_000));
    }
    if let Some(context) = TraceContext::parse(data) {
        let line = context.traceparent(1);
        assert!(TraceContext::parse(&line).is_some(), "what we write can be read");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(time) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::print(time)), Ok(time));
    }
    if let Ok(bytes) = size::parse(text) {
        assert_eq!(size::parse(&size::print(bytes)), Ok(bytes));
    }
}
