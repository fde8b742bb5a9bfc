//! What a run says: a table for the terminal, a page for the browser.

#[cfg(test)]
pub mod example;
pub mod facts;
pub mod metric;
pub mod sheet;
pub mod summary;
pub mod table;
pub mod verdict;

use std::io::{self, IsTerminal, Write};

pub use table::Colours;

use crate::results::Run;

/// Prints the run as tables to standard output (`out`); coloured if that is a terminal and `NO_COLOR` is not set.
///
/// # Errors
/// Those of `out`.
pub fn print(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    table::write(run, out, colours())
}

/// Whether standard output may be coloured.
pub fn colours() -> Colours {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if io::stdout().is_terminal() && !set("NO_COLOR") && !dumb { Colours::Yes } else { Colours::No }
}

/// The run as one HTML file that needs nothing else.
///
/// # Errors
/// If the template fails, which is a defect of this program.
pub fn page(_run: &Run) -> Result<String, String> {
    todo!()
}
