//! What happens again and again becomes one line of the journal a minute, with a count.
//!
//! A breaker that flaps, or a name that resolves and does not, could fill journal and page within minutes and push out
//! what an operator looks for. The first few of each kind and upstream are written as they come, further ones within
//! the same minute are counted, and the count is written when the minute ends. While it goes on, one line a minute is
//! all there is. The file is never rewritten.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::policy::journal::{ChangeKind, Entry};

/// How long alike ones are counted together.
const SPAN: Duration = Duration::from_secs(60);
/// So many of the same words are written as they come.
const WHOLE: u32 = 3;
/// Words that are told apart in one row; the others are counted together.
const WORDS_MAX: usize = 8;
/// Rows at once. Beyond it the one that ends first ends at once.
const ROWS_MAX: usize = 512;

/// Something that may happen again.
#[derive(Clone, Debug)]
pub struct Repeatable {
    /// What it is alone.
    pub entry: Entry,
    /// What tells it from others of its kind, such as `closed -> open`.
    pub words: String,
}

/// What happened within the last minute.
#[derive(Debug, Default)]
pub struct Rows(HashMap<(ChangeKind, String), Row>);

#[derive(Debug)]
struct Row {
    ends: Instant,
    /// How often each of the words came.
    seen: Vec<(String, u32)>,
    /// How many were not written.
    folded: u32,
    last: String,
}

impl Rows {
    /// Takes one in. What it gives back is to be written now.
    pub fn take(&mut self, now: Instant, told: Repeatable) -> Vec<Entry> {
        let Repeatable { entry, words } = told;
        let key = (entry.kind, entry.upstream.clone().unwrap_or_default());
        let mut written = Vec::new();
        if self.0.len() >= ROWS_MAX && !self.0.contains_key(&key) {
            let first = self.0.iter().min_by_key(|(_, row)| row.ends).map(|(key, _)| key.clone());
            written.extend(first.and_then(|key| self.0.remove_entry(&key)).and_then(|(key, row)| row.summary(&key)));
        }
        let row = self.0.entry(key).or_insert_with(|| Row::new(now));
        row.last = entry.effect.first().cloned().unwrap_or_default();
        if row.count(words) <= WHOLE {
            written.push(entry);
        } else {
            row.folded += 1;
        }
        written
    }

    /// The rows that have ended. A row with a count goes on: what comes next is counted, not written.
    pub fn ended(&mut self, now: Instant) -> Vec<Entry> {
        let mut written = Vec::new();
        self.0.retain(|key, row| {
            if now < row.ends {
                return true;
            }
            let summary = row.summary(key);
            let goes_on = summary.is_some();
            written.extend(summary);
            (row.ends, row.folded) = (now + SPAN, 0);
            row.seen.iter_mut().for_each(|(_, times)| *times = WHOLE);
            goes_on
        });
        written
    }

    /// All that is still counted, because the process ends.
    pub fn finish(&mut self) -> Vec<Entry> {
        self.0.drain().filter_map(|(key, row)| row.summary(&key)).collect()
    }

    /// When the next row ends.
    pub fn next_end(&self) -> Option<Instant> {
        self.0.values().map(|row| row.ends).min()
    }
}

impl Row {
    fn new(now: Instant) -> Row {
        Row { ends: now + SPAN, seen: Vec::new(), folded: 0, last: String::new() }
    }

    /// How often these words came, this time included.
    fn count(&mut self, words: String) -> u32 {
        let known = self.seen.iter().position(|(seen, _)| *seen == words);
        let at = match known {
            Some(at) => at,
            None if self.seen.len() < WORDS_MAX => {
                self.seen.push((words, 0));
                self.seen.len() - 1
            }
            None => WORDS_MAX - 1,
        };
        self.seen.get_mut(at).map_or(WHOLE + 1, |(_, times)| {
            *times = times.saturating_add(1);
            *times
        })
    }

