//! The only module that opens outbound HTTP connections.
//!
//! It reports honestly how much of a request left (`Sent`), and decides nothing.

pub mod alarm;
pub mod body;
pub mod dial;
pub mod discover;
pub mod h1;
pub mod h2;
pub mod pool;
pub mod post;
pub mod probe;
mod spawned;
pub mod switched;
mod traffic;

pub use alarm::Alarm;
pub use body::RequestBody;
pub use h1::{Answer, AnswerBody, Head, Late, OwnFields, SendError, Terms};
pub use pool::Pool;
