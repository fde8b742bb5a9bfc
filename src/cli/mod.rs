//! The command line: it starts the proxy, reads the policy file, and asks a running proxy through the admin API.
//!
//! Exit codes: 0 fine, 1 a problem was found (findings in a policy included), 2 wrong usage, an unreadable policy, or
//! `run` with a bad policy, 3 no proxy could be reached, or a replay served only a part of its letters.
//! Every message about a failure ends with what to do next.

mod args;
mod changes;
mod circuits;
mod client;
mod doctor;
mod idem;
mod k8s;
mod letters;
mod login;
mod policy;
pub mod policy_commands;
mod print;
mod probe;
mod record;
mod requests;
mod retries;
mod session;
mod simulate;
mod status;
mod top;
mod upstreams;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

pub use args::{DemoArgs, LogFormat, RunArgs};

use args::{Cli, Command, Output};
use client::Client;
use login::Login;
use session::{Failure, Session};

/// What the command line starts but does not contain: `main` fills it in, so that nothing here depends on the proxy.
#[derive(Clone, Copy)]
pub struct Programs {
    /// `outrigger run`: returns when the proxy has drained.
    pub run: fn(RunArgs) -> ExitCode,
    /// `outrigger demo`.
    pub demo: fn(DemoArgs) -> ExitCode,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Fine,
    Problem,
    Usage,
    Unreachable,
    /// Some of what was ordered was done.
    Partial,
}

impl Exit {
    const fn code(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::Problem => 1,
            Exit::Usage => 2,
            Exit::Unreachable | Exit::Partial => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// What commands read of their surroundings; read once, so that tests can state it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// `OUTRIGGER_ADDR`.
    pub addr: Option<String>,
    /// `OUTRIGGER_TOKEN_FILE`, `OUTRIGGER_CA`, `OUTRIGGER_CERT`, `OUTRIGGER_KEY`.
    login: Login,
    /// `USER` or `LOGNAME`: the author of changes.
    pub user: Option<String>,
    /// Standard output is a terminal that wants colours.
    pub colour: bool,
    /// Standard output is a terminal.
    pub terminal: bool,
}

impl Surroundings {
    fn of_process() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let terminal = std::io::stdout().is_terminal();
        let file = |name: &str| text(name).map(std::path::PathBuf::from);
        let login = Login {
            token_file: file("OUTRIGGER_TOKEN_FILE"),
            ca: file("OUTRIGGER_CA"),
            cert: file("OUTRIGGER_CERT"),
            key: file("OUTRIGGER_KEY"),
            server_name: None,
        };
        let dumb = text("TERM").is_none_or(|term| term == "dumb");
        Surroundings {
            addr: text("OUTRIGGER_ADDR"),
            login,
            user: text("USER").or_else(|| text("LOGNAME")),
            colour: terminal && !dumb && text("NO_COLOR").is_none(),
            terminal,
        }
    }
}

/// Runs the command that the process was started with.
pub fn main(programs: Programs) -> ExitCode {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    run(std::env::args_os(), programs, &Surroundings::of_process(), &mut out, &mut err)
}

/// Runs one command line; `arguments` begin with the program's name.
pub(crate) fn run(
    arguments: impl IntoIterator<Item = OsString>,
    programs: Programs,
    surroundings: &Surroundings,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return explain_usage(&error, surroundings.colour, out, err),
    };
    let online = match cli.command {
        Command::Run(args) => return (programs.run)(args),
        Command::Demo(args) => return (programs.demo)(args),
        Command::File(command) => {
            return match command.in_form(cli.output == Output::Json) {
                Ok(command) => policy_commands::run(&command),
                Err(message) => usage(&message, err),
            };
        }
        Command::Simulate(args) => return simulate::run(&args, cli.output, out, err).into(),
        Command::K8s { .. } if cli.output == Output::Json => return usage("`k8s` has no JSON form", err),
        Command::K8s { action } => return k8s::run(&action, &mut std::io::stdin(), out, err).into(),
        Command::Doctor(args) => {
            let addr = cli.addr.or_else(|| surroundings.addr.clone());
            let login = cli.login.or(surroundings);
            return doctor::run(&args, (addr.as_deref(), &login), cli.output, surroundings.colour, out, err).into();
        }
        Command::Version if cli.output == Output::Json => return usage("`version` has no JSON form", err),
        Command::Version => {
            let written = writeln!(out, "outrigger {}", env!("CARGO_PKG_VERSION"));
            return if written.is_ok() { Exit::Fine } else { Exit::Problem }.into();
        }
        Command::Online(online) => online,
    };
    let addr = cli.addr.as_deref().or(surroundings.addr.as_deref()).unwrap_or(client::ADDR_DEFAULT);
    let ended = Client::new(addr, &cli.login.or(surroundings)).map_err(Failure::from).and_then(|client| {
        let mut session = Session { client, output: cli.output, surroundings, out: &mut *out };
        session.run(online)
    });
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(err).into(),
    }
}

fn usage(message: &str, err: &mut dyn Write) -> ExitCode {
    // Nowhere is left to report to when this fails.
    let _ = writeln!(err, "outrigger: {message}\nnext: leave `-o json` out");
    Exit::Usage.into()
}

/// Help goes to standard output and is fine; anything else is a usage error. clap suggests the nearest right word.
fn explain_usage(error: &clap::Error, colour: bool, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let text = error.render();
    let text = if colour { text.ansi().to_string() } else { text.to_string() };
    // Nowhere is left to report to when writing fails.
    if error.use_stderr() {
        let _ = err.write_all(text.as_bytes());
        return Exit::Usage.into();
    }
    let _ = out.write_all(text.as_bytes());
    Exit::Fine.into()
}
