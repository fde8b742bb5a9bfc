//! Rounds: A B A B, and whether they may be used.
