//! Plays the phases: trouble, traffic, and the telling of what is seen.

use std::io::Write;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::account::{Measured, Tallies, broken_promise};
use super::page::{Page, Tone};
use super::script::{Dependency, Fleet, PATIENCE, PHASES, Phase, Trouble, share_of};
use super::sidecar::{PolicyNews, Sidecar, Story, so_far};
use super::status;
use super::telling;
use super::traffic::{EVERY, Traffic};
use crate::clock;
use crate::faults::FaultServer;
use crate::policy::journal::{Change, ChangeKind};

/// Time between two looks at what Outrigger has noticed.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A phase shorter than this is told at its end only.
const TOLD_MEANWHILE: Duration = Duration::from_secs(4);
/// Part of a phase after which its state is told; the last one comes after its end, which is told anyway.
const REPORT_EVERY: f64 = 0.34;
/// Changes told per phase as they happen; policies are always told.
const TOLD_MAX: u32 = 5;

/// Columns before the text of a line with its time.
const TIME_COLUMNS: usize = 11;
/// Lines shown of the refusal of a policy.
const DIAGNOSTIC_LINES: usize = 4;

/// The running demo.
pub struct Stage<'a, W> {
    began: Instant,
    until: Instant,
    direct: Fleet,
    behind: Fleet,
    sidecar: Sidecar,
    traffic: Traffic,
    page: &'a mut Page<W>,
    measured: Vec<Measured>,
}

impl<'a, W: Write> Stage<'a, W> {
    /// Everything is started; nothing has happened yet.
    pub fn new(
        began: Instant,
        seconds: u16,
        direct: Fleet,
        behind: Fleet,
        sidecar: Sidecar,
        page: &'a mut Page<W>,
    ) -> Self {
        let endpoints = Dependency::ALL.map(|of| direct.servers(of).iter().map(FaultServer::address).collect());
        let traffic = Traffic::new(endpoints, Dependency::ALL.map(|of| sidecar.listen(of)));
        let until = began + Duration::from_secs(u64::from(seconds));
        Stage { began, until, direct, behind, sidecar, traffic, page, measured: Vec::new() }
    }

