//! `outrigger dlq replay` and `outrigger replay`.

use std::time::Duration;

use super::args::{Replay, ReplayArgs};
use crate::admin::api::{
    CancelReplayRequest, ReplayEnd, ReplayJob, ReplayLetterRequest, ReplayPlan, ReplayRequest, ReplayState,
    ReplayedLetter, Replays,
};
use crate::admin::letters::advice;
use crate::admin::words;
use crate::cli::args::Output;
use crate::cli::client::segment;
use crate::cli::print::{self, Align, Table, cell};
use crate::cli::session::{Failure, Session};
use crate::cli::{Exit, idem};

/// Time for one letter: a little more than the server waits for what becomes of it.
const SENDING: Duration = Duration::from_secs(35);
/// Time between two looks at a replay.
const LOOK: Duration = Duration::from_millis(250);

impl Session<'_> {
    pub(super) fn replay_letters(&mut self, order: ReplayArgs) -> Result<Exit, Failure> {
        if let ([id], true, false) = (order.ids.as_slice(), order.filter.is_empty(), order.dry_run) {
            return self.replay_one(id, &order);
        }
        let mut request = ReplayRequest {
            filter: order.filter.of(&order.ids),
            rate: Some(order.rate),
            max: order.max,
            stop_after: Some(order.stop_after),
            accept_duplicate_risk: order.accept_duplicate_risk,
            dry_run: order.dry_run,
            reason: order.reason.clone(),
            author: self.author(),
        };
        if order.dry_run || !order.yes {
            let plan: ReplayPlan = self.client.post("/replays", &ReplayRequest { dry_run: true, ..request.clone() })?;
            if order.dry_run || plan.sends != 1 {
                return self.planned(&plan, &order);
            }
            // Others may have come since: only one was agreed to.
            request.max = Some(1);
        }
        let job: ReplayJob = self.client.post("/replays", &request)?;
        if order.wait {
            return self.follow(job);
        }
        if !self.json(&job)? {
            writeln!(self.out, "{}", advice::job(&job))?;
            writeln!(self.out, "Watch it: outrigger replay status --wait {}", print::line(&idem::word(&job.id)))?;
        }
        Ok(Exit::Fine)
    }

    fn replay_one(&mut self, id: &str, order: &ReplayArgs) -> Result<Exit, Failure> {
        let request = ReplayLetterRequest {
            accept_duplicate_risk: order.accept_duplicate_risk,
            reason: order.reason.clone().unwrap_or_default(),
            version: None,
            author: self.author(),
        };
        let path = format!("/dead-letters/{}/replay", segment(id));
        let done: ReplayedLetter = self.client.post_within(SENDING, &path, &request)?;
        if !self.json(&done)? {
            writeln!(self.out, "{}", print::line(&advice::replayed(&done)))?;
            if done.end != ReplayEnd::Replayed && done.end != ReplayEnd::Superseded {
                writeln!(self.out, "Next: outrigger dlq show {}", print::line(&idem::word(&done.letter.id)))?;
            }
        }
        Ok(match done.end {
            ReplayEnd::Replayed | ReplayEnd::Superseded => Exit::Fine,
            ReplayEnd::Failed | ReplayEnd::Underway => Exit::Problem,
        })
    }

    /// Prints the plan. Without `--dry-run` nothing was done because a word is missing, or because there is nothing.
    fn planned(&mut self, plan: &ReplayPlan, order: &ReplayArgs) -> Result<Exit, Failure> {
        if !self.json(plan)? {
            for line in advice::plan(plan, order.rate) {
                writeln!(self.out, "{}", print::line(&line))?;
            }
        }
        let command = self.command(order);
        match (order.dry_run, plan.sends) {
            (true, 0) => Ok(Exit::Fine),
            (true, _) => {
                if self.output == Output::Table {
                    writeln!(self.out, "Next: {command}")?;
                }
                Ok(Exit::Fine)
            }
            (false, 0) => Ok(if plan.letters == 0 { Exit::Fine } else { Exit::Problem }),
            (false, sends) => {
                Err(Failure::Usage(format!("this sends {}, and --yes is missing", advice::many(sends)), command))
            }
        }
    }

    /// What was typed, with all that it needs to be carried out.
    fn command(&self, order: &ReplayArgs) -> String {
        let mut words = order.filter.words(&order.ids);
        let mut add = |stated: bool, text: String| {
            if stated {
                words.push_str(&text);
            }
        };
        add(order.accept_duplicate_risk, " --accept-duplicate-risk".to_owned());
        add(order.rate != 1, format!(" --rate {}", order.rate));
        add(order.max.is_some(), format!(" --max {}", order.max.unwrap_or_default()));
        add(order.stop_after != 5, format!(" --stop-after {}", order.stop_after));
        // One letter is sent at once and needs no more than a reason.
        add(order.ids.len() != 1 || !order.filter.is_empty(), " --yes".to_owned());
        add(order.wait, " --wait".to_owned());
        let reason = order.reason.as_deref().map_or_else(|| "TEXT".to_owned(), idem::word);
        print::line(&format!("outrigger dlq replay{words} --reason {reason}"))
    }

    pub(in crate::cli) fn replays(&mut self, action: Replay) -> Result<Exit, Failure> {
        match action {
            Replay::Ls => self.list_replays(),
            Replay::Status { id, wait } => {
                let job: ReplayJob = self.client.get(&format!("/replays/{}", segment(&id)))?;
                if wait {
                    return self.follow(job);
                }
                self.told(&job)?;
                Ok(ending(&job))
            }
            Replay::Cancel { id, reason } => {
                let request = CancelReplayRequest { reason, author: self.author() };
                let job: ReplayJob = self.client.post(&format!("/replays/{}/cancel", segment(&id)), &request)?;
                self.told(&job)?;
                Ok(Exit::Fine)
            }
        }
    }

    fn list_replays(&mut self) -> Result<Exit, Failure> {
        let answer: Replays = self.client.get("/replays")?;
        if self.json(&answer)? {
            return Ok(Exit::Fine);
        }
        if answer.replays.is_empty() {
            writeln!(self.out, "There was no replay of many letters.")?;
            return Ok(Exit::Fine);
        }
        let mut table = Table::new(&[
            ("ID", Align::Left),
            ("STARTED", Align::Right),
            ("WHO", Align::Left),
            ("LETTERS", Align::Right),
            ("REPLAYED", Align::Right),
            ("SUPERSEDED", Align::Right),
            ("FAILED", Align::Right),
            ("SKIPPED", Align::Right),
            ("STATE", Align::Left),
            ("REASON", Align::Left),
        ]);
        for job in &answer.replays {
            let why = job.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            table.row([
                cell(job.id.clone()),
                cell(words::ago(job.age_seconds)),
                cell(job.author.clone()),
                cell(words::grouped(job.letters)),
                cell(words::grouped(job.replayed)),
                cell(words::grouped(job.superseded)),
                cell(words::grouped(job.failed)),
                cell(words::grouped(job.skipped)),
                cell(format!("{}{why}", state(job.state))),
                cell(job.reason.clone()),
            ]);
        }
        self.table(&table)?;
        Ok(Exit::Fine)
    }

    /// Looks until it has ended, and tells each change.
    fn follow(&mut self, mut job: ReplayJob) -> Result<Exit, Failure> {
        let path = format!("/replays/{}", segment(&job.id));
        let mut told = String::new();
        loop {
            let line = advice::job(&job);
            if line != told && self.output == Output::Table {
                writeln!(self.out, "{}", print::line(&line))?;
                self.out.flush()?;
            }
            told = line;
            if job.state != ReplayState::Running {
                break;
            }
            std::thread::sleep(LOOK);
            job = self.client.get(&path)?;
        }
        if self.output == Output::Json {
            self.json(&job)?;
        }
        Ok(ending(&job))
    }

    fn told(&mut self, job: &ReplayJob) -> Result<(), Failure> {
        if !self.json(job)? {
            writeln!(self.out, "{}", print::line(&advice::job(job)))?;
        }
        Ok(())
    }
}

const fn state(state: ReplayState) -> &'static str {
    match state {
        ReplayState::Running => "running",
        ReplayState::Finished => "finished",
        ReplayState::Stopped => "stopped",
        ReplayState::Cancelled => "cancelled",
    }
}

/// Fine while it runs and if every letter came to its end, partial if some did, else a problem.
fn ending(job: &ReplayJob) -> Exit {
    let served = job.replayed.saturating_add(job.superseded);
    match job.state {
        ReplayState::Running => Exit::Fine,
        _ if served == job.letters => Exit::Fine,
        _ if served > 0 => Exit::Partial,
        ReplayState::Finished | ReplayState::Stopped | ReplayState::Cancelled => Exit::Problem,
    }
}
