//! What the sidecar is, in the words of Kubernetes. The same as deploy/kubernetes, where a test compares them.

use super::block::{Value, list, map, text};
use super::settings::{Settings, State};

/// The container's name.
pub(super) const NAME: &str = "outrigger";
/// On the Pod template: selected by the PodMonitor.
pub(super) const LABEL: &str = "outrigger.dev/sidecar";
/// On the Pod template: by which version it was added, and what besides the container.
pub(super) const INJECTED: &str = "outrigger.dev/injected";

pub(super) const POLICY_VOLUME: &str = "outrigger-policy";
pub(super) const TLS_VOLUME: &str = "outrigger-tls";
pub(super) const STATE_VOLUME: &str = "outrigger-state";

const STATE_DIR: &str = "/var/lib/outrigger";
/// Probes and metrics.
const METRICS_PORT: u32 = 4491;
/// The user of the image, who owns nothing.
const USER: u32 = 65532;

/// For a Prometheus that goes by annotations.
pub(super) const SCRAPE: [(&str, &str); 3] =
    [("prometheus.io/scrape", "true"), ("prometheus.io/port", "4491"), ("prometheus.io/path", "/metrics")];

/// The container. `state_volume` is the volume that holds the state, if there is one.
pub(super) fn container(settings: &Settings, grace_seconds: u32, state_volume: Option<&str>) -> Value {
    let mut entries = vec![("name", text(NAME)), ("image", text(settings.image.clone()))];
    if !settings.plain {
        entries.push(("restartPolicy", text("Always")));
    }
    let mut args = vec![text("run"), text("--policy"), text("/etc/outrigger/policy.yaml")];
    if state_volume.is_some() {
        args.extend([text("--state-dir"), text(STATE_DIR)]);
    }
    let port = |name: &str, number: u32| map([("name", text(name)), ("containerPort", Value::Number(number))]);
    let inbound = settings.inbound.map(|number| port("outrigger-in", number.into()));
    let grace = map([("name", text("OUTRIGGER_GRACE_PERIOD")), ("value", text(format!("{grace_seconds}s")))]);
    entries.extend([
        ("args", Value::List(args)),
        ("ports", Value::List(inbound.into_iter().chain([port("outrigger-prom", METRICS_PORT)]).collect())),
        ("env", list([grace])),
    ]);
    entries.extend(probes(settings.plain));
    let requests = map([("cpu", text("50m")), ("memory", text("32Mi"))]);
    let limits = map([("memory", text("128Mi"))]);
    entries.extend([
        ("resources", map([("requests", requests), ("limits", limits)])),
        ("securityContext", restricted()),
        ("volumeMounts", Value::List(mounts(settings, state_volume))),
    ]);
    Value::Map(entries)
}

fn probes(plain: bool) -> Vec<(&'static str, Value)> {
    let get = |path: &str| map([("path", text(path)), ("port", Value::Number(METRICS_PORT))]);
    let every = |path: &str, seconds: u32| vec![("httpGet", get(path)), ("periodSeconds", Value::Number(seconds))];
    let ready = if plain {
        ("readinessProbe", Value::Map(every("/readyz", 2)))
    } else {
        let mut startup = every("/readyz", 1);
        startup.push(("failureThreshold", Value::Number(30)));
        ("startupProbe", Value::Map(startup))
    };
    vec![ready, ("livenessProbe", Value::Map(every("/livez", 10)))]
}

/// What the restricted Pod Security Standard asks for, and a root file system that cannot be written.
fn restricted() -> Value {
    map([
        ("runAsNonRoot", Value::True),
        ("runAsUser", Value::Number(USER)),
        ("allowPrivilegeEscalation", Value::False),
        ("readOnlyRootFilesystem", Value::True),
        ("capabilities", map([("drop", list([text("ALL")]))])),
        ("seccompProfile", map([("type", text("RuntimeDefault"))])),
    ])
}

fn mounts(settings: &Settings, state_volume: Option<&str>) -> Vec<Value> {
    let at = |name: &str, path: &str| vec![("name", text(name)), ("mountPath", text(path))];
    let fixed = |name: &str, path: &str| {
        let mut mount = at(name, path);
        mount.push(("readOnly", Value::True));
        Value::Map(mount)
    };
    // Directories: what is mounted by subPath never changes.
    let tls = settings.tls_secret.is_some().then(|| fixed(TLS_VOLUME, "/etc/outrigger-tls"));
    let state = state_volume.map(|name| Value::Map(at(name, STATE_DIR)));
    [fixed(POLICY_VOLUME, "/etc/outrigger")].into_iter().chain(tls).chain(state).collect()
}

/// The volumes by name; the state's only if it is no claim of a StatefulSet.
pub(super) fn volumes(settings: &Settings, own_state: bool) -> Vec<(&'static str, Value)> {
    let volume =
        |name: &'static str, kind: &'static str, value: Value| (name, map([("name", text(name)), (kind, value)]));
    let mut all = vec![volume(POLICY_VOLUME, "configMap", map([("name", text(settings.policy_configmap.clone()))]))];
    if let Some(secret) = &settings.tls_secret {
        all.push(volume(TLS_VOLUME, "secret", map([("secretName", text(secret.clone()))])));
    }
    match &settings.state {
        State::None => {}
        _ if !own_state => {}
        State::EmptyDir => all.push(volume(STATE_VOLUME, "emptyDir", map([("sizeLimit", text("64Mi"))]))),
        State::Claim(name) => {
            all.push(volume(STATE_VOLUME, "persistentVolumeClaim", map([("claimName", text(name.clone()))])));
        }
    }
    all
}
