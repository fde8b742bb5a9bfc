use outrigger::faults::{Counts, FaultServer, Script};
use outrigger::testing::{BOUND, Client, Program};

/// The program under test.
pub const OUTRIGGER: &str = env!("CARGO_BIN_EXE_outrigger");

/// Starts the program with this policy (see `Program::start` for what is filled in).
pub async fn program(policy: &str) -> Program {
    Program::start(OUTRIGGER, policy).await
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
