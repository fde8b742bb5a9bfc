//! What a request says of how much its upstream can bear.

use std::time::Duration;

use super::{AttemptNote, Record};
use crate::clock;
use crate::proxy::route::Route;
use crate::reliability::Failure;
use crate::reliability::ending::Ending;
use crate::reliability::grpc::Code;
use crate::telemetry::metrics::AttemptEnd;

impl Record {
    /// How long the answer took, and whether one of the attempts was refused for overload or not answered in time. None =
    /// nobody asks, or nothing is known: what was cancelled, what lost against a hedge and what failed on our side or on
    /// the way says nothing of capacity.
    pub fn load(&self, route: &Route<'_>) -> Option<(Duration, bool)> {
        route.upstream.limits.adaptive?;
        let mut last = None;
        for note in self.first.iter().chain(&self.more) {
            if is_cut_short(note, route) {
                continue;
            }
            if is_dropped(note) {
                return Some((note.elapsed, true));
            }
            if matches!(note.ending, Ending::Success | Ending::Error) {
                last = Some((note.elapsed, false));
            }
        }
        last
    }
}

/// A caller that left no time for an answer says nothing of who had to answer. Asked for failures alone.
fn is_cut_short(note: &AttemptNote, route: &Route<'_>) -> bool {
    matches!(note.end, AttemptEnd::Failed(Failure::DeadlineExceeded))
        && route.state.decide(|d| d.latency.p50(clock::now())).is_some_and(|typical| note.elapsed < typical)
}

/// 429 and 503, what gRPC calls them, and no answer in time.
fn is_dropped(note: &AttemptNote) -> bool {
    match note.end {
        AttemptEnd::Status(status) => matches!(status, 429 | 503),
        AttemptEnd::Call(code) => matches!(code, Code::ResourceExhausted | Code::Unavailable),
        AttemptEnd::Failed(failure) => matches!(failure, Failure::TryTimeout | Failure::DeadlineExceeded),
        AttemptEnd::Cancelled => false,
    }
}
