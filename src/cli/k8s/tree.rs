//! YAML as it stands in the file: every node with the bytes it takes, so that a change touches nothing else.

use std::collections::HashSet;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StrInput, StructureStyle};

use super::Problem;

/// Nodes read at most, over all documents: far above what a cluster accepts in one object.
const NODES_MAX: usize = 2_000_000;

/// One document of a stream.
#[derive(Debug)]
pub(super) struct Document {
    /// 1 is the first.
    pub number: usize,
    pub root: Option<Node>,
    /// Anchors that something refers to: whoever changes such a node changes other places as well.
    shared: HashSet<usize>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub kind: Kind,
    /// Where it begins: the first key of a block, the bracket of a flow collection.
    pub start: usize,
    /// Behind its last byte, without the line break.
    pub end: usize,
    anchor: usize,
}

#[derive(Debug)]
pub(super) enum Kind {
    Scalar { text: String, plain: bool },
    List { items: Vec<Node>, flow: bool },
    Map { entries: Vec<Entry>, flow: bool },
    Alias,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub key: Node,
    pub value: Node,
}

impl Entry {
    pub fn end(&self) -> usize {
        self.key.end.max(self.value.end)
    }
}

impl Node {
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::List { .. } | Kind::Map { .. } | Kind::Alias => None,
        }
    }

    /// `key:` without a value, `null`, or `~`.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if ["", "~", "null", "Null", "NULL"].contains(&text.as_str()))
    }

    /// Nothing in it: the same to Kubernetes as if it were missing.
    pub fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Scalar { .. } => self.is_null(),
            Kind::List { items, .. } => items.is_empty(),
            Kind::Map { entries, .. } => entries.is_empty(),
            Kind::Alias => false,
        }
    }

    /// The entries of a mapping; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map { entries, .. } => entries,
            Kind::Scalar { .. } | Kind::List { .. } | Kind::Alias => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List { items, .. } => items,
            Kind::Scalar { .. } | Kind::Map { .. } | Kind::Alias => &[],
        }
    }

    /// What stands at `key` the first time, however it is written.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key.text() == Some(key)).map(|entry| &entry.value)
    }

    /// A string at `key`.
    pub fn text_at(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Node::text)
    }

    /// Whether both mean the same, however they are written; what is empty is as good as missing.
    pub fn means(&self, other: &Node) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Scalar { text: a, plain: p }, Kind::Scalar { text: b, plain: q }) => a == b && p == q,
            (Kind::List { items: a, .. }, Kind::List { items: b, .. }) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.means(b))
            }
            (Kind::Map { entries: a, .. }, Kind::Map { entries: b, .. }) => {
                let full = |entries: &'_ [Entry]| entries.iter().filter(|entry| !bare(&entry.value)).count();
                full(a) == full(b)
                    && a.iter().filter(|entry| !bare(&entry.value)).all(|entry| {
                        let same = |other: &&Entry| other.key.means(&entry.key);
                        b.iter().find(same).is_some_and(|other| other.value.means(&entry.value))
                    })
            }
            (Kind::Alias, Kind::Alias) => true,
            _ => false,
        }
    }
}

/// Empty to any depth.
fn bare(node: &Node) -> bool {
    node.is_empty() || (!node.entries().is_empty() && node.entries().iter().all(|entry| bare(&entry.value)))
}

impl Document {
    /// Whether another place of the document repeats this node.
    pub fn is_shared(&self, node: &Node) -> bool {
        self.shared.contains(&node.anchor)
    }

    /// The same documents, whatever they look like.
    pub fn means(&self, other: &Document) -> bool {
        match (&self.root, &other.root) {
            (Some(a), Some(b)) => a.means(b),
            (None, None) => true,
            _ => false,
        }
    }
}

