//! The JSON Schema of the policy file, generated from the mirror, for editors.
//!
//! A copy is committed as `config/outrigger.schema.json`; a test compares the two. `null` never appears:
//! an absent key is absent, and editors name the wrong key instead of "no alternative matched".

use schemars::generate::SchemaSettings;

use super::raw::File;

/// Keys that must be there, by block; the compiler says so in its own words.
const REQUIRED: &[(&str, &[&str])] = &[
    ("Inbound", &["forward"]),
    ("InboundRoute", &["name", "match"]),
    ("RedisStore", &["url"]),
    ("Route", &["name", "match"]),
    ("SlowCall", &["threshold"]),
];

/// The schema as indented JSON with a newline at the end.
pub fn json() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<File>();
    let mut value = schema.to_value();
    if let Some(root) = value.as_object_mut() {
        root.insert("title".to_owned(), "Outrigger policy".into());
        root.insert("required".to_owned(), ["version"].as_slice().into());
    }
    for (block, keys) in REQUIRED {
        if let Some(block) = value.pointer_mut(&format!("/$defs/{block}")).and_then(|block| block.as_object_mut()) {
            block.insert("required".to_owned(), (*keys).into());
        }
    }
    deduplication_needs_its_principal(&mut value);
    format!("{value:#}\n")
}

/// Any key but `contract` switches deduplication on, and then there is no default for whose keys they are.
fn deduplication_needs_its_principal(schema: &mut serde_json::Value) {
    let Some(block) = schema.pointer_mut("/$defs/Idempotency").and_then(|block| block.as_object_mut()) else { return };
    let keys = block.get("properties").and_then(|keys| keys.as_object()).into_iter().flat_map(|keys| keys.keys());
    let switches = keys.filter(|key| !["contract", "principal"].contains(&key.as_str()));
    let needs: serde_json::Map<_, _> =
        switches.map(|key| (key.clone(), serde_json::Value::from(["principal"].as_slice()))).collect();
    block.insert("dependentRequired".to_owned(), needs.into());
}
