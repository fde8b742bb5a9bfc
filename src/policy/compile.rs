//! Raw mirror -> `Policy`. What comes out cannot be wrong; what goes in may be wrong in many places, and
//! all of them are reported in one run (except for syntax, where the parser stops at its first error).
//!
//! Every value is read through `Reader::take`, which also remembers where it was written. `explain`,
//! `diff` and the lints read those places; nothing is parsed twice.

mod admin;
mod blocks;
mod dead_letter;
mod endpoints;
mod environment;
mod hedge;
mod idempotency;
mod inbound;
mod listeners;
mod overload;
mod parse;
mod rate_limit;
mod read;
mod stores;
mod target;
mod tls;
mod tracing;
mod upstreams;

use std::net::SocketAddr;
use std::time::Duration;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::lint::{self, Code};
use super::origin::Origins;
use super::raw::scalar::{AddressOrNone, At, Key, Position, Text};
use super::raw::{self, LogErrors, LogFormat};
use super::store::content_hash;
use super::{AccessLog, Drain, Guard, Policy};
use environment::Environment;
use read::{Layer, PROCESS, Reader};
use stores::StorePlaces;

/// Files beyond this are refused unread: a ConfigMap holds 1 MiB at most.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// `admin.listen` where the file says nothing.
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4490);
/// `metrics.listen` where the file says nothing.
const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 4491);
/// `limits.replayBytes`.
const REPLAY_BYTES: u64 = 64 << 20;

/// A policy, where its values come from, and what is odd about it.
#[derive(Debug)]
pub struct Compiled {
    pub policy: Policy,
    /// Where each value of the policy is written.
    pub origins: Origins,
    /// Findings that do not prevent the policy from being used.
    pub warnings: Diagnostics,
}

/// Compiles the text of a policy file. `file_name` is only for the messages.
///
/// # Errors
/// All that is wrong with it, warnings included.
pub fn load(file_name: &str, text: &str) -> Result<Compiled, Diagnostics> {
    load_in(file_name, text, environment::of_process)
}

/// As `load`, in an environment that tests can choose.
fn load_in(file_name: &str, text: &str, environment: Environment) -> Result<Compiled, Diagnostics> {
    let refuse = |findings| Diagnostics::new(file_name, text, findings);
    let file = parse::parse(text).map_err(|finding| refuse(vec![*finding]))?;
    let mut context = Context::new(environment);
    let policy = context.file(&file, text);
    if !context.has_errors() {
        lint::policy(&policy, &context.origins, &mut context.findings);
    }
    let findings = Diagnostics::new(file_name, text, context.findings);
    match policy {
        _ if findings.has_errors() => Err(findings),
        policy => Ok(Compiled { policy, origins: context.origins, warnings: findings }),
    }
}

/// As `load`, for bytes that came from a disk or a socket.
///
/// # Errors
/// As `load`; also bytes that are not UTF-8, and more than `FILE_BYTES_MAX` of them.
pub fn load_bytes(file_name: &str, bytes: &[u8]) -> Result<Compiled, Diagnostics> {
    match std::str::from_utf8(bytes) {
        Ok(text) => load(file_name, text),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            let message = format!("the file is not UTF-8: line {line} has a byte that does not belong there");
            Err(Diagnostics::new(file_name, "", vec![Diagnostic::new(Code::Syntax, Position::default(), message)]))
        }
    }
}

/// What one run of the compiler gathers.
#[derive(Debug)]
struct Context {
    findings: Vec<Diagnostic>,
    origins: Origins,
    store_places: StorePlaces,
    environment: Environment,
}

impl Context {
    fn new(environment: Environment) -> Self {
        Context { findings: Vec::new(), origins: Origins::default(), store_places: StorePlaces::default(), environment }
    }

    fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == super::diagnostic::Severity::Error)
    }

    fn report(&mut self, code: Code, position: Position, message: impl Into<String>) {
        self.findings.push(Diagnostic::new(code, position, message));
    }

    fn reader(&mut self, upstream: u32, route: Option<u32>) -> Reader<'_> {
        Reader::new(self, upstream, route)
    }

    fn file(&mut self, file: &raw::File, text: &str) -> Policy {
        self.version(file);
        let name = self.process_name(file);
        let admin = self.listen_or_none("admin.listen", file.admin.value().map(|admin| &admin.listen), ADMIN);
        let metrics = self.listen_or_none("metrics.listen", file.metrics.value().map(|m| &m.listen), METRICS);
        let admin_access = self.admin_access(file.admin.get());
        let drain = self.drain(file.drain.get());
        let access_log = self.access_log(file.access_log.get());
        let guard = self.guard(file.policy.get());
        let tracing = self.tracing(file.tracing.get());
        let replay = file.limits.value().and_then(|limits| limits.replay_bytes.get());
        let replay_bytes = self.process().take(
            "limits.replayBytes",
            replay.map(|at| (at, Layer::Own)),
            |size| read::size(size, 0, 1 << 40),
            REPLAY_BYTES,
        );
        // Before the routes, which refer to them.
        let stores = self.stores(file.stores.get(), name.as_deref());
        let upstreams = self.upstreams(file);
        self.check_rate_limits(&upstreams);
        let dead_letters = self.dead_letters(file.dead_letter.get(), &stores, &upstreams);
        let listeners = self.listeners(file, &upstreams, admin, metrics);
        Policy {
            name,
            admin,
            admin_access,
            metrics,
            drain,
            access_log,
            guard,
            tracing,
            replay_bytes_max: usize::try_from(replay_bytes).unwrap_or(usize::MAX),
            stores,
            dead_letters,
            listeners,
            upstreams: upstreams.into_iter().map(|upstream| upstream.policy).collect(),
            hash: content_hash(text),
            text: text.to_owned(),
        }
    }

    fn process(&mut self) -> Reader<'_> {
        self.reader(PROCESS, None)
    }

    fn version(&mut self, file: &raw::File) {
        let message = match file.version.get() {
            Some(at) if at.value.text == "1" => return,
            Some(at) => format!("version `{}` is not known: this program reads version 1", at.value.text),
            None => "`version` is missing: the first line of a policy is `version: 1`".to_owned(),
        };
        let position = file.version.position().unwrap_or(Position { line: 1, column: 1 });
        self.report(Code::InvalidValue, position, message);
    }

    fn process_name(&mut self, file: &raw::File) -> Option<String> {
        let at = file.name.get();
        self.process().take("name", at.map(|at| (at, Layer::Own)), |text| read::name(text).map(Some), None)
    }

    fn listen_or_none(
        &mut self,
        key: &'static str,
        listen: Option<&Key<Text<AddressOrNone>>>,
        default: SocketAddr,
    ) -> Option<SocketAddr> {
        let found = listen.and_then(Key::get).map(|at| (at, Layer::Own));
        let read = |text: &Text<AddressOrNone>| match text.text.as_str() {
            "none" => Ok(None),
            address => read::address(address).map(Some),
        };
        self.process().take(key, found, read, Some(default))
    }

    fn drain(&mut self, drain: Option<&At<raw::Drain>>) -> Drain {
        let block = read::Layered::own(drain);
        let mut reader = self.process();
        let time = |text: &_| read::time(text, Duration::ZERO, Duration::from_secs(3600));
        Drain {
            delay: reader.take("drain.delay", block.pick(|d| &d.delay), time, Duration::from_secs(5)),
            timeout: reader.take("drain.timeout", block.pick(|d| &d.timeout), time, Duration::from_secs(20)),
        }
    }

    fn guard(&mut self, block: Option<&At<raw::PolicyBlock>>) -> Guard {
        let word = |guard: &raw::Guard| {
            Ok(match guard {
                raw::Guard::Warn => Guard::Warn,
                raw::Guard::Rollback => Guard::Rollback,
                raw::Guard::None => Guard::None,
            })
        };
        self.process().take("policy.guard", read::Layered::own(block).pick(|policy| &policy.guard), word, Guard::Warn)
    }

    fn access_log(&mut self, log: Option<&At<raw::AccessLog>>) -> AccessLog {
        let block = read::Layered::own(log);
        let mut reader = self.process();
        let format = |format: &LogFormat| match format {
            LogFormat::Json => Ok(()),
        };
        reader.take("accessLog.format", block.pick(|log| &log.format), format, ());
        let sample_ratio = reader.take(
            "accessLog.sampleRatio",
            block.pick(|log| &log.sample_ratio),
            |t| read::number(t, 0.0, 1.0),
            0.01,
        );
        let always = |errors: &LogErrors| match errors {
            LogErrors::Always => Ok(true),
            LogErrors::Sampled => Ok(false),
        };
        let errors_always = reader.take("accessLog.errors", block.pick(|log| &log.errors), always, true);
        AccessLog { sample_ratio, errors_always }
    }
}

#[cfg(test)]
mod tests;