/// The documents of `text`.
pub(super) fn read(text: &str) -> Result<Vec<Document>, Problem> {
    let mut reader = Reader { text, events: Parser::new_from_str(text), number: 0, nodes: 0, aliases: HashSet::new() };
    let mut documents = Vec::new();
    while let Some((event, _)) = reader.next()? {
        if matches!(event, Event::DocumentStart(..)) {
            reader.number += 1;
            let root = match reader.node()? {
                Read::Node(node) => Some(node),
                Read::End(_) => None,
            };
            documents.push(Document { number: reader.number, root, shared: std::mem::take(&mut reader.aliases) });
        }
    }
    Ok(documents)
}

struct Reader<'t> {
    text: &'t str,
    events: Parser<'t, StrInput<'t>>,
    number: usize,
    nodes: usize,
    aliases: HashSet<usize>,
}

enum Read {
    Node(Node),
    /// The collection or the document ends; what comes behind it begins here.
    End(usize),
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Problem> {
        let problem = |error: granit_parser::ScanError| Problem {
            document: self.number.max(1),
            line: error.marker().line(),
            what: format!("this is not YAML: {error}"),
        };
        self.events.next().transpose().map_err(problem)
    }

    // The parser bounds the depth: 255 blocks, and 255 brackets in the innermost.
    fn node(&mut self) -> Result<Read, Problem> {
        let Some((event, span)) = self.next()? else { return Ok(Read::End(self.text.len())) };
        let (start, end) = (offset(span.start), offset(span.end));
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let what = format!("there are more than {NODES_MAX} values; cut the input into several files");
            return Err(Problem { document: self.number, line: span.start.line(), what });
        }
        let (kind, end, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let end = self.content_end(style, &text, start, end);
                // A missing value is reported as `~` that takes no bytes.
                let text = if plain && start == end { String::new() } else { text.into_owned() };
                (Kind::Scalar { text, plain }, end, anchor)
            }
            Event::SequenceStart(style, anchor, _) => {
                let flow = style == StructureStyle::Flow;
                let (items, closed) = self.items()?;
                let last = items.last().map_or(start, |item| item.end);
                (Kind::List { items, flow }, if flow { closed } else { last }, anchor)
            }
            Event::MappingStart(style, anchor, _) => {
                let flow = style == StructureStyle::Flow;
                let (entries, closed) = self.entries()?;
                let last = entries.last().map_or(start, Entry::end);
                (Kind::Map { entries, flow }, if flow { closed } else { last }, anchor)
            }
            Event::Alias(id) => {
                self.aliases.insert(id);
                (Kind::Alias, end, 0)
            }
            _ => return Ok(Read::End(end)),
        };
        Ok(Read::Node(Node { kind, start, end, anchor }))
    }

    fn items(&mut self) -> Result<(Vec<Node>, usize), Problem> {
        let mut items = Vec::new();
        loop {
            match self.node()? {
                Read::Node(item) => items.push(item),
                Read::End(end) => return Ok((items, end)),
            }
        }
    }

    fn entries(&mut self) -> Result<(Vec<Entry>, usize), Problem> {
        let mut entries = Vec::new();
        loop {
            let key = match self.node()? {
                Read::Node(key) => key,
                Read::End(end) => return Ok((entries, end)),
            };
            match self.node()? {
                Read::Node(value) => entries.push(Entry { key, value }),
                Read::End(end) => return Ok((entries, end)),
            }
        }
    }

    /// Block text is reported with the empty lines behind it; they belong to it only if it says so (`|+`).
    fn content_end(&self, style: ScalarStyle, value: &str, start: usize, end: usize) -> usize {
        match style {
            ScalarStyle::Literal | ScalarStyle::Folded if value.is_empty() => start,
            ScalarStyle::Literal | ScalarStyle::Folded if !value.ends_with("\n\n") => {
                let text = self.text.get(start..end).unwrap_or_default();
                start + text.trim_end().len()
            }
            _ => end,
        }
    }
}

/// The parser knows bytes wherever it reads from a string.
fn offset(marker: Marker) -> usize {
    marker.byte_offset().unwrap_or_default()
}
