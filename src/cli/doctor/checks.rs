//! What is made of the facts. Each check is one sentence, and what to do if it is bad news.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Check;
use super::facts::{Facts, Process, Unusable};
use super::mounts;
use crate::policy::compile::Compiled;
use crate::policy::diagnostic::Severity;
use crate::policy::duration;
use crate::policy::lint::{self, Code};

/// Nobody ran this program before: 2026-01-01.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);
/// A file may be this much younger than the clock says.
const SKEW_MAX: Duration = Duration::from_secs(60);
/// Files, DNS, admin and metrics connections besides those that the policy counts.
const DESCRIPTORS_BESIDES: u64 = 128;

/// Every check, in the order in which one would look.
pub(super) fn all(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![process(facts)];
    checks.extend(policy(facts));
    checks.push(policy_mount(facts));
    checks.push(watch(facts));
    if let Ok(compiled) = &facts.policy {
        checks.push(drain(facts, compiled));
        checks.push(state(facts, compiled));
        checks.extend(keys(facts));
        checks.push(ports(facts, compiled));
        checks.push(descriptors(facts, compiled));
    }
    checks.push(clock(facts));
    if facts.in_pod {
        checks.push(scrape());
    }
    checks
}

fn process(facts: &Facts) -> Check {
    let status = match &facts.process {
        Process::NotAsked => return Check::ok("process", "was not asked (--offline)"),
        Process::Silent(why) => {
            let next =
                "start it with `outrigger run --policy FILE`, name its admin address with --addr, or use --offline";
            return Check::problem("process", format!("no proxy answers at {why}"), next);
        }
        Process::Running(status) => status,
    };
    let running = format!("{} runs, pid {}", status.version, status.pid);
    if status.version != env!("CARGO_PKG_VERSION") {
        let text = format!("{running}; this is {}", env!("CARGO_PKG_VERSION"));
        return Check::note("process", text, "use the program of the same version: /outrigger in its container");
    }
    if status.policy.reload.failed {
        let why = status.policy.reload.error.as_deref().unwrap_or("for a reason that was not kept");
        let text = format!("{running}, and refuses the file since it changed: {}", why.lines().next().unwrap_or(why));
        return Check::problem(
            "process",
            text,
            "correct the file (`outrigger check` shows the place); it is read at once",
        );
    }
    match &facts.policy {
        Ok(compiled) if compiled.policy.hash != status.policy.hash => Check::problem(
            "process",
            format!("{running}, with another policy than {}", facts.policy_path.display()),
            "`outrigger policy reload` reads the file now; `outrigger changes` says whether it was rolled back",
        ),
        Ok(_) => Check::ok("process", format!("{running}, with this policy (revision {})", status.policy.revision)),
        Err(_) => Check::ok("process", running),
    }
}

fn policy(facts: &Facts) -> Vec<Check> {
    let path = facts.policy_path.display();
    match &facts.policy {
        Err(Unusable::Unread(why)) => {
            let next = "name it with --policy; in a Pod, look at the volume outrigger-policy and its ConfigMap";
            vec![Check::problem("policy", format!("{path} cannot be read: {why}"), next)]
        }
        Err(Unusable::Wrong(findings)) => {
            let first = findings.findings().iter().find(|finding| finding.severity == Severity::Error);
            let exposed = first.is_some_and(|finding| finding.code == Code::AdminExposed);
            let first = first.map(|finding| format!("line {}: {}", finding.position.line, finding.message));
            let text = format!("{path} is refused: {}", first.unwrap_or_default());
            vec![Check::problem(if exposed { "admin" } else { "policy" }, text, format!("outrigger check {path}"))]
        }
        Ok(compiled) => {
            let mut checks = vec![Check::ok("policy", format!("{path} is in order"))];
            let worth = |severity: Severity| matches!(severity, Severity::Error | Severity::Warning);
            for finding in compiled.warnings.findings().iter().filter(|finding| worth(finding.severity)) {
                let text = format!("line {}: {}", finding.position.line, finding.message);
                let next = format!("outrigger explain {}", finding.code.as_str());
                checks.push(match finding.code {
                    Code::TokenInClear => Check::problem("admin", text, next),
                    _ => Check::note("policy", text, next),
                });
            }
            checks
        }
    }
}

fn policy_mount(facts: &Facts) -> Check {
    let path = &facts.policy_path;
    if let Some(why) = mounts::pinned(&facts.mounts, path) {
        let text = format!("{why}: edits of the ConfigMap never arrive");
        let next = "mount the directory instead of the file: remove `subPath`, and let mountPath be its directory";
        return Check::problem("mount", text, next);
    }
    let through_data = facts.policy_link.as_ref().is_some_and(|link| link.starts_with("..data"));
    let text =
        if through_data { "a link through ..data: edits of the ConfigMap arrive" } else { "edits of the file arrive" };
    Check::ok("mount", text)
}

fn watch(facts: &Facts) -> Check {
    match &facts.watch_error {
        None => Check::ok("watch", "changes are seen at once"),
        Some(why) => Check::problem(
            "watch",
            format!("the policy's directory cannot be watched ({why}): changes are seen within 10 s, by looking"),
            "raise fs.inotify.max_user_instances and max_user_watches on the node, or live with 10 s",
        ),
    }
}

