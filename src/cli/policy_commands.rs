//! The commands on the policy file: `check`, `explain`, `diff`, `schema`, `init`. None of them needs a
//! running proxy; `check` runs the very code that a reload runs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::policy::compile::{self, Compiled, FILE_BYTES_MAX};
use crate::policy::diagnostic::{Diagnostic, Diagnostics, Format, Severity};
use crate::policy::lint::{self, Code};
use crate::policy::origin::PROCESS;
use crate::policy::{diff, duration, explain, schema};
use crate::tls::{self, Degree, Owner, Part};

/// `terminationGracePeriodSeconds` of the pod as a duration: `check` compares draining with it.
pub(super) const GRACE_PERIOD: &str = "OUTRIGGER_GRACE_PERIOD";

/// What `outrigger init` prints.
const STARTER: &str = "\
# yaml-language-server: $schema=./outrigger.schema.json
version: 1
listen: 127.0.0.1:4400                  # point the app here instead of at the dependency
upstreams:
  payments:                             # its name in metrics and messages
    url: http://payments.shop.svc:8080  # where it really is
    timeouts: { request: 2s, backendRequest: 500ms }
    retry: { attempts: 2 }              # 1 try + up to 2 retries, bounded by a budget
    circuitBreaker: {}                  # fails fast while it is down
";

/// Commands on the policy file.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check a policy file as a reload would; exit code 1 if it has errors, 2 if it cannot be read
    #[command(after_help = "\
Examples:
  outrigger check policy.yaml
  helm template . | yq '.data[\"policy.yaml\"]' | outrigger check -
  outrigger check policy.yaml --format github --deny-warnings")]
    Check(CheckArgs),

    /// Explain what happens to a request, or what a finding means
    #[command(after_help = "\
Examples:
  outrigger explain POST /v1/charges --policy policy.yaml
  outrigger explain GET http://payments/v1/quotes --policy policy.yaml
  outrigger explain OR012")]
    Explain(ExplainArgs),

    /// Compare two policy files by what they do
    #[command(after_help = "Example:\n  git show HEAD:policy.yaml | outrigger diff - policy.yaml")]
    Diff(DiffArgs),

    /// Print the JSON Schema of the policy file, for editors
    Schema,

    /// Print a policy to begin with
    #[command(after_help = "Example:\n  outrigger init > policy.yaml")]
    Init,
}

impl PolicyCommand {
    /// The same command, with `-o json` taken for the JSON form of its own.
    ///
    /// # Errors
    /// A sentence, where the command has no such form.
    pub fn in_form(self, json: bool) -> Result<Self, String> {
        let none = |name: &str| if json { Err(format!("`{name}` has no JSON form")) } else { Ok(()) };
        match &self {
            PolicyCommand::Explain(_) => none("explain")?,
            PolicyCommand::Init => none("init")?,
            PolicyCommand::Check(_) | PolicyCommand::Diff(_) | PolicyCommand::Schema => {}
        }
        Ok(match self {
            PolicyCommand::Check(args) if json => PolicyCommand::Check(CheckArgs { format: CheckFormat::Json, ..args }),
            PolicyCommand::Diff(args) if json => PolicyCommand::Diff(DiffArgs { format: DiffFormat::Json, ..args }),
            other => other,
        })
    }
}

#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// The policy file, or - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
    /// Form of the findings
    #[arg(long, value_enum, default_value_t = CheckFormat::Human)]
    pub format: CheckFormat,
    /// Exit with 1 also if there are only warnings
    #[arg(long)]
    pub deny_warnings: bool,
    /// Do not read the certificates and keys that the policy names: for places where they are not, such as CI
    #[arg(long)]
    pub without_files: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The request's method, or the code of a finding such as OR012
    #[arg(value_name = "METHOD|CODE")]
    pub what: String,
    /// The request's path, or a URL with the Host that the client sends, or with a listener's address
    pub url: Option<String>,
    /// The policy file, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    /// The policy before
    pub old: PathBuf,
    /// The policy after
    pub new: PathBuf,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = DiffFormat::Human)]
    pub format: DiffFormat,
}

/// Form of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// The line and what to write instead
    Human,
    /// A JSON array
    Json,
    /// Annotations of GitHub Actions
    Github,
}

/// Form of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// One sentence for each subject that changes
    Human,
    /// A JSON array
    Json,
}

impl From<CheckFormat> for Format {
    fn from(format: CheckFormat) -> Self {
        match format {
            CheckFormat::Human => Format::Human,
            CheckFormat::Json => Format::Json,
            CheckFormat::Github => Format::Github,
        }
    }
}

