//! What `outrigger status` says of the demo's sidecar: the command itself is asked, so that it is what an operator reads.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;

use crate::cli::{Programs, Surroundings};

/// Lines that answer the four questions.
pub const ANSWERS: usize = 4;

/// Its lines, as a terminal shows them; none if it has no answer.
pub async fn ask(admin: SocketAddr) -> Vec<String> {
    // The command line brings a runtime of its own.
    let asked = tokio::task::spawn_blocking(move || {
        let words = ["outrigger", "--addr", &admin.to_string(), "status"].map(OsString::from);
        let nothing = Programs { run: |_| ExitCode::SUCCESS, demo: |_| ExitCode::SUCCESS };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        // Its exit code says whether something is wrong, and so do its words.
        let _ = crate::cli::run(words, nothing, &Surroundings::default(), &mut out, &mut err);
        String::from_utf8_lossy(&out).into_owned()
    });
    asked.await.unwrap_or_default().lines().map(str::to_owned).collect()
}
