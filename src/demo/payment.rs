//! The last act: payments with idempotency keys, through a sidecar that is a process of its own and is killed.
//!
//! Three customers' troubles: four clicks on one button, a crash between sending and answering, and a bank that is
//! closed. What an operator does about them are the commands of `outrigger`, run as she would run them; what the bank
//! has booked is counted at the bank.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::page::{Page, Tone};
use super::sidecar::free_addresses;
use super::traffic::{Heard, pay};
use crate::clock;
use crate::faults::{Answer, Behaviour, FaultServer, Mode};

/// How long a customer waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the sidecar may take to start.
const STARTS_WITHIN: Duration = Duration::from_secs(10);
/// Time between two looks at whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The bank works for so long on each payment.
const BANK_WORKS: Duration = Duration::from_millis(80);
/// Clicks of an impatient customer.
const CLICKS: usize = 4;
/// Lines of a command's output that are shown.
const LINES_MAX: usize = 14;

/// Plays it. Returns the promise that was broken, if one was.
///
/// # Errors
/// In words.
pub async fn play<W: Write>(directory: &Path, page: &mut Page<W>) -> Result<Option<String>, String> {
    page.gap();
    page.say(Tone::Strong, "Payments with an Idempotency-Key, through a sidecar of its own (outrigger run):");
    let started = async {
        Ok::<_, std::io::Error>((FaultServer::start(bank("direct")).await?, FaultServer::start(bank("behind")).await?))
    };
    let (direct, behind) = started.await.map_err(|e| format!("cannot start the bank: {e}"))?;
    let mut till = Till {
        sidecar: Sidecar::start(directory, "payments", |listen, admin| policy(directory, &behind, listen, admin))?,
        direct,
        behind,
        page,
        broken: None,
    };
    till.sidecar.ready().await?;
    till.four_clicks().await?;
    till.crash().await?;
    till.closed_bank().await?;
    Ok(till.broken)
}

/// Books every request it hears, and says so after a while.
fn bank(side: &str) -> Behaviour {
    Behaviour::from(Answer::status(201).body(format!("receipt of the bank ({side})\n"))).after(BANK_WORKS)
}

struct Till<'a, W> {
    sidecar: Sidecar,
    direct: FaultServer,
    behind: FaultServer,
    page: &'a mut Page<W>,
    broken: Option<String>,
}

