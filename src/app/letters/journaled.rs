//! Orders about dead letters that were carried out, in the change journal: one entry per order, however many letters it
//! was about. What became of each letter is in the audit beside the letters.

use super::{jobs, order};
use crate::admin::api::{ReplayEnd, ReplayJob};
use crate::admin::control::letters::{
    CancelOrder, DropOrder, ReplayOrder, Replayed, ResolveLetterOrder, ShownLetter, StartOrder,
};
use crate::admin::control::{Outcome, Refused};
use crate::app::control::Sources;
use crate::dead_letters::letter::Letter;
use crate::policy::journal::Entry;

/// Who ordered it, and why.
struct Ordered {
    author: String,
    reason: String,
}

impl Ordered {
    fn journal(&self, sources: &Sources, upstream: Option<&str>, line: String) {
        sources.store.record(Entry::by_hand(upstream, &self.author, &self.reason, line));
    }

    fn journal_letter(&self, sources: &Sources, letter: &Letter, done: &str) {
        let (captured, id) = (&letter.words.captured, letter.id);
        let line = format!("{}/{}: dead letter {id} {done}", captured.upstream, captured.route);
        self.journal(sources, Some(&captured.upstream), line);
    }
}

pub fn replay(sources: &Sources, order: ReplayOrder) -> Result<Replayed, Refused> {
    let ordered = Ordered { author: order.author.clone(), reason: order.reason.clone() };
    let replayed = super::replay(sources, order)?;
    let end = match replayed.end {
        ReplayEnd::Replayed => "sent again and answered",
        ReplayEnd::Superseded => "not sent again: its key has an answer",
        ReplayEnd::Failed => "sent again and not served",
        ReplayEnd::Underway => "sent again, its end is not known yet",
    };
    ordered.journal_letter(sources, &replayed.letter, end);
    Ok(replayed)
}

pub fn drop(sources: &Sources, order: DropOrder) -> Result<u64, Refused> {
    let ordered = Ordered { author: order.author.clone(), reason: order.reason.clone() };
    let (upstream, queue) = (order.filter.upstream.clone(), order.filter.queue.clone());
    let dropped = order::drop(sources, order)?;
    let what = if dropped == 1 { "dead letter" } else { "dead letters" };
    let of = queue.map(|queue| format!(" of the queue {queue}")).unwrap_or_default();
    ordered.journal(sources, upstream.as_deref(), format!("{dropped} {what}{of} given up"));
    Ok(dropped)
}

pub fn resolve(sources: &Sources, order: ResolveLetterOrder) -> Result<ShownLetter, Refused> {
    let ordered = Ordered { author: order.author.clone(), reason: order.reason.clone() };
    let done = match order.outcome {
        Outcome::Executed { .. } => "resolved as executed",
        Outcome::NotExecuted => "resolved as not executed",
    };
    let shown = order::resolve(sources, order)?;
    ordered.journal_letter(sources, &shown.letter, done);
    Ok(shown)
}

pub fn start(sources: &Sources, order: StartOrder) -> Result<ReplayJob, Refused> {
    let ordered = Ordered { author: order.author.clone(), reason: order.reason.clone() };
    let upstream = order.plan.filter.upstream.clone();
    let job = jobs::start(sources, order)?;
    let line = format!("replay {} of {} dead letters begun, {} a second", job.id, job.letters, job.rate);
    ordered.journal(sources, upstream.as_deref(), line);
    Ok(job)
}

pub fn cancel(sources: &Sources, order: CancelOrder) -> Result<ReplayJob, Refused> {
    let ordered = Ordered { author: order.author.clone(), reason: order.reason.clone() };
    let job = jobs::cancel(sources, order)?;
    let line = format!("replay {} of dead letters cancelled, {} of {} sent", job.id, job.replayed, job.letters);
    ordered.journal(sources, None, line);
    Ok(job)
}
