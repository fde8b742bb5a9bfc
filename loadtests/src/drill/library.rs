//! The drills that come with the tool: embedded, so that it works anywhere; a file of the repository wins, so that
//! editing one needs no build.

use std::fs;

/// Where they lie in the repository.
const FOLDER: &str = "loadtests/drills";

macro_rules! embed {
    ($name:literal) => {
        ($name, include_str!(concat!("../../drills/", $name, ".yaml")))
    };
}

/// Name and text.
pub(super) const EMBEDDED: &[(&str, &str)] = &[
    embed!("refused"),
    embed!("black-hole"),
    embed!("slow-endpoint"),
    embed!("dead-endpoint"),
    embed!("errors"),
    embed!("retries-in-vain"),
    embed!("brownout"),
    embed!("resets"),
    embed!("stall"),
    embed!("overload"),
    embed!("bad-policy"),
    embed!("dns"),
    embed!("typo"),
    embed!("app-down"),
    embed!("app-and-dependency"),
    embed!("client-aborts"),
    embed!("our-limit"),
];

/// Names of all drills that come with the tool.
pub fn names() -> Vec<&'static str> {
    EMBEDDED.iter().map(|(name, _)| *name).collect()
}

/// Text of a drill and the file it is from: a file, if it looks like one, else the one of that name.
///
/// # Errors
/// There is none; with the names that there are.
pub fn find(name: &str) -> Result<(String, String), String> {
    let looks_like_file = name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml");
    let file = if looks_like_file { name.to_owned() } else { format!("{FOLDER}/{name}.yaml") };
    let embedded = EMBEDDED.iter().find(|(known, _)| *known == name);
    match (fs::read_to_string(&file), embedded) {
        (Ok(text), _) => Ok((text, file)),
        (Err(_), Some((_, text))) => Ok(((*text).to_owned(), file)),
        (Err(e), None) if looks_like_file => Err(format!("{file}: {e}")),
        (Err(_), None) => Err(format!(
            "there is no drill `{name}`; there are {}; a file of your own ends with .yaml",
            names().join(", ")
        )),
    }
}