/// Runs a command and says with which exit code the process ends.
pub fn run(command: &PolicyCommand) -> ExitCode {
    let grace = std::env::var(GRACE_PERIOD).ok().filter(|text| !text.is_empty());
    let mut terminal =
        Terminal { input: &mut io::stdin(), output: &mut io::stdout(), errors: &mut io::stderr(), grace };
    ExitCode::from(terminal.run(command) as u8)
}

/// Exit codes of all commands on files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Clean = 0,
    Findings = 1,
    Unreadable = 2,
}

/// What commands read and write; stated, so that tests need no process.
struct Terminal<'a> {
    input: &'a mut dyn Read,
    output: &'a mut dyn Write,
    errors: &'a mut dyn Write,
    /// `OUTRIGGER_GRACE_PERIOD`.
    grace: Option<String>,
}

impl Terminal<'_> {
    fn run(&mut self, command: &PolicyCommand) -> Exit {
        match command {
            PolicyCommand::Check(args) => self.check(args),
            PolicyCommand::Explain(args) => self.explain(args),
            PolicyCommand::Diff(args) => self.diff(args),
            PolicyCommand::Schema => self.say(&schema::json()),
            PolicyCommand::Init => self.say(STARTER),
        }
    }

    /// A reader that went away (`| head`) is no failure of ours.
    fn say(&mut self, text: &str) -> Exit {
        let _ = self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush());
        Exit::Clean
    }

    fn complain(&mut self, message: &str, exit: Exit) -> Exit {
        let _ = writeln!(self.errors, "{message}");
        exit
    }

    fn check(&mut self, args: &CheckArgs) -> Exit {
        let (name, bytes) = match self.read(&args.file) {
            Ok(read) => read,
            Err(message) => return self.complain(&message, Exit::Unreadable),
        };
        let grace = match self.grace.as_deref().map(duration::parse).transpose() {
            Ok(grace) => grace,
            Err(message) => return self.complain(&format!("{GRACE_PERIOD}: {message}"), Exit::Unreadable),
        };
        let (findings, summary) = match compile::load_bytes(&name, &bytes) {
            Ok(compiled) => {
                let summary = summary(&compiled);
                let files = if args.without_files { Vec::new() } else { certificates(&compiled) };
                let text = compiled.policy.text.clone();
                let findings = with_grace(compiled, grace);
                (files.into_iter().fold(findings, |all, one| all.with(&text, Some(one))), summary)
            }
            Err(findings) => (findings, String::new()),
        };
        self.say(&findings.render(args.format.into()));
        if args.format == CheckFormat::Human {
            let verdict = verdict(&findings, &summary);
            let _ = writeln!(self.errors, "{name}: {verdict}");
        }
        let fails = findings.has_errors() || (args.deny_warnings && findings.has_warnings());
        if fails { Exit::Findings } else { Exit::Clean }
    }

    fn explain(&mut self, args: &ExplainArgs) -> Exit {
        if let (None, Some(code)) = (&args.url, Code::parse(&args.what)) {
            return self.say(&explain::code(code));
        }
        let (Some(url), Ok(method)) = (&args.url, http::Method::from_bytes(args.what.as_bytes())) else {
            let message = format!(
                "`{}` is no code of a finding. A request is explained by: outrigger explain METHOD URL --policy FILE",
                args.what
            );
            return self.complain(&message, Exit::Unreadable);
        };
        let Some(file) = &args.policy else {
            return self.complain("say which policy: outrigger explain METHOD URL --policy FILE", Exit::Unreadable);
        };
        let (name, compiled) = match self.load(file) {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        match explain::request(&compiled, &name, &method, url) {
            Ok(text) => self.say(&text),
            Err(error) => self.complain(&error.to_string(), Exit::Findings),
        }
    }

    fn diff(&mut self, args: &DiffArgs) -> Exit {
        if is_standard_input(&args.old) && is_standard_input(&args.new) {
            return self.complain("only one of the two can come from standard input", Exit::Unreadable);
        }
        let old = match self.load(&args.old) {
            Ok((_, old)) => old,
            Err(exit) => return exit,
        };
        let new = match self.load(&args.new) {
            Ok((_, new)) => new,
            Err(exit) => return exit,
        };
        let changes = diff::diff(&old.policy, &new.policy);
        match args.format {
            DiffFormat::Human if changes.is_empty() => self.say("no difference in effect\n"),
            DiffFormat::Human => self.say(&changes.iter().map(|change| format!("{change}\n")).collect::<String>()),
            DiffFormat::Json => match serde_json::to_string_pretty(&changes) {
                Ok(json) => self.say(&format!("{json}\n")),
                Err(error) => self.complain(&error.to_string(), Exit::Unreadable),
            },
        }
    }

    /// Reads and compiles; says itself what is wrong.
    fn load(&mut self, path: &Path) -> Result<(String, Compiled), Exit> {
        let (name, bytes) = self.read(path).map_err(|message| self.complain(&message, Exit::Unreadable))?;
        match compile::load_bytes(&name, &bytes) {
            Ok(compiled) => Ok((name, compiled)),
            Err(findings) => Err(self.complain(&findings.to_string(), Exit::Findings)),
        }
    }

    /// The name for messages, and at most one byte more than is allowed.
    fn read(&mut self, path: &Path) -> Result<(String, Vec<u8>), String> {
        let most = FILE_BYTES_MAX as u64 + 1;
        let mut bytes = Vec::new();
        let (name, read) = if is_standard_input(path) {
            ("<stdin>".to_owned(), self.input.take(most).read_to_end(&mut bytes))
        } else {
            let file = File::open(path);
            (path.display().to_string(), file.and_then(|file| file.take(most).read_to_end(&mut bytes)))
        };
        read.map(|_| (name.clone(), bytes)).map_err(|error| format!("{name}: {error}"))
    }
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn with_grace(compiled: Compiled, grace: Option<Duration>) -> Diagnostics {
    let found = grace.and_then(|grace| lint::grace_period(&compiled.policy, &compiled.origins, grace));
    compiled.warnings.with(&compiled.policy.text, found)
}

/// What is wrong with the certificates and keys that the policy names, at the line that names them.
fn certificates(compiled: &Compiled) -> Vec<Diagnostic> {
    let diagnostic = |found: tls::Found| {
        let (owner, url, keys) = match found.owner {
            Owner::Upstream(index) => (index, "url", ["tls.cert", "tls.key", "tls.ca"]),
            Owner::Listener(index) => (index, "listen", ["tls.cert", "tls.key", "tls.clientCa"]),
            Owner::Admin => (PROCESS, "admin.listen", ["admin.tls.cert", "admin.tls.key", "admin.tls.clientCa"]),
            Owner::Redis => {
                let keys = ["stores.redis.tls.cert", "stores.redis.tls.key", "stores.redis.tls.ca"];
                (PROCESS, "stores.redis.url", keys)
            }
        };
        let at = |key| compiled.origins.position(owner, None, key);
        let (code, key, message) = match found.problem {
            Err(message) => (Code::CertificateUnusable, url, message),
            Ok(tls::Problem { part, degree, text }) => {
                let code = match degree {
                    Degree::Unusable => Code::CertificateUnusable,
                    Degree::ExpiresSoon => Code::CertificateExpiresSoon,
                    Degree::Odd => Code::CertificateOdd,
                    Degree::Open => Code::KeyReadableByOthers,
                };
                let [cert, secret, authorities] = keys;
                let key = match part {
                    Part::Cert => cert,
                    Part::Key => secret,
                    Part::Authorities => authorities,
                };
                (code, key, text)
            }
        };
        Diagnostic::new(code, at(key).unwrap_or_default(), message)
    };
    tls::check(&compiled.policy).into_iter().map(diagnostic).collect()
}

fn summary(compiled: &Compiled) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let policy = &compiled.policy;
    let routes = policy.upstreams.iter().map(|upstream| upstream.routes.len()).sum();
    let (listeners, upstreams) = (policy.listeners.len(), policy.upstreams.len());
    format!("{}, {}, {}", count(listeners, "listener"), count(upstreams, "upstream"), count(routes, "route"))
}

fn verdict(findings: &Diagnostics, summary: &str) -> String {
    let count = |severity| findings.findings().iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings, infos) = (count(Severity::Error), count(Severity::Warning), count(Severity::Info));
    let worst = findings.findings().iter().min_by_key(|finding| finding.severity);
    let first = worst.map(|finding| finding.code.as_str()).unwrap_or_default();
    match (errors, warnings) {
        (0, 0) if infos == 0 => format!("ok ({summary})"),
        (0, 0) => format!("ok ({summary}), {infos} to know; outrigger explain {first} says more"),
        (0, _) => format!("ok ({summary}), {warnings} warning(s); outrigger explain {first} says more"),
        (_, _) => format!("{errors} error(s), {warnings} warning(s); outrigger explain {first} says more"),
    }
}

#[cfg(test)]
mod tests;
