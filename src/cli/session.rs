//! One command asked of a running proxy: where to ask, where and how to print.

use std::io::{self, Write};

use bytes::Bytes;
use serde::Serialize;

use super::args::{Online, Output};
use super::client::{Client, ClientError};
use super::print::{self, Table};
use super::{Exit, Surroundings};

pub(super) struct Session<'a> {
    pub client: Client,
    pub output: Output,
    pub surroundings: &'a Surroundings,
    pub out: &'a mut dyn Write,
}

/// Why a command did not end with an answer.
#[derive(Debug)]
pub(super) enum Failure {
    Client(ClientError),
    Output(io::Error),
    /// A file could not be written: what is wrong, and what to do.
    File(String, String),
    /// The words contradict each other: what is wrong, and what to do.
    Usage(String, String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Failure::Client(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

impl Session<'_> {
    pub fn run(&mut self, command: Online) -> Result<Exit, Failure> {
        match command {
            Online::Status { watch: false } => self.status(),
            Online::Status { watch: true } => self.watch(),
            Online::Upstreams { name: None } => self.upstreams(),
            Online::Upstreams { name: Some(name) } => self.upstream(&name),
            Online::Changes(asked) => self.changes(&asked),
            Online::Circuits { action } => self.circuits(action),
            Online::Idem { action } => self.idem(action),
            Online::Dlq { action } => self.dlq(action),
            Online::Replay { action } => self.replays(action),
            Online::Audit { limit, since } => self.audit(limit, since.as_deref()),
            Online::Budgets { upstream } => self.budgets(upstream.as_deref()),
            Online::Request(command) => self.request(command),
            Online::Retries { upstream } => self.retries(upstream.as_deref()),
            Online::Record(args) => self.record(&args),
            Online::Policy { action } => self.policy(action),
            Online::Probe(args) => self.probe(&args),
        }
    }

    /// Prints the API's own JSON for `-o json`; `false` = the caller prints for people.
    pub fn json(&mut self, value: &impl Serialize) -> Result<bool, Failure> {
        match self.output {
            Output::Table => Ok(false),
            Output::Json => {
                let text = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
                self.out.write_all(&Bytes::from(text))?;
                self.out.write_all(b"\n")?;
                Ok(true)
            }
        }
    }

    pub fn table(&mut self, table: &Table) -> Result<(), Failure> {
        self.out.write_all(table.render(self.surroundings.colour).as_bytes())?;
        Ok(())
    }

    /// Who makes a change.
    pub fn author(&self) -> Option<String> {
        Some(self.surroundings.user.clone().unwrap_or_else(|| "cli".to_owned()))
    }
}

impl Failure {
    /// Tells the user, and what to do next.
    pub fn report(&self, err: &mut dyn Write) -> Exit {
        let (text, exit) = match self {
            // `outrigger changes | head` is no failure.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return Exit::Fine,
            Failure::Output(error) => (format!("the answer could not be written: {error}"), Exit::Problem),
            Failure::File(text, next) => (format!("{text}\nnext: {next}"), Exit::Problem),
            Failure::Usage(text, next) => (format!("{text}\nnext: {next}"), Exit::Usage),
            Failure::Client(ClientError::Address(addr)) => (
                format!("{} is not an address\nnext: write HOST:PORT, such as 127.0.0.1:4490", print::line(addr)),
                Exit::Usage,
            ),
            Failure::Client(ClientError::Unreachable { addr, why }) => (
                format!(
                    "no proxy answers at {addr}: {}\nnext: start one with `outrigger run --policy FILE`, or name its \
                     admin address with --addr or OUTRIGGER_ADDR",
                    print::line(why)
                ),
                Exit::Unreachable,
            ),
            Failure::Client(ClientError::Foreign { addr, why }) => (
                format!(
                    "what answers at {addr} is not the admin API of this version: {}\nnext: check --addr, and compare \
                     `outrigger version` on both sides",
                    print::line(why)
                ),
                Exit::Unreachable,
            ),
            Failure::Client(ClientError::Metrics { addr }) => (
                format!(
                    "{addr} is the metrics port, which answers probes and scrapers only\nnext: name the admin address \
                     (`admin.listen`, 127.0.0.1:4490 unless stated) with --addr or OUTRIGGER_ADDR"
                ),
                Exit::Unreachable,
            ),
            Failure::Client(ClientError::Login(why)) => {
                (format!("{}\nnext: correct the file or the option, then ask again", print::line(why)), Exit::Usage)
            }
            Failure::Client(ClientError::Stranger { addr, file: None }) => (
                format!(
                    "the proxy at {addr} asks for a token\nnext: name the file that holds it with --token-file or \
                     OUTRIGGER_TOKEN_FILE; on the proxy's side it is `admin.tokenFile`"
                ),
                Exit::Problem,
            ),
            Failure::Client(ClientError::Stranger { addr, file: Some(file) }) => (
                format!(
                    "the proxy at {addr} does not accept the token in {}\nnext: compare it with the file that the proxy's \
                     policy names (`admin.tokenFile`)",
                    print::line(&file.display().to_string())
                ),
                Exit::Problem,
            ),
            Failure::Client(ClientError::Refused(problem)) => {
                (format!("{}\nnext: {}", print::lines(&problem.detail), print::line(&problem.next)), Exit::Problem)
            }
        };
        // Nowhere is left to report to when this fails.
        let _ = writeln!(err, "outrigger: {text}");
        exit
    }
}
