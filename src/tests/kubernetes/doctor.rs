//! `outrigger doctor` beside the real program. Each trap on its own: src/cli/doctor/tests.rs.

use std::os::unix::fs::symlink;
use std::process::Command;

use outrigger::testing::{Program, eventually};
use serde_json::Value;

use crate::stage::executable;

/// What it says, by check, and its exit code.
fn doctor(words: &[&str]) -> (Vec<Value>, Option<i32>) {
    let output = Command::new(executable()).args(["doctor", "-o", "json"]).args(words).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (report["checks"].as_array().unwrap().clone(), output.status.code())
}

fn verdict(checks: &[Value], name: &str) -> (String, String) {
    let check = checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("no {name}: {checks:?}"));
    (check["verdict"].as_str().unwrap().to_owned(), check["text"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn it_finds_the_process_its_policy_and_what_became_of_an_edit() {
    let policy = "version: 1\nlisten: %listen%\nadmin: { listen: %admin% }\nmetrics: { listen: %metrics% }\n\
                  drain: { timeout: 20s }\nupstreams:\n  a:\n    url: http://127.0.0.1:9\n    limits: { connections: 8 }\n";
    // As a ConfigMap is mounted.
    let mut program = Program::spawn_at(&executable(), policy, "policy.yaml", |path, text| {
        let directory = path.parent().unwrap();
        std::fs::create_dir(directory.join("..1")).unwrap();
        std::fs::write(directory.join("..1/policy.yaml"), text).unwrap();
        symlink("..1", directory.join("..data")).unwrap();
        symlink("..data/policy.yaml", path).unwrap();
    });
    program.ready().await;
    let admin = program.address("admin").to_string();
    let file = program.config().join("policy.yaml").display().to_string();
    // Without --policy: the running process says which file it has.
    let (checks, _) = doctor(&["--addr", &admin, "--grace-period", "30s"]);
    for (name, text) in [
        ("process", "with this policy (revision 1)"),
        ("policy", file.as_str()),
        ("mount", "through ..data"),
        ("watch", "seen at once"),
        ("drain", "fits into the grace period of 30s"),
        ("state", "ends with the process"),
        ("ports", "the proxy has them"),
        ("clock", "plausible"),
    ] {
        let (verdict, said) = verdict(&checks, name);
        assert!(verdict == "ok" && said.contains(text), "{name}: {verdict}: {said}");
    }
    let (checks, code) = doctor(&["--addr", &admin, "--grace-period", "10s"]);
    assert_eq!((verdict(&checks, "drain").0.as_str(), code), ("problem", Some(1)));

    std::fs::write(program.config().join("..1/policy.yaml"), "version: 1\nlisten: nowhere\n").unwrap();
    eventually("the edit is refused", async || {
        program.admin("/status").await["policy"]["reload"]["failed"].as_bool().filter(|failed| *failed)
    })
    .await;
    let (checks, code) = doctor(&["--addr", &admin]);
    assert_eq!((verdict(&checks, "process").0.as_str(), code), ("problem", Some(1)));
    assert!(verdict(&checks, "policy").1.contains("is refused: line "), "{checks:?}");
}

#[test]
fn without_a_process_it_says_so_in_words() {
    let output =
        Command::new(executable()).args(["doctor", "--addr", "127.0.0.1:1", "--policy", "/nowhere.yaml"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "PROBLEM  process      no proxy answers at 127.0.0.1:1",
        "PROBLEM  policy       /nowhere.yaml cannot be read",
        "2 problems",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(
        text.matches("next: ").count(),
        text.matches("PROBLEM").count() + text.matches("note ").count(),
        "{text}"
    );
}
