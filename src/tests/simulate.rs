use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use outrigger::faults::{Answer, Script};
use outrigger::testing::{Client, Program, get};
use serde_json::Value;

use crate::stage::{client, executable, proxied};

const PLAIN: &str = "version: 1\nupstreams:\n  up:\n    endpoints: [http://127.0.0.1:1]\n";
const RETRYING: &str =
    "version: 1\nupstreams:\n  up:\n    endpoints: [http://127.0.0.1:1]\n    retry: { attempts: 2 }\n";
const BROWNOUT: &str = "title: Brownout\ndescription: D.\nduration: 5s\nwarmUp: 1s\nload: { rate: 50 }\n\
    upstream: { endpoints: 2, latency: 5ms }\n\
    faults:\n  - { at: 1s, for: 3s, what: errors, ratio: 30%, endpoints: all }\n";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        for (name, text) in [("old.yaml", PLAIN), ("new.yaml", RETRYING), ("brownout.yaml", BROWNOUT)] {
            fs::write(files.at(name), text).unwrap();
        }
        files
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn say(&self, words: &[&str]) -> Output {
        say(self.0.path(), words)
    }
}

fn say(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(executable());
    command.args(words).current_dir(folder).env_remove("OUTRIGGER_ADDR").stdin(Stdio::null());
    command.output().expect("the command runs")
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

#[test]
fn two_policies_are_compared_on_a_scenario_and_the_page_is_written() {
    let files = Files::new();
    let words = ["simulate", "--policy", "new.yaml", "--against", "old.yaml", "--scenario", "brownout.yaml"];
    let said = files.say(&[&words[..], &["--plays", "3", "--html", "page.html"]].concat());
    let told = text(&said.stdout);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    assert!(told.contains("The new policy is better in success +") && told.contains(" points"), "{told}");
    assert!(fs::read_to_string(files.at("page.html")).unwrap().contains("<polyline"));
    let json = [&words[..], &["--plays", "2", "-o", "json"]].concat();
    let (once, again) = (files.say(&json), files.say(&json));
    assert_eq!(once.stdout, again.stdout, "the same seed says the same");
    let json: Value = serde_json::from_slice(&once.stdout).unwrap();
    assert_eq!((&json["format"], &json["verdict"], &json["plays"]), (&1.into(), &"mixed".into(), &2.into()));
}

#[test]
fn a_worse_policy_ends_with_1_where_that_is_asked_for() {
    let files = Files::new();
    let words = ["simulate", "--policy", "old.yaml", "--against", "new.yaml", "--scenario", "brownout.yaml"];
    assert_eq!(files.say(&words).status.code(), Some(0));
    assert_eq!(files.say(&[&words[..], &["--fail-if-worse"]].concat()).status.code(), Some(1));
}

#[test]
fn bad_input_ends_with_2_and_says_where() {
    let files = Files::new();
    fs::write(files.at("bad.yaml"), BROWNOUT.replace("ratio: 30%", "ratio: 30")).unwrap();
    for (words, told) in [
        (["new.yaml", "--scenario", "bad.yaml"], "bad.yaml:8:45: `30` is not a share"),
        (["brownout.yaml", "--scenario", "brownout.yaml"], "brownout.yaml"),
        (["new.yaml", "--recording", "brownout.yaml"], "brownout.yaml:1:2: this is no recording"),
        (["new.yaml", "--scenario", "gone.yaml"], "gone.yaml: No such file"),
    ] {
        let said = files.say(&[&["simulate", "--policy"][..], &words].concat());
        assert_eq!(said.status.code(), Some(2), "{words:?}");
        assert!(text(&said.stderr).contains(told), "{words:?}: {}", text(&said.stderr));
    }
}

async fn record(program: &Program, folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(executable());
    let addr = program.address("admin").to_string();
    command.args(["record", "--for", "1s", "--out", "sketch.json", "--addr", &addr]).args(more).current_dir(folder);
    command.env_remove("OUTRIGGER_ADDR").stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().expect("the command runs")).await.expect("it ends")
}

#[tokio::test]
async fn traffic_is_recorded_without_a_word_of_it_and_played_again() {
    let files = Files::new();
    let script = Script::sequence(vec![Answer::status(503); 40], Answer::ok("fine"));
    let (server, program) = proxied(script, "").await;
    let mut client = client(&program).await;
    let recording = record(&program, files.0.path(), &[]);
    let traffic = async {
        // Until the command has ended: what comes before its order or after its end is not of it.
        loop {
            client.get("/secret/path?token=s3cret").await;
        }
    };
    let said = tokio::select! {
        said = recording => said,
        () = traffic => unreachable!(),
    };
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    let sketch = fs::read_to_string(files.at("sketch.json")).unwrap();
    let port = server.address().port().to_string();
    for word in ["secret", "s3cret", port.as_str()] {
        assert!(!sketch.contains(word), "{word}: {sketch}");
    }
    let said = files.say(&["simulate", "--policy", "new.yaml", "--against", "old.yaml", "--recording", "sketch.json"]);
    let told = text(&said.stdout);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    assert!(told.contains("requests as they came") && told.contains("--capacity N says it"), "{told}");
}

#[tokio::test]
async fn a_second_recording_is_refused_while_one_is_made_and_bounds_are_told() {
    let files = Files::new();
    let (_server, program) = proxied(Answer::ok("fine"), "").await;
    let admin = program.address("admin");
    assert_eq!(get(admin, "/recording").await.map(|answer| answer.status), Some(404));
    let mut admin = Client::connect(admin).await;
    for (order, status) in
        [("{\"seconds\":601}", 400), ("{\"seconds\":5,\"upstream\":\"nobody\"}", 404), ("{\"seconds\":600}", 200)]
    {
        let head =
            "POST /recording HTTP/1.1\r\nHost: localhost\r\nx-outrigger-admin: 1\r\ncontent-type: application/json";
        admin.send(format!("{head}\r\ncontent-length: {}\r\n\r\n{order}", order.len())).await;
        assert_eq!(admin.answer("POST").await.status, status, "{order}");
    }
    let said = record(&program, files.0.path(), &[]).await;
    assert_eq!(said.status.code(), Some(1));
    assert!(text(&said.stderr).contains("a recording is being made, for "), "{}", text(&said.stderr));
    assert_eq!(get(program.address("admin"), "/recording").await.map(|answer| answer.status), Some(409));
}
