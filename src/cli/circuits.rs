//! `outrigger circuits`.

use std::time::Duration;

use super::Exit;
use super::args::{Circuits, Hold};
use super::client::segment;
use super::print::{self, Align, Table, cell};
use super::session::{Failure, Session};
use super::upstreams;
use crate::admin::api::{self, CircuitAction, CircuitRequest, UpstreamCircuit};
use crate::admin::words;

impl Session<'_> {
    pub(super) fn circuits(&mut self, action: Option<Circuits>) -> Result<Exit, Failure> {
        match action {
            None | Some(Circuits::Ls) => self.list_circuits(),
            Some(Circuits::Open(hold)) => self.hold(CircuitAction::Open, hold),
            Some(Circuits::Close(hold)) => self.hold(CircuitAction::Close, hold),
            Some(Circuits::Reset { upstream, reason }) => self.act(&upstream, CircuitAction::Reset, None, reason),
        }
    }

    fn list_circuits(&mut self) -> Result<Exit, Failure> {
        let answer: api::Circuits = self.client.get("/circuits")?;
        if self.json(&answer)? {
            return Ok(Exit::Fine);
        }
        let mut table = Table::new(&[
            ("UPSTREAM", Align::Left),
            ("CIRCUIT", Align::Left),
            ("FAILING", Align::Right),
            ("SLOW", Align::Right),
            ("SAMPLES", Align::Right),
            ("THROTTLED", Align::Right),
            ("NEXT PROBE", Align::Right),
        ]);
        for UpstreamCircuit { upstream, circuit } in &answer.circuits {
            let percent = |value: Option<f64>| cell(value.map_or_else(|| "-".to_owned(), words::percent));
            let circuit = circuit.as_ref();
            let probe = circuit.and_then(|circuit| circuit.retry_after_ms).map(Duration::from_millis);
            table.row([
                cell(upstream.clone()),
                upstreams::circuit(circuit),
                percent(circuit.map(|circuit| circuit.failure_percent)),
                percent(circuit.map(|circuit| circuit.slow_percent)),
                cell(circuit.map_or_else(|| "-".to_owned(), |circuit| words::grouped(u64::from(circuit.samples)))),
                percent(circuit.map(|circuit| circuit.throttle_rejection * 100.0)),
                cell(probe.map_or_else(|| "-".to_owned(), words::span)),
            ]);
        }
        self.table(&table)?;
        Ok(Exit::Fine)
    }

    fn hold(&mut self, action: CircuitAction, Hold { upstream, ttl, reason }: Hold) -> Result<Exit, Failure> {
        self.act(&upstream, action, Some(ttl), reason)
    }

    fn act(
        &mut self,
        upstream: &str,
        action: CircuitAction,
        ttl: Option<String>,
        reason: String,
    ) -> Result<Exit, Failure> {
        let request = CircuitRequest { action, ttl: ttl.clone(), reason, author: self.author() };
        let answer: UpstreamCircuit = self.client.post(&format!("/circuits/{}", segment(upstream)), &request)?;
        if !self.json(&answer)? {
            let name = print::line(&answer.upstream);
            let (state, _) = upstreams::circuit(answer.circuit.as_ref());
            let span = ttl.map(|ttl| format!(" for {ttl}")).unwrap_or_default();
            writeln!(self.out, "The circuit of {name} is now: {}{span}.", print::line(&state))?;
        }
        Ok(Exit::Fine)
    }
}
