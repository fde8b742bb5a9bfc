use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::stage::executable;

/// The program with a temporary directory of its own, so that what it leaves behind is seen.
fn demo(seconds: &str) -> (Command, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory").keep();
    let mut command = Command::new(executable());
    command.args(["demo", "--seconds", seconds]).env("TMPDIR", &directory).env("NO_COLOR", "1");
    (command, directory)
}

fn assert_empty(directory: PathBuf) {
    let left: Vec<_> = fs::read_dir(&directory).expect("it exists").collect();
    assert!(left.is_empty(), "{left:?}");
    fs::remove_dir(directory).expect("it is empty");
}

/// `(direct, through Outrigger)` in percent, from the line that ends a phase.
fn success(account: &str, phase: &str) -> (f64, f64) {
    let begin = format!("  => {phase}: ");
    let line = account.lines().find_map(|line| line.strip_prefix(&begin));
    let line = line.unwrap_or_else(|| panic!("`{phase}` is missing:\n{account}"));
    let mut numbers = line.split(" % ").map(|part| part.rsplit(' ').next().and_then(|number| number.parse().ok()));
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(direct), Some(outrigger)) => (direct, outrigger),
        other => panic!("{other:?} in {line}"),
    }
}

#[test]
fn the_demo_tells_every_phase_and_does_better_in_trouble() {
    let (mut command, directory) = demo("12");
    let output = command.output().expect("the program starts");
    let account = String::from_utf8(output.stdout).expect("text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{account}\n{errors}");
    assert_eq!(errors, "");

    for phase in ["one of three endpoints dead", "dependency slow"] {
        let (direct, outrigger) = success(&account, phase);
        assert!(direct < 95.0 && outrigger > direct, "{phase}: {account}");
    }
    let (direct, outrigger) = success(&account, "dependency down");
    assert!(direct < 5.0 && outrigger >= direct, "{account}");
    for phase in ["calm", "a long tail", "dependency back", "bad policy", "rolled back"] {
        let (direct, _) = success(&account, phase);
        assert!(direct > 90.0, "{phase}: {account}");
    }
    for told in ["curl -i http://127.0.0.1:", "ejected after", "circuit open after", "timeuot", "policy revision 3"] {
        assert!(account.contains(told), "`{told}` is missing:\n{account}");
    }
    for told in ["booked 4 times directly, 1 time through Outrigger", "needs a decision", "booked 1 time"] {
        assert!(account.contains(told), "`{told}` is missing:\n{account}");
    }
    let (direct, outrigger) = success(&account, "overload");
    assert!(outrigger >= 90.0 && outrigger > direct, "{account}");
    let status = account.split("outrigger status, at the end:").nth(1).expect("the status at the end");
    for told in ["UPSTREAM", "payments", "policy: revision", "is refused"] {
        assert!(status.contains(told), "`{told}` is missing:\n{status}");
    }
    // What commands print is shown as they print it.
    let as_it_is = |line: &str| line.contains("endpoints: [") || line.starts_with("      ");
    let wide: Vec<_> = account.lines().filter(|line| line.chars().count() > 100 && !as_it_is(line)).collect();
    assert!(wide.is_empty() && !account.contains('\x1b'), "{wide:?}");
    assert_empty(directory);
}

#[test]
fn an_interrupted_demo_sums_up_and_leaves_nothing_behind() {
    let (mut command, directory) = demo("60");
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("  => calm: ")), "it ended before the first phase did");
    let interrupt = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &interrupt]).status().expect("a shell").success());
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{rest:#?}");
    assert!(rest.iter().any(|line| line.contains("failed directly")), "{rest:#?}");
    assert!(!rest.iter().any(|line| line.contains("dependency down: ")), "{rest:#?}");
    assert_empty(directory);
}
