//! What `k8s inject` makes of manifests that people write. Whole files with their golden output: src/tests/kubernetes.

use clap::Parser;

use super::settings::{Settings, State};
use super::{Problem, Task, rewrite, tree};

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    settings: Settings,
}

fn settings(words: &str) -> Settings {
    Words::parse_from(std::iter::once("inject").chain(words.split_whitespace())).settings
}

fn inject_with(words: &str, text: &str) -> Result<(String, Vec<String>), Problem> {
    rewrite(text, Task::Add(&settings(words)))
}

fn inject(text: &str) -> String {
    inject_with("", text).unwrap_or_else(|problem| panic!("{problem:?}\n{text}")).0
}

fn uninject(text: &str) -> String {
    rewrite(text, Task::Remove).unwrap_or_else(|problem| panic!("{problem:?}\n{text}")).0
}

fn refused(text: &str) -> Problem {
    inject_with("", text).map(|(text, _)| text).expect_err("it must be refused")
}

/// A value of the injected text, by path.
fn value(text: &str, pointer: &str) -> serde_json::Value {
    let value: serde_json::Value = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    value.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in\n{text}")).clone()
}

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web   # ours
spec:
  template:
    metadata:
      labels: {app: web}
    spec:
      # The app.
      containers:
      - name: web
        image: web:1
";

/// Ways to write a Deployment, all of them seen in the wild.
fn spellings() -> Vec<String> {
    let pretty = r#"{
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "spec": {
        "template": {
            "metadata": {
                "annotations": {},
                "labels": {
                    "app": "web"
                }
            },
            "spec": {
                "containers": [
                    {
                        "name": "web"
                    }
                ],
                "volumes": []
            }
        }
    }
}
"#;
    let mut all = vec![
        DEPLOYMENT.to_owned(),
        DEPLOYMENT.trim_end().to_owned(),
        DEPLOYMENT.replace('\n', "\r\n"),
        DEPLOYMENT.replace('\n', "\r\n").trim_end().to_owned(),
        format!("\u{feff}{DEPLOYMENT}"),
        format!("%YAML 1.1\n---\n{DEPLOYMENT}...\n"),
        pretty.to_owned(),
        pretty.split_whitespace().collect::<String>(),
    ];
    let spec = |text: &str| format!("apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n{text}");
    let texts = [
        // Indented lists, and other init containers.
        "    spec:\n      initContainers:\n        # First of all.\n        - name: migrate\n      containers:\n        - name: web\n\n      volumes:\n        - name: data\n          emptyDir: {}\n      # The end.\n",
        // The metadata behind, with labels last, and a block of text at the end of the Pod.
        "    spec:\n      containers:\n        - name: web\n          command:\n            - sh\n            - -c\n            - |\n              sleep 1\n\n    metadata:\n      annotations:\n        a: b\n      labels:\n        app: web\n",
        // Text whose empty lines belong to it.
        "    metadata: {}\n    spec:\n      containers:\n        - name: web\n          args:\n            - |+\n              a\n\n",
        // Four blanks, quotes, long strings.
        "    spec:\n        \"containers\":\n            - \"name\": \"web\"\n              image: >-\n                web:1\n        hostAliases: [{ip: 10.0.0.1, hostnames: [a, b]}]\n",
        // A dash on a line of its own.
        "    spec:\n      containers:\n      -\n        name: web\n      -\n        name: other\n",
        // The app uses annotations of Prometheus itself.
        "    metadata:\n      annotations:\n        prometheus.io/port: '8080'\n    spec:\n      containers: [{name: web}]\n",
        // All we would add to the metadata is there.
        "    metadata:\n      annotations:\n        prometheus.io/scrape: \"true\"\n        prometheus.io/port: \"4491\"\n        prometheus.io/path: /metrics\n      labels:\n        outrigger.dev/sidecar: \"true\"\n    spec:\n      volumes:\n      - name: outrigger-policy\n        configMap: {name: mine}\n      containers:\n      - {name: web}\n",
    ];
    all.extend(texts.iter().map(|text| spec(text)));
    all
}

