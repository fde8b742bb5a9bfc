//! deploy/kubernetes and deploy/helm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use outrigger::testing::get;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{assert_golden, assert_sound, documents, path, pods, read};

/// Files that are no manifests of a cluster.
const OTHERS: [&str; 4] =
    ["component/kustomization.yaml", "component/sidecar.yaml", "example/kustomization.yaml", "example/policy.yaml"];

/// Every file below a folder of the repository, relative to it, in order.
fn files(folder: &str) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path: PathBuf = entry.unwrap().path();
            match path.strip_prefix(root) {
                Ok(name) if path.is_file() => found.push(name.display().to_string()),
                _ => walk(root, &path, found),
            }
        }
    }
    let (root, mut found) = (path(folder), Vec::new());
    walk(&root, &root, &mut found);
    found.sort();
    found
}

/// As deploy/helm/golden.py: over names and contents.
fn digest(root: &str, folders: &[&str]) -> String {
    let wanted = |name: &&String| folders.iter().any(|folder| name.starts_with(&format!("{folder}/")));
    let mut hash = Sha256::new();
    for name in files(root).iter().filter(wanted) {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(fs::read(path(root).join(name)).unwrap());
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_manifest_is_what_kubernetes_takes_and_a_sidecar_of_ours() {
    let mut count = 0;
    for name in files("deploy/kubernetes").iter().filter(|name| !OTHERS.contains(&name.as_str())) {
        let name = format!("deploy/kubernetes/{name}");
        assert_sound(&name, &read(&name));
        count += pods::sidecars(&documents(&name, &read(&name))).len();
    }
    assert_eq!(count, 4, "sidecar, plain, stateful and job have one each");
}

#[test]
fn kustomize_adds_the_sidecar_to_what_is_annotated_and_to_nothing_else() {
    let made_of = digest("deploy/kubernetes", &["component", "example"]);
    let first = format!("# kubectl kustomize deploy/kubernetes/example, of {made_of}\n");
    let built = Command::new("kubectl").arg("kustomize").arg(path("deploy/kubernetes/example")).output();
    match built {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_golden("kustomize.yaml", &format!("{first}{}", String::from_utf8_lossy(&output.stdout)));
        }
        // The golden file is checked all the same, and its first line says whether it is of these files.
        Err(error) => eprintln!("kubectl cannot be started ({error}): its output of an earlier day is looked at"),
    }
    let golden = read("src/tests/kubernetes/golden/kustomize.yaml");
    assert!(golden.starts_with(&first), "the component has changed: run this test where kubectl is installed");
    assert_sound("kustomize.yaml", &golden);
    assert_eq!(pods::sidecars(&documents("kustomize.yaml", &golden)).len(), 1);
}

#[test]
fn what_helm_rendered_is_of_this_chart_and_what_kubernetes_takes() {
    let made_of = digest("deploy/helm", &["cases", "outrigger", "parent"]);
    for (name, sidecars) in [("defaults", 0), ("native", 1), ("plain", 1), ("parent", 1)] {
        let file = format!("helm-{name}.yaml");
        let golden = read(&format!("src/tests/kubernetes/golden/{file}"));
        let first = golden.lines().next().unwrap_or_default();
        assert_eq!(first, format!("# golden.sh of {made_of}"), "the chart has changed: run deploy/helm/golden.sh");
        assert_sound(&file, &golden);
        assert_eq!(pods::sidecars(&documents(&file, &golden)).len(), sidecars, "{file}");
    }
}

/// The container, without what may differ.
fn plain_truth(text: &str) -> Value {
    let documents = documents("manifests", text);
    let spec = pods::sidecars(&documents)[0];
    let (container, _) = pods::sidecar(spec).unwrap();
    let mut container = container.clone();
    let fields = container.as_object_mut().unwrap();
    fields.remove("imagePullPolicy");
    let mounts = fields.get_mut("volumeMounts").and_then(Value::as_array_mut).unwrap();
    mounts.retain(|mount| mount["name"] != "outrigger-tls");
    container
}

#[test]
fn all_ways_lead_to_the_same_container() {
    let pasted = plain_truth(&read("deploy/kubernetes/sidecar.yaml"));
    let app = read("deploy/kubernetes/example/app.yaml");
    let injected = super::inject::run(&["--inbound", "--state", "emptyDir"], &app);
    assert_eq!(plain_truth(&injected.text), pasted);
    for golden in ["kustomize.yaml", "helm-parent.yaml"] {
        assert_eq!(plain_truth(&read(&format!("src/tests/kubernetes/golden/{golden}"))), pasted, "{golden}");
    }
    let plain = plain_truth(&read("deploy/kubernetes/plain.yaml"));
    let injected = super::inject::run(&["--inbound", "--plain"], &app);
    assert_eq!(plain_truth(&injected.text), plain);
    assert_eq!(plain_truth(&read("src/tests/kubernetes/golden/helm-plain.yaml")), plain);
}

#[tokio::test]
async fn the_program_answers_what_probes_and_scrapers_ask_for() {
    let program = crate::stage::program("upstreams: { a: { url: 'http://127.0.0.1:9' } }\n").await;
    let monitor = read("deploy/kubernetes/podmonitor.yaml");
    assert!(monitor.contains("path: /metrics"), "{monitor}");
    for path in pods::PROBES.into_iter().chain(["/metrics"]) {
        let answer = get(program.address("metrics"), path).await;
        assert_eq!(answer.map(|answer| answer.status), Some(200), "{path}");
    }
}
