//! Changes to a text, found in its tree: lines are added and taken away, and nothing else moves.

use super::Problem;
use super::block::{Layout, Value, json, quoted};
use super::tree::{Document, Entry, Kind, Node};

/// Where something new goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    First,
    Last,
    /// Before the entry of this number, and before the comment above it.
    Before(usize),
}

#[derive(Debug)]
struct Edit {
    at: usize,
    remove: usize,
    text: String,
    /// Of two changes at one place, the deeper one belongs to what ends there, and comes first.
    depth: usize,
}

/// The changes to one text.
#[derive(Debug)]
pub(super) struct Editor<'t> {
    text: &'t str,
    newline: &'static str,
    edits: Vec<Edit>,
}

impl<'t> Editor<'t> {
    pub fn new(text: &'t str) -> Self {
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Editor { text, newline, edits: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The text with all changes.
    pub fn finish(mut self) -> String {
        self.edits.sort_by(|a, b| (a.at, b.depth).cmp(&(b.at, a.depth)));
        let mut out = String::with_capacity(self.text.len() + self.edits.iter().map(|e| e.text.len()).sum::<usize>());
        let mut done = 0;
        for edit in &self.edits {
            out.push_str(self.text.get(done..edit.at).unwrap_or_default());
            out.push_str(&edit.text);
            done = done.max(edit.at + edit.remove);
        }
        out.push_str(self.text.get(done..).unwrap_or_default());
        // A file whose last line has no end keeps it so, also when that line is taken away.
        if !self.text.ends_with('\n') {
            out.truncate(out.strip_suffix(self.newline).unwrap_or(&out).len());
        }
        out
    }

    /// The line that holds this byte, counted from 1.
    pub fn line(&self, at: usize) -> usize {
        self.text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
    }

    pub fn problem(&self, document: &Document, at: usize, what: impl Into<String>) -> Problem {
        Problem { document: document.number, line: self.line(at), what: what.into() }
    }

    fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |found| found + 1)
    }

    /// Behind the line break of the line in which something ends.
    fn after(&self, end: usize) -> usize {
        if end > 0 && self.text.get(..end).is_some_and(|before| before.ends_with('\n')) {
            return end;
        }
        self.text.get(end..).and_then(|rest| rest.find('\n')).map_or(self.text.len(), |found| end + found + 1)
    }

    /// Bytes before it on its line.
    pub fn column(&self, at: usize) -> usize {
        at - self.line_start(at)
    }

    /// Whether nothing but blanks stands before it on its line.
    fn begins_line(&self, at: usize) -> bool {
        self.text.get(self.line_start(at)..at).is_some_and(|before| before.bytes().all(|byte| byte == b' '))
    }

    /// Above the comment lines that stand directly over this line with the same indentation.
    fn above_comments(&self, at: usize) -> usize {
        let (mut start, column) = (self.line_start(at), self.column(at));
        while start > 0 {
            let above = self.line_start(start - 1);
            let line = self.text.get(above..start).unwrap_or_default();
            let blanks = line.len() - line.trim_start_matches(' ').len();
            if blanks != column || !line.trim_start().starts_with('#') {
                break;
            }
            start = above;
        }
        start
    }

    fn insert_lines(&mut self, at: usize, depth: usize, mut lines: String) {
        // The last line of a file may have no end: then it gets one, and ours does not.
        if at == self.text.len() && !self.text.is_empty() && !self.text.ends_with('\n') {
            let bare = lines.trim_end_matches(['\r', '\n']).len();
            lines.truncate(bare);
            lines.insert_str(0, self.newline);
        }
        self.edits.push(Edit { at, remove: 0, text: lines, depth });
    }

    /// Between brackets: behind what stands before, with a comma.
    fn insert_in_brackets(&mut self, collection: &Node, before: Option<&Node>, last: Option<usize>, text: &str) {
        let (at, text) = match (before, last) {
            (Some(first), _) => (first.start, format!("{text},{}", self.gap(first.start))),
            (None, Some(end)) => {
                let sample = collection.entries().last().map(|entry| entry.key.start);
                let sample = sample.or_else(|| collection.items().last().map(|item| item.start)).unwrap_or(end);
                (end, format!(",{}{text}", self.gap(sample)))
            }
            (None, None) => (collection.start + 1, text.to_owned()),
        };
        self.edits.push(Edit { at, remove: 0, text, depth: self.column(collection.start) });
    }

    /// What separates from a neighbour that begins here: a line of one's own if it has one.
    fn gap(&self, at: usize) -> String {
        if self.begins_line(at) { format!("{}{}", self.newline, " ".repeat(self.column(at))) } else { " ".to_owned() }
    }