#[test]
fn what_is_added_can_be_taken_away_byte_for_byte() {
    for text in spellings() {
        for words in ["", "--plain --state emptyDir", "--tls-secret t --state pvc:data --inbound"] {
            let (injected, _) = inject_with(words, &text).unwrap_or_else(|problem| panic!("{problem:?}\n{text}"));
            assert_ne!(injected, text);
            let after = uninject(&injected);
            if after != text {
                // Empty brackets that were filled are gone with what was in them: to Kubernetes, they were nothing.
                let [before, after] = [&text, &after].map(|text| tree::read(text).unwrap());
                assert!(["{}", "[]"].iter().any(|empty| text.contains(empty)), "{words}\n{text}\n{injected}");
                assert!(before[0].means(&after[0]), "{words}\n{injected}");
            }
        }
    }
}

#[test]
fn a_second_run_changes_nothing() {
    for text in spellings() {
        let once = inject(&text);
        assert_eq!(inject(&once), once);
    }
}

#[test]
fn the_sidecar_is_the_first_init_container_and_the_plain_one_the_last_container() {
    for text in spellings().iter().map(|text| text.trim_start_matches('\u{feff}')) {
        let spec = "/spec/template/spec";
        let native = inject(text);
        assert_eq!(value(&native, &format!("{spec}/initContainers/0/name")), "outrigger", "{native}");
        assert_eq!(value(&native, &format!("{spec}/initContainers/0/restartPolicy")), "Always");
        let label = value(&native, "/spec/template/metadata/labels/outrigger.dev~1sidecar");
        assert_eq!(label, "true", "{native}");
        let volumes = value(&native, &format!("{spec}/volumes"));
        assert!(volumes.as_array().unwrap().iter().any(|volume| volume["name"] == "outrigger-policy"), "{native}");
        let plain = inject_with("--plain", text).unwrap().0;
        let containers = value(&plain, &format!("{spec}/containers"));
        let containers = containers.as_array().unwrap();
        assert_eq!(containers.last().unwrap()["name"], "outrigger", "{plain}");
        assert!(containers.len() > 1);
    }
}

#[test]
fn a_diff_has_only_lines_that_are_added() {
    let injected = inject(DEPLOYMENT);
    let mut rest = injected.lines();
    for line in DEPLOYMENT.lines().map(|line| if line.ends_with("{app: web}") { "labels:" } else { line.trim() }) {
        assert!(rest.any(|other| other.trim().starts_with(line)), "{line} is not where it was\n{injected}");
    }
    // A comment stays with what it is about.
    assert!(injected.contains("      # The app.\n      containers:\n      - name: web\n"), "{injected}");
}

#[test]
fn what_is_no_workload_passes_byte_for_byte() {
    let others = "\
# A stream of other things.
apiVersion: v1
kind: ConfigMap
data: {a:   'b' }
---
---
kind: Deployment
apiVersion: example.org/v1
spec: &x {template: *x}
---
[1, 2,   3]
---
apiVersion: v1
kind: List
items: []
";
    let others = others.replace("&x {template: *x}", "{template: 1}");
    let (text, story) = inject_with("", &others).unwrap();
    assert_eq!(text, others);
    assert_eq!(story, ["no workload was found: everything passes unchanged"]);
    let mixed = format!("{others}---\n{DEPLOYMENT}---\n{others}");
    let injected = inject(&mixed);
    assert!(injected.starts_with(&others) && injected.ends_with(&others), "{injected}");
    for empty in ["", "\n", "# nothing\n", "---\n"] {
        assert_eq!(inject(empty), empty);
    }
}

