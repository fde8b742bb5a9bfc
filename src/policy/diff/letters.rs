//! What a change of `deadLetter` means.

use super::Difference;
use super::effects::is_shorter;
use crate::policy::size;

/// Dead letters that come or go: of a route, or of the process with its first or last route that keeps them. Their
/// values follow from that, and are in the JSON form only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters<'a> {
    /// Of a route; its queue.
    On(&'a str),
    Off,
    /// Of the process: a place for them is made; for how long one is kept.
    Kept(&'a str),
    NotKept,
}

impl<'a> Letters<'a> {
    /// None = as it was.
    pub(super) fn of(settings: &'a [Difference]) -> Option<Self> {
        settings.iter().find_map(|setting| match (setting.key, setting.old.as_deref(), setting.new.as_deref()) {
            ("deadLetter.queue", None, Some(queue)) => Some(Letters::On(queue)),
            ("deadLetter.queue", Some(_), None) => Some(Letters::Off),
            ("deadLetter.retention", None, Some(retention)) => Some(Letters::Kept(retention)),
            ("deadLetter.retention", Some(_), None) => Some(Letters::NotKept),
            _ => None,
        })
    }

    pub(super) fn told(self) -> String {
        match self {
            Letters::On(queue) => format!("dead letters on, in queue {queue}"),
            Letters::Off => "dead letters off: nothing is kept of what fails".to_owned(),
            Letters::Kept(retention) => format!("dead letters are kept for {retention}"),
            Letters::NotKept => "no route keeps dead letters any more".to_owned(),
        }
    }

    /// Whether a value is there, or gone, because of the switch.
    pub(super) fn explains(self, setting: &Difference) -> bool {
        let side = match self {
            Letters::On(_) | Letters::Kept(_) => &setting.old,
            Letters::Off | Letters::NotKept => &setting.new,
        };
        setting.key.starts_with("deadLetter.") && side.is_none()
    }
}

/// The sentence behind a value that changes. None = it speaks for itself.
pub(super) fn effect(key: &str, old: &str, new: &str) -> Option<&'static str> {
    match key {
        "deadLetter.retention" => is_shorter(old, new).then_some("letters captured from now on expire earlier"),
        "deadLetter.maxBytes" => is_smaller(old, new).then_some(NO_ROOM),
        "deadLetter.maxLetters" | "deadLetter.maxShare" => is_less(old, new).then_some(NO_ROOM),
        "deadLetter.keyFile" => Some("letters sealed with the former key cannot be replayed without it"),
        "deadLetter.capture.maxBody" => {
            is_smaller(old, new).then_some("requests with a larger body cannot be replayed")
        }
        "deadLetter.capture.redactHeaders" | "deadLetter.capture.redactQuery" => {
            lacks_some(old, new).then_some("what is left out is shown in new letters")
        }
        "deadLetter.capture.credentials" => (new == "drop").then_some("replays of new letters cannot authenticate"),
        "deadLetter.queue" => Some("letters kept so far stay where they are"),
        "deadLetter.when" => lacks_some(old, new).then_some("nothing is kept of failures that are left out"),
        "deadLetter.capture" if new == "send" => Some("a larger write for each request"),
        "deadLetter.capture" => Some("what is under way when the process dies cannot be replayed"),
        _ => None,
    }
}

const NO_ROOM: &str = "no letter is removed for it; new ones are refused until there is room";

fn is_smaller(old: &str, new: &str) -> bool {
    matches!((size::parse(old), size::parse(new)), (Ok(old), Ok(new)) if new < old)
}

fn is_less(old: &str, new: &str) -> bool {
    matches!((old.parse::<u32>(), new.parse::<u32>()), (Ok(old), Ok(new)) if new < old)
}

/// Whether the second of two printed lists lacks an entry of the first.
fn lacks_some(old: &str, new: &str) -> bool {
    let entries = |list: &str| -> Vec<String> {
        list.trim_matches(['[', ']']).split(", ").filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
    };
    let kept = entries(new);
    entries(old).iter().any(|entry| !kept.contains(entry))
}
