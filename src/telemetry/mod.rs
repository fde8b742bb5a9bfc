//! What the proxy says about itself: metrics, access log, process events, trace context, and the stories of single requests.

pub mod access_log;
pub mod events;
pub mod histogram;
pub mod metrics;
pub mod sketch;
pub mod stories;
pub mod tally;
pub mod trace_context;
pub mod trace_state;
pub mod traces;