#[test]
fn every_kind_with_pods_is_known_also_in_a_list() {
    let pod = "{containers: [{name: a}]}";
    let set = format!("{{template: {{spec: {pod}}}}}");
    let all = [
        ("v1", "Pod", pod.to_owned()),
        ("apps/v1", "Deployment", set.clone()),
        ("apps/v1", "StatefulSet", set.clone()),
        ("apps/v1", "DaemonSet", set.clone()),
        ("apps/v1", "ReplicaSet", set.clone()),
        ("batch/v1", "Job", set.clone()),
        ("batch/v1", "CronJob", format!("{{jobTemplate: {{spec: {set}}}}}")),
    ];
    let mut items = String::from("apiVersion: v1\nkind: List\nitems:\n");
    for (api, kind, spec) in &all {
        let text = format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x, namespace: n}}\nspec: {spec}\n");
        let (injected, story) = inject_with("", &text).unwrap();
        assert!(injected.contains(r#""initContainers": [{"name": "outrigger""#), "{injected}");
        assert_eq!(story[0], format!("document 1, line 1: {kind} n/x: sidecar added"));
        items.push_str(&format!("- apiVersion: {api}\n  kind: {kind}\n  spec: {spec}\n"));
    }
    let injected = inject(&items);
    assert_eq!(injected.matches(r#""name": "outrigger","#).count(), all.len(), "{injected}");
    assert_eq!(uninject(&injected), items);
}

#[test]
fn annotations_override_the_flags() {
    let annotated = DEPLOYMENT.replace(
        "      labels: {app: web}\n",
        "      annotations:\n        outrigger.dev/image: mine:2\n        outrigger.dev/policy-configmap: other\n        \
         outrigger.dev/state: pvc:disk\n        outrigger.dev/tls-secret: certs\n        outrigger.dev/inbound: \"4409\"\n",
    );
    let injected = inject_with("--image flag:1", &annotated).unwrap().0;
    for line in [
        "image: mine:2",
        "name: other",
        "claimName: disk",
        "secretName: certs",
        "containerPort: 4409",
        "name: outrigger-in",
        "mountPath: /var/lib/outrigger",
    ] {
        assert!(injected.contains(line), "{line}\n{injected}");
    }
    let disabled = annotated.replace("outrigger.dev/image: mine:2", "outrigger.dev/inject: disabled");
    let (text, story) = inject_with("", &disabled).unwrap();
    assert_eq!(text, disabled);
    assert!(story[0].ends_with("left as it is: annotated with outrigger.dev/inject: disabled"), "{story:?}");
    let wrong = refused(&annotated.replace("outrigger.dev/image", "outrigger.dev/imgae"));
    assert!(wrong.what.starts_with("outrigger.dev/imgae: there is no such annotation"), "{wrong:?}");
    assert_eq!(wrong.line, 9);
}

#[test]
fn a_claim_template_of_a_stateful_set_is_mounted_and_a_claim_of_many_replicas_is_noted() {
    let set = DEPLOYMENT.replace("kind: Deployment", "kind: StatefulSet");
    let set = format!("{set}  volumeClaimTemplates:\n  - metadata:\n      name: disk\n");
    let (injected, _) = inject_with("--state pvc:disk", &set).unwrap();
    assert!(!injected.contains("persistentVolumeClaim"), "{injected}");
    assert!(injected.contains("- name: disk\n          mountPath: /var/lib/outrigger"), "{injected}");
    let many = DEPLOYMENT.replace("spec:\n  template", "spec:\n  replicas: 3\n  template");
    let (injected, story) = inject_with("--state pvc:disk", &many).unwrap();
    assert!(injected.contains("claimName: disk"));
    assert!(story.iter().any(|line| line.contains("3 replicas would open the store on disk")), "{story:?}");
    assert!(story.iter().any(|line| line.contains("fsGroup")), "{story:?}");
    let (_, story) = inject_with("--state emptyDir", DEPLOYMENT).unwrap();
    assert!(story.iter().any(|line| line.contains("dies with the Pod")), "{story:?}");
}

#[test]
fn the_grace_period_of_the_pod_is_told_to_the_sidecar() {
    let pod = DEPLOYMENT.replace("      containers:", "      terminationGracePeriodSeconds: 75\n      containers:");
    assert!(inject(&pod).contains("value: 75s"));
    assert!(inject(DEPLOYMENT).contains("value: 30s"));
}

#[test]
fn keys_without_a_value_are_filled() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  labels:\n  annotations: null   # none\nspec:\n  initContainers:\n  volumes: ~\n  containers:\n  - name: a\n";
    let injected = inject(text);
    assert_eq!(value(&injected, "/spec/initContainers/0/name"), "outrigger");
    assert_eq!(value(&injected, "/spec/volumes/0/name"), "outrigger-policy");
    assert_eq!(value(&injected, "/metadata/labels/outrigger.dev~1sidecar"), "true");
    assert!(injected.contains("  annotations:   # none\n"), "{injected}");
    assert_eq!(inject(&injected), injected);
}

#[test]
fn what_cannot_be_changed_safely_is_refused_with_its_place() {
    let before = "apiVersion: v1\nkind: ConfigMap\n---\n";
    let cases = [
        ("    spec: &pod\n      containers:\n      - name: a\n    again: *pod\n", "another place refers to this", 8),
        ("    spec:\n      containers: &c\n      - name: a\n      initContainers: *c\n", "refers to this", 9),
        ("    spec:\n      <<: {a: b}\n      containers:\n      - name: a\n", "`<<`", 9),
        ("    spec:\n      containers:\n      - name: a\n      containers: []\n", "`containers` stands here twice", 11),
        ("    spec:\n      containers: []\n", "`containers` is no list", 9),
        ("    spec:\n      volumes: []\n", "no `containers`", 9),
        ("    spec: 1\n", "`spec` has no keys", 8),
        ("    metadata: {}\n", "there is no `spec`", 8),
        ("    spec:\n      volumes: a\n      containers:\n      - name: a\n", "`volumes` is no list", 9),
        ("    spec:\n      containers:\n      - &a\n        name: a\n", "in a way that cannot be added to", 10),
    ];
    for (text, what, line) in cases {
        let text = format!("{before}apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n{text}");
        let problem = inject_with("--plain", &text).map(|(text, _)| text).expect_err(&text);
        assert!(problem.what.contains(what), "{problem:?}\n{text}");
        assert_eq!((problem.document, problem.line), (2, line), "{problem:?}\n{text}");
        // Whoever is left alone may be written in any way.
        let disabled = text
            .replace("kind: Deployment", "kind: Deployment\nmetadata: {annotations: {outrigger.dev/inject: disabled}}");
        assert_eq!(inject(&disabled), disabled);
    }
    let template = refused("a: {{ .Values.a }}\nb: {{ x }}{{ y }}\n");
    assert_eq!((template.document, template.line), (1, 2));
    assert!(template.what.starts_with("this is not YAML: "), "{template:?}");
}

#[test]
fn hostile_text_ends_in_an_error_and_not_in_a_panic() {
    let deep = format!("apiVersion: v1\nkind: Pod\nspec: {}1{}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert!(refused(&deep).what.starts_with("this is not YAML"));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\n";
    assert_eq!(inject(bomb), bomb);
    // Cut anywhere, changed anywhere: an answer or an error.
    let text = spellings().join("---\n");
    for cut in (0..text.len()).filter(|at| text.is_char_boundary(*at)).step_by(7) {
        if let Ok((once, _)) = inject_with("", &text[..cut]) {
            assert_eq!(inject(&once), once);
        }
        let _ = rewrite(&text[cut..], Task::Remove);
    }
}

#[test]
fn states_are_named_as_the_help_says() {
    assert_eq!(settings("").state, State::None);
    assert_eq!(settings("--state emptyDir").state, State::EmptyDir);
    assert_eq!(settings("--state pvc:a-b").state, State::Claim("a-b".to_owned()));
    assert_eq!(settings("--inbound").inbound, Some(4401));
    for wrong in [["--state", "disk"], ["--state", "pvc:"], ["--inbound", "0"], ["--tls-secret", "A"]] {
        assert!(Words::try_parse_from(["inject"].into_iter().chain(wrong)).is_err(), "{wrong:?}");
    }
}
