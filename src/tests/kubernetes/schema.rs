//! A strict validator of the few words of JSON Schema that Kubernetes' description uses. A word it does not know, and a
//! field that the schema does not know, is an error.

use std::sync::LazyLock;

use serde_json::{Map, Value};

static SCHEMAS: LazyLock<[Value; 2]> = LazyLock::new(|| {
    ["kubernetes.json", "monitoring.json"].map(|name| {
        let text = super::read(&format!("src/tests/kubernetes/schemas/{name}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
    })
});

/// What is wrong with an object, with its place.
pub fn errors(object: &Value) -> Vec<String> {
    let word = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or("none");
    let kind = format!("{} {}", word("apiVersion"), word("kind"));
    let mut found = Vec::new();
    let known = SCHEMAS.iter().find_map(|file| Some((file, file["kinds"].get(&kind)?.as_str()?)));
    match known {
        Some((file, reference)) => check(file, resolve(file, reference), object, &kind, &mut found),
        None => found.push(format!("{kind}: no schema knows this kind")),
    }
    found
}

fn resolve<'s>(file: &'s Value, reference: &str) -> &'s Value {
    let pointer = reference.strip_prefix('#').unwrap_or(reference);
    file.pointer(pointer).unwrap_or_else(|| panic!("the schema has no {reference}"))
}

fn check(file: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = schema.as_object().unwrap_or_else(|| panic!("{at}: a schema that is none"));
    for (word, rule) in schema {
        match word.as_str() {
            "$ref" => check(file, resolve(file, rule.as_str().unwrap_or_default()), value, at, found),
            "type" if !is_of_type(value, rule.as_str().unwrap_or_default()) => {
                found.push(format!("{at}: {value} is no {rule}"));
            }
            "enum" if !rule.as_array().is_some_and(|words| words.contains(value)) => {
                found.push(format!("{at}: {value} is none of {rule}"));
            }
            "required" => {
                let missing = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
                let missing = missing.filter(|key| value.get(key).is_none());
                found.extend(missing.map(|key| format!("{at}: `{key}` is missing")));
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(file, rule, item, &format!("{at}[{index}]"), found);
                }
            }
            "oneOf" => {
                let fits = |choice: &&Value| {
                    let mut inner = Vec::new();
                    check(file, choice, value, at, &mut inner);
                    inner.is_empty()
                };
                if !rule.as_array().is_some_and(|choices| choices.iter().any(|choice| fits(&choice))) {
                    found.push(format!("{at}: {value} is none of {rule}"));
                }
            }
            "properties" | "additionalProperties" => {}
            "type" | "enum" | "format" => {}
            other => panic!("{at}: the validator does not know the word {other}"),
        }
    }
    if let Some(object) = value.as_object() {
        fields(file, schema, object, at, found);
    }
}

fn fields(file: &Value, schema: &Map<String, Value>, object: &Map<String, Value>, at: &str, found: &mut Vec<String>) {
    for (key, value) in object {
        let at = format!("{at}.{key}");
        match (schema.get("properties").and_then(|all| all.get(key)), schema.get("additionalProperties")) {
            (Some(rule), _) => check(file, rule, value, &at, found),
            (None, Some(Value::Bool(false))) => found.push(format!("{at}: there is no such field")),
            (None, Some(rule @ Value::Object(_))) => check(file, rule, value, &at, found),
            (None, _) => {}
        }
    }
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("the validator does not know the type {other}"),
    }
}

#[test]
fn the_validator_finds_what_a_cluster_would_refuse() {
    let pod = |spec: &str| format!("{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {spec}}}");
    let good = pod("{containers: [{name: a, image: b, ports: [{containerPort: 1}]}]}");
    assert_eq!(super::documents("good", &good).iter().flat_map(errors).collect::<Vec<_>>(), [""; 0]);
    for (bad, what) in [
        (pod("{containers: [{name: a, imgae: b}]}"), "spec.containers[0].imgae: there is no such field"),
        (pod("{containers: [{image: b}]}"), "spec.containers[0]: `name` is missing"),
        (pod("{containers: {name: a}}"), "is no \"array\""),
        (pod("{containers: [{name: a, ports: [{containerPort: '1'}]}]}"), "is no \"integer\""),
        (pod("{containers: [{name: a, env: [{name: a, value: 1}]}]}"), "is no \"string\""),
        (pod("{containers: [{name: a, restartPolicy: true}]}"), "is no \"string\""),
        (pod("{containers: [{name: a, livenessProbe: {httpGet: {path: /}}}]}"), "`port` is missing"),
        (pod("{}"), "`containers` is missing"),
        ("{apiVersion: v1, kind: Pods}".to_owned(), "no schema knows this kind"),
        ("{apiVersion: apps/v1, kind: Deployment, spec: {template: {}}}".to_owned(), "`selector` is missing"),
    ] {
        let found: Vec<String> = super::documents("bad", &bad).iter().flat_map(errors).collect();
        assert!(found.iter().any(|error| error.contains(what)), "{bad}: {found:?}");
    }
}
