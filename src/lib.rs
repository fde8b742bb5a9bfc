//! Outrigger: an L7 reliability proxy that runs beside each service.

#[cfg(feature = "proxy")]
pub mod clock;
#[cfg(feature = "proxy")]
pub mod drain;
pub mod faults;
#[cfg(feature = "proxy")]
pub mod policy;
#[cfg(feature = "proxy")]
pub mod proxy;
#[cfg(feature = "proxy")]
pub mod random;
pub mod reliability;
#[cfg(feature = "proxy")]
pub mod telemetry;
#[cfg(feature = "proxy")]
pub mod upstreams;
#[cfg(feature = "proxy")]
pub mod wire;
#[cfg(feature = "testing")]
pub mod testing;
