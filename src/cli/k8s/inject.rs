//! Adds the sidecar to a workload, and takes it away again.

use super::Problem;
use super::block::{Value, text};
use super::edit::{Editor, Place};
use super::settings::{Settings, State};
use super::sidecar;
use super::tree::{Entry, Kind, Node};
use super::workload::{Workload, entry};

/// What became of a workload.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// What to know about it besides.
    Added(Vec<String>),
    Removed,
    /// Why nothing was done.
    Left(&'static str),
}

/// Words of the annotation that says what was added; the others are names of volumes.
const LABEL_ADDED: &str = "label";
const SCRAPE_ADDED: &str = "scrape";

/// An entry with its number, or none.
type Found<'n> = Option<(usize, &'n Entry)>;

pub(super) fn add(workload: &Workload<'_>, flags: &Settings, editor: &mut Editor<'_>) -> Result<Outcome, Problem> {
    let wanted = flags.annotated(&workload.annotations());
    let settings = wanted.map_err(|(at, what)| editor.problem(workload.document, at.start, what))?;
    let present = |list| !workload.named(list, &[sidecar::NAME]).is_empty();
    if present("initContainers") || present("containers") {
        return Ok(Outcome::Left("there is a container `outrigger` already; --uninject takes it away"));
    }
    let mut pod = Pod { workload, editor };
    let Some((containers_at, containers)) = pod.entry(workload.pod_spec, "containers")? else {
        return Err(pod.problem(workload.pod_spec, "there are no `containers` in it"));
    };
    if containers.value.items().is_empty() {
        return Err(pod.problem(&containers.value, "`containers` is no list of containers"));
    }
    let style = pod.list_indent(containers);
    let claim = claim_of_set(workload, &settings.state);
    let state_volume = match &settings.state {
        State::None => None,
        State::EmptyDir | State::Claim(_) => Some(claim.unwrap_or(sidecar::STATE_VOLUME)),
    };
    let container = sidecar::container(&settings, workload.grace_seconds(), state_volume);
    if settings.plain {
        pod.items(containers, Place::Last, style, &[container])?;
    } else {
        let found = pod.entry(workload.pod_spec, "initContainers")?;
        pod.list(found, "initContainers", Place::Before(containers_at), Place::First, style, vec![container])?;
    }
    let mut missing = sidecar::volumes(&settings, claim.is_none());
    // A volume of this name that is there already is meant for us.
    missing.retain(|(name, _)| workload.named("volumes", &[name]).is_empty());
    let (names, missing): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
    let found = pod.entry(workload.pod_spec, "volumes")?;
    pod.list(found, "volumes", Place::Last, Place::Last, style, missing)?;
    pod.metadata(style, &names)?;
    Ok(Outcome::Added(notes(workload, &settings, claim.is_some())))
}

/// A claim that a StatefulSet makes for each of its Pods.
fn claim_of_set<'s>(workload: &Workload<'_>, state: &'s State) -> Option<&'s str> {
    let State::Claim(name) = state else { return None };
    let claims = workload.object.get("spec").and_then(|spec| spec.get("volumeClaimTemplates"))?;
    let named = |claim: &Node| claim.get("metadata").and_then(|metadata| metadata.text_at("name")) == Some(name);
    claims.items().iter().any(named).then_some(name.as_str())
}

/// What is worth knowing, where Kubernetes would say nothing.
fn notes(workload: &Workload<'_>, settings: &Settings, own_claim: bool) -> Vec<String> {
    let mut notes = Vec::new();
    let spec = workload.pod_spec;
    let replicas = workload.object.get("spec").and_then(|spec| spec.text_at("replicas")).unwrap_or("1");
    match &settings.state {
        State::None => {}
        State::EmptyDir => notes.push(
            "the state dies with the Pod: enough for the history of changes, not for dead letters or idempotency keys"
                .to_owned(),
        ),
        State::Claim(name) => {
            if !own_claim && replicas != "1" {
                notes.push(format!(
                    "{replicas} replicas would open the store on {name}, and it belongs to one process at a time: use a \
                     StatefulSet with a volumeClaimTemplate of that name"
                ));
            }
            let group = spec.get("securityContext").and_then(|context| context.get("fsGroup"));
            if group.is_none() {
                notes.push(format!("{name} must be writable by user 65532: set securityContext.fsGroup of the Pod"));
            }
        }
    }
    if spec.text_at("hostNetwork") == Some("true") {
        notes.push("with hostNetwork its ports are the node's: two such Pods do not fit on one".to_owned());
    }
    if settings.plain && ["Job", "CronJob"].contains(&workload.kind) {
        notes.push("an ordinary container keeps a Job running for ever: leave --plain out".to_owned());
    }
    notes
}

