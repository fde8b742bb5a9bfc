//! Where the programs are, and which versions they are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Kind;

/// A program that was found and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub program: PathBuf,
    /// Its own words, one line.
    pub version: String,
}

/// Finds the program of an arm: `explicit` if given, else where it usually is.
///
/// # Errors
/// Why there is none, with the next step.
pub fn find(kind: Kind, explicit: Option<&Path>) -> Result<Installed, String> {
    let program = match explicit {
        Some(path) if is_program(path) => path.to_path_buf(),
        Some(path) => return Err(format!("{} is not there or not a program", path.display())),
        None => {
            let candidates = candidates(kind);
            let found = candidates.iter().find(|path| is_program(path)).cloned();
            found.ok_or_else(|| format!("not found; {}", next_step(kind)))?
        }
    };
    // Processes are started from folders of their own.
    let program = std::path::absolute(&program).unwrap_or(program);
    let version = version(kind, &program)?;
    Ok(Installed { program, version })
}

/// Places in the order they are looked at.
fn candidates(kind: Kind) -> Vec<PathBuf> {
    let named = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let targets = target_folders();
    let below = |path: &str| targets.iter().map(|target| target.join(path)).collect::<Vec<_>>();
    match kind {
        Kind::Direct => Vec::new(),
        // The shipped profile first: another one is not what users run.
        Kind::Outrigger => {
            [below("release/outrigger"), below("quick-release/outrigger"), on_path("outrigger")].concat()
        }
        Kind::Envoy => {
            let variable = named("ENVOY").into_iter().collect();
            [variable, on_path("envoy"), below("peers/venv/bin/envoy")].concat()
        }
        Kind::Haproxy => on_path("haproxy"),
        Kind::Nginx => on_path("nginx"),
        Kind::Pingora => {
            let variable = named("PINGORA_PEER").into_iter().collect();
            [variable, below("peers/pingora/release/pingora-peer")].concat()
        }
    }
}

/// Cargo's target folder: as set, as it is by default, and the one that this program lies in.
fn target_folders() -> Vec<PathBuf> {
    let set = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let ours = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.to_path_buf()));
    let mut folders: Vec<PathBuf> = [set, ours, Some(PathBuf::from("target"))].into_iter().flatten().collect();
    folders.dedup();
    folders
}

/// A program on the PATH; system programs are looked for where Debian puts them, too.
fn on_path(name: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).collect()
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn next_step(kind: Kind) -> &'static str {
    match kind {
        Kind::Direct => "it needs no program",
        Kind::Outrigger => "build it: cargo build --locked --release, or name it: --outrigger FILE",
        Kind::Envoy => "install it: make peers, or name it: ENVOY=FILE",
        Kind::Haproxy => "install it: make peers, or apt-get install haproxy",
        Kind::Nginx => "install it: make peers, or apt-get install nginx",
        Kind::Pingora => "build it: make peers, or name it: PINGORA_PEER=FILE",
    }
}

/// Asks the program.
fn version(kind: Kind, program: &Path) -> Result<String, String> {
    let option = match kind {
        Kind::Nginx | Kind::Haproxy => "-v",
        Kind::Direct | Kind::Outrigger | Kind::Envoy | Kind::Pingora => "--version",
    };
    let output = Command::new(program).arg(option).stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{} does not run: {e}", program.display()))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if !output.status.success() {
        let first = said.lines().next().unwrap_or_default();
        return Err(format!("{} {option} ended with {}: {first}", program.display(), output.status));
    }
    Ok(tidy(kind, &said))
}

/// The version without the rest of the line that programs print around it.
fn tidy(kind: Kind, said: &str) -> String {
    let line = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let short = match kind {
        // `/usr/bin/envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`
        Kind::Envoy => {
            line.rsplit_once("version: ").and_then(|(_, rest)| rest.split('/').nth(1)).map(|v| format!("envoy {v}"))
        }
        // `nginx version: nginx/1.22.1`
        Kind::Nginx => line.strip_prefix("nginx version: ").map(|rest| rest.replacen('/', " ", 1)),
        // `HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/`
        Kind::Haproxy => line.split_whitespace().nth(2).map(|v| format!("HAProxy {v}")),
        Kind::Direct | Kind::Outrigger | Kind::Pingora => None,
    };
    short.unwrap_or_else(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_cut_out_of_what_the_programs_say() {
        let envoy =
            "\n/tmp/envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL\n\n";
        assert_eq!(tidy(Kind::Envoy, envoy), "envoy 1.40.0");
        assert_eq!(tidy(Kind::Nginx, "nginx version: nginx/1.22.1\n"), "nginx 1.22.1");
        let haproxy = "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nStatus: long-term\n";
        assert_eq!(tidy(Kind::Haproxy, haproxy), "HAProxy 2.6.12-1+deb12u4");
        assert_eq!(tidy(Kind::Outrigger, "outrigger 0.1.0\n"), "outrigger 0.1.0");
        assert_eq!(tidy(Kind::Envoy, "something else"), "something else");
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_the_next_step() {
        let missing = find(Kind::Envoy, Some(Path::new("/nowhere/envoy"))).expect_err("missing");
        assert_eq!(missing, "/nowhere/envoy is not there or not a program");
        assert!(next_step(Kind::Pingora).contains("make peers"));
    }

    #[test]
    fn a_program_that_answers_with_an_error_does_not_count_as_installed() {
        let said = find(Kind::Pingora, Some(Path::new("/bin/false"))).expect_err("it fails");
        assert!(said.contains("/bin/false --version ended with exit status: 1"), "{said}");
    }
}
