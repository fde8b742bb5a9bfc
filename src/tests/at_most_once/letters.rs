//! Dead letters at the end of a run, and what must be true of them: nothing that a client was told to be kept is lost,
//! nothing is sent again that was answered, and nothing leaves `open` without a trace.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::call::{Call, Outcome, Reply};
use super::checker::Standing;
use super::log::Arrival;

/// One letter, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub id: String,
    /// Of its key; `None`: a key of which nobody asked.
    pub name: Option<String>,
    pub state: String,
    /// How often its replay began.
    pub replays: u64,
    /// Rows of the audit that name it.
    pub audited: usize,
}

impl Letter {
    pub fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "open" | "replaying")
    }
}

/// An operator said what had become of a key. Whether the program heard it is not known: it may have been killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    pub name: String,
    pub executed: bool,
    pub invoked_us: u64,
}

/// All that is known of dead letters.
#[derive(Default)]
pub struct Letters {
    /// In the file that the last process has left.
    pub kept: Vec<Letter>,
    /// As an operator was shown all of them before the last kills: states by number.
    pub listed: BTreeMap<String, String>,
    /// What operators saw on the way: the last state that is final, or `open`.
    pub seen: HashMap<String, String>,
    pub resolves: Vec<Resolve>,
    /// Requests that are noted as under way though nothing runs.
    pub stubs: u32,
    /// The chain of the audit fits.
    pub intact: bool,
}

/// What is found wrong.
pub type Found = Vec<(String, String)>;

impl Letters {
    /// By key; those of unknown ones are left out.
    pub fn by_name(&self) -> HashMap<&str, Vec<&Letter>> {
        let mut all: HashMap<&str, Vec<&Letter>> = HashMap::new();
        for letter in &self.kept {
            letter.name.as_deref().into_iter().for_each(|name| all.entry(name).or_default().push(letter));
        }
        all
    }

    /// What is wrong with the letters themselves, by their numbers.
    pub fn check(&self, arrivals: &[Arrival]) -> Found {
        let mut found = Found::new();
        let mut say = |id: &str, why: String| found.push((id.to_owned(), why));
        let kept: HashMap<&str, &Letter> = self.kept.iter().map(|letter| (letter.id.as_str(), letter)).collect();
        for (id, state) in &self.listed {
            let now = kept.get(id.as_str()).map(|letter| letter.state.as_str());
            if now != Some(state.as_str()) {
                say(id, format!("was listed as {state} before the last kill, and is {now:?}"));
            }
        }
        for (id, state) in &self.seen {
            match kept.get(id.as_str()) {
                None => say(id, format!("was seen {state}, and has vanished")),
                Some(letter) if state != "open" && letter.state != *state => {
                    say(id, format!("was {state}, which is final, and is {}", letter.state));
                }
                Some(_) => {}
            }
        }
        for letter in &self.kept {
            if !self.listed.contains_key(&letter.id) {
                say(&letter.id, format!("is not listed: {letter:?}"));
            }
            if letter.state == "replaying" {
                say(&letter.id, "nobody is at it, and it is being replayed".to_owned());
            }
            let by_its_record = matches!(letter.state.as_str(), "superseded" | "replayed");
            if (!letter.is_open() && !by_its_record || letter.replays > 0) && letter.audited == 0 {
                say(&letter.id, format!("nobody has written down who did it: {letter:?}"));
            }
        }
        if self.stubs > 0 {
            say("", format!("{} requests are noted as under way", self.stubs));
        }
        if !self.intact {
            say("", "the audit was changed".to_owned());
        }
        sent_once(&kept, arrivals, &mut say);
        found
    }
}

/// Each replay was begun in the file before it left, and took effect once at most. It may arrive twice: a connection
/// that is reset before it answers is replaced where the upstream recognises keys.
fn sent_once(kept: &HashMap<&str, &Letter>, arrivals: &[Arrival], say: &mut impl FnMut(&str, String)) {
    let mut seen = HashSet::new();
    for arrival in arrivals.iter().filter(|arrival| !arrival.replay.is_empty()) {
        let Some((id, number)) = replay_of(arrival) else {
            say("", format!("no replay has such a mark: {arrival:?}"));
            continue;
        };
        let recognised = arrival.name.starts_with("/dedupes-");
        if !seen.insert((id, number)) && !recognised {
            say(id, format!("replay {number} was sent twice"));
        }
        match kept.get(id) {
            None => say(id, format!("was sent again, and there is no such letter: {arrival:?}")),
            Some(letter) if number == 0 || number > letter.replays => {
                say(id, format!("replay {number} was sent, and {} began", letter.replays));
            }
            Some(letter) if letter.name.as_ref().is_some_and(|name| *name != arrival.name) => {
                say(id, format!("was sent with the key of another: {arrival:?}"));
            }
            Some(_) => {}
        }
    }
}

/// Which letter, and which of its replays.
pub fn replay_of(arrival: &Arrival) -> Option<(&str, u64)> {
    let (id, number) = arrival.replay.split_once(";n=")?;
    Some((id, number.parse().ok()?))
}

/// What is known of one key.
pub struct Fates<'a> {
    pub letters: &'a [&'a Letter],
    pub calls: &'a [Call],
    pub arrivals: &'a [Arrival],
    pub record: Option<Standing>,
    /// Its route keeps letters.
    pub keeps: bool,
}

impl Fates<'_> {
    /// I9, for one key.
    pub fn check(&self, say: &mut impl FnMut(&'static str, String)) {
        let has = |id: &str| self.letters.iter().any(|letter| letter.id == id);
        for call in self.calls {
            if let Some(id) = call.letter.as_deref().filter(|id| !has(id)) {
                say("I9", format!("was told of the letter {id}, which its key does not have: {call:?}"));
            }
        }
        self.conserved(say);
        let open = self.letters.iter().filter(|letter| letter.is_open()).count();
        if open > 1 {
            say("I9", format!("{open} open letters: {:?}", self.letters));
        }
        let pinned = self.record.map(|record| record.pinned);
        if pinned.unwrap_or(false) != (open > 0) {
            say("I9", format!("{open} open letters, and the record is {:?}: {:?}", self.record, self.letters));
        }
        self.quiet(say);
    }

    /// What failed for good, or has no known end, has a letter.
    fn conserved(&self, say: &mut impl FnMut(&'static str, String)) {
        if !self.keeps || !self.letters.is_empty() {
            return;
        }
        let failed = |call: &&Call| match &call.outcome {
            Outcome::BecameUnknown => true,
            Outcome::Stored(Reply { status, .. }) => *status >= 500,
            _ => false,
        };
        if let Some(call) = self.calls.iter().find(failed) {
            say("I9", format!("failed, and there is no letter: {call:?}"));
        }
        if self.record.is_some_and(|record| record.is_unknown()) {
            say("I9", "the outcome is unknown, and there is no letter".to_owned());
        }
    }

    /// When somebody has been told a definite answer, no replay is sent any more.
    fn quiet(&self, say: &mut impl FnMut(&'static str, String)) {
        let answered = self.calls.iter().filter(|call| match &call.outcome {
            Outcome::Stored(reply) | Outcome::Replayed(reply) => reply.status < 500,
            _ => false,
        });
        let Some(answered) = answered.min_by_key(|call| call.returned_us) else { return };
        for arrival in self.arrivals {
            if !arrival.replay.is_empty() && arrival.at_us > answered.returned_us {
                say("I9", format!("was sent again though it was answered: {arrival:?} after {answered:?}"));
            }
        }
    }
}