impl<W: Write> Till<'_, W> {
    async fn four_clicks(&mut self) -> Result<(), String> {
        let key = "order-1";
        self.page.gap();
        self.page.say(Tone::Strong, &format!("  A customer clicks {CLICKS} times."));
        let (direct, behind) = (self.direct.address(), self.sidecar.listen);
        let click = |to| async move { pay(to, "/charges", key, "12 EUR", PATIENCE).await };
        let clicks = |to| async move { tokio::join!(click(to), click(to), click(to), click(to)) };
        let (_, (first, second, third, fourth)) = tokio::join!(clicks(direct), clicks(behind));
        let heard: Vec<Option<Heard>> = vec![first, second, third, fourth];
        let one_answer = heard.iter().all(|h| h.as_ref().map(|h| (h.status, &h.body)) == Some((201, &receipt())));
        self.expect(one_answer, "four clicks on one button get one receipt");
        let booked = self.booked(key);
        let directly = self.direct.observed().executions(&quoted(key));
        self.verdict(
            booked == 1 && one_answer,
            &format!(
                "booked {directly} times directly, {booked} time through Outrigger; all four got the same receipt"
            ),
        );
        self.expect(booked == 1, "four clicks on one button are one payment");
        Ok(())
    }

    async fn crash(&mut self) -> Result<(), String> {
        let key = "order-2";
        self.page.gap();
        self.page.say(Tone::Strong, "  The sidecar is killed (SIGKILL) after the payment was sent, before the answer.");
        self.behind.set(Behaviour::stall());
        let served = self.behind.observed().counts().executed;
        let bank = std::sync::Arc::clone(self.behind.observed());
        let sent = until(|| bank.counts().executed > served);
        let listen = self.sidecar.listen;
        // The customer waits while it happens, and sees a broken connection.
        let sidecar = &mut self.sidecar;
        let killing = async {
            sent.await.ok_or_else(|| "the bank did not get the payment".to_owned())?;
            sidecar.kill()
        };
        let (_, killed) = tokio::join!(pay(listen, "/charges", key, "99 EUR", PATIENCE), killing);
        killed?;
        self.behind.set(bank_again());
        self.sidecar.restart().await?;
        let again = self.pay(key, "99 EUR").await;
        self.expect(says(&again, 409, "unknown"), "what may have been booked is not booked again");
        self.page.say(Tone::Plain, &format!("  The customer tries again: {}. Nobody guesses.", told(&again)));
        self.run(&["dlq", "ls"]).await?;
        let id = self.letter().await?;
        let (refused, _) = self.run(&["dlq", "replay", &id, "--reason", "just try"]).await?;
        self.expect(!refused, "a replay that could book twice is refused");
        self.page.say(Tone::Plain, "  The bank's books say: it was booked. So:");
        let found = ["--as", "executed", "--status", "201", "--body", "receipt found at the bank"];
        let (settled, _) = self
            .run(&[&["dlq", "resolve", &id], &found[..], &["--reason", "it is in the bank's books"]].concat())
            .await?;
        let last = self.pay(key, "99 EUR").await;
        let good = settled && says(&last, 201, "replayed") && self.booked(key) == 1;
        self.verdict(good, &format!("the customer tries again: {}; booked {} time", told(&last), self.booked(key)));
        self.expect(good, "an unknown payment is settled by what a person found out");
        Ok(())
    }

    async fn closed_bank(&mut self) -> Result<(), String> {
        let key = "order-3";
        self.page.gap();
        self.page.say(Tone::Strong, "  The bank is closed: connections are refused.");
        self.behind.die().await.map_err(|e| format!("the bank cannot be closed: {e}"))?;
        let refused = self.pay(key, "7 EUR").await;
        self.expect(refused.as_ref().is_some_and(|h| h.key.as_deref() == Some("not-stored")), "nothing was sent");
        self.page.say(Tone::Plain, &format!("  The customer hears {}, and goes to bed.", told(&refused)));
        self.behind.mode(Mode::Accept).await.map_err(|e| format!("the bank cannot be opened: {e}"))?;
        let id = self.letter().await?;
        let (_, plan) = self.run(&["dlq", "replay", "--route", "bank", "--dry-run"]).await?;
        self.expect(plan.contains('1'), "the plan names the payment");
        let (replayed, _) = self.run(&["dlq", "replay", &id, "--reason", "the bank is open again"]).await?;
        let last = self.pay(key, "7 EUR").await;
        let good = replayed && says(&last, 201, "replayed") && self.booked(key) == 1;
        self.verdict(
            good,
            &format!("the customer wakes and tries again: {}; booked {} time", told(&last), self.booked(key)),
        );
        self.expect(good, "a replay is safe against the customer's own next try");
        Ok(())
    }

    async fn pay(&self, key: &str, body: &str) -> Option<Heard> {
        pay(self.sidecar.listen, "/charges", key, body, PATIENCE).await
    }

    fn booked(&self, key: &str) -> u64 {
        self.behind.observed().executions(&quoted(key))
    }

    /// The one letter that is open.
    async fn letter(&self) -> Result<String, String> {
        let (_, text) = self.sidecar.command(&["dlq", "ls", "-o", "json"]).await?;
        let list: serde_json::Value = serde_json::from_str(&text).map_err(|e| format!("dlq ls: {e}: {text}"))?;
        let id = list.pointer("/letters/0/id").and_then(serde_json::Value::as_str);
        id.map(str::to_owned).ok_or_else(|| "there is no open dead letter".to_owned())
    }

    /// Runs a command of `outrigger` and shows it. Whether it succeeded, and what it said.
    async fn run(&mut self, arguments: &[&str]) -> Result<(bool, String), String> {
        let shown: Vec<String> = arguments
            .iter()
            .map(|word| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() })
            .collect();
        self.page.say(Tone::Plain, &format!("    $ outrigger {}", shown.join(" ")));
        let (succeeded, text) = self.sidecar.command(arguments).await?;
        for line in text.lines().take(LINES_MAX) {
            self.page.verbatim(Tone::Faint, &format!("      {line}"));
        }
        Ok((succeeded, text))
    }

    fn verdict(&mut self, good: bool, text: &str) {
        self.page.say_hanging(if good { Tone::Good } else { Tone::Bad }, &format!("  => {text}"), 5);
    }

    fn expect(&mut self, kept: bool, promise: &str) {
        if !kept && self.broken.is_none() {
            self.broken = Some(format!("Broken: {promise}."));
        }
    }
}

