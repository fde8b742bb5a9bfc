//! Living state of dependencies; outlives policy revisions.
pub mod view;