pub(super) fn remove(workload: &Workload<'_>, editor: &mut Editor<'_>) -> Result<Outcome, Problem> {
    let annotations = workload.template.get("metadata").and_then(|metadata| metadata.get("annotations"));
    let Some(added) = annotations.and_then(|annotations| annotations.text_at(sidecar::INJECTED)) else {
        return Ok(Outcome::Left("it was not injected: there is no annotation outrigger.dev/injected on its Pods"));
    };
    let added: Vec<&str> = added.split(' ').skip(1).collect();
    let mut pod = Pod { workload, editor };
    for (list, names) in
        [("initContainers", &[sidecar::NAME][..]), ("containers", &[sidecar::NAME]), ("volumes", added.as_slice())]
    {
        pod.remove_named(list, names)?;
    }
    pod.remove_metadata(&added)?;
    Ok(Outcome::Removed)
}

/// A workload that is being changed.
struct Pod<'n, 'e, 't> {
    workload: &'n Workload<'n>,
    editor: &'e mut Editor<'t>,
}

impl<'n> Pod<'n, '_, '_> {
    fn problem(&self, at: &Node, what: impl Into<String>) -> Problem {
        self.editor.problem(self.workload.document, at.start, what)
    }

    fn entry(&self, map: &'n Node, key: &str) -> Result<Found<'n>, Problem> {
        entry(self.workload.document, self.editor, map, key)
    }

    /// How far this file indents the items of lists.
    fn list_indent(&self, list: &Entry) -> usize {
        let dash = list.value.items().first().and_then(|item| self.editor.dash(item));
        let column = |at| self.editor.column(at);
        dash.map_or(2, |dash| column(dash).saturating_sub(column(list.key.start)))
    }

    fn items(&mut self, list: &Entry, place: Place, style: usize, values: &[Value]) -> Result<(), Problem> {
        let what = "this list is written in a way that cannot be added to; give every item a line of its own";
        let problem = self.problem(&list.value, what);
        self.editor.add_items(&list.value, place, style, values).ok_or(problem)
    }

    /// Adds to a list of the Pod spec, which may not be there yet.
    fn list(
        &mut self,
        found: Found<'_>,
        key: &str,
        place: Place,
        place_in_list: Place,
        style: usize,
        values: Vec<Value>,
    ) -> Result<(), Problem> {
        let spec = self.workload.pod_spec;
        match found {
            _ if values.is_empty() => {}
            None => self.editor.add_entries(spec, place, style, &[(key, Value::List(values))]),
            Some((_, entry)) if entry.value.is_null() => self.editor.fill(spec, entry, style, &Value::List(values)),
            Some((_, entry)) => {
                if !matches!(entry.value.kind, Kind::List { .. }) {
                    return Err(self.problem(&entry.value, format!("`{key}` is no list")));
                }
                self.items(entry, place_in_list, style, &values)?;
            }
        }
        Ok(())
    }

    /// Label and annotations of the Pods. The last annotation says what was added, so that it can be taken away.
    fn metadata(&mut self, style: usize, volumes: &[&str]) -> Result<(), Problem> {
        let template = self.workload.template;
        let present = |key: &str| template.get("metadata").and_then(|metadata| metadata.get(key));
        let mut labels = Vec::new();
        let mut added = vec![env!("CARGO_PKG_VERSION")];
        if present("labels").is_none_or(|labels| labels.get(sidecar::LABEL).is_none()) {
            labels.push((sidecar::LABEL, text("true")));
            added.push(LABEL_ADDED);
        }
        let mut annotations = Vec::new();
        let keys = present("annotations").map(Node::entries).unwrap_or_default().iter();
        // They name one port per Pod: where the app uses them, they stay the app's.
        if !keys.filter_map(|entry| entry.key.text()).any(|key| key.starts_with("prometheus.io/")) {
            annotations.extend(sidecar::SCRAPE.map(|(key, value)| (key, text(value))));
            added.push(SCRAPE_ADDED);
        }
        added.extend(volumes);
        annotations.push((sidecar::INJECTED, text(added.join(" "))));
        let groups = [("labels", labels), ("annotations", annotations)];
        let groups: Vec<_> = groups.into_iter().filter(|(_, entries)| !entries.is_empty()).collect();
        let metadata = match self.entry(template, "metadata")? {
            Some((_, entry)) if !entry.value.is_null() => &entry.value,
            found => {
                let value = Value::Map(groups.into_iter().map(|(key, entries)| (key, Value::Map(entries))).collect());
                match found {
                    Some((_, entry)) => self.editor.fill(template, entry, style, &value),
                    None => {
                        let spec = self.entry(template, "spec")?.map_or(Place::Last, |(at, _)| Place::Before(at));
                        self.editor.add_entries(template, spec, style, &[("metadata", value)]);
                    }
                }
                return Ok(());
            }
        };
        let mut missing = Vec::new();
        for (key, entries) in groups {
            match self.entry(metadata, key)? {
                None => missing.push((key, Value::Map(entries))),
                Some((_, entry)) if entry.value.is_null() => {
                    self.editor.fill(metadata, entry, style, &Value::Map(entries));
                }
                Some((_, entry)) => self.editor.add_entries(&entry.value, Place::Last, style, &entries),
            }
        }
        self.editor.add_entries(metadata, Place::Last, style, &missing);
        Ok(())
    }

    fn remove_named(&mut self, list: &str, names: &[&str]) -> Result<(), Problem> {
        let which = self.workload.named(list, names);
        let Some((at, entry)) = self.entry(self.workload.pod_spec, list)?.filter(|_| !which.is_empty()) else {
            return Ok(());
        };
        if which.len() == entry.value.items().len() {
            self.editor.remove_entries(self.workload.pod_spec, &[at]);
            return Ok(());
        }
        let problem = self.problem(&entry.value, "this list is written in a way that cannot be taken from");
        self.editor.remove_items(&entry.value, &which).ok_or(problem)
    }

    fn remove_metadata(&mut self, added: &[&str]) -> Result<(), Problem> {
        let template = self.workload.template;
        let Some((at, metadata)) = self.entry(template, "metadata")? else { return Ok(()) };
        let ours = |key: &str| {
            key == sidecar::INJECTED
                || (key == sidecar::LABEL && added.contains(&LABEL_ADDED))
                || (added.contains(&SCRAPE_ADDED) && sidecar::SCRAPE.iter().any(|(name, _)| *name == key))
        };
        let mut whole = Vec::new();
        let mut parts = Vec::new();
        for key in ["labels", "annotations"] {
            let Some((at, entry)) = self.entry(&metadata.value, key)? else { continue };
            let entries = entry.value.entries().iter().enumerate();
            let which: Vec<usize> =
                entries.filter(|(_, entry)| entry.key.text().is_some_and(ours)).map(|(index, _)| index).collect();
            if which.len() == entry.value.entries().len() && !which.is_empty() {
                whole.push(at);
            } else {
                parts.push((&entry.value, which));
            }
        }
        if !whole.is_empty() && whole.len() == metadata.value.entries().len() {
            self.editor.remove_entries(template, &[at]);
            return Ok(());
        }
        self.editor.remove_entries(&metadata.value, &whole);
        parts.iter().for_each(|(map, which)| self.editor.remove_entries(map, which));
        Ok(())
    }
}
