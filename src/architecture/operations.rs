//! Test only: dashboard, rules and runbook speak of metrics, alerts and sections that exist, and Prometheus reads them.

#[cfg(all(test, feature = "proxy"))]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use serde_json::{Value, json};

    use crate::architecture::METRIC_PREFIXES;

    const DASHBOARD: &str = "deploy/grafana/outrigger.json";
    const RULES: &str = "deploy/prometheus/rules.yaml";
    const RULES_TEST: &str = "deploy/prometheus/rules_test.yaml";

    fn path(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
    }

    fn read(name: &str) -> String {
        fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn json(name: &str) -> Value {
        serde_json::from_str(&read(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn yaml(name: &str) -> Value {
        serde_saphyr::from_str(&read(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
        value[key].as_array().map_or(&[], Vec::as_slice)
    }

    fn text<'a>(value: &'a Value, key: &str) -> &'a str {
        value[key].as_str().unwrap_or_default()
    }

    /// Names in docs/metrics.md, which another test keeps equal to what the program registers, with their types.
    fn documented() -> BTreeMap<String, String> {
        let text = read("docs/metrics.md");
        let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        rows.map(|(name, rest)| (name.into(), rest.split(' ').next().unwrap_or_default().into())).collect()
    }

    /// Series that a scrape of the program has: a histogram has three per name.
    fn series() -> BTreeSet<String> {
        let mut all: BTreeSet<String> = BTreeSet::new();
        for (name, kind) in documented() {
            match kind.as_str() {
                "histogram" => all.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}"))),
                _ => drop(all.insert(name)),
            }
        }
        all
    }

    /// Words of a query that stand for series: what a selector or a range follows, and what begins as a metric does.
    fn metrics_of(expr: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        // Every second part stands in quotes.
        for part in expr.split('"').step_by(2) {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            let mut rest = part;
            while let Some(start) = rest.find(is_word) {
                let word = &rest[start..];
                let end = word.find(|c| !is_word(c)).unwrap_or(word.len());
                let (word, after) = word.split_at(end);
                let prefixed = METRIC_PREFIXES.iter().any(|prefix| word.starts_with(prefix));
                if prefixed || word.contains(':') || after.starts_with(['{', '[']) {
                    found.insert(word.to_owned());
                }
                rest = after;
            }
        }
        found
    }

    /// `(title, query)` of every panel and annotation.
    fn dashboard_queries(dashboard: &Value) -> Vec<(String, String)> {
        let mut queries = Vec::new();
        for panel in list(dashboard, "panels") {
            let targets = list(panel, "targets").iter();
            queries.extend(targets.map(|t| (text(panel, "title").to_owned(), text(t, "expr").to_owned())));
        }
        for annotation in list(&dashboard["annotations"], "list") {
            queries.push((text(annotation, "name").to_owned(), text(annotation, "expr").to_owned()));
        }
        queries
    }

    fn rules() -> Vec<Value> {
        list(&yaml(RULES), "groups").iter().flat_map(|group| list(group, "rules").to_vec()).collect()
    }

    fn alerts() -> Vec<Value> {
        rules().into_iter().filter(|rule| rule["alert"].is_string()).collect()
    }

    /// Runs promtool (Debian package `prometheus`); its absence fails the test instead of hiding it.
    fn promtool(args: &[&str]) {
        let output = Command::new("promtool").args(args).current_dir(path("deploy/prometheus")).output();
        let output = output.unwrap_or_else(|e| panic!("cannot start promtool ({e}): `make tools` installs it"));
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "promtool {args:?}: {said}");
    }

    #[test]
    fn promtool_accepts_the_rules_and_their_tests_pass() {
        promtool(&["check", "rules", "rules.yaml"]);
        promtool(&["test", "rules", "rules_test.yaml"]);
    }

    #[test]
    fn promtool_accepts_the_scrape_example() {
        let directory = tempfile::tempdir().expect("a directory");
        // Debian's Prometheus is built without Kubernetes, so what finds the Pods is another here.
        let discovery = "kubernetes_sd_configs: [{ role: pod }]";
        let text = read("deploy/prometheus/scrape.yaml");
        assert!(text.contains(discovery), "the example discovers Pods");
        let config = directory.path().join("prometheus.yaml");
        let text = text.replace(discovery, "static_configs: [{ targets: [127.0.0.1:4491] }]");
        fs::write(&config, text).expect("the directory is ours");
        fs::copy(path(RULES), directory.path().join("rules.yaml")).expect("the directory is ours");
        promtool(&["check", "config", &config.to_string_lossy()]);
    }

    #[test]
    fn every_alert_tells_what_is_wrong_what_to_type_and_where_to_read_on() {
        let runbook = read("docs/runbook.md");
        let sections: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let alerts = alerts();
        for alert in &alerts {
            let (name, annotations) = (text(alert, "alert"), &alert["annotations"]);
            let severity = text(&alert["labels"], "severity");
            assert!(["critical", "warning", "info"].contains(&severity), "{name}: severity {severity:?}");
            let (summary, description) = (text(annotations, "summary"), text(annotations, "description"));
            let subject =
                ["upstream", "queue", "job", "instance"].iter().any(|l| summary.contains(&format!("$labels.{l} ")));
            assert!(subject || name == "OutriggerNotScraped", "{name}: of whom does it speak? {summary}");
            assert!(description.contains("`outrigger "), "{name}: no command in {description}");
            let anchor = format!("#{}'", name.to_lowercase());
            assert!(format!("{}'", text(annotations, "runbook_url")).ends_with(&anchor), "{name}: runbook_url");
            assert!(sections.contains(&name), "{name}: no section in docs/runbook.md");
        }
        assert_eq!(sections.len(), alerts.len(), "a section in docs/runbook.md is of no alert: {sections:?}");
        for part in runbook.split("\n## ").skip(1) {
            for needed in ["**What it means.**", "**Look here.**", "**Do this.**"] {
                assert!(part.contains(needed), "{needed} is missing in {}", part.lines().next().unwrap_or_default());
            }
        }
    }

    #[test]
    fn every_alert_has_a_case_that_fires_and_one_that_does_not() {
        let mut cases: BTreeMap<String, [usize; 2]> = BTreeMap::new();
        let mut queried = String::new();
        for test in list(&yaml(RULES_TEST), "tests") {
            for case in list(test, "alert_rule_test") {
                let fires = !list(case, "exp_alerts").is_empty();
                cases.entry(text(case, "alertname").to_owned()).or_default()[usize::from(fires)] += 1;
            }
            let exprs = list(test, "promql_expr_test").iter().map(|case| format!("{}{{", text(case, "expr")));
            queried.extend(exprs);
        }
        let alerts: BTreeSet<String> = alerts().iter().map(|alert| text(alert, "alert").to_owned()).collect();
        assert_eq!(cases.keys().cloned().collect::<BTreeSet<_>>(), alerts, "tested on the left, defined on the right");
        let lacking: Vec<_> = cases.iter().filter(|(_, [silent, firing])| *silent == 0 || *firing == 0).collect();
        assert!(lacking.is_empty(), "without a silent or a firing case: {lacking:?}");
        for rule in rules().iter().filter(|rule| rule["record"].is_string()) {
            let name = text(rule, "record");
            assert!(queried.contains(&format!("{name}{{")), "no case looks at {name}");
        }
    }

    #[test]
    fn every_query_speaks_of_metrics_that_the_program_has() {
        let series = series();
        let queries = dashboard_queries(&json(DASHBOARD));
        assert!(queries.len() > 40, "the queries were not found");
        for (title, expr) in &queries {
            let used = metrics_of(expr);
            assert!(!used.is_empty(), "{title} asks for nothing: {expr}");
            let unknown: Vec<_> = used.difference(&series).collect();
            assert!(unknown.is_empty(), "{title}: {unknown:?} is in no scrape");
        }
        let mut known = series;
        known.extend(["up".to_owned()]);
        // A rule may use what a rule before it records.
        for rule in rules() {
            let unknown: Vec<_> = metrics_of(text(&rule, "expr")).difference(&known).cloned().collect();
            assert!(unknown.is_empty(), "{rule}: {unknown:?} is neither scraped nor recorded before");
            known.insert(text(&rule, "record").to_owned());
        }
    }

    #[test]
    fn every_query_of_the_dashboard_is_promql() {
        let queries = dashboard_queries(&json(DASHBOARD));
        let rule = |(i, (_, expr)): (usize, &(String, String))| {
            let expr = expr.replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$__interval", "15s");
            json!({ "record": format!("query:{i}"), "expr": expr.replace('$', "") })
        };
        let all: Vec<Value> = queries.iter().enumerate().map(rule).collect();
        let file = tempfile::NamedTempFile::new().expect("a file");
        // JSON is YAML, too.
        fs::write(file.path(), json!({ "groups": [{ "name": "dashboard", "rules": all }] }).to_string()).expect("ours");
        promtool(&["check", "rules", &file.path().to_string_lossy()]);
    }

    #[test]
    fn panels_have_ids_places_units_and_descriptions_of_their_own() {
        let dashboard = json(DASHBOARD);
        assert!(dashboard["schemaVersion"].as_u64() >= Some(38), "Grafana 10 or later");
        assert!(dashboard["id"].is_null(), "Grafana gives the id when it is imported");
        let (mut ids, mut titles, mut cells) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        for panel in list(&dashboard, "panels") {
            let title = text(panel, "title");
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id is taken");
            assert!(titles.insert(title), "{title}: twice");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a place"));
            assert!(w > 0 && h > 0 && x + w <= 24, "{title}: outside of the grid");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                if let Some(other) = cells.insert(cell, title) {
                    panic!("{title} lies on {other}");
                }
            }
            if text(panel, "type") == "row" {
                continue;
            }
            assert!(text(panel, "description").ends_with('.'), "{title}: no description");
            assert!(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty(), "{title}: no unit");
            let refs: BTreeSet<&str> = list(panel, "targets").iter().map(|t| text(t, "refId")).collect();
            assert_eq!(refs.len(), list(panel, "targets").len(), "{title}: refId");
            for source in list(panel, "targets").iter().chain([panel]).map(|v| text(&v["datasource"], "uid")) {
                assert_eq!(source, "${datasource}", "{title}: its data source is a variable");
            }
        }
    }

    #[test]
    fn the_rows_are_the_four_questions_in_their_order_and_every_variable_is_used() {
        let dashboard = json(DASHBOARD);
        let rows = list(&dashboard, "panels").iter().filter(|p| text(p, "type") == "row").map(|p| text(p, "title"));
        let expected =
            ["Which dependency is failing?", "What changed?", "Is the retry helping?", "Can we repair?", "The process"];
        assert_eq!(rows.collect::<Vec<_>>(), expected);
        let whole = dashboard.to_string();
        for variable in list(&dashboard["templating"], "list").iter().map(|v| text(v, "name")) {
            assert!(
                whole.contains(&format!("${variable}")) || whole.contains(&format!("${{{variable}}}")),
                "{variable}"
            );
        }
        for used in ["$namespace", "$job", "$upstream"] {
            let name = used.trim_start_matches('$');
            let defined = list(&dashboard["templating"], "list").iter().any(|v| text(v, "name") == name);
            assert!(defined, "{used} is not defined");
        }
    }
}
