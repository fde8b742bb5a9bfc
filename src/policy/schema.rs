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
    format!("{value:#}\n")
}
