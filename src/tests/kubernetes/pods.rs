//! What a Pod with our sidecar must be like, beyond what a schema can say.

use outrigger::policy::{Direction, compile, duration, lint};
use serde_json::{Value, json};

/// Paths that the program answers on its metrics port; a test asks it.
pub const PROBES: [&str; 2] = ["/livez", "/readyz"];
const METRICS_PORT: u64 = 4491;

/// The object, or those of a List.
pub fn objects(document: &Value) -> Vec<&Value> {
    match (document["kind"].as_str(), document["items"].as_array()) {
        (Some("List"), Some(items)) => items.iter().collect(),
        _ => vec![document],
    }
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn template(object: &Value) -> Option<&Value> {
    match object["kind"].as_str()? {
        "Pod" => Some(object),
        "CronJob" => object.pointer("/spec/jobTemplate/spec/template"),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => object.pointer("/spec/template"),
        _ => None,
    }
}

/// Our container in a Pod, and whether it is a native sidecar.
pub fn sidecar(pod_spec: &Value) -> Option<(&Value, bool)> {
    let ours = |key: &str| list(pod_spec, key).iter().find(|container| container["name"] == "outrigger");
    ours("initContainers").map(|it| (it, true)).or_else(|| ours("containers").map(|it| (it, false)))
}

/// The Pod specs of these documents that have our sidecar.
pub fn sidecars(documents: &[Value]) -> Vec<&Value> {
    let templates = documents.iter().flat_map(objects).filter_map(template);
    templates.map(|template| &template["spec"]).filter(|spec| sidecar(spec).is_some()).collect()
}

/// What is wrong with the sidecars and the policies of one file.
pub fn errors(documents: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let objects: Vec<&Value> = documents.iter().flat_map(objects).collect();
    for object in &objects {
        let Some(template) = template(object) else { continue };
        if sidecar(&template["spec"]).is_some() {
            one_pod(object, template, &mut |what| found.push(format!("{}: {what}", object["kind"])));
        }
    }
    let policies = objects.iter().filter_map(|object| object.pointer("/data/policy.yaml")?.as_str());
    for text in policies {
        one_policy(text, &objects, &mut found);
    }
    found
}

fn one_pod(object: &Value, template: &Value, say: &mut impl FnMut(String)) {
    let spec = &template["spec"];
    let Some((container, native)) = sidecar(spec) else { return };
    if template["metadata"]["labels"]["outrigger.dev/sidecar"] != "true" {
        say("the PodMonitor selects by the label outrigger.dev/sidecar, and it is missing".into());
    }
    restricted(container, say);
    ports(container, say);
    probes(container, native, say);
    volumes(object, spec, container, say);
    let grace = spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
    let told = list(container, "env").iter().find(|env| env["name"] == "OUTRIGGER_GRACE_PERIOD");
    if told.is_none_or(|env| env["value"] != json!(format!("{grace}s"))) {
        say(format!("OUTRIGGER_GRACE_PERIOD is not {grace}s"));
    }
    if native != (container["restartPolicy"] == "Always") {
        say("a native sidecar, and only one, has restartPolicy: Always".into());
    }
    if native && spec["initContainers"][0]["name"] != "outrigger" {
        say("other init containers come before the sidecar, and have no egress".into());
    }
    if !container["lifecycle"].is_null() {
        say("a preStop hook runs while the app still makes its last calls".into());
    }
    if !native && object["kind"] == "Job" {
        say("an ordinary container keeps a Job running".into());
    }
    let image = container["image"].as_str().unwrap_or_default();
    if image.rsplit('/').next().is_none_or(|name| !name.contains(':')) || image.ends_with(":latest") {
        say(format!("the image {image} has no version"));
    }
    if container["resources"]["requests"]["memory"].is_null() || !container["resources"]["limits"]["cpu"].is_null() {
        say("resources are requested, and CPU is not limited".into());
    }
}

/// The restricted Pod Security Standard, and a root file system that cannot be written.
fn restricted(container: &Value, say: &mut impl FnMut(String)) {
    let context = &container["securityContext"];
    for (key, wanted) in [
        ("runAsNonRoot", json!(true)),
        ("runAsUser", json!(65532)),
        ("allowPrivilegeEscalation", json!(false)),
        ("readOnlyRootFilesystem", json!(true)),
        ("capabilities", json!({"drop": ["ALL"]})),
        ("seccompProfile", json!({"type": "RuntimeDefault"})),
    ] {
        if context[key] != wanted {
            say(format!("securityContext.{key} is not {wanted}"));
        }
    }
    if context.as_object().map_or(0, serde_json::Map::len) != 6 {
        say("securityContext says more than what is restricted".into());
    }
}

fn ports(container: &Value, say: &mut impl FnMut(String)) {
    let ports = list(container, "ports");
    for port in ports {
        let name = port["name"].as_str().unwrap_or_default();
        // IANA_SVC_NAME: what the API server enforces.
        let fits = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if name.is_empty() || name.len() > 15 || !fits || port["hostPort"].is_u64() {
            say(format!("the port {port} has a name that Kubernetes refuses, or a port of the host"));
        }
    }
    let metrics = ports.iter().any(|p| p["name"] == "outrigger-prom" && p["containerPort"] == METRICS_PORT);
    if !metrics || ports.iter().any(|port| port["containerPort"] == 4490) {
        say("outrigger-prom is 4491, and the admin port is not named".into());
    }
}

fn probes(container: &Value, native: bool, say: &mut impl FnMut(String)) {
    let wanted = if native { ["startupProbe", "livenessProbe"] } else { ["readinessProbe", "livenessProbe"] };
    for name in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let probe = &container[name];
        if wanted.contains(&name) == probe.is_null() {
            say(format!("{name}: the {} form has {wanted:?}", if native { "native" } else { "plain" }));
        }
        let path = probe["httpGet"]["path"].as_str().unwrap_or_default();
        if !probe.is_null() && (!PROBES.contains(&path) || probe["httpGet"]["port"] != METRICS_PORT) {
            say(format!("{name} asks for what the program does not serve: {probe}"));
        }
    }
    if native
        && (container["startupProbe"]["periodSeconds"] != 1 || container["startupProbe"]["failureThreshold"] != 30)
    {
        say("the startupProbe looks every second, for 30 seconds".into());
    }
    if container["livenessProbe"]["httpGet"]["path"] == "/readyz" {
        say("a proxy that drains is alive".into());
    }
}

