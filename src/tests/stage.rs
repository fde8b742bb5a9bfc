use outrigger::faults::{Counts, FaultServer, Script};
use outrigger::testing::{BOUND, Client, Program, closed_by};

/// The program under test: the one just built, or the one named by `OUTRIGGER_UNDER_TEST` (a release build).
pub fn executable() -> String {
    std::env::var("OUTRIGGER_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_outrigger").to_string())
}

/// Starts the program with this policy (see `Program::start` for what is filled in).
pub async fn program(policy: &str) -> Program {
    Program::start(&executable(), policy).await
}

/// Starts an upstream.
pub async fn upstream(script: impl Into<Script>) -> FaultServer {
    FaultServer::start(script).await.expect("a scripted upstream starts on a free port")
}

/// A policy with one upstream, `up`; `block` is its body besides the `url`, one key a line.
pub fn policy_for(server: &FaultServer, block: &str) -> String {
    let lines: String = block.lines().map(|line| format!("    {line}\n")).collect();
    format!("upstreams:\n  up:\n    url: {}\n{lines}", server.url())
}

/// One upstream and the program in front of it.
pub async fn proxied(script: impl Into<Script>, block: &str) -> (FaultServer, Program) {
    let server = upstream(script).await;
    let program = program(&policy_for(&server, block)).await;
    (server, program)
}

/// A connection to the program.
pub async fn client(program: &Program) -> Client {
    Client::connect(program.listen()).await
}

/// Waits until the upstream has seen this.
pub async fn until(server: &FaultServer, what: impl Fn(&Counts) -> bool) -> Counts {
    match server.observed().until(BOUND, what).await {
        Ok(counts) => counts,
        Err(counts) => panic!("the upstream did not see it: {counts:?}"),
    }
}

/// Waits until the upstream has no open connection, and the program's side has been told.
pub async fn closed(server: &FaultServer) {
    until(server, |c| c.open == 0).await;
    closed_by(server.address()).await;
}
