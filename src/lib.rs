//! Outrigger: an L7 reliability proxy that runs beside each service.

#[cfg(feature = "proxy")]
pub mod policy;
pub mod reliability;
