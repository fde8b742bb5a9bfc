//! What a run says: a table for the terminal, a page for the browser.

pub mod chart;
#[cfg(test)]
pub mod example;
pub mod facts;
pub mod metric;
mod page;
pub mod sheet;
pub mod summary;
pub mod table;
pub mod verdict;

use std::io::{self, IsTerminal, Write};

use crate::results::Run;
pub use page::page;
use table::Colours;

/// The run as tables, for a file: never coloured.
///
/// # Errors
/// Those of `out`.
pub fn print(run: &Run, out: &mut dyn Write) -> io::Result<()> {
    table::write(run, out, Colours::No)
}

/// The run as tables on standard output; coloured if that is a terminal and `NO_COLOR` is not set.
///
/// # Errors
/// Those of standard output.
pub fn show(run: &Run) -> io::Result<()> {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let mut out = io::stdout().lock();
    let colours = if out.is_terminal() && !set("NO_COLOR") && !dumb { Colours::Yes } else { Colours::No };
    table::write(run, &mut out, colours)
}
