//! Which objects have a template of Pods, and where.

use super::Problem;
use super::edit::Editor;
use super::tree::{Document, Entry, Kind, Node};

/// An object that makes Pods, or is one.
#[derive(Debug)]
pub(super) struct Workload<'n> {
    pub document: &'n Document,
    pub object: &'n Node,
    /// What has the Pod's `metadata` and `spec`.
    pub template: &'n Node,
    pub pod_spec: &'n Node,
    pub kind: &'n str,
}

/// Kinds whose Pods we know, and the way to their template.
const KINDS: [(&str, &str, &[&str]); 7] = [
    ("v1", "Pod", &[]),
    ("apps/v1", "DaemonSet", &["spec", "template"]),
    ("apps/v1", "Deployment", &["spec", "template"]),
    ("apps/v1", "ReplicaSet", &["spec", "template"]),
    ("apps/v1", "StatefulSet", &["spec", "template"]),
    ("batch/v1", "CronJob", &["spec", "jobTemplate", "spec", "template"]),
    ("batch/v1", "Job", &["spec", "template"]),
];

/// The annotation that leaves a workload alone.
const INJECT: &str = "outrigger.dev/inject";

/// Lists in lists are not followed further.
const DEPTH_MAX: usize = 4;

/// What a document has for us.
#[derive(Debug, Default)]
pub(super) struct Found<'n> {
    pub workloads: Vec<Workload<'n>>,
    /// Those that say `outrigger.dev/inject: disabled`, by line and title.
    pub disabled: Vec<(usize, String)>,
}

/// All workloads of a document. What is none of ours, or has another API version, is not looked at.
pub(super) fn of<'n>(document: &'n Document, editor: &Editor<'_>) -> Result<Found<'n>, Problem> {
    let mut found = Found::default();
    if let Some(root) = &document.root {
        walk(document, root, editor, DEPTH_MAX, &mut found)?;
    }
    Ok(found)
}

fn walk<'n>(
    document: &'n Document,
    object: &'n Node,
    editor: &Editor<'_>,
    depth: usize,
    found: &mut Found<'n>,
) -> Result<(), Problem> {
    let (Some(api), Some(kind)) = (object.text_at("apiVersion"), object.text_at("kind")) else { return Ok(()) };
    if (api, kind) == ("v1", "List") && depth > 0 {
        let items = object.get("items").map(Node::items).unwrap_or_default();
        return items.iter().try_for_each(|item| walk(document, item, editor, depth - 1, found));
    }
    let Some((_, kind, path)) = KINDS.iter().find(|(a, k, _)| (*a, *k) == (api, kind)) else { return Ok(()) };
    // Before its structure is looked at: whoever is left alone may be written in any way.
    let loosely = path.iter().try_fold(object, |node, key| node.get(key));
    if [Some(object), loosely].into_iter().flatten().any(is_disabled) {
        found.disabled.push((editor.line(object.start), title(kind, object)));
        return Ok(());
    }
    let reader = Path { document, editor };
    let mut template = object;
    for key in *path {
        template = reader.map(template, key)?;
    }
    let pod_spec = reader.map(template, "spec")?;
    found.workloads.push(Workload { document, object, template, pod_spec, kind });
    Ok(())
}

fn annotations(node: &Node) -> Option<&Node> {
    node.get("metadata").and_then(|metadata| metadata.get("annotations"))
}

fn is_disabled(node: &Node) -> bool {
    annotations(node).and_then(|annotations| annotations.text_at(INJECT)) == Some("disabled")
}

/// `Deployment shop/checkout`.
fn title(kind: &str, object: &Node) -> String {
    let metadata = object.get("metadata");
    let text = |key| metadata.and_then(|metadata| metadata.text_at(key)).filter(|text| !text.is_empty());
    let name = text("name").or(text("generateName")).unwrap_or("without a name");
    match text("namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// Follows keys, and refuses what could not be changed without changing something else.
struct Path<'n, 'e, 't> {
    document: &'n Document,
    editor: &'e Editor<'t>,
}

impl<'n> Path<'n, '_, '_> {
    fn map(&self, from: &'n Node, key: &str) -> Result<&'n Node, Problem> {
        let problem = |at: &Node, what: String| self.editor.problem(self.document, at.start, what);
        let entry = entry(self.document, self.editor, from, key)?;
        let Some((_, Entry { value, .. })) = entry else {
            return Err(problem(from, format!("there is no `{key}` in it")));
        };
        match &value.kind {
            Kind::Map { .. } => Ok(value),
            Kind::Scalar { .. } | Kind::List { .. } | Kind::Alias => {
                Err(problem(value, format!("`{key}` has no keys")))
            }
        }
    }
}

/// The entry of a key, with its number. An alias, a merged mapping or a key that stands there twice is refused: changing
/// it would change something else.
pub(super) fn entry<'n>(
    document: &Document,
    editor: &Editor<'_>,
    map: &'n Node,
    key: &str,
) -> Result<Option<(usize, &'n Entry)>, Problem> {
    let problem = |at: &Node, what: String| Err(editor.problem(document, at.start, what));
    if document.is_shared(map) {
        return problem(map, "another place refers to this one (`*`), and would change with it; write both out".into());
    }
    if let Some(merge) = map.entries().iter().find(|entry| entry.key.text() == Some("<<")) {
        return problem(&merge.key, "keys are merged here (`<<`); write them out".into());
    }
    let mut found = map.entries().iter().enumerate().filter(|(_, entry)| entry.key.text() == Some(key));
    let first = found.next();
    if let Some((_, second)) = found.next() {
        return problem(&second.key, format!("`{key}` stands here twice"));
    }
    match first {
        Some((_, Entry { value, .. })) if matches!(value.kind, Kind::Alias) => {
            problem(value, format!("`{key}` is a reference (`*`); write it out"))
        }
        Some((_, entry)) if document.is_shared(&entry.value) => problem(
            &entry.key,
            format!("another place refers to this `{key}` (`*`), and would change with it; write both out"),
        ),
        first => Ok(first),
    }
}

impl Workload<'_> {
    pub fn title(&self) -> String {
        title(self.kind, self.object)
    }

    /// Annotations of the object and of its Pods; the latter come last.
    pub fn annotations(&self) -> Vec<&Node> {
        [self.object, self.template].into_iter().filter_map(annotations).collect()
    }

    /// The grace period of its Pods, in seconds.
    pub fn grace_seconds(&self) -> u32 {
        let stated = self.pod_spec.text_at("terminationGracePeriodSeconds").and_then(|text| text.parse().ok());
        stated.unwrap_or(30)
    }

    /// A list of the Pod by names: which items have one of these.
    pub fn named(&self, list: &str, names: &[&str]) -> Vec<usize> {
        let items = self.pod_spec.get(list).map(Node::items).unwrap_or_default();
        let is_named = |item: &Node| item.text_at("name").is_some_and(|name| names.contains(&name));
        items.iter().enumerate().filter(|(_, item)| is_named(item)).map(|(index, _)| index).collect()
    }
}
