//! The end of a Job whose sidecar is a plain container.

use outrigger::faults::Answer;
use outrigger::testing::{Answer as Received, Client, Program, eventually};

use crate::stage::{executable, policy_for, program, upstream};

async fn quit(program: &Program, fields: &str) -> Received {
    let admin = program.address("admin");
    let mut client = Client::connect(admin).await;
    // As `curl -X POST` and `wget --post-data=` say it.
    client.send(format!("POST /quitquitquit HTTP/1.1\r\nHost: {admin}\r\n{fields}Content-Length: 0\r\n\r\n")).await;
    client.answer("POST").await
}

async fn ending(policy: &str) -> Program {
    let mut program = Program::spawn_with(&executable(), policy, &["--quit-endpoint"]);
    program.ready().await;
    program
}

#[tokio::test]
async fn a_job_ends_its_sidecar_when_its_work_is_done() {
    let server = upstream(Answer::ok("x")).await;
    let mut program = ending(&format!("drain: {{ timeout: 10m }}\n{}", policy_for(&server, ""))).await;
    // The job's own connection pool does not hold it up: it has said that it is done.
    let mut pooled = Client::connect(program.listen()).await;
    assert_eq!(pooled.get("/").await.status, 200);
    assert_eq!(quit(&program, "").await.status, 200);
    assert_eq!(program.exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_page_of_another_site_and_a_get_end_nothing() {
    let server = upstream(Answer::ok("x")).await;
    let program = ending(&policy_for(&server, "")).await;
    for fields in ["Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        assert_eq!(quit(&program, fields).await.status, 403, "{fields}");
    }
    let admin = program.address("admin");
    assert_eq!(outrigger::testing::get(admin, "/quitquitquit").await.expect("an answer").status, 405);
    let mut other = Client::connect(admin).await;
    other.send("POST /quitquitquit HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(other.answer("POST").await.status, 403);
    let answer = Client::connect(program.listen()).await.get("/").await;
    assert_eq!(answer.status, 200, "it still runs");
}

#[tokio::test]
async fn unless_asked_for_there_is_no_such_door() {
    let server = upstream(Answer::ok("x")).await;
    let program = program(&policy_for(&server, "")).await;
    assert_eq!(quit(&program, "x-outrigger-admin: 1\r\nContent-Type: application/json\r\n").await.status, 404);
    assert_eq!(Client::connect(program.listen()).await.get("/").await.status, 200);
}

#[tokio::test]
async fn such_a_door_beyond_loopback_ends_the_start() {
    let server = upstream(Answer::ok("x")).await;
    let port = outrigger::testing::free_address().port();
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "a-token-of-enough-letters").expect("written");
    let policy = format!(
        "version: 1\nlisten: %listen%\nadmin: {{ listen: 0.0.0.0:{port}, tokenFile: {} }}\nmetrics: {{ listen: %metrics% }}\n{}",
        token.path().display(),
        policy_for(&server, "")
    );
    let mut program = Program::spawn_with(&executable(), &policy, &["--quit-endpoint"]);
    let code = eventually("its end", async || program.poll_exit()).await.code();
    assert_eq!(code, Some(1));
    assert!(program.stderr().contains("--quit-endpoint needs `admin.listen` on loopback"), "{}", program.stderr());
}
