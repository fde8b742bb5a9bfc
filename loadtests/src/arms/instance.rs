//! One running program with its configuration.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::config::{Addresses, Context};
use super::own_policy::OwnPolicy;
use super::process::Process;
use super::{Arm, Installed, Kind};
use crate::credentials::Credentials;
use crate::scenario::{Protocol, Scenario, Tls};

/// Starts of one instance: its ports are free when they are looked for, and may not be when they are used.
const STARTS_MAX: u32 = 2;

/// Where instances run.
#[derive(Debug)]
pub struct Place {
    /// Theirs alone; goes with this value.
    pub folder: PathBuf,
    /// The core of the proxies; `None`: wherever the kernel puts them.
    pub core: Option<u32>,
    /// Of everybody, for scenarios with TLS.
    pub credentials: Credentials,
}

impl Place {
    /// Makes the folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(core: Option<u32>) -> Result<Place, String> {
        let folder = std::env::temp_dir().join(format!("outrigger-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let credentials = Credentials::make(&folder)?;
        Ok(Place { folder, core, credentials })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A folder in the system's own for such things; nothing depends on its going.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program that runs and answers.
#[derive(Debug)]
pub struct Instance {
    kind: Kind,
    process: Process,
    listen: SocketAddr,
    files: Files,
    /// Its configuration, paths shortened.
    pub config: String,
    /// Its command line, paths shortened.
    pub command: String,
}

/// What its configuration is made from, for reloads.
#[derive(Debug)]
struct Files {
    kind: Kind,
    context: Context,
    /// A policy of the user's own, and its addresses.
    own: Option<(OwnPolicy, Addresses, Vec<SocketAddr>, Vec<SocketAddr>)>,
    folder: PathBuf,
}

impl Instance {
    /// Starts the arm's program in front of `endpoints` and waits until it answers. `tier` tells instances apart.
    ///
    /// # Errors
    /// Its configuration is refused, it does not start, or it does not get ready; in its own words.
    pub fn start(
        arm: &Arm,
        tier: u32,
        endpoints: &[SocketAddr],
        scenario: &Scenario,
        place: &Place,
    ) -> Result<Instance, String> {
        let installed = arm.installed.as_ref().ok_or("the direct way has no program")?;
        let mut tries = 1;
        loop {
            match Instance::start_once(arm, installed, tier, endpoints, scenario, place) {
                Err(said) if tries < STARTS_MAX && said.contains("ddress already in use") => tries += 1,
                result => return result.map_err(|e| format!("{}: {e}", arm.choice.label)),
            }
        }
    }

    fn start_once(
        arm: &Arm,
        installed: &Installed,
        tier: u32,
        endpoints: &[SocketAddr],
        scenario: &Scenario,
        place: &Place,
    ) -> Result<Instance, String> {
        let kind = arm.choice.kind;
        let folder = place.folder.join(format!("{}-{tier}", arm.choice.label));
        // Left over from the round before.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;

        let own = arm.choice.policy.as_deref().map(|path| OwnPolicy::read(path, arm.choice.upstream.as_deref()));
        let own = own.transpose()?;
        let free = free_addresses(3 + own.as_ref().map_or(0, OwnPolicy::addresses_needed))?;
        let (&[listen, admin, metrics], spare) = free.split_first_chunk().ok_or("too few addresses")?;
        let addresses = Addresses { listen, admin, metrics };
        let sides = scenario.sides(tier);
        let context = Context::new(scenario, sides, addresses, endpoints, &folder, &place.credentials.folder);
        let plain = sides.tls == Tls::None;
        let ready_at = if kind == Kind::Nginx && context.h2 && plain { admin } else { listen };
        let own = own.map(|policy| (policy, addresses, spare.to_vec(), endpoints.to_vec()));
        let files = Files { kind, context, own, folder: folder.clone() };
        let config = files.write()?;
        if kind == Kind::Outrigger {
            check(installed, &folder.join("outrigger.yaml"))?;
        }
        let arguments = arguments(kind, &folder, scenario.reloads());
        let mut process = Process::start(&installed.program, &arguments, &folder, place.core)?;
        // In the version that all of them speak.
        let dialer = place.credentials.dialer(sides.tls, Protocol::Http1)?;
        process.wait_until_ready(ready_at, &scenario.load.path, dialer.as_ref())?;

        let name = installed.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let words = arguments.iter().map(|word| word.to_string_lossy().into_owned());
        let certificates = place.credentials.folder.display().to_string();
        let shorten =
            |text: String| text.replace(&folder.display().to_string(), "FOLDER").replace(&certificates, "CERTIFICATES");
        let command = shorten(std::iter::once(name).chain(words).collect::<Vec<_>>().join(" "));
        Ok(Instance { kind, process, listen, files, config: shorten(config), command })
    }

    /// Where it takes requests.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The process group of all its processes.
    pub fn group(&self) -> i32 {
        self.process.group()
    }

    /// What it said, if it has ended on its own.
    pub fn ended(&mut self) -> Option<String> {
        self.process.ended()
    }

    /// Gives it its policy again, with one value changed that matters to no request, in the way its users do.
    ///
    /// # Errors
    /// It has ended, has no reload, or the file cannot be written.
    pub fn reload(&mut self) -> Result<(), String> {
        self.files.context.flipped = !self.files.context.flipped;
        self.files.write()?;
        match self.kind {
            // Both watch their files.
            Kind::Outrigger | Kind::Envoy => Ok(()),
            Kind::Nginx => self.process.signal(Signal::HUP),
            // Its master starts a new worker and lets the old one finish.
            Kind::Haproxy => self.process.signal(Signal::USR2),
            Kind::Pingora | Kind::Direct => Err("it has no reload".to_owned()),
        }
    }
}

impl Files {
    /// Writes all files, each in one move, and gives their text back.
    fn write(&self) -> Result<String, String> {
        let mut all = String::new();
        for (name, text) in self.render()? {
            let (path, new) = (self.folder.join(name), self.folder.join(format!(".{name}.new")));
            // A reader sees the old file or the new one.
            fs::write(&new, &text)
                .and_then(|()| fs::rename(&new, &path))
                .map_err(|e| format!("{}: {e}", path.display()))?;
            if !all.is_empty() {
                all.push_str("\n# --- ");
                all.push_str(name);
                all.push('\n');
            }
            all.push_str(&text);
        }
        Ok(all)
    }

    fn render(&self) -> Result<Vec<(&'static str, String)>, String> {
        if let Some((policy, addresses, spare, endpoints)) = &self.own {
            let text = policy.render(*addresses, spare, endpoints, self.context.flipped)?;
            return Ok(vec![("outrigger.yaml", text)]);
        }
        config_files(self.kind).iter().map(|name| Ok((*name, self.context.render(name)?))).collect()
    }
}

/// The names of its files, which are those of their templates.
pub(super) const fn config_files(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Direct => &[],
        Kind::Outrigger => &["outrigger.yaml"],
        Kind::Envoy => &["envoy.yaml", "envoy-routes.yaml"],
        Kind::Haproxy => &["haproxy.cfg"],
        Kind::Nginx => &["nginx.conf"],
        Kind::Pingora => &["pingora.yaml"],
    }
}

/// The command line: one worker, in the foreground.
fn arguments(kind: Kind, folder: &Path, reloads: bool) -> Vec<OsString> {
    let file = |name: &str| folder.join(name).into_os_string();
    let word = OsString::from;
    match kind {
        Kind::Direct => Vec::new(),
        Kind::Outrigger => vec![word("run"), word("--workers"), word("1"), word("--policy"), file("outrigger.yaml")],
        Kind::Envoy => vec![
            word("-c"),
            file("envoy.yaml"),
            word("--concurrency"),
            word("1"),
            // Two of them may run here, and they would share memory by a number.
            word("--disable-hot-restart"),
            word("-l"),
            word("error"),
        ],
        // A master process, which takes memory, only where it is needed.
        Kind::Haproxy => vec![word(if reloads { "-W" } else { "-db" }), word("-f"), file("haproxy.cfg")],
        Kind::Nginx => {
            vec![word("-p"), folder.into(), word("-e"), word("stderr"), word("-c"), file("nginx.conf")]
        }
        Kind::Pingora => vec![word("--conf"), file("pingora.yaml")],
    }
}

/// Asks `outrigger check` about a policy.
pub(super) fn check(installed: &Installed, policy: &Path) -> Result<(), String> {
    let output = Command::new(&installed.program).arg("check").arg(policy).output();
    let output = output.map_err(|e| format!("{} check: {e}", installed.program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Err(format!("`outrigger check` refuses the policy:\n{}", said.trim_end()))
}

/// Loopback addresses that nobody listens on, all different.
/// Addresses of 127.0.0.1 on which nothing listens.
///
/// # Errors
/// There are not so many.
pub fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, String> {
    // All are held until the last one is found.
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| Ok((socket.local_addr()?, socket)));
    let held: Result<Vec<_>, _> = (0..count).map(bind).collect();
    Ok(held.map_err(|e| format!("no free port on loopback: {e}"))?.into_iter().map(|(address, _)| address).collect())
}
