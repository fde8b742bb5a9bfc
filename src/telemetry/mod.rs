//! What the proxy says about itself: metrics, access log, trace context.
pub mod histogram;
pub mod metrics;
