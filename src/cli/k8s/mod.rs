//! `outrigger k8s inject`: adds the sidecar to manifests, as `linkerd inject` does. Nothing of it needs a cluster.
//!
//! Lines are added to the text as it is, so comments, order and every other document stay byte for byte. What cannot
//! be changed safely is refused with its place, and then nothing is written at all. Before anything is written, what was
//! added is taken away again and compared with what came in.

mod block;
mod edit;
mod inject;
mod settings;
mod sidecar;
mod tree;
mod workload;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{Exit, print};
use edit::Editor;
use inject::Outcome;
use settings::Settings;
use tree::Document;

/// Read at most.
const BYTES_MAX: u64 = 16 << 20;

/// Commands on Kubernetes manifests.
#[derive(Debug, Subcommand)]
pub(super) enum K8s {
    /// Add the sidecar to the workloads in YAML or JSON; all else passes unchanged
    #[command(after_help = "\
Examples:
  kubectl get deployment checkout -o yaml | outrigger k8s inject -f - | kubectl apply -f -
  outrigger k8s inject -f manifests.yaml --inbound | diff manifests.yaml -
  kustomize build . | outrigger k8s inject -f - --image REGISTRY/outrigger:0.1.0 --tls-secret checkout-tls
  outrigger k8s inject -f manifests.yaml --uninject

Workloads are Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, Pod, and a List of them. One that has the
sidecar stays as it is. Annotations outrigger.dev/* of a workload or its Pods override the flags;
`outrigger.dev/inject: disabled` leaves it alone. Exit code 2: nothing was written.")]
    Inject(InjectArgs),
}

#[derive(Args, Debug)]
pub(super) struct InjectArgs {
    /// The manifests, or - for standard input
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub filename: PathBuf,
    #[command(flatten)]
    pub settings: Settings,
    /// Take away what was injected
    #[arg(long)]
    pub uninject: bool,
}

/// Why a text is left alone, and where.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    document: usize,
    line: usize,
    what: String,
}

/// Runs a command; what happened is told on `err`, because `out` is piped on.
pub(super) fn run(command: &K8s, input: &mut dyn Read, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let K8s::Inject(args) = command;
    // Nowhere is left to report to when writing to `err` fails.
    let (name, text) = match read(&args.filename, input) {
        Ok(read) => read,
        Err(what) => {
            let _ = writeln!(err, "outrigger: {what}");
            return Exit::Usage;
        }
    };
    let task = if args.uninject { Task::Remove } else { Task::Add(&args.settings) };
    match rewrite(&text, task) {
        Ok((text, story)) => {
            for line in story {
                let _ = writeln!(err, "{}", print::line(&line));
            }
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                Ok(()) => Exit::Fine,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Fine,
                Err(error) => {
                    let _ = writeln!(err, "outrigger: the manifests could not be written: {error}");
                    Exit::Problem
                }
            }
        }
        Err(Problem { document, line, what }) => {
            let what = print::line(&what);
            let _ = writeln!(
                err,
                "{name}:{line}: document {document}: {what}\nnext: change it there, or annotate the workload with \
                 outrigger.dev/inject: disabled and add the sidecar by hand; nothing was written"
            );
            Exit::Usage
        }
    }
}

fn read(path: &Path, input: &mut dyn Read) -> Result<(String, String), String> {
    let mut bytes = Vec::new();
    let (name, read) = if path.as_os_str() == "-" {
        ("<stdin>".to_owned(), input.take(BYTES_MAX + 1).read_to_end(&mut bytes))
    } else {
        let file = File::open(path);
        (path.display().to_string(), file.and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes)))
    };
    read.map_err(|error| format!("{name}: {error}\nnext: name a file with -f, or pipe manifests in"))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("{name}: more than {BYTES_MAX} bytes\nnext: cut it into several files"));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{name}: this is not UTF-8\nnext: convert it"))?;
    Ok((name, text))
}

#[derive(Clone, Copy, Debug)]
enum Task<'s> {
    Add(&'s Settings),
    Remove,
}

/// The new text, and what to tell about it.
fn rewrite(text: &str, task: Task<'_>) -> Result<(String, Vec<String>), Problem> {
    // Some editors begin a file with a byte order mark, which would shift its first line.
    let (mark, text) = text.strip_prefix('\u{feff}').map_or(("", text), |rest| ("\u{feff}", rest));
    let documents = tree::read(text)?;
    let mut editor = Editor::new(text);
    let mut story = Vec::new();
    let (mut workloads, mut added) = (0, 0);
    for document in &documents {
        let found = workload::of(document, &editor)?;
        for (line, title) in found.disabled {
            workloads += 1;
            let why = Outcome::Left("annotated with outrigger.dev/inject: disabled");
            tell(&format!("document {}, line {line}: {title}", document.number), why, &mut story);
        }
        for workload in found.workloads {
            let outcome = match task {
                Task::Add(settings) => inject::add(&workload, settings, &mut editor)?,
                Task::Remove => inject::remove(&workload, &mut editor)?,
            };
            workloads += 1;
            added += usize::from(matches!(outcome, Outcome::Added(_)));
            let place = format!("document {}, line {}", document.number, editor.line(workload.object.start));
            tell(&format!("{place}: {}", workload.title()), outcome, &mut story);
        }
    }
    if workloads == 0 {
        story.push("no workload was found: everything passes unchanged".to_owned());
    }
    if added > 0 {
        story.push(
            "next: point the app at the addresses the policy listens on, such as http://127.0.0.1:4400".to_owned(),
        );
    }
    if editor.is_empty() {
        return Ok((format!("{mark}{text}"), story));
    }
    let changed = editor.finish();
    if matches!(task, Task::Add(_)) {
        only_added(text, &documents, &changed)?;
    }
    Ok((format!("{mark}{changed}"), story))
}

fn tell(title: &str, outcome: Outcome, story: &mut Vec<String>) {
    match outcome {
        Outcome::Added(notes) => {
            story.push(format!("{title}: sidecar added"));
            story.extend(notes.iter().map(|note| format!("{title}: note: {note}")));
        }
        Outcome::Removed => story.push(format!("{title}: sidecar taken away")),
        Outcome::Left(why) => story.push(format!("{title}: left as it is: {why}")),
    }
}

/// Takes away what was added and compares: the last guard of documents that are written in a way nobody thought of.
fn only_added(before: &str, documents: &[Document], after: &str) -> Result<(), Problem> {
    let unsafe_at = |document: usize, why: &str| Problem {
        document,
        line: 1,
        what: format!("the sidecar cannot be added safely to the way this is written ({why})"),
    };
    let (before, _) = rewrite(before, Task::Remove)?;
    let (after, _) = rewrite(after, Task::Remove).map_err(|problem| unsafe_at(problem.document, &problem.what))?;
    if before == after {
        return Ok(());
    }
    let (before, after) = (tree::read(&before)?, tree::read(&after)?);
    let same = before.len() == after.len() && before.len() == documents.len();
    let different = before.iter().zip(&after).find(|(before, after)| !before.means(after));
    match different {
        None if same => Ok(()),
        found => Err(unsafe_at(found.map_or(1, |(document, _)| document.number), "something else would change")),
    }
}
