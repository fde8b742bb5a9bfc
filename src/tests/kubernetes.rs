//! Kubernetes without a cluster: what we ship and what `k8s inject` writes, against the published schemas and against
//! what a sidecar of ours must be; `outrigger doctor` beside a running program.

/// `outrigger doctor` beside the real program.
mod doctor;
/// Every YAML block of docs/kubernetes.md.
mod documents;
/// What lies in deploy/kubernetes, and what kustomize and Helm make of it.
mod files;
/// `outrigger k8s inject` on whole files.
mod inject;
/// What a Pod with our sidecar must be like.
mod pods;
/// Kubernetes' own description of its objects.
mod schema;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The documents of a text; empty ones are left out, as kubectl does.
fn documents(name: &str, text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
    all.into_iter().filter(|document| !document.is_null()).collect()
}

/// Everything that is wrong with the manifests of a text, one sentence each.
fn findings(name: &str, text: &str) -> Vec<String> {
    let documents = documents(name, text);
    let mut found = Vec::new();
    for document in &documents {
        for object in pods::objects(document) {
            found.extend(schema::errors(object));
        }
    }
    found.extend(pods::errors(&documents));
    found.into_iter().map(|what| format!("{name}: {what}")).collect()
}

fn assert_sound(name: &str, text: &str) {
    let found = findings(name, text);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Compares with a golden file; `UPDATE_GOLDEN=1` writes it instead.
fn assert_golden(name: &str, text: &str) {
    let file = format!("src/tests/kubernetes/golden/{name}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path(&file), text).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    assert!(read(&file) == text, "{file} differs (UPDATE_GOLDEN=1 writes it; look at `git diff` then):\n{text}");
}
