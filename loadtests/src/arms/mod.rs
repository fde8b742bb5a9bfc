//! Outrigger, its peers, and the direct way.
