//! What a kubelet does to one Pod: volumes, order of start, probes, signals, grace. The sidecar is the real program; its
//! container is a process group.

use std::fs;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use outrigger::testing::{BOUND, eventually};
use tempfile::TempDir;

use crate::stage::executable;

/// Between the end of a container and its next start: kubelet begins with ten seconds.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A ConfigMap or Secret as it is mounted: every file is a link through `..data`, which is swapped as a whole.
pub struct Projection {
    directory: PathBuf,
    version: u32,
    mode: u32,
}

impl Projection {
    /// An empty one, as an optional ConfigMap that does not exist yet.
    pub fn new(directory: PathBuf, mode: u32) -> Projection {
        fs::create_dir_all(&directory).expect("a volume");
        Projection { directory, version: 0, mode }
    }

    /// What kubelet's atomic writer does: a new directory, a link to it, that link moved over `..data`, links to what is
    /// new, and the old directory goes.
    pub fn write(&mut self, files: &[(&str, &str)]) {
        let at = |name: &str| self.directory.join(name);
        let old = fs::read_link(at("..data")).ok();
        self.version += 1;
        let fresh = format!("..2026_11_23_21_00_{:02}.{}", self.version, 1_000_000 + self.version);
        fs::create_dir(at(&fresh)).expect("a new directory");
        for (name, text) in files {
            let path = at(&fresh).join(name);
            fs::write(&path, text).expect("a new file");
            fs::set_permissions(&path, fs::Permissions::from_mode(self.mode)).expect("it is ours");
        }
        symlink(&fresh, at("..data_tmp")).expect("a new link");
        fs::rename(at("..data_tmp"), at("..data")).expect("the link moves");
        for (name, _) in files.iter().filter(|(name, _)| !at(name).exists()) {
            symlink(Path::new("..data").join(name), at(name)).expect("a new link");
        }
        if let Some(old) = old {
            fs::remove_dir_all(at(&old.to_string_lossy())).expect("the old directory goes");
        }
    }
}

/// A container: what it runs, and its processes.
pub struct Container {
    command: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
    ended: Option<ExitStatus>,
    /// Starts so far.
    pub starts: u32,
}

impl Container {
    pub fn new(command: Vec<String>, log: PathBuf) -> Container {
        Container { command, log, child: None, ended: None, starts: 0 }
    }

    /// Starts it as a group of processes of its own.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(&self.log).expect("a log");
        let [program, arguments @ ..] = self.command.as_slice() else { panic!("nothing to run") };
        let child = Command::new(program)
            .args(arguments)
            .process_group(0)
            .env("POD_NAME", "shop-7f9c")
            .env("POD_NAMESPACE", "shop")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("it starts"));
        self.ended = None;
        self.starts += 1;
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if let Some(child) = &mut self.child
            && let Some(status) = child.try_wait().expect("it is ours")
        {
            (self.child, self.ended) = (None, Some(status));
        }
        self.ended
    }

    /// To the first process of the container, as a runtime does.
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM, false);
    }

    /// To all of them: nothing survives its container.
    pub fn kill(&self) {
        self.signal(rustix::process::Signal::KILL, true);
    }

    fn signal(&self, signal: rustix::process::Signal, group: bool) {
        let Some(child) = &self.child else { return };
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a process id")).expect("not 0");
        // It may have ended, and is not reaped before `ended`.
        let _ = if group {
            rustix::process::kill_process_group(pid, signal)
        } else {
            rustix::process::kill_process(pid, signal)
        };
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> ExitStatus {
        eventually("the end of a container", async || self.ended()).await
    }

    /// SIGKILL once `grace` is over. How it ended.
    pub async fn exit_within(&mut self, grace: Duration) -> ExitStatus {
        let until = Instant::now() + grace;
        let ended = eventually("the end of a container or of its grace", async || {
            let ended = self.ended();
            (ended.is_some() || Instant::now() >= until).then_some(ended)
        })
        .await;
        match ended {
            Some(status) => status,
            None => {
                self.kill();
                self.exit().await
            }
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn runs(&mut self) -> bool {
        self.ended();
        self.child.is_some()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.kill();
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// A Pod with a sidecar and perhaps an app. Fields are dropped in this order: processes before their volumes.
pub struct Pod {
    pub sidecar: Container,
    pub app: Option<Container>,
    pub policy: Projection,
    pub secret: Projection,
    root: TempDir,
    metrics: String,
}

impl Pod {
    /// Volumes only. `metrics`: where the sidecar's probes are answered; `more`: options of `run`.
    pub fn new(metrics: std::net::SocketAddr, more: &[&str]) -> Pod {
        let root = tempfile::tempdir().expect("a directory");
        let at = |name: &str| root.path().join(name);
        fs::create_dir(at("store")).expect("an emptyDir");
        let policy = Projection::new(at("policy"), 0o444);
        let secret = Projection::new(at("secret"), 0o400);
        let file = at("policy/policy.yaml").display().to_string();
        let command = [executable(), "run".to_owned(), "--policy".to_owned(), file];
        let command = command.into_iter().chain(more.iter().map(|word| (*word).to_owned())).collect();
        let sidecar = Container::new(command, at("sidecar.log"));
        Pod { sidecar, app: None, policy, secret, root, metrics: metrics.to_string() }
    }

    /// A directory or file of a volume.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Runs a script of bash as the app.
    pub fn with_app(&mut self, script: &str, arguments: &[String]) {
        let command = ["bash", "-c", script, "app"].map(str::to_owned).into_iter();
        self.app = Some(Container::new(command.chain(arguments.iter().cloned()).collect(), self.path("app.log")));
    }

    /// An exec probe: runs the real program beside the sidecar and looks at its exit code.
    pub fn probe(&self, which: &str) -> (bool, String) {
        let arguments = ["probe", which, "--addr", &self.metrics, "--timeout", "10s"];
        let said = Command::new(executable()).args(arguments).output().expect("the probe starts");
        (said.status.success(), String::from_utf8_lossy(&said.stdout).into_owned())
    }

    /// Starts the sidecar and looks after it until its startup probe passes: what ends is started again. `late` is told
    /// of each look, and may write volumes.
    pub async fn started(&mut self, mut late: impl FnMut(&mut Pod)) {
        self.sidecar.start();
        let until = Instant::now() + BOUND;
        loop {
            assert!(Instant::now() < until, "the startup probe never passed:\n{}", self.sidecar.log());
            if self.sidecar.ended().is_some() {
                tokio::time::sleep(BACK_OFF).await;
                self.sidecar.start();
            }
            if self.probe("--startup").0 {
                return;
            }
            late(self);
            tokio::time::sleep(BACK_OFF).await;
        }
    }

    /// As `started`, then the app: a native sidecar's order.
    pub async fn start(&mut self) {
        self.started(|_| {}).await;
        if let Some(app) = &mut self.app {
            app.start();
        }
    }

    pub fn app(&mut self) -> &mut Container {
        self.app.as_mut().expect("an app")
    }
}
