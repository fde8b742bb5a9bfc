//! What a run says: a table for the terminal, a page for the browser.

pub mod summary;

use std::io::{self, Write};

use crate::results::Run;

/// Prints the run as tables to standard output (`out`); coloured if that is a terminal and `NO_COLOR` is not set.
///
/// # Errors
/// Those of `out`.
pub fn print(_run: &Run, _out: &mut dyn Write) -> io::Result<()> {
    todo!()
}

/// The run as one HTML file that needs nothing else.
///
/// # Errors
/// If the template fails, which is a defect of this program.
pub fn page(_run: &Run) -> Result<String, String> {
    todo!()
}
