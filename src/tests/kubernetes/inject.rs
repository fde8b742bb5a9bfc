//! `outrigger k8s inject` as it is used: text in, text out.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{assert_golden, assert_sound, documents, pods, read};
use crate::stage::executable;

/// What the program wrote.
pub struct Ran {
    pub text: String,
    pub story: String,
    pub code: Option<i32>,
}

/// `outrigger k8s inject -f - WORDS`, with this on standard input.
pub fn run(words: &[&str], input: &str) -> Ran {
    let mut child = Command::new(executable())
        .args(["k8s", "inject", "-f", "-"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { text: text(output.stdout), story: text(output.stderr), code: output.status.code() }
}

/// A manifest, the words, the golden file, and how many sidecars it has.
const CASES: [(&str, &str, &str, usize); 5] = [
    ("deployment", "", "deployment", 1),
    ("deployment", "--plain --inbound 4401 --tls-secret checkout-tls --state pvc:checkout-state", "plain", 1),
    ("statefulset", "--image registry.example/team/outrigger:0.1.0 --state pvc:outrigger-state", "statefulset", 1),
    ("stream", "--state emptyDir", "stream", 4),
    ("kubectl-json", "", "kubectl-json", 1),
];

#[test]
fn whole_files_become_what_kubernetes_takes() {
    for (manifest, words, golden, sidecars) in CASES {
        let words: Vec<&str> = words.split_whitespace().collect();
        let input = read(&format!("src/tests/kubernetes/manifests/{manifest}.yaml"));
        let once = run(&words, &input);
        assert_eq!(once.code, Some(0), "{}", once.story);
        assert_golden(&format!("inject-{golden}.yaml"), &once.text);
        assert_sound(golden, &once.text);
        assert_eq!(pods::sidecars(&documents(golden, &once.text)).len(), sidecars, "{golden}");
        assert_eq!(run(&words, &once.text).text, once.text, "a second run changes nothing");
        assert_eq!(run(&["--uninject"], &once.text).text, input, "what was added can be taken away");
        // Lines are added, and those that were there stay in their order; only what stands in brackets grows.
        let grown = |line: &str, other: &str| {
            other == line || (line.contains(['{', '}', '"']) && other.contains("outrigger.dev"))
        };
        let mut after = once.text.lines();
        let json = input.starts_with('{');
        let missing: Vec<&str> = input.lines().filter(|line| !json && !after.any(|other| grown(line, other))).collect();
        assert_eq!(missing, [""; 0], "{golden}");
    }
}

#[test]
fn it_says_what_it_did_and_what_comes_next() {
    let stream = read("src/tests/kubernetes/manifests/stream.yaml");
    let ran = run(&[], &stream);
    for line in [
        "document 3, line 21: Deployment shop/web: sidecar added",
        "document 5, line 49: Deployment shop/batch: left as it is: annotated with outrigger.dev/inject: disabled",
        "next: point the app at the addresses the policy listens on",
    ] {
        assert!(ran.story.contains(line), "{line}\n{}", ran.story);
    }
}

#[test]
fn nothing_is_written_where_something_cannot_be_done() {
    let ran = run(&[], "kind: ConfigMap\napiVersion: v1\n---\nkind: Pod\napiVersion: v1\nspec: 1\n");
    assert_eq!((ran.code, ran.text.as_str()), (Some(2), ""));
    assert!(ran.story.starts_with("<stdin>:6: document 2: `spec` has no keys\nnext: "), "{}", ran.story);
    let template = run(&[], "a: {{ .Values.a }}\nb: {{ x }}{{ y }}\n");
    assert_eq!((template.code, template.text.as_str()), (Some(2), ""));
    let missing = Command::new(executable()).args(["k8s", "inject", "-f", "/nowhere.yaml"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere.yaml: "));
}