    /// Adds entries to a mapping.
    pub fn add_entries(&mut self, to: &Node, place: Place, list_indent: usize, new: &[(&str, Value)]) {
        let entries = to.entries();
        match (&to.kind, entries) {
            _ if new.is_empty() => {}
            (Kind::Map { flow: false, .. }, [first, ..]) => {
                let layout = Layout { column: self.column(first.key.start), list_indent, newline: self.newline };
                let before = match place {
                    Place::First => entries.first(),
                    Place::Before(index) => entries.get(index),
                    Place::Last => None,
                };
                let at = match before.filter(|entry| self.begins_line(entry.key.start)) {
                    Some(entry) => self.above_comments(entry.key.start),
                    None => self.after(to.end),
                };
                let lines = new.iter().map(|(key, value)| layout.entry(key, value)).collect();
                self.insert_lines(at, 2 * layout.column, lines);
            }
            _ => {
                let new = new.iter().map(|(key, value)| format!("{}: {}", quoted(key), json(value)));
                let text = new.collect::<Vec<_>>().join(", ");
                self.insert_in_brackets(to, None, entries.last().map(Entry::end), &text);
            }
        }
    }

    /// Gives a value to a key that has none: `key:`, or `key: null`.
    pub fn fill(&mut self, map: &Node, entry: &Entry, list_indent: usize, value: &Value) {
        let Some(first) = map.entries().first() else { return };
        if matches!(map.kind, Kind::Map { flow: true, .. }) {
            let (at, remove) = (entry.value.start, entry.value.end - entry.value.start);
            let blank = if remove == 0 { " " } else { "" };
            self.edits.push(Edit { at, remove, text: format!("{blank}{}", json(value)), depth: 0 });
            return;
        }
        let column = self.column(first.key.start);
        let layout = Layout { column, list_indent, newline: self.newline };
        let lines = layout.entry("k", value);
        // The key stands there already.
        let (_, lines) = lines.split_once(self.newline).unwrap_or_default();
        let (start, end) = (entry.value.start, entry.value.end);
        if end > start {
            // With the blanks before it: a line ends in none.
            let start = self.text.get(..start).unwrap_or_default().trim_end_matches(' ').len();
            self.cut(start, end);
        }
        self.insert_lines(self.after(entry.end()), 2 * column + 1, lines.to_owned());
    }

    /// Adds items to a list. `None` = the list is written in a way that cannot be added to.
    pub fn add_items(&mut self, to: &Node, place: Place, list_indent: usize, new: &[Value]) -> Option<()> {
        let items = to.items();
        match (&to.kind, items.first()) {
            _ if new.is_empty() => {}
            (Kind::List { flow: false, .. }, Some(first)) => {
                let dash = self.dash(first)?;
                let layout = Layout { column: self.column(dash), list_indent, newline: self.newline };
                let at = if place == Place::First { self.above_comments(dash) } else { self.after(to.end) };
                // An item may stand in the column of the next key.
                let lines = new.iter().map(|value| layout.item(value)).collect();
                self.insert_lines(at, 2 * layout.column + 1, lines);
            }
            (Kind::List { flow: true, .. }, first) => {
                let before = first.filter(|_| place == Place::First);
                let text = new.iter().map(json).collect::<Vec<_>>().join(", ");
                self.insert_in_brackets(to, before, items.last().map(|item| item.end), &text);
            }
            _ => return None,
        }
        Some(())
    }

    /// The dash of an item, if it is the first thing on its line.
    pub fn dash(&self, item: &Node) -> Option<usize> {
        let before = self.text.get(..item.start)?.trim_end();
        let dash = before.len().checked_sub(1).filter(|_| before.ends_with('-'))?;
        self.begins_line(dash).then_some(dash)
    }

    /// Takes whole entries away.
    pub fn remove_entries(&mut self, from: &Node, which: &[usize]) {
        let spans: Vec<(usize, usize)> = from.entries().iter().map(|entry| (entry.key.start, entry.end())).collect();
        if matches!(from.kind, Kind::Map { flow: true, .. }) {
            return self.remove_in_brackets(&spans, which);
        }
        which.iter().filter_map(|index| spans.get(*index)).for_each(|(start, end)| self.remove_lines(*start, *end));
    }

    /// Takes items away. `None` = the list is written in a way that cannot be taken from.
    pub fn remove_items(&mut self, from: &Node, which: &[usize]) -> Option<()> {
        let spans: Vec<(usize, usize)> = from.items().iter().map(|item| (item.start, item.end)).collect();
        if matches!(from.kind, Kind::List { flow: true, .. }) {
            self.remove_in_brackets(&spans, which);
            return Some(());
        }
        for item in which.iter().filter_map(|index| from.items().get(*index)) {
            self.remove_lines(self.dash(item)?, item.end);
        }
        Some(())
    }

    fn remove_lines(&mut self, start: usize, end: usize) {
        self.cut(self.line_start(start), self.after(end));
    }

    /// With the commas that separate: those before them, and at the front the one behind.
    fn remove_in_brackets(&mut self, spans: &[(usize, usize)], which: &[usize]) {
        let mut previous = None;
        let mut pending = None;
        for (index, (start, end)) in spans.iter().enumerate() {
            if which.contains(&index) {
                let from = pending.map_or(previous.unwrap_or(*start), |(from, _)| from);
                pending = Some((from, *end));
                continue;
            }
            if let Some((from, to)) = pending.take() {
                self.cut(from, if previous.is_some() { to } else { *start });
            }
            previous = Some(*end);
        }
        if let Some((from, to)) = pending {
            self.cut(from, to);
        }
    }

    fn cut(&mut self, from: usize, to: usize) {
        self.edits.push(Edit { at: from, remove: to.saturating_sub(from), text: String::new(), depth: 0 });
    }
}