    fn summary(&self, (kind, upstream): &(ChangeKind, String)) -> Option<Entry> {
        let what = match (kind, self.folded) {
            (_, 0) => return None,
            (ChangeKind::Breaker, 1) => "more change of the circuit",
            (ChangeKind::Breaker, _) => "more changes of the circuit",
            (ChangeKind::Ejection, 1) => "more ejection",
            (ChangeKind::Ejection, _) => "more ejections",
            (_, 1) => "more change of this kind",
            (_, _) => "more changes of this kind",
        };
        let upstream = Some(upstream.as_str()).filter(|name| !name.is_empty());
        let subject = upstream.map(|name| format!("{name}: ")).unwrap_or_default();
        let line = format!("{subject}{} {what} within a minute; the last one: {}", self.folded, self.last);
        Some(Entry::by_itself(*kind, upstream, line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flip(words: &str) -> Repeatable {
        let line = format!("payments: circuit {words}");
        Repeatable { entry: Entry::by_itself(ChangeKind::Breaker, Some("payments"), line), words: words.to_owned() }
    }

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn a_breaker_that_flaps_for_an_hour_writes_a_few_lines_and_then_one_a_minute() {
        let (t0, mut rows, mut written) = (Instant::now(), Rows::default(), Vec::new());
        for second in 0..3_600 {
            let now = t0 + seconds(second);
            written.extend(rows.ended(now));
            for words in ["closed -> open", "open -> half-open", "half-open -> closed"] {
                written.extend(rows.take(now, flip(words)));
            }
        }
        assert_eq!(written.len(), 3 * 3 + 59);
        let last = written.last().unwrap();
        assert!(last.effect[0].contains("180 more changes of the circuit within a minute"), "{last:?}");
        assert!(last.effect[0].ends_with("the last one: payments: circuit half-open -> closed"), "{last:?}");
        assert_eq!(rows.0.len(), 1);
    }

    #[test]
    fn what_happens_now_and_then_is_written_as_it_is_and_soon_forgotten() {
        let (t0, mut rows) = (Instant::now(), Rows::default());
        for minute in 0..10 {
            let now = t0 + seconds(61 * minute);
            assert!(rows.ended(now).is_empty());
            assert_eq!(rows.take(now, flip("closed -> open")).len(), 1);
        }
        rows.ended(t0 + seconds(3_600));
        assert_eq!(rows.next_end(), None, "nothing is kept");
    }

    #[test]
    fn the_end_of_the_process_loses_no_count() {
        let (t0, mut rows) = (Instant::now(), Rows::default());
        (0..5).for_each(|_| drop(rows.take(t0, flip("closed -> open"))));
        let finished = rows.finish();
        assert_eq!(finished.len(), 1);
        assert!(finished[0].effect[0].starts_with("payments: 2 more changes"), "{finished:?}");
    }

    #[test]
    fn however_many_upstreams_flap_memory_is_bounded_and_nothing_is_lost() {
        let (t0, mut rows) = (Instant::now(), Rows::default());
        let mut written = Vec::new();
        for upstream in 0..ROWS_MAX + 100 {
            for _ in 0..WHOLE + 1 {
                let mut told = flip("closed -> open");
                told.entry.upstream = Some(format!("up{upstream}"));
                written.extend(rows.take(t0, told));
            }
        }
        assert_eq!(rows.0.len(), ROWS_MAX);
        written.extend(rows.finish());
        assert_eq!(written.len(), (ROWS_MAX + 100) * (WHOLE as usize + 1), "each upstream has its count");
    }

    #[test]
    fn words_without_end_are_counted_together() {
        let (t0, mut rows) = (Instant::now(), Rows::default());
        let written: usize = (0..1_000).map(|number| rows.take(t0, flip(&number.to_string())).len()).sum();
        assert!(written <= WORDS_MAX + WHOLE as usize, "{written}");
    }
}
