//! What a policy would do: the real decisions on a virtual clock, against load and a dependency that a file describes.
//!
//! [`scenario`] reads what is shared with the load tool; [`model`] turns it, or a recording, into load and endpoints;
//! [`subject`] is the policy; [`compare`] plays them under several seeds and says what differs beyond chance.

#![warn(missing_docs)]

pub mod compare;
pub mod estimate;
pub mod measure;
pub mod model;
pub mod page;
pub mod recording;
#[expect(missing_docs, reason = "words of the file, explained where they are written: docs/simulate.md")]
pub mod scenario;
pub mod subject;
pub mod text;

#[cfg(test)]
mod tests;
