//! The words of the journal: what kinds of change there are, and what one line of it says.

use serde::{Deserialize, Serialize};

/// Bounds of one record, so that one change cannot fill the file.
pub(super) const EFFECT_LINES_MAX: usize = 64;
pub(super) const TEXT_BYTES_MAX: usize = 512;

/// Author of what happens by itself.
pub const ITSELF: &str = "outrigger";
/// Author of what the policy's guard does.
pub const GUARD: &str = "guard";

/// What kind of thing changed.
///
/// The words in the file are those of the first versions where the kind is that old: an earlier program reads those
/// lines, and skips the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// A policy came into force.
    Policy,
    /// A candidate was refused; the last good policy stays.
    PolicyRefused,
    /// The text of an earlier revision came into force again.
    Rollback,
    /// The policy's guard found that a revision made matters worse.
    Guard,
    /// A breaker changed its state by itself.
    Breaker,
    /// The addresses of an upstream changed.
    Endpoints,
    /// An endpoint was taken out of rotation.
    Ejection,
    /// The name of an upstream could not be resolved, or can be again.
    Resolution,
    /// Whether retries help is judged differently from before.
    Retries,
    /// A certificate was replaced.
    Certificate,
    /// The process started.
    Start,
    /// The process ended in order.
    Stop,
    /// An operator changed living state by hand.
    Manual,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Revision of the policy in force after the change.
    pub revision: u64,
    /// RFC 3339, UTC.
    pub time: String,
    /// What kind of thing changed.
    pub kind: ChangeKind,
    /// Where it came from: a file, `api`, `rollback to 3`, an upstream's name.
    pub source: String,
    /// Who asked for it; [`ITSELF`] for what happens by itself.
    pub author: String,
    /// SHA-256 of the policy in force after the change.
    pub hash: String,
    /// What it means for requests, a line each.
    pub effect: Vec<String>,
    /// The upstream concerned, if it is one. Lines of earlier versions have it as their source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Why: what the author said, or what it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a start: the version of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Of a start: the version that ran before, where it was another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_before: Option<String>,
}

impl Change {
    /// Cuts what is too long; a cut is marked.
    pub(super) fn bounded(mut self) -> Change {
        for text in [&mut self.time, &mut self.source, &mut self.author, &mut self.hash] {
            cut(text);
        }
        let optional = [&mut self.upstream, &mut self.reason, &mut self.version, &mut self.version_before];
        optional.into_iter().flatten().for_each(cut);
        self.effect = bounded_effect(self.effect);
        self
    }
}

/// A change that is none of the policy's, as it is handed in; the journal adds time and policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As in [`Change`].
    pub kind: ChangeKind,
    /// As in [`Change`].
    pub upstream: Option<String>,
    /// As in [`Change`].
    pub author: String,
    /// As in [`Change`].
    pub reason: Option<String>,
    /// What happened, and what it means, a line each.
    pub effect: Vec<String>,
}

impl Entry {
    /// Something that happened by itself.
    pub fn by_itself(kind: ChangeKind, upstream: Option<&str>, line: String) -> Entry {
        Entry {
            kind,
            upstream: upstream.map(str::to_owned),
            author: ITSELF.to_owned(),
            reason: None,
            effect: vec![line],
        }
    }

    /// An order of an operator that was carried out.
    pub fn by_hand(upstream: Option<&str>, author: &str, reason: &str, line: String) -> Entry {
        let reason = Some(reason.to_owned());
        Entry { author: author.to_owned(), reason, ..Entry::by_itself(ChangeKind::Manual, upstream, line) }
    }

    /// With what it follows from.
    pub fn because(self, reason: impl Into<String>) -> Entry {
        Entry { reason: Some(reason.into()), ..self }
    }
}

/// The lines of an effect, as many and as long as they are told; a cut is marked.
pub(in crate::policy) fn bounded_effect(mut effect: Vec<String>) -> Vec<String> {
    if effect.len() > EFFECT_LINES_MAX {
        let more = effect.len() - (EFFECT_LINES_MAX - 1);
        effect.truncate(EFFECT_LINES_MAX - 1);
        effect.push(format!("... and {more} more"));
    }
    effect.iter_mut().for_each(cut);
    effect
}

fn cut(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str("...");
    }
}

/// How the process before ended, from what it left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Predecessor {
    /// Its version, if it said so.
    pub version: Option<String>,
    /// It left no word of its end, which was at this time or later: a crash, or a SIGKILL.
    pub vanished_after: Option<String>,
}

impl Predecessor {
    /// Of the process that wrote these last, oldest first.
    pub fn of(changes: &[Change]) -> Predecessor {
        let bounds = |change: &&Change| matches!(change.kind, ChangeKind::Start | ChangeKind::Stop);
        // What happens while it drains comes behind the stop.
        let said_goodbye = changes.iter().rev().find(bounds).is_some_and(|last| last.kind == ChangeKind::Stop);
        let started = changes.iter().rev().find(|change| change.kind == ChangeKind::Start);
        Predecessor {
            version: started.and_then(|start| start.version.clone()),
            vanished_after: changes.last().filter(|_| !said_goodbye).map(|last| last.time.clone()),
        }
    }
}
