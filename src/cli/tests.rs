//! The command line as a user sees it: words in, text and exit code out, against a small real admin server.

mod answers;
mod failures;
mod letters;
mod printed;
mod repairs;
mod requests;

use std::ffi::OsString;
use std::process::ExitCode;

use super::{DemoArgs, LogFormat, Programs, RunArgs, Surroundings, run};
use crate::admin::tests::stage::{Process, Stage};

/// What a command line said, and how it ended.
#[derive(Debug)]
struct Said {
    out: String,
    err: String,
    exit: ExitCode,
}

impl Said {
    fn exited(&self, code: u8) -> &Self {
        assert_eq!(self.exit, ExitCode::from(code), "{self:?}");
        self
    }
}

/// Stands for the proxy: its exit code tells the arguments apart.
fn started(args: RunArgs) -> ExitCode {
    let expected = RunArgs {
        policy: "p.yaml".into(),
        workers: 4,
        state_dir: Some("/var/lib/outrigger".into()),
        log_format: LogFormat::Text,
        admin_listen: Some("127.0.0.1:1".parse().unwrap()),
        metrics_listen: None,
        quit_endpoint: true,
    };
    ExitCode::from(if args == expected { 41 } else { 40 })
}

fn shown(args: DemoArgs) -> ExitCode {
    ExitCode::from(if args.seconds == 20 { 51 } else { 50 })
}

fn say_in(surroundings: &Surroundings, words: &[&str]) -> Said {
    let arguments = std::iter::once("outrigger").chain(words.iter().copied()).map(OsString::from);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(arguments, Programs { run: started, demo: shown }, surroundings, &mut out, &mut err);
    Said { out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap(), exit }
}

fn say(words: &[&str]) -> Said {
    say_in(&Surroundings::default(), words)
}

/// A server on its own runtime, so that the command line may block.
struct Server {
    stage: Option<Stage>,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    fn of(process: Process) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Server { stage: Some(runtime.block_on(Stage::of(process))), runtime }
    }

    fn healthy() -> Self {
        Server::of(Process::healthy())
    }

    fn stage(&self) -> &Stage {
        self.stage.as_ref().unwrap()
    }

    fn surroundings(&self) -> Surroundings {
        let (addr, user) = (Some(self.stage().admin.to_string()), Some("alice".to_owned()));
        Surroundings { addr, user, ..Surroundings::default() }
    }

    fn say(&self, words: &[&str]) -> Said {
        say_in(&self.surroundings(), words)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stage) = self.stage.take() {
            self.runtime.block_on(stage.stop());
        }
    }
}

#[test]
fn run_and_demo_are_handed_their_arguments() {
    let words = "run --policy p.yaml --workers 4 --state-dir /var/lib/outrigger --log-format text --admin-listen 127.0.0.1:1 --quit-endpoint";
    say(&words.split(' ').collect::<Vec<_>>()).exited(41);
    say(&["run", "--policy", "p.yaml"]).exited(40);
    say(&["demo", "--seconds", "20"]).exited(51);
    say(&["demo"]).exited(50);
}

#[test]
fn wrong_usage_exits_2_and_suggests() {
    let said = say(&["statsu"]);
    assert!(said.exited(2).err.contains("'status'"), "{said:?}");
    assert!(say(&["run", "--polcy", "x"]).exited(2).err.contains("'--policy'"));
    for wrong in [
        &["run"][..],
        &["run", "--policy", "p", "--workers", "0"],
        &["run", "--policy", "p", "--admin-listen", "localhost"],
        &["demo", "--seconds", "0"],
        &["status", "-o", "yaml"],
        &["circuits", "open", "a", "--ttl", "25h", "--reason", "r"],
        &["circuits", "open", "a", "--ttl", "500ms", "--reason", "r"],
        &["policy", "rollback", "x", "--reason", "y"],
        &["dlq", "ls", "--state", "opne"],
        &["dlq", "ls", "--class", "unknwon"],
        &["dlq", "ls", "--limit", "501"],
        &["dlq", "show", "1234567"],
        &["dlq", "body", "0199c2d4"],
        &["dlq", "drop", "0199c2d4"],
        &["dlq", "replay", "0199c2d4"],
        &["dlq", "replay", "0199c2d4", "--rate", "101", "--reason", "x"],
        &["dlq", "resolve", "0199c2d4", "--as", "executed"],
        &["replay", "cancel", "r1"],
    ] {
        say(wrong).exited(2);
    }
}

#[test]
fn alone_it_prints_help_and_help_has_examples() {
    let alone = say(&[]);
    assert!(alone.exited(2).err.contains("Usage: outrigger"), "{alone:?}");
    let help = say(&["--help"]);
    for words in ["Examples:", "outrigger status", "Exit codes:", "OUTRIGGER_ADDR"] {
        assert!(help.exited(0).out.contains(words), "{words} in {}", help.out);
    }
    for command in [
        "run", "check", "explain", "diff", "init", "status", "changes", "circuits", "policy", "probe", "dlq", "replay",
        "audit",
    ] {
        assert!(say(&[command, "--help"]).exited(0).out.contains("Example"), "{command}");
    }
    let version = format!("outrigger {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(say(&["version"]).exited(0).out, version);
    assert_eq!(say(&["--version"]).exited(0).out, version);
}

#[test]
fn the_commands_on_the_file_need_no_proxy() {
    // They print to the process's own streams, so only their exit codes are seen here.
    let nowhere = Surroundings { addr: Some("nowhere".to_owned()), ..Surroundings::default() };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.yaml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "version: 1\nupstreams: { a: { url: 'http://127.0.0.1:1', timeuot: 2s } }\n").unwrap();
    say_in(&nowhere, &["check", path]).exited(1);
    say_in(&nowhere, &["check", "/nonexistent/policy.yaml"]).exited(2);
    say_in(&nowhere, &["diff", "/nonexistent/policy.yaml", path]).exited(2);
}

#[test]
fn the_command_tree_is_consistent() {
    use clap::CommandFactory;
    super::args::Cli::command().debug_assert();
}
