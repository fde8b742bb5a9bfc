use clap::Parser;

use super::*;

/// The commands as they stand in the program's own tree.
#[derive(Parser)]
struct Line {
    #[arg(short = 'o', global = true, hide = true)]
    json: bool,
    #[command(subcommand)]
    command: PolicyCommand,
}

struct Run {
    exit: Exit,
    output: String,
    errors: String,
}

fn run_with(words: &[&str], input: &str, grace: Option<&str>) -> Run {
    let line = Line::try_parse_from(std::iter::once(&"outrigger").chain(words)).unwrap();
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut input = input.as_bytes();
    let grace = grace.map(str::to_owned);
    let command = line.command.in_form(line.json).unwrap();
    let exit = Terminal { input: &mut input, output: &mut output, errors: &mut errors, grace }.run(&command);
    Run { exit, output: String::from_utf8(output).unwrap(), errors: String::from_utf8(errors).unwrap() }
}

fn run(words: &[&str], input: &str) -> Run {
    run_with(words, input, None)
}

const GOOD: &str = "version: 1\nupstreams: { a: { url: http://a } }\n";
const WARNED: &str = "version: 1\nupstreams: { a: { url: http://a, retry: { attempts: 9 } } }\n";
const KNOWN: &str = "version: 1\nstores: { embedded: {} }\nupstreams:\n  a:\n    url: http://a\n    routes:\n    \
     - { name: r, match: { path: /r }, idempotency: { principal: none }, deadLetter: {} }\n";
const WRONG: &str = "version: 1\nupstreams: { a: { url: http://a, retyr: {} } }\n";

#[test]
fn a_clean_policy_exits_with_0_and_says_what_it_is() {
    let run = run(&["check"], GOOD);
    assert_eq!((run.exit, run.output.as_str()), (Exit::Clean, ""));
    assert_eq!(run.errors, "<stdin>: ok (1 listener, 1 upstream, 1 route)\n");
}

#[test]
fn findings_exit_with_1_and_warnings_only_if_denied() {
    assert_eq!(run(&["check", "-"], WRONG).exit, Exit::Findings);
    let warned = run(&["check", "-"], WARNED);
    assert_eq!(warned.exit, Exit::Clean);
    assert!(warned.output.contains("warning:") && warned.output.contains("OR007"), "{}", warned.output);
    assert_eq!(run(&["check", "-", "--deny-warnings"], WARNED).exit, Exit::Findings);
}

#[test]
fn the_summary_names_an_error_before_a_warning() {
    use crate::policy::diagnostic::Diagnostic;
    use crate::policy::raw::scalar::Position;
    let warning = Diagnostic::new(Code::OutboundExposed, Position { line: 1, column: 1 }, "first in the file");
    let error = Diagnostic::new(Code::InvalidValue, Position { line: 2, column: 1 }, "last in the file");
    let said = verdict(&Diagnostics::new("p.yaml", "", vec![warning, error]), "");
    assert_eq!(said, "1 error(s), 1 warning(s); outrigger explain OR102 says more");
}

#[test]
fn what_is_merely_worth_knowing_is_shown_and_never_denied() {
    let known = run(&["check", "-", "--deny-warnings"], KNOWN);
    assert_eq!(known.exit, Exit::Clean, "{}", known.output);
    assert!(known.output.contains("info: the key that seals dead letters") && known.output.contains("[OR038]"));
    let said = "<stdin>: ok (1 listener, 1 upstream, 2 routes), 1 to know; outrigger explain OR038 says more\n";
    assert_eq!(known.errors, said);
}

#[test]
fn a_file_that_cannot_be_read_exits_with_2() {
    let run = run(&["check", "/nonexistent/policy.yaml"], "");
    assert_eq!(run.exit, Exit::Unreadable);
    assert!(run.errors.starts_with("/nonexistent/policy.yaml: "), "{}", run.errors);
}

#[test]
fn formats_for_programs_write_nothing_else() {
    let json = run(&["check", "--format", "json"], WRONG);
    let value: serde_json::Value = serde_json::from_str(&json.output).unwrap();
    assert_eq!(value[0]["code"], "OR101");
    assert_eq!(json.errors, "");
    assert_eq!(run(&["check", "--format", "json"], GOOD).output.trim(), "[]");
    let github = run(&["check", "--format", "github"], WRONG).output;
    assert!(github.starts_with("::error file=<stdin>,line=2,col="), "{github}");
}

