//! `outrigger status`.

use std::time::Duration;

use super::Exit;
use super::client::ClientError;
use super::print::{self, Align, Table, Tone, cell};
use super::session::{Failure, Session};
use super::upstreams;
use crate::admin::api::{CertificateStatus, CertificateView, Change, Condition, PolicySummary, Status};
use crate::admin::words;

/// What the process calls itself where the policy gives no name.
const PROGRAM: &str = "outrigger";
/// Time between two looks of `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

impl Session<'_> {
    pub(super) fn status(&mut self) -> Result<Exit, Failure> {
        let status: Status = self.client.get("/status")?;
        if !self.json(&status)? {
            let text = render(&status, self.surroundings.colour);
            self.out.write_all(text.as_bytes())?;
            self.out.flush()?;
        }
        Ok(match status.condition {
            Condition::Healthy => Exit::Fine,
            Condition::Degraded | Condition::Failing => Exit::Problem,
        })
    }

    /// Looks until interrupted. A proxy that restarts is waited for, one that was never there is not.
    pub(super) fn watch(&mut self) -> Result<Exit, Failure> {
        self.watched()?;
        loop {
            std::thread::sleep(WATCH_INTERVAL);
            match self.watched() {
                Ok(_) => {}
                Err(Failure::Client(ClientError::Unreachable { addr, why })) => {
                    writeln!(self.out, "no proxy answers at {addr}: {}; still looking", print::line(&why))?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn watched(&mut self) -> Result<Exit, Failure> {
        if self.surroundings.terminal && self.output == super::args::Output::Table {
            // Home, then clear to the end of the screen.
            self.out.write_all(b"\x1b[H\x1b[2J")?;
        }
        self.status()
    }
}

/// The four answers, further verdicts, then the dependencies, the policy, and what changed last.
pub(super) fn render(status: &Status, colour: bool) -> String {
    let mut text = String::new();
    let mut say = |line: &str, tone: Tone| {
        let line = print::line(line);
        text.push_str(&if colour { tone.paint(&line) } else { line });
        text.push('\n');
    };
    // The first of the four answers is the verdict.
    let tones = std::iter::once(tone(status.condition)).chain(std::iter::repeat(Tone::Plain));
    status.summary.iter().zip(tones).for_each(|(line, tone)| say(line, tone));
    // The worst one has been told.
    let bad = status.verdicts.iter().filter(|verdict| verdict.condition != Condition::Healthy).skip(1);
    for (number, verdict) in bad.enumerate() {
        if number == 0 {
            say("", Tone::Plain);
        }
        say(&verdict.text, tone(verdict.condition));
    }
    let table = table(status);
    if !table.is_empty() {
        text.push('\n');
        text.push_str(&table.render(colour));
    }
    text.push('\n');
    text.push_str(&policy_line(&status.policy));
    text.push_str(&certificates(&status.certificates));
    let up = words::whole(status.uptime_seconds);
    let name = print::line(&status.name);
    // The name of a policy without one is the program's own.
    let name = if name == PROGRAM { String::new() } else { format!("{name}: ") };
    text.push_str(&format!("{name}{PROGRAM} {}, pid {}, up {up}\n", print::line(&status.version), status.pid));
    if !status.changes.is_empty() {
        text.push_str("\nLast changes\n");
        for change in &status.changes {
            text.push_str(&describe(change));
        }
    }
    text
}

fn table(status: &Status) -> Table {
    let mut table = Table::new(&[
        ("UPSTREAM", Align::Left),
        ("REQUESTS", Align::Right),
        (upstreams::SUCCESS, Align::Right),
        ("P50", Align::Right),
        ("P99", Align::Right),
        ("CIRCUIT", Align::Left),
        ("IN-FLIGHT", Align::Right),
        ("BUDGET", Align::Right),
        ("ENDPOINTS", Align::Right),
    ]);
    for view in &status.upstreams {
        table.row([
            cell(view.name.clone()),
            cell(words::grouped(view.totals.requests)),
            cell(upstreams::success(&view.totals)),
            cell(print::milliseconds(view.p50_ms)),
            cell(print::milliseconds(view.p99_ms)),
            upstreams::circuit(view.circuit.as_ref()),
            cell(format!("{}/{}", view.limits.in_flight, view.limits.in_flight_max)),
            upstreams::budget(&view.name, &view.budget),
            upstreams::endpoints_up(view),
        ]);
    }
    table
}

fn policy_line(policy: &PolicySummary) -> String {
    let age = words::ago(policy.age_seconds);
    let mut text = format!(
        "policy: revision {} ({}) by {}, applied {age} from {}\n",
        policy.revision,
        print::short(&policy.hash),
        print::line(&policy.author),
        print::line(&policy.source)
    );
    if policy.reload.failed {
        text.push_str("The file is refused since then:\n");
        text.push_str(&print::lines(policy.reload.error.as_deref().unwrap_or("no reason was kept")));
        text.push('\n');
    }
    text
}

/// The certificate that expires first, and each one besides it that should be renewed by now. Empty: nothing is encrypted.
fn certificates(all: &[CertificateStatus]) -> String {
    let of = |status: &'_ CertificateStatus| -> Vec<(String, CertificateView)> {
        let whose = |what: &str| what.replace('*', &print::line(status.holder()));
        let presented = status.presented.iter().map(|view| (whose("*"), view.clone()));
        let believed = status.believed.iter().map(|view| (whose("authority for *"), view.clone()));
        presented.chain(believed).collect()
    };
    let mut views: Vec<(String, CertificateView)> = all.iter().flat_map(of).collect();
    views.sort_by_key(|(_, view)| view.expires_in_seconds);
    let line = |(whose, view): &(String, CertificateView)| {
        let left = words::whole(view.expires_in_seconds.unsigned_abs());
        let when =
            if view.expires_in_seconds < 0 { format!("expired {left} ago") } else { format!("expires in {left}") };
        format!("{whose} {when} ({}, {})", print::line(&view.subject), print::line(&view.file))
    };
    let told = views.iter().enumerate().filter(|(number, (_, view))| *number == 0 || view.validity != "valid");
    told.map(|(_, view)| format!("certificate: {}\n", line(view))).collect()
}

/// One change: a line, and its effects below.
pub(super) fn describe(change: &Change) -> String {
    let age = words::ago(change.age_seconds);
    let mut text = format!("  {age:>16}  {}", print::line(&change.summary));
    if let Some(author) = &change.author {
        text.push_str(&format!(" [{}]", print::line(author)));
    }
    if let Some(reason) = &change.reason {
        text.push_str(&format!(": {}", print::line(reason)));
    }
    text.push('\n');
    for effect in &change.effects {
        text.push_str(&format!("  {:>16}    {}\n", "", print::line(effect)));
    }
    text
}

const fn tone(condition: Condition) -> Tone {
    match condition {
        Condition::Healthy => Tone::Good,
        Condition::Degraded => Tone::Warn,
        Condition::Failing => Tone::Bad,
    }
}
