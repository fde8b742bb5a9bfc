//! Files that come with the tool: embedded, so that it works anywhere; a file of the repository wins, so that editing
//! one needs no build.

use std::fs;
use std::path::Path;

/// Files of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    /// What one of them is called.
    kind: &'static str,
    /// Where they lie in the repository.
    folder: &'static str,
    /// Name and text.
    pub files: &'static [(&'static str, &'static str)],
}

macro_rules! embed {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../", $folder, "/", $name, ".yaml")))),*]
    };
}

/// In the order of a report: cost first, then what goes wrong, from little to much.
pub const SCENARIOS: Library = Library {
    kind: "scenario",
    folder: "loadtests/scenarios",
    files: embed!("scenarios":
        "steady",
        "saturation",
        "churn",
        "big-bodies",
        "keyed-posts",
        "one-of-three-dead",
        "slow-endpoint",
        "overload",
        "tail",
        "brownout-10",
        "brownout-33",
        "brownout-50",
        "all-failing",
        "stall",
        "black-hole",
        "retry-storm",
        "reload",
        "tls-h1",
        "h2-mtls",
        "grpc-unary",
        "grpc-mtls",
        "handshakes",
        "idle-tls",
        "rapid-reset",
    ),
};

/// Faults, and what must be read of them.
pub const DRILLS: Library = Library {
    kind: "drill",
    folder: "loadtests/drills",
    files: embed!("drills":
        "refused",
        "black-hole",
        "slow-endpoint",
        "dead-endpoint",
        "errors",
        "retries-in-vain",
        "brownout",
        "resets",
        "stall",
        "overload",
        "bad-policy",
        "dns",
        "typo",
        "app-down",
        "app-and-dependency",
        "client-aborts",
        "our-limit",
    ),
};

impl Library {
    /// Names of all that come with the tool.
    pub fn names(&self) -> Vec<&'static str> {
        self.files.iter().map(|(name, _)| *name).collect()
    }

    /// A text and the file it is from: a file, if it looks like one, else the one of that name.
    ///
    /// # Errors
    /// There is none; with the names that there are.
    pub fn find(&self, name: &str) -> Result<(String, String), String> {
        let looks_like_file = name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml");
        let file = if looks_like_file { name.to_owned() } else { format!("{}/{name}.yaml", self.folder) };
        let embedded = self.files.iter().find(|(known, _)| *known == name);
        match (fs::read_to_string(&file), embedded) {
            (Ok(text), _) => Ok((text, file)),
            (Err(_), Some((_, text))) => Ok(((*text).to_owned(), file)),
            (Err(e), None) if looks_like_file || Path::new(&file).exists() => Err(format!("{file}: {e}")),
            (Err(_), None) => Err(format!(
                "there is no {} `{name}`; there are {}; a file of your own ends with .yaml",
                self.kind,
                self.names().join(", ")
            )),
        }
    }
}
