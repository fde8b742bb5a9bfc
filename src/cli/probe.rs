//! `outrigger probe`: for exec probes, in an image that has neither curl nor a shell.

use http::Method;

use super::Exit;
use super::args::ProbeArgs;
use super::client::ClientError;
use super::print;
use super::session::{Failure, Session};

impl Session<'_> {
    /// Exit code 1 also when nothing answers: a probe knows only yes and no.
    pub(super) fn probe(&mut self, args: &ProbeArgs) -> Result<Exit, Failure> {
        let (path, is, is_not) = match args {
            ProbeArgs { live: true, .. } => ("/livez", "alive", "not alive"),
            ProbeArgs { startup: true, .. } => ("/readyz", "started", "not started"),
            ProbeArgs { .. } => ("/readyz", "ready", "not ready"),
        };
        let answer = match self.client.ask_within(args.timeout, Method::GET, path, None) {
            Ok(answer) => answer,
            Err(ClientError::Unreachable { addr, why } | ClientError::Foreign { addr, why }) => {
                writeln!(self.out, "{is_not}: {addr}: {}", print::line(&why))?;
                return Ok(Exit::Problem);
            }
            Err(error) => return Err(error.into()),
        };
        if answer.status.is_success() {
            writeln!(self.out, "{is}")?;
            return Ok(Exit::Fine);
        }
        let reasons = serde_json::from_slice(&answer.body).map_or_else(
            |_| answer.status.to_string(),
            |crate::admin::api::Readiness { reasons, .. }| reasons.join("; "),
        );
        writeln!(self.out, "{is_not}: {}", print::line(&reasons))?;
        Ok(Exit::Problem)
    }
}