fn bank_again() -> Behaviour {
    bank("behind")
}

fn receipt() -> String {
    "receipt of the bank (behind)\n".to_owned()
}

fn quoted(key: &str) -> String {
    format!("\"{key}\"")
}

fn says(heard: &Option<Heard>, status: u16, key: &str) -> bool {
    heard.as_ref().is_some_and(|heard| heard.status == status && heard.key.as_deref() == Some(key))
}

fn told(heard: &Option<Heard>) -> String {
    match heard {
        None => "nothing".to_owned(),
        Some(Heard { status, key, .. }) => {
            format!("{status}, Idempotency-Status: {}", key.as_deref().unwrap_or("none"))
        }
    }
}

/// Looks until it is so.
async fn until(mut so: impl FnMut() -> bool) -> Option<()> {
    let end = clock::now() + STARTS_WITHIN;
    while clock::now() < end {
        if so() {
            return Some(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    None
}

fn policy(directory: &Path, bank: &FaultServer, listen: SocketAddr, admin: SocketAddr) -> String {
    format!(
        "version: 1
name: till
listen: {listen}
admin: {{ listen: {admin} }}
metrics: {{ listen: none }}
stores: {{ embedded: {{ path: {} }} }}
upstreams:
  bank:
    url: {}
    timeouts: {{ request: 4s }}
    routes:
      - name: charge
        match: {{ methods: [POST], path: /charges }}
        idempotency: {{ principal: none, required: true }}
        deadLetter: {{ capture: send }}
",
        directory.join("till.db").display(),
        bank.url()
    )
}

/// `outrigger run`, as a process of its own.
pub struct Sidecar {
    program: PathBuf,
    policy: PathBuf,
    /// Where it is asked.
    pub listen: SocketAddr,
    admin: SocketAddr,
    child: Child,
}

impl Sidecar {
    /// Starts it with a policy for its two addresses, traffic and admin.
    pub fn start(
        directory: &Path,
        name: &str,
        policy_for: impl FnOnce(SocketAddr, SocketAddr) -> String,
    ) -> Result<Sidecar, String> {
        let program = std::env::current_exe().map_err(|e| format!("this program cannot be found: {e}"))?;
        let policy = directory.join(format!("{name}.yaml"));
        let [listen, admin] = free_addresses().map_err(|e| format!("there is no free port on 127.0.0.1: {e}"))?;
        std::fs::write(&policy, policy_for(listen, admin))
            .map_err(|e| format!("cannot write {}: {e}", policy.display()))?;
        let child = launch(&program, &policy)?;
        Ok(Sidecar { program, policy, listen, admin, child })
    }

    /// Waits until it serves.
    pub async fn ready(&self) -> Result<(), String> {
        let end = clock::now() + STARTS_WITHIN;
        while clock::now() < end {
            if self.command(&["probe"]).await?.0 {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err("the sidecar does not get ready".to_owned())
    }

    fn kill(&mut self) -> Result<(), String> {
        // Not asked, not told: as the kernel does when memory is short.
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(|_| ()).map_err(|e| format!("the sidecar cannot be killed: {e}"))
    }

    async fn restart(&mut self) -> Result<(), String> {
        self.child = launch(&self.program, &self.policy)?;
        self.ready().await
    }

    /// A command of `outrigger`, asked of it.
    pub async fn command(&self, arguments: &[&str]) -> Result<(bool, String), String> {
        let mut command = Command::new(&self.program);
        command.arg("--addr").arg(self.admin.to_string()).args(arguments).stdin(Stdio::null());
        command.env("NO_COLOR", "1").env_remove("COLUMNS");
        let done = tokio::task::spawn_blocking(move || command.output()).await;
        let output = done.map_err(|e| e.to_string())?.map_err(|e| format!("outrigger {}: {e}", arguments.join(" ")))?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok((output.status.success(), text))
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It is ours, and nothing of it is needed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(program: &Path, policy: &Path) -> Result<Child, String> {
    let mut command = Command::new(program);
    command.arg("run").arg("--policy").arg(policy);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(|e| format!("the sidecar did not start: {e}"))
}
