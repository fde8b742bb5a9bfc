//! The program: parses the command line and calls what it names.

use std::process::ExitCode;

use outrigger::cli::{self, Programs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(Programs { run: outrigger::app::run, demo: outrigger::demo::run })
}
