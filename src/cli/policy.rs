//! `outrigger policy`: the policy in force, asked of the running proxy.

use super::Exit;
use super::args::{Output, Policy};
use super::print::{self, Align, Table, Tone, cell};
use super::session::{Failure, Session};
use crate::admin::api::{Applied, History, PolicyDocument, ReloadRequest, RollbackRequest};

impl Session<'_> {
    pub(super) fn policy(&mut self, action: Policy) -> Result<Exit, Failure> {
        match action {
            Policy::Show => self.show_policy(),
            Policy::History => self.policy_history(),
            Policy::Rollback { revision, reason } => {
                let request = RollbackRequest { revision, reason, author: self.author() };
                let applied: Applied = self.client.post("/policy/rollback", &request)?;
                self.applied(&applied)?;
                if applied.changed && self.output == Output::Table {
                    writeln!(
                        self.out,
                        "The policy file still holds the other text: its next edit, SIGHUP or a restart brings it back."
                    )?;
                }
                Ok(Exit::Fine)
            }
            Policy::Reload => {
                let applied: Applied = self.client.post("/policy/reload", &ReloadRequest { author: self.author() })?;
                self.applied(&applied)
            }
        }
    }

    /// The bare text: `outrigger policy show > policy.yaml` gives back the file.
    fn show_policy(&mut self) -> Result<Exit, Failure> {
        let document: PolicyDocument = self.client.get("/policy")?;
        if !self.json(&document)? {
            if self.surroundings.terminal {
                self.out.write_all(print::lines(&document.text).as_bytes())?;
                self.out.write_all(b"\n")?;
            } else {
                self.out.write_all(document.text.as_bytes())?;
            }
        }
        Ok(Exit::Fine)
    }

    fn policy_history(&mut self) -> Result<Exit, Failure> {
        let history: History = self.client.get("/policy/history")?;
        if self.json(&history)? {
            return Ok(Exit::Fine);
        }
        let mut table = Table::new(&[
            ("REVISION", Align::Right),
            ("APPLIED", Align::Left),
            ("HASH", Align::Left),
            ("AUTHOR", Align::Left),
            ("SOURCE", Align::Left),
            ("WHAT CHANGED", Align::Left),
        ]);
        for revision in &history.revisions {
            let mark = if revision.current { "* " } else { "" };
            let tone = if revision.current { Tone::Good } else { Tone::Plain };
            let effects = match (&revision.reason, revision.effects.is_empty()) {
                (Some(reason), true) => reason.clone(),
                (Some(reason), false) => format!("{reason}: {}", revision.effects.join("; ")),
                (None, _) => revision.effects.join("; "),
            };
            table.row([
                (format!("{mark}{}", revision.revision), tone),
                cell(revision.applied_at.clone()),
                cell(print::short(&revision.hash)),
                cell(revision.author.clone()),
                cell(revision.source.clone()),
                cell(effects),
            ]);
        }
        self.table(&table)?;
        Ok(Exit::Fine)
    }

    fn applied(&mut self, applied: &Applied) -> Result<Exit, Failure> {
        if self.json(applied)? {
            return Ok(Exit::Fine);
        }
        let (revision, hash) = (applied.revision, print::short(&applied.hash));
        if applied.changed {
            writeln!(self.out, "Revision {revision} ({hash}) is in force.")?;
        } else {
            writeln!(self.out, "Nothing to do: revision {revision} ({hash}) has this very text.")?;
        }
        for effect in &applied.effects {
            writeln!(self.out, "  {}", print::line(effect))?;
        }
        Ok(Exit::Fine)
    }
}