#[test]
fn the_general_option_for_json_is_the_commands_own() {
    assert_eq!(run(&["check", "-o"], WRONG).output, run(&["check", "--format", "json"], WRONG).output);
    assert_eq!(run(&["diff", "-o", "-", "/nonexistent"], GOOD).exit, Exit::Unreadable);
    let explain = Line::try_parse_from(["outrigger", "explain", "OR012"]).unwrap().command;
    assert_eq!(explain.in_form(true).unwrap_err(), "`explain` has no JSON form");
}

#[test]
fn draining_longer_than_the_grace_period_is_a_warning() {
    let grace = |period| run_with(&["check"], GOOD, Some(period));
    assert!(grace("15s").output.contains("draining may take 20s, and the grace period is 15s [OR012]"));
    assert_eq!(grace("30s").output, "");
    assert_eq!(grace("30").exit, Exit::Unreadable);
}

#[test]
fn a_request_is_explained_from_a_policy_and_a_code_without_one() {
    let request = run(&["explain", "GET", "/x", "--policy", "-"], GOOD);
    assert_eq!(request.exit, Exit::Clean);
    assert!(request.output.contains("upstream  a"), "{}", request.output);
    assert!(run(&["explain", "or012"], "").output.starts_with("OR012 (warning): "));
    assert_eq!(run(&["explain", "OR999"], "").exit, Exit::Unreadable);
    assert_eq!(run(&["explain", "GET", "/x"], "").exit, Exit::Unreadable);
}

#[test]
fn two_policies_are_compared_by_effect() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("new.yaml");
    std::fs::write(&file, WARNED).unwrap();
    let file = file.to_str().unwrap();
    let changed = run(&["diff", "-", file], GOOD);
    assert!(changed.output.starts_with("a/default: retry.attempts 0 -> 9;"), "{}", changed.output);
    assert!(changed.output.ends_with("worst-case load x1 -> x10\n"), "{}", changed.output);
    assert_eq!(run(&["diff", "-", file], WARNED).output, "no difference in effect\n");
    let json = run(&["diff", "-", file, "--format", "json"], GOOD).output;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value[0]["load"], serde_json::json!([1, 10]));
    assert_eq!(run(&["diff", "-", "-"], GOOD).exit, Exit::Unreadable);
    assert_eq!(run(&["diff", "-", file], WRONG).exit, Exit::Findings);
}

#[test]
fn what_init_prints_is_a_clean_policy_of_ten_lines() {
    let starter = run(&["init"], "").output;
    assert!(starter.lines().count() <= 10);
    let run = run(&["check", "--deny-warnings"], &starter);
    assert_eq!((run.exit, run.output.as_str()), (Exit::Clean, ""));
}

#[test]
fn schema_prints_json() {
    serde_json::from_str::<serde_json::Value>(&run(&["schema"], "").output).unwrap();
}

/// An encrypted listener with this directory's files.
fn encrypted(directory: &std::path::Path) -> String {
    let at = |name: &str| directory.join(name).display().to_string();
    format!(
        "version: 1\ninbound:\n  forward: http://127.0.0.1:1\n  tls:\n    cert: {}\n    key: {}\n",
        at("tls.crt"),
        at("tls.key")
    )
}

#[test]
fn certificates_are_read_and_what_is_wrong_stands_at_the_line_that_names_the_file() {
    use crate::testing::{Authority, Leaf};
    let directory = tempfile::tempdir().unwrap();
    let policy = encrypted(directory.path());
    let missing = run(&["check"], &policy);
    assert_eq!(missing.exit, Exit::Findings);
    for line in ["<stdin>:5:11: error: ", "<stdin>:6:10: error: ", "is not there: is it mounted", "[OR048]"] {
        assert!(missing.output.contains(line), "{line}: {}", missing.output);
    }
    assert_eq!(run(&["check", "--without-files"], &policy).exit, Exit::Clean);
    let authority = Authority::new();
    let soon = Leaf::server(&["a.example"]).expires_in(std::time::Duration::from_secs(3_600));
    authority.issue(&soon).write(directory.path());
    let warned = run(&["check"], &policy);
    assert_eq!(warned.exit, Exit::Clean, "{}", warned.output);
    assert!(warned.output.contains("warning: the certificate in ") && warned.output.contains("[OR049]"));
    assert!(warned.output.contains("[OR051]"), "the key is readable by all: {}", warned.output);
    let other = authority.server(&["a.example"]);
    std::fs::write(directory.path().join("tls.key"), other.key).unwrap();
    let wrong = run(&["check"], &policy);
    assert!(wrong.exit == Exit::Findings && wrong.output.contains("is not the key of the certificate"));
    assert!(wrong.output.contains("<stdin>:6:10: error: "), "{}", wrong.output);
}