fn drain(facts: &Facts, compiled: &Compiled) -> Check {
    let Some(grace) = facts.grace else {
        let text = "the grace period is not known: it is not compared with draining";
        return Check::note("drain", text, "set OUTRIGGER_GRACE_PERIOD in the container, or say --grace-period 30s");
    };
    match lint::grace_period(&compiled.policy, &compiled.origins, grace) {
        Some(finding) => Check::problem(
            "drain",
            format!("{}: what is in flight then is lost", finding.message),
            "raise terminationGracePeriodSeconds, or lower drain.timeout",
        ),
        None => Check::ok("drain", format!("fits into the grace period of {}", duration::print(grace))),
    }
}

fn state(facts: &Facts, compiled: &Compiled) -> Check {
    let policy = &compiled.policy;
    let routes = || policy.upstreams.iter().flat_map(|upstream| &upstream.routes);
    let letters = policy.dead_letters.is_some();
    let keys = routes().filter_map(|route| route.idempotency.as_ref()).any(|keys| keys.store.as_str() == "embedded");
    let what = match (letters, keys) {
        (true, true) => "dead letters and idempotency keys",
        (true, false) => "dead letters",
        (false, true) => "idempotency keys",
        (false, false) => return history(facts),
    };
    let Some(store) = &policy.stores.embedded else { return history(facts) };
    match lost(facts, &store.path) {
        Some(why) => Check::problem(
            "state",
            format!("{what} lie in {}, on {why}", store.path.display()),
            "put them on a PersistentVolumeClaim (deploy/kubernetes/stateful.yaml); keys alone: `store: redis`",
        ),
        None => Check::ok("state", format!("{what} lie in {}, on a disk", store.path.display())),
    }
}

fn history(facts: &Facts) -> Check {
    let Some(directory) = &facts.state_dir else {
        return Check::ok("state", "nothing is kept; the history of changes ends with the process");
    };
    match lost(facts, directory) {
        Some(why) => {
            Check::ok("state", format!("only the history of changes lies in {}, on {why}", directory.display()))
        }
        None => Check::ok("state", format!("the history of changes lies in {}, on a disk", directory.display())),
    }
}

fn lost(facts: &Facts, path: &Path) -> Option<&'static str> {
    mounts::lifetime(&facts.mounts, path).lost_with()
}

fn keys(facts: &Facts) -> Vec<Check> {
    const READABLE_BY_ALL: u32 = 0o004;
    let open: Vec<&PathBuf> =
        facts.keys.iter().filter(|key| key.mode & READABLE_BY_ALL != 0 && !key.mounted).map(|key| &key.path).collect();
    let problem = |path: &&PathBuf| {
        let text = format!("everybody on this machine can read the key {}", path.display());
        Check::problem("keys", text, format!("chmod 600 {}", path.display()))
    };
    match (open.as_slice(), facts.keys.as_slice()) {
        ([], []) => Vec::new(),
        ([], keys) => vec![Check::ok("keys", format!("{} private", count(keys.len(), "key file is", "key files are")))],
        (open, _) => open.iter().map(problem).collect(),
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn ports(facts: &Facts, compiled: &Compiled) -> Check {
    if matches!(facts.process, Process::Running(_)) {
        return Check::ok("ports", "the proxy has them");
    }
    let Some((addr, why)) = facts.taken.first() else {
        let number = compiled.policy.listeners.len();
        return Check::ok("ports", format!("free: {}, admin and metrics", count(number, "listener", "listeners")));
    };
    let others = facts.taken.len() - 1;
    let more = if others == 0 { String::new() } else { format!(", and {others} more") };
    let text = format!("{addr} cannot be bound: {why}{more}");
    Check::problem("ports", text, "end what listens there (`ss -ltnp`), or choose another port in the policy")
}

fn descriptors(facts: &Facts, compiled: &Compiled) -> Check {
    let policy = &compiled.policy;
    let clients: u64 = policy.listeners.iter().map(|listener| u64::from(listener.connections_max)).sum();
    let upstreams: u64 = policy.upstreams.iter().map(|upstream| u64::from(upstream.limits.connections)).sum();
    let needed = clients.saturating_add(upstreams).saturating_add(DESCRIPTORS_BESIDES);
    match facts.descriptors {
        Some(limit) if limit < needed => Check::problem(
            "descriptors",
            format!(
                "the policy allows {clients} client and {upstreams} upstream connections, and {limit} files may be open"
            ),
            format!(
                "raise the limit of open files to {needed} (`ulimit -n`, LimitNOFILE), or lower limits.connections"
            ),
        ),
        Some(limit) => Check::ok("descriptors", format!("{needed} may be needed, {limit} may be open")),
        None => Check::ok("descriptors", "no limit is known"),
    }
}

fn clock(facts: &Facts) -> Check {
    let next = "let the node set its clock (NTP): retention, certificates and traces go by it";
    let since = facts.now.duration_since(UNIX_EPOCH).unwrap_or_default();
    if since < EARLIEST {
        return Check::problem("clock", "the clock says a time before this program was written", next);
    }
    let ahead = facts.policy_written.and_then(|written: SystemTime| written.duration_since(facts.now).ok());
    match ahead.filter(|ahead| *ahead > SKEW_MAX) {
        Some(ahead) => {
            let text =
                format!("the policy file was written {} from now: the clock is slow", duration::print(whole(ahead)));
            Check::problem("clock", text, next)
        }
        None => Check::ok("clock", "plausible"),
    }
}

fn whole(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs())
}

/// Nobody in a Pod can see whether it is scraped; that it silently is not is the most frequent surprise.
fn scrape() -> Check {
    Check::note(
        "scrape",
        "a native sidecar is an init container to Prometheus, and many scrape configurations drop those",
        "ask Prometheus for up{job=...} of this Pod; docs/kubernetes.md has the relabeling that keeps it",
    )
}
