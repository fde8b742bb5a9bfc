//! A drill's file.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger::policy::duration;
use serde::Deserialize;

/// One drill.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drill {
    /// What happens, in a few words.
    pub title: String,
    /// Why somebody would want to be told, and of what.
    #[expect(dead_code, reason = "for who reads the file")]
    pub why: String,
    /// The sidecar's policy. `%listen%`, `%admin%`, `%metrics%` and every server's `%name%` become addresses; any other
    /// `%name%` becomes one on which nothing listens.
    pub policy: String,
    /// Scripted servers, all of them well at first.
    pub servers: Vec<String>,
    /// Clients.
    pub load: Vec<Load>,
    /// How long all is well. Nobody may be accused at its end.
    #[serde(default = "warm_up", deserialize_with = "time")]
    pub warm_up: Duration,
    /// What goes wrong then, all at once.
    pub trouble: Vec<Trouble>,
    /// What must be read.
    pub expect: Expect,
}

fn warm_up() -> Duration {
    Duration::from_secs(8)
}

/// Clients that send at a steady rate, whatever comes back.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Load {
    /// Which `%name%` they send to.
    #[serde(default = "listen")]
    pub to: String,
    #[serde(default = "get")]
    pub method: String,
    pub path: String,
    /// Requests a second.
    pub rate: u32,
    /// How long they wait for an answer.
    #[serde(default = "patience", deserialize_with = "time")]
    pub patience: Duration,
}

fn listen() -> String {
    "listen".to_owned()
}

fn get() -> String {
    "GET".to_owned()
}

fn patience() -> Duration {
    Duration::from_secs(3)
}

/// Something that goes wrong.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "what", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Trouble {
    /// Connections are reset, new ones are refused.
    Dead { servers: Vec<String> },
    /// Packets vanish.
    BlackHole { servers: Vec<String> },
    /// Requests are read and never answered.
    Stall { servers: Vec<String> },
    /// Answers with a status.
    Errors {
        servers: Vec<String>,
        status: u16,
        /// In percent.
        #[serde(default = "all")]
        share: f64,
        /// Seconds that it asks for.
        retry_after: Option<u64>,
    },
    /// Good answers, late.
    Slow {
        servers: Vec<String>,
        #[serde(deserialize_with = "time")]
        latency: Duration,
    },
    /// The connection is reset when the request has been read.
    Reset { servers: Vec<String> },
    /// Another policy is written over the file.
    Policy { text: String },
    /// Clients give up so soon.
    Impatience {
        #[serde(deserialize_with = "time")]
        patience: Duration,
    },
    /// More clients come: so many times the rate.
    Crowd { times: u32 },
}

fn all() -> f64 {
    100.0
}

/// What the first lines of `outrigger status` must say.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// The upstream that is named first; absent: the process itself.
    pub upstream: Option<String>,
    /// `degraded` or `failing`.
    pub condition: String,
    /// Words of `reliability::verdict::Cause`; one of them.
    #[serde(default)]
    pub cause: Vec<String>,
    /// Each must stand in the first lines, in any case. `%name%` as in the policy.
    #[serde(default)]
    pub says: Vec<String>,
    /// None may stand there.
    #[serde(default)]
    pub never_says: Vec<String>,
    /// How long it may take.
    #[serde(default = "within", deserialize_with = "time")]
    pub within: Duration,
    /// How long until all is well again once the trouble is over; absent: not looked at.
    #[serde(default, deserialize_with = "maybe_time")]
    pub recovers: Option<Duration>,
}

fn within() -> Duration {
    Duration::from_secs(10)
}

fn time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::parse(&text).map_err(serde::de::Error::custom)
}

fn maybe_time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    time(deserializer).map(Some)
}

impl Drill {
    /// Reads a drill.
    ///
    /// # Errors
    /// What is wrong with it, with file and place where that is known.
    pub fn parse(text: &str, file: &str) -> Result<Drill, String> {
        let drill: Drill = serde_saphyr::from_str(text).map_err(|e| format!("{file}: {e}"))?;
        drill.check().map_err(|wrong| format!("{file}: {wrong}"))?;
        Ok(drill)
    }

    fn check(&self) -> Result<(), String> {
        let named: Vec<&String> = self.trouble.iter().flat_map(Trouble::servers).collect();
        if let Some(unknown) = named.iter().find(|name| !self.servers.contains(name)) {
            return Err(format!("there is no server `{unknown}`; there are {}", self.servers.join(", ")));
        }
        if self.load.is_empty() || self.load.iter().any(|load| !(1..=2_000).contains(&load.rate)) {
            return Err("`load` needs clients that send 1 to 2000 requests a second".to_owned());
        }
        if self.trouble.is_empty() {
            return Err("`trouble` is empty: nothing would happen".to_owned());
        }
        Ok(())
    }
}

impl Trouble {
    /// The servers it is about.
    pub fn servers(&self) -> &[String] {
        match self {
            Trouble::Dead { servers }
            | Trouble::BlackHole { servers }
            | Trouble::Stall { servers }
            | Trouble::Errors { servers, .. }
            | Trouble::Slow { servers, .. }
            | Trouble::Reset { servers } => servers,
            Trouble::Policy { .. } | Trouble::Impatience { .. } | Trouble::Crowd { .. } => &[],
        }
    }
}

/// `text` with its `%name%` replaced, `spare` giving an address for those that are not known.
pub fn fill(
    text: &str,
    addresses: &mut BTreeMap<String, String>,
    mut spare: impl FnMut() -> Result<String, String>,
) -> Result<String, String> {
    let mut filled = String::new();
    // Every second part stands between two percent signs.
    for (index, part) in text.split('%').enumerate() {
        if index % 2 == 0 {
            filled.push_str(part);
            continue;
        }
        if !addresses.contains_key(part) {
            addresses.insert(part.to_owned(), spare()?);
        }
        filled.push_str(addresses.get(part).map_or("", String::as_str));
    }
    Ok(filled)
}
