//! The units in deploy/systemd, as systemd reads them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const UNITS: [&str; 2] = ["outrigger.service", "outrigger.socket"];

/// What the units are started after and with.
const TARGETS: [&str; 6] = ["basic", "multi-user", "network-online", "shutdown", "sockets", "sysinit"];

/// Exposure by systemd's own reckoning, of 100: it calls up to 20 fine.
const EXPOSURE_MAX: u32 = 15;

fn units() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd")
}

/// What `systemd-analyze verify` finds wrong with units in a system that has nothing else.
fn findings(change: impl Fn(&str) -> String) -> String {
    let root = tempfile::tempdir().expect("a directory");
    let at = |name: &str| root.path().join(name);
    let system = at("etc/systemd/system");
    fs::create_dir_all(&system).expect("a directory");
    for name in UNITS {
        let text = fs::read_to_string(units().join(name)).expect("a unit");
        fs::write(system.join(name), change(&text)).expect("a copy");
    }
    for name in TARGETS {
        fs::write(system.join(format!("{name}.target")), format!("[Unit]\nDescription={name}\n")).expect("a target");
    }
    for program in ["usr/bin/outrigger", "bin/kill"] {
        fs::create_dir_all(at(program).parent().expect("a directory")).expect("a directory");
        fs::write(at(program), "").expect("a program");
        fs::set_permissions(at(program), fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let paths = UNITS.map(|name| format!("/etc/systemd/system/{name}"));
    let root = format!("--root={}", root.path().display());
    let said = Command::new("systemd-analyze").args(["verify", "--man=no", &root]).args(paths).output();
    let said = said.expect("systemd-analyze: `make tools` installs it");
    // A wrong key is told and does not fail.
    let code = said.status.code();
    format!(
        "{}{}",
        String::from_utf8_lossy(&said.stderr),
        if code == Some(0) { String::new() } else { format!("{code:?}") }
    )
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    assert_eq!(findings(str::to_owned), "");
    let wrong =
        findings(|text| text.replace("ProtectSystem=", "ProtectSytem=").replace("NoDelay=true", "NoDelay=maybe"));
    assert!(wrong.contains("ProtectSytem") && wrong.contains("maybe"), "mistakes are found: {wrong}");
}

#[test]
fn the_service_is_left_little_that_it_could_harm() {
    let judged = |unit: &Path| {
        let threshold = format!("--threshold={EXPOSURE_MAX}");
        let mut command = Command::new("systemd-analyze");
        let said = command.args(["security", "--offline=true", "--no-pager", &threshold]).arg(unit).output();
        said.expect("systemd-analyze: `make tools` installs it")
    };
    let said = judged(&units().join("outrigger.service"));
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    let open = tempfile::tempdir().expect("a directory");
    let path = open.path().join("outrigger.service");
    let text = fs::read_to_string(units().join("outrigger.service")).expect("a unit");
    fs::write(&path, text.replace("CapabilityBoundingSet=\n", "").replace("DynamicUser=yes\n", "")).expect("a copy");
    assert!(!judged(&path).status.success(), "what is taken away is missed");
}
