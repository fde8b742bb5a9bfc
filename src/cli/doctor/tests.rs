//! Each trap, stated as facts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::checks::all;
use super::facts::{Facts, KeyFile, Process, Unusable, argument, descriptors};
use super::mounts::{self, Lifetime, holding, lifetime, pinned};
use super::{Check, Verdict};
use crate::policy::compile;

/// As the kubelet makes them: a ConfigMap, an emptyDir, one in memory, a claim, a file and a directory by subPath.
const MOUNTS: &str = "\
1 0 0:60 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a
2 1 8:1 /var/lib/kubelet/pods/11/volumes/kubernetes.io~configmap/outrigger-policy /etc/outrigger ro - ext4 /dev/sda1 rw
3 1 8:1 /var/lib/kubelet/pods/11/volumes/kubernetes.io~empty-dir/outrigger-state /var/lib/outrigger rw shared:7 - ext4 /dev/sda1 rw
4 1 0:70 / /run/fast rw - tmpfs tmpfs rw,size=65536k
5 1 8:16 / /data rw - ext4 /dev/sdb rw
6 1 8:1 /var/lib/kubelet/pods/11/volume-subpaths/p/outrigger/0 /etc/single/policy.yaml ro - ext4 /dev/sda1 rw
7 1 8:1 /var/lib/kubelet/pods/11/volume-subpaths/p/outrigger/1 /etc/part ro - ext4 /dev/sda1 rw
8 1 8:1 /x /mnt/with\\040blank rw - ext4 /dev/sda1 rw
";

const POLICY: &str = "\
version: 1
listen: 127.0.0.1:4400
upstreams:
  payments: { url: 'http://127.0.0.1:8000' }
";

const LETTERS: &str = "\
version: 1
listen: 127.0.0.1:4400
stores:
  embedded: { path: PLACE/outrigger.db }
upstreams:
  payments:
    url: http://127.0.0.1:8000
    routes:
      - name: charge
        match: { methods: [POST], path: /charges }
        idempotency: { principal: none }
        deadLetter: {}
";

/// A Pod in which nothing is wrong, with this policy.
fn facts(policy: &str) -> Facts {
    let compiled = compile::load("policy.yaml", policy).unwrap_or_else(|findings| panic!("{findings}"));
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    Facts {
        policy_path: "/etc/outrigger/policy.yaml".into(),
        policy: Ok(Box::new(compiled)),
        policy_written: Some(now - Duration::from_secs(60)),
        policy_link: Some("..data/policy.yaml".into()),
        state_dir: None,
        grace: Some(Duration::from_secs(30)),
        mounts: mounts::parse(MOUNTS),
        watch_error: None,
        keys: Vec::new(),
        taken: Vec::new(),
        now,
        descriptors: Some(1_048_576),
        process: Process::NotAsked,
        in_pod: false,
    }
}

fn problems(facts: &Facts) -> Vec<Check> {
    all(facts).into_iter().filter(|check| check.verdict == Verdict::Problem).collect()
}

/// The only problem, and that it says what to do.
fn problem(facts: &Facts) -> Check {
    let mut found = problems(facts);
    assert_eq!(found.len(), 1, "{found:?}");
    let check = found.remove(0);
    assert!(check.next.as_ref().is_some_and(|next| next.len() > 10), "{check:?}");
    check
}

#[test]
fn nothing_is_wrong_with_a_pod_in_order() {
    assert_eq!(problems(&facts(POLICY)), []);
    assert_eq!(problems(&facts(&LETTERS.replace("PLACE", "/data"))), []);
}

#[test]
fn a_policy_that_is_mounted_by_subpath_is_found() {
    for path in ["/etc/single/policy.yaml", "/etc/part/policy.yaml"] {
        let facts = Facts { policy_path: path.into(), policy_link: None, ..facts(POLICY) };
        let check = problem(&facts);
        assert_eq!(check.check, "mount");
        assert!(check.text.contains("never arrive"), "{check:?}");
    }
    let mounts = mounts::parse(MOUNTS);
    assert_eq!(pinned(&mounts, "/etc/outrigger/policy.yaml".as_ref()), None);
    assert_eq!(holding(&mounts, "/mnt/with blank/x".as_ref()).map(|mount| mount.root.as_str()), Some("/x"));
}

