//! The API as a client sees it: a real listener on loopback, bytes over a real socket.

mod access;
mod endpoints;
mod letters;
mod refusals;
mod requests;
mod serving;
pub(crate) mod stage;
