//! What processes use, from /proc, and where they run.

mod environment;
mod meter;
mod proc;
mod syscalls;

pub use environment::{environment, pin, raise_file_limit};
pub use meter::{Meter, resident_kib};
pub use proc::members;
pub use syscalls::{Syscalls, Tracer};
