//! `outrigger dlq` and `outrigger audit`.

pub(super) mod args;
mod file;
mod replay;
mod show;

use super::args::{Found, Output};
use super::client::segment;
use super::print::{self, Align, Table, Tone, cell};
use super::session::{Failure, Session};
use super::{Exit, idem};
use crate::admin::api::{
    Audit, DropLetterRequest, DropLettersRequest, Dropped, KeyResponse, LetterBodyRequest, LetterDetail, LetterStats,
    LetterView, Letters, Repair, ResolveAs, ResolveLetterRequest,
};
use crate::admin::letters::advice;
use crate::admin::words;
use args::{Dlq, DropArgs, FilterArgs, query};

/// Letters asked for at once by an export: even with the largest fields they fit into one answer.
const EXPORT_PAGE: usize = 100;
const MEBIBYTE: f64 = 1_048_576.0;

impl Session<'_> {
    pub(super) fn dlq(&mut self, action: Dlq) -> Result<Exit, Failure> {
        match action {
            Dlq::Ls { filter, limit, after } => self.list_letters(&filter, limit, after.as_deref()),
            Dlq::Stats => self.letter_stats(),
            Dlq::Show { id } => {
                let letter: LetterDetail = self.client.get(&format!("/dead-letters/{}", segment(&id)))?;
                if !self.json(&letter)? {
                    self.out.write_all(show::describe(&letter, self.surroundings.colour).as_bytes())?;
                }
                Ok(Exit::Fine)
            }
            Dlq::Body { id, out, reason } => {
                if self.output == Output::Json {
                    let next = "leave `-o json` out: the body is written as it is";
                    return Err(Failure::Usage("`dlq body` has no JSON form".to_owned(), next.to_owned()));
                }
                let target = file::Target::new(out)?;
                let request = LetterBodyRequest { reason, author: self.author() };
                let body = self.client.post_bytes(&format!("/dead-letters/{}/body", segment(&id)), &request)?;
                self.write_body(&body, target)
            }
            Dlq::Replay(order) => self.replay_letters(order),
            Dlq::Drop(order) => self.drop_letters(order),
            Dlq::Resolve { id, outcome, reason, status, body } => {
                let response = (status.is_some() || body.is_some()).then_some(KeyResponse { status, body });
                self.resolve_letter(&id, outcome, reason, response)
            }
            Dlq::Export { filter, out } => self.export_letters(&filter, file::Target::new(out)?),
        }
    }

    fn list_letters(&mut self, filter: &FilterArgs, limit: u16, after: Option<&str>) -> Result<Exit, Failure> {
        let after = after.map(|after| format!("&after={}", segment(after))).unwrap_or_default();
        let path = format!("/dead-letters?limit={limit}{after}{}", query(&filter.of(&[])));
        let letters: Letters = self.client.get(&path)?;
        if self.json(&letters)? {
            return Ok(Exit::Fine);
        }
        if letters.letters.is_empty() {
            writeln!(self.out, "There are no such dead letters.")?;
            return Ok(Exit::Fine);
        }
        self.table(&table(&letters.letters))?;
        writeln!(self.out, "\n{}", advice::summary(&letters))?;
        if let Some(next) = advice::next_of_list(&letters, &filter.words(&[])) {
            writeln!(self.out, "Next: {}", print::line(&next))?;
        }
        if let Some(last) = &letters.next {
            let words = print::line(&format!("{} --after {}", filter.words(&[]), idem::word(last)));
            writeln!(self.out, "More: outrigger dlq ls --limit {limit}{words}")?;
        }
        Ok(Exit::Fine)
    }

    fn letter_stats(&mut self) -> Result<Exit, Failure> {
        let stats: LetterStats = self.client.get("/dead-letters/stats")?;
        if self.json(&stats)? {
            return Ok(Exit::Fine);
        }
        let mut table = Table::new(&[
            ("QUEUE", Align::Left),
            ("STATE", Align::Left),
            ("CLASS", Align::Left),
            ("LETTERS", Align::Right),
            ("SIZE", Align::Right),
            ("OLDEST", Align::Right),
        ]);
        for tally in &stats.queues {
            table.row([
                cell(tally.queue.clone()),
                cell(tally.state.clone()),
                cell(tally.class.clone()),
                cell(words::grouped(tally.letters)),
                cell(size(tally.bytes)),
                cell(words::ago(tally.oldest_age_seconds)),
            ]);
        }
        if !table.is_empty() {
            self.table(&table)?;
            writeln!(self.out)?;
        }
        writeln!(
            self.out,
            "{} of {} ({}), {} of {} ({}); one queue may take {}% of that. Letters are kept for {}.",
            advice::many(stats.letters),
            words::grouped(stats.letters_max),
            words::share(stats.letters, stats.letters_max),
            size(stats.bytes),
            size(stats.bytes_max),
            words::share(stats.bytes, stats.bytes_max),
            stats.share_max_percent,
            words::whole(stats.retention_seconds),
        )?;
        match stats.lost {
            0 => writeln!(self.out, "None was lost since the start.")?,
            lost => writeln!(
                self.out,
                "{} lost since the start, because a bound was reached or the disk failed: see the process log.",
                if lost == 1 { "1 letter was".to_owned() } else { format!("{} were", advice::many(lost)) }
            )?,
        }
        Ok(Exit::Fine)
    }

    fn drop_letters(&mut self, DropArgs { ids, filter, yes, reason }: DropArgs) -> Result<Exit, Failure> {
        let dropped: Dropped = match ids.as_slice() {
            [id] if filter.is_empty() => {
                let request = DropLetterRequest { reason, version: None, author: self.author() };
                self.client.post(&format!("/dead-letters/{}/drop", segment(id)), &request)?
            }
            [] if filter.is_empty() => {
                let next = "name letters or state a filter; --state open means all that are open";
                return Err(Failure::Usage("this would give up every letter".to_owned(), next.to_owned()));
            }
            _ => {
                // Only open ones are dropped, so only they are counted.
                let mut meant = filter.of(&ids);
                meant.state.get_or_insert_with(|| "open".to_owned());
                let found: Letters = self.client.get(&format!("/dead-letters?limit=1{}", query(&meant)))?;
                if found.total > 1 && !yes {
                    let words = filter.words(&ids);
                    let next = format!("outrigger dlq drop{words} --yes --reason {}", idem::word(&reason));
                    let text = format!("this gives up {}, and --yes is missing", advice::many(found.total));
                    return Err(Failure::Usage(text, print::line(&next)));
                }
                match found.total {
                    0 => Dropped { dropped: 0 },
                    expect_count => {
                        let request = DropLettersRequest { filter: meant, expect_count, reason, author: self.author() };
                        self.client.post("/dead-letters/drop", &request)?
                    }
                }
            }
        };
        if !self.json(&dropped)? {
            match dropped.dropped {
                0 => writeln!(self.out, "There are no such dead letters: nothing was dropped.")?,
                1 => writeln!(self.out, "1 letter was dropped.")?,
                count => writeln!(self.out, "{} were dropped.", advice::many(count))?,
            }
        }
        Ok(Exit::Fine)
    }

    fn resolve_letter(
        &mut self,
        id: &str,
        outcome: Found,
        reason: String,
        response: Option<KeyResponse>,
    ) -> Result<Exit, Failure> {
        let outcome = ResolveAs::from(outcome);
        if outcome == ResolveAs::NotExecuted && response.is_some() {
            let text = "what was not executed has no answer: --status and --body belong to --as executed";
            return Err(Failure::Usage(text.to_owned(), "leave them out".to_owned()));
        }
        let request = ResolveLetterRequest { outcome, reason, response, version: None, author: self.author() };
        let letter: LetterDetail = self.client.post(&format!("/dead-letters/{}/resolve", segment(id)), &request)?;
        if !self.json(&letter)? {
            writeln!(self.out, "{}", print::line(&advice::resolved(&letter, outcome)))?;
        }
        Ok(Exit::Fine)
    }

    fn export_letters(&mut self, filter: &FilterArgs, target: file::Target) -> Result<Exit, Failure> {
        let words = query(&filter.of(&[]));
        let mut after = String::new();
        let mut file = None;
        let mut exported = 0;
        loop {
            let path = format!("/dead-letters/export?limit={EXPORT_PAGE}{after}{words}");
            let page = self.client.get_bytes(&path)?;
            // Only once the proxy has answered: a refusal leaves no file behind.
            match (&target, &mut file) {
                (file::Target::Output, _) => self.out.write_all(&page)?,
                (file::Target::File(path), None) => file = Some(file::Written::new(path, &page)?),
                (file::Target::File(_), Some(file)) => file.append(&page)?,
            }
            let lines: Vec<&[u8]> = page.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
            exported += lines.len();
            let last = lines.last().and_then(|line| serde_json::from_slice::<LetterDetail>(line).ok());
            match last {
                Some(last) if lines.len() == EXPORT_PAGE => after = format!("&after={}", segment(&last.letter.id)),
                _ => break,
            }
        }
        if let file::Target::File(path) = target {
            let count = advice::many(exported as u64);
            writeln!(self.out, "{count} written to {}.", print::line(&path.to_string_lossy()))?;
        }
        Ok(Exit::Fine)
    }

    pub(super) fn audit(&mut self, limit: u16, since: Option<&str>) -> Result<Exit, Failure> {
        let since = since.map(|since| format!("&since={since}")).unwrap_or_default();
        let audit: Audit = self.client.get(&format!("/audit?limit={limit}{since}"))?;
        let exit = if audit.intact { Exit::Fine } else { Exit::Problem };
        if self.json(&audit)? {
            return Ok(exit);
        }
        if audit.rows.is_empty() {
            writeln!(self.out, "Nothing was done to dead letters in that time.")?;
            return Ok(exit);
        }
        let mut table = Table::new(&[
            ("NUMBER", Align::Right),
            ("TIME", Align::Left),
            ("WHO", Align::Left),
            ("WHAT", Align::Left),
            ("LETTER", Align::Left),
            ("REASON", Align::Left),
            ("OUTCOME", Align::Left),
        ]);
        for row in &audit.rows {
            let tone = if row.intact { Tone::Plain } else { Tone::Bad };
            table.row([
                (row.number.to_string(), tone),
                cell(row.at.clone()),
                cell(row.actor.clone()),
                cell(row.action.clone()),
                cell(row.letter.clone().unwrap_or_else(|| "-".to_owned())),
                cell(row.reason.clone()),
                cell(row.outcome.clone()),
            ]);
        }
        self.table(&table)?;
        let broken: Vec<String> =
            audit.rows.iter().filter(|row| !row.intact).map(|row| row.number.to_string()).collect();
        if broken.is_empty() {
            writeln!(self.out, "\nThe chain of hashes is intact over these rows.")?;
        } else {
            writeln!(
                self.out,
                "\nThe chain of hashes is broken at {}: somebody or something has changed the file.",
                broken.join(", ")
            )?;
        }
        Ok(exit)
    }
}

fn table(letters: &[LetterView]) -> Table {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("AGE", Align::Right),
        ("ROUTE", Align::Left),
        ("CLASS", Align::Left),
        ("CAUSE", Align::Left),
        ("REASON", Align::Left),
        ("ATTEMPTS/REPLAYS", Align::Right),
        ("STATE", Align::Left),
    ]);
    for letter in letters {
        let tone = match letter.repair {
            Repair::Safe | Repair::Underway | Repair::Closed => Tone::Plain,
            Repair::NeedsDecision => Tone::Warn,
            Repair::Impossible => Tone::Bad,
        };
        table.row([
            cell(letter.id.clone()),
            cell(words::whole(letter.age_seconds)),
            cell(format!("{}/{}", letter.upstream, letter.route)),
            (letter.class.clone(), tone),
            cell(letter.cause.clone()),
            cell(letter.reason.clone()),
            cell(format!("{}/{}", letter.attempts, letter.replays)),
            cell(letter.state.clone()),
        ]);
    }
    table
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{} B", words::grouped(bytes)),
        10_000..=1_048_575 => format!("{} KiB", bytes.div_ceil(1_024)),
        _ => format!("{:.1} MiB", bytes as f64 / MEBIBYTE),
    }
}
