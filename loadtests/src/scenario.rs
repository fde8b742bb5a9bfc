//! A scenario file: load, upstream, and what goes wrong when.
