//! docs/kubernetes.md works by copy and paste.

use super::{assert_sound, read};

/// The blocks of one language.
fn blocks<'t>(text: &'t str, language: &'t str) -> impl Iterator<Item = &'t str> {
    let fences = text.split("\n```").skip(1).step_by(2);
    fences.filter_map(move |block| block.strip_prefix(language)?.strip_prefix('\n'))
}

/// Lines without indentation and without comments, by which an excerpt is found.
fn lines(text: &str) -> Vec<&str> {
    let bare = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    bare.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn every_yaml_block_is_a_manifest_a_policy_or_an_excerpt_of_a_file() {
    let text = read("docs/kubernetes.md");
    let sources: Vec<String> = [
        "deploy/kubernetes/sidecar.yaml",
        "deploy/kubernetes/plain.yaml",
        "deploy/kubernetes/stateful.yaml",
        "deploy/kubernetes/component/kustomization.yaml",
        "deploy/kubernetes/example/kustomization.yaml",
        "deploy/kubernetes/podmonitor.yaml",
        "deploy/prometheus/scrape.yaml",
        "deploy/helm/parent/Chart.yaml",
        "deploy/helm/parent/templates/app.yaml",
    ]
    .map(read)
    .into();
    let mut count = 0;
    for block in blocks(&text, "yaml") {
        count += 1;
        if block.starts_with("apiVersion:") && block.contains("\nkind:") && !block.contains("kustomize") {
            assert_sound("docs/kubernetes.md", block);
        } else if block.starts_with("version: 1") {
            let compiled = outrigger::policy::compile::load("docs/kubernetes.md", block);
            let compiled = compiled.unwrap_or_else(|findings| panic!("{findings}"));
            assert_eq!(compiled.warnings.to_string(), "", "{block}");
        } else {
            let wanted = lines(block);
            // Rules of Prometheus stand in a comment there.
            let found = sources.iter().any(|source| {
                let source = source.replace("#      ", "");
                lines(&source).windows(wanted.len()).any(|window| window == wanted)
            });
            assert!(found, "this block stands in none of the files:\n{block}");
        }
    }
    assert!(count >= 6, "the blocks were not found: {count}");
}

#[test]
fn every_command_and_file_it_names_exists() {
    let text = read("docs/kubernetes.md");
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || "`()[],;".contains(c)).collect();
    let files: Vec<&&str> =
        words.iter().filter(|word| word.starts_with("deploy/") || word.starts_with("../deploy/")).collect();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let file = file.trim_start_matches("../").trim_end_matches(['.', ':']);
        assert!(super::path(file).exists(), "docs/kubernetes.md names {file}");
    }
    for line in blocks(&text, "sh").flat_map(str::lines) {
        let Some((_, rest)) = line.split_once("outrigger ") else { continue };
        let words: Vec<&str> =
            rest.split_whitespace().take_while(|word| !word.starts_with(['-', '|', '>', '#'])).take(2).collect();
        let command = words.first().copied().unwrap_or_default();
        if command.is_empty() || command.contains(['/', '=', '.', ':']) {
            continue;
        }
        let output = std::process::Command::new(crate::stage::executable()).args([command, "--help"]).output().unwrap();
        assert!(output.status.success(), "docs/kubernetes.md names `outrigger {command}`: {line}");
    }
}
