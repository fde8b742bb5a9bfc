//! Test only: what the documents say about the program is what the program is.

#[cfg(test)]
mod tests {
    #[cfg(feature = "proxy")]
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use crate::architecture::{METRIC_PREFIXES, source};
    use crate::reliability::Failure;
    use crate::reliability::grpc::Code;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
    }

    fn read(name: &str) -> String {
        fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Cells of every table row whose first cell is in backticks.
    fn rows(text: &str) -> Vec<Vec<&str>> {
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        rows.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()).collect()
    }

    #[test]
    fn the_table_of_failures_says_what_the_enum_says() {
        let text = read("docs/failures.md");
        let documented = rows(&text);
        for (failure, row) in Failure::ALL.iter().zip(&documented) {
            let status = failure.status().to_string();
            let (side, phase) = (failure.side().as_str(), failure.phase().as_str());
            let expected = [failure.token(), failure.error_type(), &status, side, phase, failure.title()];
            assert_eq!(row[..6], expected, "docs/failures.md, row of {}", failure.token());
            assert!(!row[6].is_empty(), "{} has no advice", failure.token());
        }
        assert_eq!(documented.len(), Failure::ALL.len(), "one row per failure");
    }

    #[test]
    fn callers_of_grpc_are_told_what_the_table_says() {
        let text = read("docs/grpc.md");
        let (_, table) = text.split_once("| reason | grpc-status |").expect("docs/grpc.md has the table");
        let documented: Vec<(&str, &str)> = rows(table).iter().map(|row| (row[0], row[1])).collect();
        let expected: Vec<(&str, &str)> =
            Failure::ALL.iter().map(|failure| (failure.token(), Code::of_failure(*failure).as_str())).collect();
        assert_eq!(documented, expected, "docs/grpc.md");
    }

    #[test]
    fn every_metric_is_documented_and_every_documented_metric_exists() {
        let mut named = BTreeSet::new();
        for file in source::tree(&root().join("src")) {
            let metrics = file.name.starts_with("telemetry/metrics");
            let is_name = |text: &&String| METRIC_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
            named.extend(file.literals.iter().filter(|_| metrics).filter(is_name).cloned());
        }
        let text = read("docs/metrics.md");
        let documented: BTreeSet<String> = rows(&text).iter().map(|row| row[0].to_owned()).collect();
        assert!(named.len() > 20, "the names were not found: {named:?}");
        let missing: Vec<_> = named.difference(&documented).collect();
        let stale: Vec<_> = documented.difference(&named).collect();
        assert!(
            missing.is_empty() && stale.is_empty(),
            "not in docs/metrics.md: {missing:?}; not in the program: {stale:?}"
        );
    }

    /// The part of a document under the heading that begins so.
    #[cfg(feature = "proxy")]
    fn part<'a>(text: &'a str, heading: &str) -> &'a str {
        let parts = text.split("\n## ").find(|part| part.starts_with(heading));
        parts.unwrap_or_else(|| panic!("docs/logs.md has no part `{heading}`"))
    }

    #[test]
    #[cfg(feature = "proxy")]
    fn every_key_of_a_request_line_is_documented_and_every_documented_key_exists() {
        let text = read("docs/logs.md");
        let documented: BTreeSet<String> = rows(part(&text, "Requests")).iter().map(|row| row[0].to_owned()).collect();
        assert_eq!(documented, crate::telemetry::access_log::tests::keys());
    }

    #[test]
    #[cfg(feature = "proxy")]
    fn every_event_is_documented_with_its_fields() {
        let text = read("docs/logs.md");
        let documented: Vec<(String, BTreeSet<String>)> = rows(part(&text, "Process"))
            .iter()
            .map(|row| {
                let fields = row[2].split(", ").map(|field| field.trim_matches('`').to_owned());
                (row[0].to_owned(), fields.filter(|field| !field.is_empty()).collect())
            })
            .collect();
        let mut sample: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (word, fields) in crate::telemetry::events::tests::fields() {
            // An event may leave a field out where there is nothing to say.
            sample.entry(word).or_default().extend(fields);
        }
        for event in &sample {
            let said = documented.iter().any(|(word, fields)| (word, fields) == event);
            assert!(said, "docs/logs.md says otherwise: {event:?}");
        }
        // Words that are written where they happen, and whether the sample has all of the others.
        let mut words = BTreeSet::new();
        for file in source::tree(&root().join("src")) {
            let text = read(&format!("src/{}", file.name));
            let code = text.split("mod tests {").next().unwrap_or_default();
            let named = code.split("event = \"").skip(1).filter_map(|rest| rest.split('"').next());
            words.extend(named.map(str::to_owned));
            if file.name == "telemetry/events.rs" {
                let names = code.split("Event::").filter_map(|rest| rest.split_once("=> \""));
                words.extend(names.filter_map(|(_, rest)| rest.split('"').next()).map(str::to_owned));
            }
        }
        let documented: BTreeSet<String> = documented.into_iter().map(|(word, _)| word).collect();
        assert!(sample.iter().all(|(word, _)| words.contains(word)), "the words were not found: {words:?}");
        assert_eq!(documented, words);
    }

    #[test]
    #[cfg(feature = "proxy")]
    fn the_examples_of_log_lines_have_documented_keys_only() {
        let text = read("docs/logs.md");
        let keys = crate::telemetry::access_log::tests::keys();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .filter(|line| line.starts_with("{\""))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(lines.len() >= 3, "an example of each kind");
        let requests = lines.iter().filter(|line| line.get("url.path").is_some());
        for key in requests.flat_map(|line| line.as_object().unwrap().keys()) {
            assert!(keys.contains(key), "{key}");
        }
    }

    /// Fenced yaml blocks that are whole policies.
    #[cfg(feature = "proxy")]
    fn policies(text: &str) -> impl Iterator<Item = &str> {
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.filter(|block| block.lines().any(|line| line.starts_with("version:")))
    }

    #[test]
    #[cfg(feature = "proxy")]
    fn every_policy_in_the_documents_compiles_without_a_finding() {
        let mut count = 0;
        for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/grpc.md"] {
            let text = read(name);
            for policy in policies(&text) {
                count += 1;
                let compiled = crate::policy::compile::load(name, policy);
                let compiled = compiled.unwrap_or_else(|findings| panic!("{findings}\nin\n{policy}"));
                assert_eq!(compiled.warnings.to_string(), "", "{policy}");
            }
        }
        assert!(count > 0, "README.md shows a policy");
    }

    #[test]
    #[cfg(feature = "proxy")]
    fn the_first_policy_of_the_readme_has_ten_lines_at_most() {
        let text = read("README.md");
        let first = policies(&text).next().expect("README.md shows a policy");
        assert!(first.lines().filter(|line| !line.starts_with('#')).count() <= 10, "{first}");
    }
}
