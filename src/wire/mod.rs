//! The only module that opens outbound HTTP connections.
//!
//! It reports honestly how much of a request left (`Sent`), and decides nothing.

pub mod body;
pub mod dial;
pub mod discover;
pub mod h1;
pub mod pool;
mod traffic;

pub use body::RequestBody;
pub use h1::{Answer, AnswerBody, SendError};
pub use pool::Pool;
