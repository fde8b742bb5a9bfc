use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use outrigger::faults::{Answer, FaultServer};
use outrigger::testing::{Client, Load, Program, Signal, eventually};

use crate::stage::{OUTRIGGER, client, policy_for, program, upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Two upstreams that can be told apart.
async fn pair() -> (FaultServer, FaultServer) {
    (upstream(Answer::ok("a")).await, upstream(Answer::ok("b")).await)
}

async fn answers_become(program: &Program, expected: &str) {
    eventually(&format!("answers become {expected}"), async || {
        let answer = client(program).await.get("/").await;
        assert_eq!(answer.status, 200, "a reload costs no request");
        (answer.text() == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_edit_in_place_takes_effect() {
    let (a, b) = pair().await;
    let mut program = program(&policy_for(&a, "")).await;
    answers_become(&program, "a").await;
    program.write_policy(&policy_for(&b, ""));
    answers_become(&program, "b").await;
}

#[tokio::test]
async fn a_file_moved_over_the_old_one_takes_effect() {
    let (a, b) = pair().await;
    let mut program = program(&policy_for(&a, "")).await;
    for (server, expected) in [(&b, "b"), (&a, "a")] {
        let text = program.fill(&policy_for(server, ""));
        let new = program.config().join("new");
        fs::write(&new, text).expect("the directory is ours");
        fs::rename(&new, program.config().join("policy.yaml")).expect("the directory is ours");
        answers_become(&program, expected).await;
    }
}

/// As the kubelet does: a new directory, a link to it, and that link moved over `..data`.
fn swap(config: &Path, version: u32, text: &str) {
    let directory = format!("..version-{version}");
    fs::create_dir(config.join(&directory)).expect("a new directory");
    fs::write(config.join(&directory).join("policy.yaml"), text).expect("a new file");
    symlink(&directory, config.join("..data_tmp")).expect("a new link");
    fs::rename(config.join("..data_tmp"), config.join("..data")).expect("the link moves");
    if let Some(old) = version.checked_sub(1).map(|old| config.join(format!("..version-{old}"))) {
        fs::remove_dir_all(old).expect("the old directory goes");
    }
}

#[tokio::test]
async fn every_swap_of_a_config_map_takes_effect() {
    let (a, b) = pair().await;
    let mut program = Program::spawn_at(OUTRIGGER, &policy_for(&a, ""), "policy.yaml", |path, text| {
        let config = path.parent().expect("a directory");
        swap(config, 0, text);
        symlink("..data/policy.yaml", path).expect("a new link");
    });
    let listen = program.listen();
    eventually("it listens", async || Client::try_connect(listen).await.ok()).await;
    answers_become(&program, "a").await;
    for (version, server, expected) in [(1, &b, "b"), (2, &a, "a"), (3, &b, "b")] {
        let text = program.fill(&policy_for(server, ""));
        swap(&program.config(), version, &text);
        answers_become(&program, expected).await;
    }
}

#[tokio::test]
async fn a_bad_file_keeps_the_last_good_policy_and_says_so() {
    let (a, b) = pair().await;
    let mut program = program(&policy_for(&a, "")).await;
    assert_eq!(program.metrics().await.sum("outrigger_policy_reload_failed", &[]), 0.0);
    program.write_policy(&policy_for(&b, "timeuot: { request: 1s }"));
    program.metrics_when("the failure shows", |m| m.sum("outrigger_policy_reload_failed", &[]) == 1.0).await;
    answers_become(&program, "a").await;
    let status = program.admin("/status").await.to_string();
    assert!(status.contains("timeuot"), "the exact error can be read: {status}");
    program.write_policy(&policy_for(&b, ""));
    answers_become(&program, "b").await;
    program.metrics_when("the failure is over", |m| m.sum("outrigger_policy_reload_failed", &[]) == 0.0).await;
}

/// `POST /policy/reload`; the status of the answer.
async fn ask_for_reload(program: &Program) -> u16 {
    let admin = program.address("admin");
    let mut client = Client::connect(admin).await;
    client.send(format!("POST /policy/reload HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\n\r\n")).await;
    client.answer("POST").await.status
}

#[tokio::test]
async fn a_reload_can_be_asked_for_by_signal_and_by_the_admin_api() {
    let (a, b) = pair().await;
    let mut program = program(&policy_for(&a, "")).await;
    program.write_policy(&policy_for(&b, ""));
    program.signal(Signal::Hangup);
    answers_become(&program, "b").await;
    program.write_policy(&policy_for(&a, ""));
    assert_eq!(ask_for_reload(&program).await, 200);
    // No polling: when the call has returned, the policy is in force.
    assert_eq!(client(&program).await.get("/").await.text(), "a");
}

#[tokio::test]
async fn listeners_come_and_go_with_the_policy() {
    let (a, b) = pair().await;
    let mut program = program(&policy_for(&a, "")).await;
    let with = format!("{}  extra:\n    url: {}\n    listen: %extra%\n", policy_for(&a, ""), b.url());
    program.write_policy(&with);
    let extra = program.address("extra");
    let mut kept = eventually("it listens", async || Client::try_connect(extra).await.ok()).await;
    assert_eq!(kept.get("/").await.text(), "b");
    program.write_policy(&policy_for(&a, ""));
    eventually("it no longer listens", async || Client::try_connect(extra).await.is_err().then_some(())).await;
    kept.closed().await;
    answers_become(&program, "a").await;
}

#[tokio::test]
async fn a_request_finishes_under_the_policy_that_it_began_with() {
    let slow = outrigger::faults::Behaviour::from(Answer::ok("slow")).after(std::time::Duration::from_secs(1));
    let (a, b) = (upstream(slow).await, upstream(Answer::ok("b")).await);
    let mut program = program(&policy_for(&a, "")).await;
    let mut busy = client(&program).await;
    busy.send(GET).await;
    crate::stage::until(&a, |c| c.serving == 1).await;
    program.write_policy(&policy_for(&b, "timeouts: { request: 1ms }"));
    assert_eq!(ask_for_reload(&program).await, 200);
    assert_eq!(busy.answer("GET").await.text(), "slow");
}

/// Reloads this often under load, each with a new text, and expects every request to succeed.
async fn reload_under_load(times: u32) {
    let (a, b) = pair().await;
    let mut program = program(&policy_for(&a, "")).await;
    let load = Load::start(program.listen(), 8, GET);
    load.progress(100).await;
    for number in 0..times {
        let server = if number % 2 == 0 { &b } else { &a };
        program.write_policy(&format!("{}# revision {number}\n", policy_for(server, "")));
        assert_eq!(ask_for_reload(&program).await, 200);
        load.progress(5).await;
    }
    let report = load.stop().await;
    report.assert_all(200);
    assert_eq!(report.resent, 0, "no connection was closed by a reload");
    assert!(b.observed().counts().answered > 0, "the new policies were in force");
    let reloads = program.metrics().await.sum("outrigger_policy_reloads_total", &[]);
    assert!(reloads >= f64::from(times), "{reloads} reloads");
}

#[tokio::test]
async fn fifty_reloads_under_load_cost_no_request() {
    reload_under_load(50).await;
}

#[tokio::test]
#[ignore = "minutes; run by hand before a release: cargo test --test outrigger -- --ignored thousand"]
async fn a_thousand_reloads_under_load_cost_no_request() {
    reload_under_load(1_000).await;
}
