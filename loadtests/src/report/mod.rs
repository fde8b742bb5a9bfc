//! What a run says: a table, a page, a comparison, an exit code.
