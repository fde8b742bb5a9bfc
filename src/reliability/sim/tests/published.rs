//! What other systems publish of themselves, checked on small models written from their descriptions. They are here to
//! show that we read the numbers right which we compare ourselves with.

mod aws;
mod brooker;
mod finagle;
mod jitter;
mod resilience4j;
