//! What processes use, from /proc.