#[test]
fn dead_letters_on_what_dies_are_found() {
    for (place, word) in [("/var/lib/outrigger", "emptyDir"), ("/run/fast", "tmpfs"), ("/srv", "container's own")] {
        let check = problem(&facts(&LETTERS.replace("PLACE", place)));
        assert_eq!(check.check, "state");
        assert!(
            check.text.starts_with("dead letters and idempotency keys lie in") && check.text.contains(word),
            "{check:?}"
        );
    }
    // The history alone may die.
    let history = Facts { state_dir: Some("/var/lib/outrigger".into()), ..facts(POLICY) };
    assert_eq!(problems(&history), []);
    let mounts = mounts::parse(MOUNTS);
    assert_eq!(lifetime(&mounts, "/data/a".as_ref()), Lifetime::Disk);
    assert_eq!(lifetime(&[], "/data/a".as_ref()), Lifetime::Disk);
    // A machine of its own has no overlay.
    assert_eq!(lifetime(&mounts::parse("1 0 8:1 / / rw - ext4 /dev/sda1 rw"), "/srv".as_ref()), Lifetime::Disk);
}

#[test]
fn draining_longer_than_the_grace_period_is_found() {
    let short = Facts { grace: Some(Duration::from_secs(10)), ..facts(POLICY) };
    assert_eq!(problem(&short).check, "drain");
    let unknown = all(&Facts { grace: None, ..facts(POLICY) });
    assert!(unknown.iter().any(|check| check.check == "drain" && check.verdict == Verdict::Note), "{unknown:?}");
}

#[test]
fn an_exposed_admin_listener_is_found() {
    let open = format!("{POLICY}admin: {{ listen: 0.0.0.0:4490 }}\n");
    let findings = compile::load("policy.yaml", &open).unwrap_err();
    let check = problem(&Facts { policy: Err(Unusable::Wrong(findings)), ..facts(POLICY) });
    assert_eq!(check.check, "admin");
    let in_clear = format!("{POLICY}admin: {{ listen: 10.0.0.1:4490, tokenFile: /run/token }}\n");
    assert_eq!(problem(&facts(&in_clear)).check, "admin");
}

#[test]
fn a_key_that_everybody_can_read_is_found_unless_the_kubelet_put_it_there() {
    let key = |mode, mounted| KeyFile { path: "/data/outrigger.db.key".into(), mode, mounted };
    let with = |key| Facts { keys: vec![key], ..facts(POLICY) };
    let check = problem(&with(key(0o100_644, false)));
    assert_eq!((check.check, check.next.as_deref()), ("keys", Some("chmod 600 /data/outrigger.db.key")));
    assert_eq!(problems(&with(key(0o100_640, false))), []);
    assert_eq!(problems(&with(key(0o100_644, true))), []);
}

#[test]
fn ports_watch_descriptors_and_clock_are_looked_at() {
    let taken = vec![("127.0.0.1:4400".parse().unwrap(), "Address already in use".to_owned())];
    assert_eq!(problem(&Facts { taken, ..facts(POLICY) }).check, "ports");
    assert_eq!(problem(&Facts { watch_error: Some("no space left".into()), ..facts(POLICY) }).check, "watch");
    assert_eq!(problem(&Facts { descriptors: Some(1024), ..facts(POLICY) }).check, "descriptors");
    assert_eq!(problem(&Facts { now: UNIX_EPOCH, policy_written: None, ..facts(POLICY) }).check, "clock");
    let facts = facts(POLICY);
    let early = Facts { policy_written: Some(facts.now + Duration::from_secs(3600)), ..facts };
    assert!(problem(&early).text.contains("1h"), "{:?}", problem(&early));
    let unread: Option<SystemTime> = None;
    let missing = Facts { policy: Err(Unusable::Unread("No such file".into())), policy_written: unread, ..early };
    assert_eq!(problem(&missing).check, "policy");
}

#[test]
fn a_silent_proxy_and_a_refused_policy_are_problems() {
    let silent = Facts { process: Process::Silent("127.0.0.1:4490: refused".into()), ..facts(POLICY) };
    assert_eq!(problem(&silent).check, "process");
    let findings = compile::load("policy.yaml", "version: 1\nlisten: x\n").unwrap_err();
    let wrong = Facts { policy: Err(Unusable::Wrong(findings)), ..facts(POLICY) };
    let check = problem(&wrong);
    assert!(check.text.contains("is refused: line "), "{check:?}");
}

#[test]
fn what_a_running_proxy_was_told_is_read_from_its_command_line() {
    let command = b"/outrigger\0run\0--policy\0/etc/p.yaml\0--state-dir=/var/lib/x\0";
    assert_eq!(argument(command, "--policy").as_deref(), Some("/etc/p.yaml"));
    assert_eq!(argument(command, "--state-dir").as_deref(), Some("/var/lib/x"));
    assert_eq!(argument(command, "--workers"), None);
    let limits =
        "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024                 524288  files\n";
    assert_eq!(descriptors(limits), Some(1024));
    assert_eq!(descriptors("Max open files            unlimited  unlimited files\n"), None);
}