fn volumes(object: &Value, spec: &Value, container: &Value, say: &mut impl FnMut(String)) {
    let claims = object.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    let claims = claims.into_iter().flatten().map(|claim| &claim["metadata"]["name"]);
    let names: Vec<&Value> = list(spec, "volumes").iter().map(|volume| &volume["name"]).chain(claims).collect();
    let mounts = list(container, "volumeMounts");
    for mount in mounts {
        if !mount["subPath"].is_null() || !mount["subPathExpr"].is_null() {
            say(format!("{mount} is a subPath: it never changes"));
        }
        if !names.contains(&&mount["name"]) {
            say(format!("{mount} has no volume"));
        }
    }
    let args: Vec<&str> = list(container, "args").iter().filter_map(Value::as_str).collect();
    let follows = |word: &str| args.iter().position(|arg| *arg == word).and_then(|at| args.get(at + 1));
    let mounted = |directory: &str| mounts.iter().any(|mount| mount["mountPath"] == directory);
    if args.first() != Some(&"run")
        || follows("--policy") != Some(&"/etc/outrigger/policy.yaml")
        || !mounted("/etc/outrigger")
    {
        say(format!("it does not run the mounted policy: {args:?}"));
    }
    if follows("--state-dir").is_some_and(|directory| !mounted(directory)) {
        say("the root file system cannot be written, and the state has no volume".into());
    }
}

