//! Test only: what may be in the tree of dependencies. The same rules as in deny.toml, without the tool.

use std::fs;
use std::path::Path;

/// Never in Cargo.lock. pingora's server side would bring a second data plane, the YAML crates are unmaintained or
/// unsound (RUSTSEC-2025-0068), OpenSSL would need a system library.
const BANNED: [&str; 11] = [
    "openssl",
    "openssl-sys",
    "pingora",
    "pingora-core",
    "pingora-load-balancing",
    "pingora-pool",
    "pingora-proxy",
    "pingora-timeout",
    "reqwest",
    "serde_yaml",
    "serde_yml",
];

/// At least these versions, where a crate is present: below them lies a published vulnerability.
const FLOORS: [(&str, [u64; 3]); 8] = [
    ("aws-lc-sys", [0, 39, 0]),
    ("bytes", [1, 11, 1]),
    ("h2", [0, 4, 20]),
    ("hyper", [1, 12, 0]),
    ("rustls", [0, 23, 18]),
    ("rustls-webpki", [0, 103, 13]),
    ("tracing-subscriber", [0, 3, 20]),
    ("tungstenite", [0, 20, 1]),
];

/// Compiled into the program with none of these features; no features = not at all. hyper-util's client retries
/// behind our back, its server sniffs without a limit of time, and its graceful shutdown does not know our tasks.
/// Virtual time is for tests.
const NOT_BUILT: [(&str, &[&str]); 3] =
    [("hyper-util", &["client-legacy", "server-auto", "server-graceful"]), ("ring", &[]), ("tokio", &["test-util"])];

/// Names of the crates that Cargo.toml names, as paths spell them.
pub fn direct(root: &Path) -> Vec<String> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("a readable Cargo.toml");
    let mut inside = false;
    let mut names = vec!["tower".to_owned()];
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| inside && !line.starts_with('#')) {
            names.push(name.replace('-', "_"));
        }
    }
    // Paths into ourselves are edges of the graph, no foreign crate.
    names.retain(|name| name != "outrigger");
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Name and version of every package in a lock file.
    fn locked(text: &str) -> Vec<(&str, [u64; 3])> {
        fn value<'a>(block: &'a str, key: &str) -> Option<&'a str> {
            block.lines().find_map(|line| line.strip_prefix(key)).map(|rest| rest.trim_matches('"'))
        }
        let blocks = text.split("[[package]]").skip(1);
        let named = blocks.filter_map(|block| Some((value(block, "name = ")?, value(block, "version = ")?)));
        named.map(|(name, version)| (name, version_of(version))).collect()
    }

    fn version_of(text: &str) -> [u64; 3] {
        let plain = text.split(['+', '-']).next().unwrap_or_default();
        let mut numbers = plain.split('.').map(|n| n.parse().unwrap_or(0));
        std::array::from_fn(|_| numbers.next().unwrap_or(0))
    }

    fn lock_findings(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (name, version) in locked(text) {
            if BANNED.contains(&name) {
                found.push(format!("{name} is banned"));
            }
            if let Some((_, floor)) = FLOORS.iter().find(|(n, floor)| *n == name && version < *floor) {
                found.push(format!("{name} {version:?} is below {floor:?}"));
            }
        }
        found
    }

    /// `tree` has one `NAME vVERSION FEATURE,FEATURE` a line.
    fn built_findings(tree: &str) -> Vec<String> {
        let mut found = Vec::new();
        for line in tree.lines() {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            let features = rest.rsplit(' ').next().unwrap_or_default();
            for (_, banned) in NOT_BUILT.iter().filter(|(n, _)| *n == name) {
                let named = features.split(',').filter(|f| banned.contains(f));
                found.extend(named.map(|f| format!("{name} is built with {f}")));
                found.extend(banned.is_empty().then(|| format!("{name} is built")));
            }
        }
        found
    }

    #[test]
    fn no_banned_or_vulnerable_crate_is_locked() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let lock = fs::read_to_string(root.join("Cargo.lock")).expect("a committed Cargo.lock");
        assert!(locked(&lock).len() > 50, "Cargo.lock was not understood");
        assert_eq!(lock_findings(&lock), [""; 0]);
    }

    #[test]
    fn a_banned_crate_and_an_old_version_are_found() {
        let lock = "[[package]]\nname = \"pingora-core\"\nversion = \"0.9.1\"\n\n[[package]]\nname = \"bytes\"\nversion = \"1.11.0\"\n[[package]]\nname = \"hyper\"\nversion = \"1.12.0\"\n";
        assert_eq!(lock_findings(lock), ["pingora-core is banned", "bytes [1, 11, 0] is below [1, 11, 1]"]);
    }

    #[test]
    fn the_program_is_built_without_banned_crates_and_features() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let arguments =
            ["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p} {f}"];
        let output = Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        let output = output.expect("cargo runs, since it runs this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8_lossy(&output.stdout);
        assert!(tree.contains("\nhyper v"), "cargo tree was not understood:\n{tree}");
        assert_eq!(built_findings(&tree), [""; 0]);
    }

    #[test]
    fn a_banned_feature_is_found() {
        let tree = "hyper-util v0.1.21 client,client-legacy,tokio\nring v0.17.14 \ntokio v1.54.1 net,time\n";
        assert_eq!(built_findings(tree), ["hyper-util is built with client-legacy", "ring is built"]);
    }
}
