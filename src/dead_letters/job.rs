//! A replay of many letters, as it is remembered: a restart goes on where it was.

use serde::{Deserialize, Serialize};

use super::letter::{Filter, LetterId};
use crate::reliability::dead_letters::{Cause, Class, LetterState};
use crate::reliability::idempotency::Millis;

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobState {
    /// It goes on, also after a restart.
    Running,
    /// It came to the end of its letters.
    Finished,
    /// It ended early, by itself.
    Stopped,
    /// An operator ended it.
    Cancelled,
}

/// A replay of many letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    pub state: JobState,
    /// Why it ended early.
    pub why: Option<String>,
    pub author: String,
    pub reason: String,
    pub started: Millis,
    pub ended: Option<Millis>,
    /// Letters per second, at least 1.
    pub rate: u32,
    /// Failures after which it stops.
    pub stop_after: u32,
    /// Also letters whose replay could make an effect happen twice.
    pub accept_duplicate_risk: bool,
    /// How many it set out to send.
    pub letters: u64,
    /// It sends no more than this.
    pub max: Option<u64>,
    pub replayed: u64,
    pub superseded: u64,
    pub failed: u64,
    pub skipped: u64,
    /// Which letters: those that there were when it began.
    pub filter: SavedFilter,
    /// The last one that it came to.
    pub after: Option<String>,
}

/// A [`Filter`] in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedFilter {
    ids: Vec<String>,
    states: Vec<String>,
    classes: Vec<String>,
    causes: Vec<String>,
    queue: Option<String>,
    upstream: Option<String>,
    route: Option<String>,
    since: Option<Millis>,
    until: Option<Millis>,
}

impl From<&Filter> for SavedFilter {
    fn from(filter: &Filter) -> SavedFilter {
        let Filter { ids, states, classes, causes, queue, upstream, route, since, until } = filter;
        SavedFilter {
            ids: ids.iter().map(LetterId::to_string).collect(),
            states: states.iter().map(|state| state.as_str().to_owned()).collect(),
            classes: classes.iter().map(|class| class.as_str().to_owned()).collect(),
            causes: causes.iter().map(|cause| cause.as_str().to_owned()).collect(),
            queue: queue.clone(),
            upstream: upstream.clone(),
            route: route.clone(),
            since: *since,
            until: *until,
        }
    }
}

impl SavedFilter {
    /// The filter. `None`: a word is not known, and a filter without it would match more.
    pub fn filter(&self) -> Option<Filter> {
        Some(Filter {
            ids: self.ids.iter().map(|id| LetterId::parse(id)).collect::<Option<_>>()?,
            states: self.states.iter().map(|word| LetterState::of(word)).collect::<Option<_>>()?,
            classes: self.classes.iter().map(|word| Class::of(word)).collect::<Option<_>>()?,
            causes: self.causes.iter().map(|word| Cause::of(word)).collect::<Option<_>>()?,
            queue: self.queue.clone(),
            upstream: self.upstream.clone(),
            route: self.route.clone(),
            since: self.since,
            until: self.until,
        })
    }

    /// Whether two jobs could come to the same letter.
    pub fn may_meet(&self, other: &SavedFilter) -> bool {
        let apart = |a: &Option<String>, b: &Option<String>| a.is_some() && b.is_some() && a != b;
        let named = !self.ids.is_empty() && !other.ids.is_empty() && self.ids.iter().all(|id| !other.ids.contains(id));
        !(named
            || apart(&self.queue, &other.queue)
            || apart(&self.upstream, &other.upstream)
            || apart(&self.route, &other.route))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(upstream: &str) -> SavedFilter {
        SavedFilter::from(&Filter { upstream: Some(upstream.to_owned()), ..Filter::default() })
    }

    #[test]
    fn a_filter_is_read_as_it_was_written_or_not_at_all() {
        let filter = Filter {
            ids: vec![LetterId::new(1, 2)],
            states: vec![LetterState::Open],
            classes: vec![Class::Unknown],
            causes: vec![Cause::Deadline],
            queue: Some("q".to_owned()),
            upstream: Some("u".to_owned()),
            route: Some("r".to_owned()),
            since: Some(1),
            until: Some(2),
        };
        let saved = SavedFilter::from(&filter);
        assert_eq!(saved.filter(), Some(filter));
        assert_eq!(SavedFilter { classes: vec!["other".to_owned()], ..saved }.filter(), None);
    }

    #[test]
    fn jobs_meet_unless_they_are_plainly_apart() {
        let all = SavedFilter::default();
        assert!(all.may_meet(&of("a")) && of("a").may_meet(&of("a")));
        assert!(!of("a").may_meet(&of("b")));
        let one = |id| SavedFilter::from(&Filter { ids: vec![LetterId::new(id, 0)], ..Filter::default() });
        assert!(!one(1).may_meet(&one(2)) && one(1).may_meet(&one(1)) && one(1).may_meet(&of("a")));
    }
}