/// A policy in a ConfigMap: in order, within the grace period, and in agreement with the Pods beside it.
fn one_policy(text: &str, objects: &[&Value], found: &mut Vec<String>) {
    let compiled = match compile::load("policy.yaml", text) {
        Ok(compiled) => compiled,
        Err(findings) => return found.push(findings.to_string()),
    };
    if !compiled.warnings.is_empty() {
        found.push(compiled.warnings.to_string());
    }
    let inbound = compiled.policy.listeners.iter().find(|listener| listener.direction == Direction::Inbound);
    for template in objects.iter().filter_map(|object| template(object)) {
        let spec = &template["spec"];
        let Some((container, _)) = sidecar(spec) else { continue };
        let grace = duration::parse(&format!("{}s", spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(30)));
        let grace = grace.unwrap_or_else(|error| panic!("{error}"));
        let drain = lint::grace_period(&compiled.policy, &compiled.origins, grace);
        found.extend(drain.map(|finding| finding.message));
        let named = list(container, "ports").iter().find(|port| port["name"] == "outrigger-in");
        let named = named.and_then(|port| port["containerPort"].as_u64());
        let listens = inbound.map(|listener| u64::from(listener.addr.port()));
        // A template for all apps names the port whether a policy uses it or not.
        if listens.is_some() && named != listens {
            found.push(format!("the policy listens inbound on {listens:?}, and the Pod names {named:?}"));
        }
        let store = compiled.policy.stores.embedded.as_ref().map(|store| store.path.display().to_string());
        let on_mount = |path: &String| {
            list(container, "volumeMounts").iter().any(|m| path.starts_with(m["mountPath"].as_str().unwrap_or("none")))
        };
        if let Some(path) = store.filter(|path| !on_mount(path)) {
            found.push(format!("the store {path} has no volume"));
        }
    }
}

const SOUND: &str = include_str!("../../../deploy/kubernetes/sidecar.yaml");

#[test]
fn each_mistake_in_a_pod_is_found() {
    let broken = [
        ("restartPolicy: Always", "", "restartPolicy: Always"),
        ("readOnlyRootFilesystem: true", "", "readOnlyRootFilesystem"),
        (
            "capabilities: { drop: [ALL] }\n            seccomp",
            "capabilities: { drop: [ALL], add: [NET_ADMIN] }\n            seccomp",
            "capabilities",
        ),
        ("outrigger-prom,", "outrigger-metrics,", "a name that Kubernetes refuses"),
        ("path: /readyz", "path: /ready", "does not serve"),
        ("failureThreshold: 30", "failureThreshold: 3", "for 30 seconds"),
        ("mountPath: /etc/outrigger,", "mountPath: /etc/outrigger/policy.yaml, subPath: policy.yaml,", "never changes"),
        ("- name: outrigger-tls\n          secret", "- name: other\n          secret", "has no volume"),
        ("terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 10", "grace period is 10s"),
        ("outrigger.dev/sidecar: \"true\"", "a: b", "by the label"),
        ("limits: { memory: 128Mi }", "limits: { cpu: 1, memory: 128Mi }", "CPU is not limited"),
        ("image: outrigger:0.1.0", "image: outrigger", "has no version"),
        ("containerPort: 4401", "containerPort: 4402", "listens inbound"),
        ("attempts: 2", "attempst: 2", "attempst"),
        (
            "          # No preStop hook",
            "          lifecycle: { preStop: { sleep: { seconds: 5 } } }\n          # No preStop hook",
            "last calls",
        ),
        ("      initContainers:\n", "      initContainers:\n        - { name: a, image: b }\n", "come before"),
    ];
    assert_eq!(super::findings("sidecar.yaml", SOUND), [""; 0]);
    for (from, to, what) in broken {
        assert!(SOUND.contains(from), "{from}");
        let found = super::findings("sidecar.yaml", &SOUND.replacen(from, to, 1));
        assert!(found.iter().any(|error| error.contains(what)), "{from} -> {to}: {found:?}");
    }
}