    /// All phases, or as many as the reader wants to see: false = not all.
    ///
    /// # Errors
    /// In words.
    pub async fn play(&mut self) -> Result<bool, String> {
        self.introduce();
        for index in 0..PHASES.len() {
            let measured = self.phase(index).await?;
            let tone = if measured.missed().is_none() { Tone::Good } else { Tone::Bad };
            self.page.say_hanging(tone, &format!("  => {}", telling::headline(&measured)), 5);
            self.measured.push(measured);
            if self.page.is_closed() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells what it came to. Returns the sidecar, to be ended, and the promise that was broken, if one was.
    pub fn conclude(self) -> (Sidecar, Option<String>) {
        let Stage { sidecar, traffic, page, measured, .. } = self;
        page.gap();
        if measured.is_empty() {
            return (sidecar, None);
        }
        let rows: Vec<_> = measured.iter().map(telling::row).collect();
        page.table(telling::HEADER, &rows);
        page.say(
            Tone::Faint,
            &format!(
                "  ok: a complete 200 within {} ms. p99: how long callers waited, failures included. load: requests that \
                 reached the dependency per request of a client.",
                PATIENCE.as_millis()
            ),
        );
        page.gap();
        page.say(Tone::Strong, "What changed (outrigger changes shows the same of a running sidecar):");
        for line in telling::journal(&sidecar.changes()) {
            page.say(Tone::Plain, &format!("  {line}"));
        }
        page.gap();
        let broken = broken_promise(&measured);
        let tone = if broken.is_some() { Tone::Bad } else { Tone::Good };
        page.say(tone, &telling::sum(&measured));
        if traffic.skipped() > 0 {
            page.say(
                Tone::Bad,
                &format!("{} arrivals could not be sent: this machine is too busy.", traffic.skipped()),
            );
        }
        (sidecar, broken)
    }

    fn introduce(&mut self) {
        let seconds = self.until.saturating_duration_since(self.began).as_secs();
        let addresses = |fleet: &Fleet, of| {
            fleet.servers(of).iter().map(|server| server.address().to_string()).collect::<Vec<_>>().join(", ")
        };
        self.page.say(Tone::Strong, "Outrigger demo: the same requests directly and through Outrigger, in trouble.");
        for of in Dependency::ALL {
            let (name, listen) = (of.name(), self.sidecar.listen(of));
            self.page.say(
                Tone::Plain,
                &format!("  {name}: Outrigger listens on {listen} -> {}", addresses(&self.behind, of)),
            );
            self.page.say(Tone::Plain, &format!("    its twin, asked directly: {}", addresses(&self.direct, of)));
        }
        let (admin, metrics) = (self.sidecar.admin(), self.sidecar.metrics());
        let (listen, path) = (self.sidecar.listen(Dependency::Payments), Dependency::Payments.path());
        self.page.say(Tone::Plain, "  while it runs, in another terminal:");
        self.page.say(Tone::Plain, &format!("    curl -i http://{listen}{path}/1"));
        self.page.say(Tone::Plain, &format!("    outrigger --addr {admin} status     (or open http://{admin}/)"));
        self.page.say(Tone::Plain, &format!("    curl http://{metrics}/metrics"));
        self.page.say(Tone::Plain, &format!("    cat {}", self.sidecar.policy().display()));
        self.page.say(
            Tone::Plain,
            &format!(
                "  {} requests a second, each both ways; a client waits {} ms and does not retry; it ends after {seconds} s, \
                 or with Ctrl-C",
                Duration::from_secs(1).as_millis() / EVERY.as_millis(),
                PATIENCE.as_millis()
            ),
        );
        self.page.gap();
        self.page.say(Tone::Strong, "The policy:");
        let policies = std::sync::Arc::clone(&self.sidecar.policies);
        policies.good.lines().for_each(|line| self.page.say(Tone::Faint, &format!("  {line}")));
    }

    async fn phase(&mut self, index: usize) -> Result<Measured, String> {
        let phase = PHASES[index];
        let share = share_of(self.until.saturating_duration_since(clock::now()), index);
        // Nothing of this phase may end in the next one.
        let drain = if phase.trouble == Trouble::Slow { PATIENCE } else { Duration::ZERO };
        let sending = share.saturating_sub(drain).max(share / 2);
        self.page.gap();
        self.tell(Tone::Strong, phase.tells);
        let before = self.sidecar.reading(phase.about, &self.direct, &self.behind);
        let revision_before = self.sidecar.revision();
        let troubled = tokio::try_join!(self.direct.meet(phase.trouble), self.behind.meet(phase.trouble));
        troubled.map_err(|e| format!("the upstreams cannot be changed: {e}"))?;

        let mut watch = Watch::new(phase, before.totals.first_attempts_failed, revision_before);
        self.traffic_for(&mut watch, sending).await?;
        if phase.trouble != Trouble::Calm && sending >= TOLD_MEANWHILE {
            self.answers().await;
        }
        watch.story.revision_after = self.sidecar.revision();
        let after = self.sidecar.reading(phase.about, &self.direct, &self.behind);
        Ok(Measured::new(phase, watch.tallies, &before, &after, watch.story))
    }

    /// Sends for this long, then waits for what is in flight and for the change of policy.
    async fn traffic_for(&mut self, watch: &mut Watch, sending: Duration) -> Result<(), String> {
        let mut pace = interval(EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut report = interval(sending.mul_f64(REPORT_EVERY));
        report.reset();
        let mut over = pin!(sleep(sending));
        let mut policy = pin!(self.sidecar.policy_change(watch.phase.trouble, sending / 3).make());
        let (mut open, mut policy_done) = (true, false);
        while open || !policy_done || self.traffic.in_flight() > 0 {
            tokio::select! {
                () = &mut over, if open => open = false,
                _ = pace.tick(), if open => self.traffic.send(),
                Some(sample) = self.traffic.ended(), if self.traffic.in_flight() > 0 => watch.tallies.add(&sample),
                _ = look.tick() => self.look(watch),
                _ = report.tick(), if open && sending >= TOLD_MEANWHILE => self.report(watch),
                news = &mut policy, if !policy_done => {
                    policy_done = true;
                    self.look(watch);
                    self.policy_told(watch, news?);
                }
            }
            if self.page.is_closed() {
                return Ok(());
            }
        }
        self.look(watch);
        if watch.story.untold > 0 {
            self.tell(Tone::Faint, &format!("... and {} more changes", watch.story.untold));
        }
        Ok(())
    }

    /// What an operator would read at this moment.
    async fn answers(&mut self) {
        let said = status::ask(self.sidecar.admin()).await;
        self.tell(Tone::Plain, "outrigger status would say:");
        for line in said.iter().take(status::ANSWERS) {
            self.page.say_hanging(Tone::Strong, &format!("{:TIME_COLUMNS$}{line}", ""), TIME_COLUMNS + 2);
        }
    }

    fn look(&mut self, watch: &mut Watch) {
        for change in self.sidecar.news() {
            let failures = self.sidecar.totals(watch.phase.about).first_attempts_failed;
            watch.note(&change, failures);
            if watch.is_told(&change) {
                self.tell(Tone::Faint, &telling::change(&change));
            }
        }
    }

    fn policy_told(&mut self, watch: &mut Watch, news: PolicyNews) {
        let PolicyNews { in_force_after, refused } = news;
        watch.story.in_force_after = in_force_after;
        if let Some((after, diagnostics)) = refused {
            let after = telling::millis(Some(after));
            self.tell(
                Tone::Good,
                &format!("the typing error was refused {after} after it was saved; traffic goes on:"),
            );
            for line in diagnostics.lines().take(DIAGNOSTIC_LINES) {
                self.page.say(Tone::Plain, &format!("           {}", short_path(line)));
            }
            watch.story.refusal = Some(diagnostics);
        }
    }

    fn report(&mut self, watch: &Watch) {
        let about = watch.phase.about;
        if let Some((direct, outrigger)) = so_far(&watch.tallies, about) {
            let (direct, outrigger) = (telling::percent(Some(direct)), telling::percent(Some(outrigger)));
            let name = about.name();
            self.tell(Tone::Plain, &format!("{name} so far: {direct} direct, {outrigger} through Outrigger"));
        }
    }

    /// A line with its time.
    fn tell(&mut self, tone: Tone, text: &str) {
        let at = clock::now().saturating_duration_since(self.began).as_secs_f64();
        self.page.say_hanging(tone, &format!("  {at:5.1} s  {text}"), TIME_COLUMNS);
    }
}

/// `policy.yaml:7:5: ...` without the temporary directory.
fn short_path(line: &str) -> &str {
    line.find("policy.yaml").map_or(line, |at| &line[at..])
}

/// What is seen during a phase.
struct Watch {
    phase: Phase,
    began: Instant,
    failures_before: u64,
    told: u32,
    tallies: Tallies,
    story: Story,
}

impl Watch {
    fn new(phase: Phase, failures_before: u64, revision_before: u64) -> Watch {
        let story = Story { revision_before, ..Story::default() };
        Watch { phase, began: clock::now(), failures_before, told: 0, tallies: Tallies::default(), story }
    }

    fn note(&mut self, change: &Change, failures: u64) {
        self.story.note(change, self.phase.about, self.began, failures.saturating_sub(self.failures_before));
    }

    fn is_told(&mut self, change: &Change) -> bool {
        match change.kind {
            ChangeKind::Policy
            | ChangeKind::PolicyRefused
            | ChangeKind::Rollback
            | ChangeKind::Guard
            | ChangeKind::Certificate
            | ChangeKind::Start
            | ChangeKind::Stop
            | ChangeKind::Manual => true,
            ChangeKind::Breaker
            | ChangeKind::Endpoints
            | ChangeKind::Ejection
            | ChangeKind::Resolution
            | ChangeKind::Retries => {
                let told = self.told < TOLD_MAX;
                self.told += 1;
                self.story.untold += u32::from(!told);
                told
            }
        }
    }
}
