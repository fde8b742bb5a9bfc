//! The scenarios that come with the tool: embedded, so that it works anywhere; a file of the repository wins, so that
//! editing one needs no build.

use std::fs;
use std::path::Path;

/// Where they lie in the repository.
const FOLDER: &str = "loadtests/scenarios";

macro_rules! embed {
    ($name:literal) => {
        ($name, include_str!(concat!("../../scenarios/", $name, ".yaml")))
    };
}

/// Name and text, in the order of a report: cost first, then what goes wrong, from little to much.
const EMBEDDED: &[(&str, &str)] = &[
    embed!("steady"),
    embed!("saturation"),
    embed!("churn"),
    embed!("big-bodies"),
    embed!("keyed-posts"),
    embed!("one-of-three-dead"),
    embed!("slow-endpoint"),
    embed!("brownout-10"),
    embed!("brownout-33"),
    embed!("brownout-50"),
    embed!("all-failing"),
    embed!("stall"),
    embed!("black-hole"),
    embed!("retry-storm"),
    embed!("reload"),
];

/// Names of all scenarios that come with the tool.
pub fn names() -> Vec<&'static str> {
    EMBEDDED.iter().map(|(name, _)| *name).collect()
}

/// Text of a scenario and the file it is from: a file, if it looks like one, else the one of that name.
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
        (Err(e), None) if looks_like_file || Path::new(&file).exists() => Err(format!("{file}: {e}")),
        (Err(_), None) => Err(format!(
            "there is no scenario `{name}`; there are {}; a file of your own ends with .yaml",
            names().join(", ")
        )),
    }
}
