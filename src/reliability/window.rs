//! Sliding windows of plain counters. Skeleton: to be filled.
