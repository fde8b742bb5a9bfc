//! The scenario file as it is written: a mirror for serde without logic. Scalars stay text, so that one reading
//! reports every wrong value and not only the first.

use std::fmt;

use crate::policy::raw::scalar::{At, Key, Placed};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct File {
    pub title: Key<String>,
    pub description: Key<String>,
    pub duration: Key<String>,
    pub warm_up: Key<String>,
    pub load: Key<Load>,
    pub upstream: Key<Upstream>,
    pub policy: Key<Policy>,
    pub tiers: Key<String>,
    pub between: Key<Between>,
    pub faults: Key<Vec<At<Fault>>>,
    pub gates: Key<Vec<At<String>>>,
    pub rounds: Key<String>,
    pub quick: Key<String>,
    pub cost: Key<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Load {
    pub arrivals: Key<String>,
    pub rate: Key<String>,
    pub connections: Key<String>,
    pub protocol: Key<String>,
    pub tls: Key<String>,
    pub idle: Key<String>,
    pub method: Key<String>,
    pub path: Key<String>,
    pub body: Key<String>,
    pub keyed: Key<String>,
    pub critical: Key<String>,
    pub timeout: Key<String>,
    pub requests_per_connection: Key<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Between {
    pub tls: Key<String>,
    pub protocol: Key<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Upstream {
    pub endpoints: Key<String>,
    pub tls: Key<String>,
    pub protocol: Key<String>,
    pub latency: Key<Latency>,
    pub answer: Key<String>,
    pub capacity: Key<Capacity>,
    pub error_ratio: Key<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Capacity {
    pub slots: Key<String>,
    pub abandoned: Key<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Policy {
    pub deadline: Key<String>,
    pub attempt: Key<String>,
    pub retries: Key<String>,
    pub hedge: Key<String>,
    pub connections: Key<String>,
    pub overload: Key<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Fault {
    pub at: Key<String>,
    pub r#for: Key<String>,
    pub what: Key<String>,
    pub endpoints: Key<Endpoints>,
    pub ratio: Key<String>,
    pub status: Key<String>,
    pub latency: Key<Latency>,
    pub point: Key<String>,
    pub piece: Key<String>,
    pub every: Key<String>,
    pub streams: Key<String>,
}

impl Placed for Load {}
impl Placed for Between {}
impl Placed for Upstream {}
impl Placed for Capacity {}
impl Placed for Policy {}
impl Placed for Fault {}
impl Placed for Latency {}
impl Placed for Endpoints {}

/// `5ms`, or `{ p50: 5ms, p99: 40ms }`.
#[derive(Debug)]
pub(super) enum Latency {
    Fixed(String),
    Quantiles(Vec<(At<String>, At<String>)>),
}

/// `all`, or `[1, 3]`.
#[derive(Debug)]
pub(super) enum Endpoints {
    Word(String),
    List(Vec<At<String>>),
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Latency;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 5ms, or quantiles such as { p50: 5ms, p99: 40ms }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Latency, E> {
                Ok(Latency::Fixed(text.to_owned()))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Latency, E> {
                Ok(Latency::Fixed(number.to_string()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Latency, A::Error> {
                let mut points = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    points.push(entry);
                }
                Ok(Latency::Quantiles(points))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Endpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Endpoints;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("all, or a list of numbers such as [1, 3]")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Endpoints, E> {
                Ok(Endpoints::Word(text.to_owned()))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Endpoints, E> {
                Ok(Endpoints::Word(number.to_string()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Endpoints, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = seq.next_element()? {
                    list.push(entry);
                }
                Ok(Endpoints::List(list))
            }
        }
        deserializer.deserialize_any(Either)
    }
}
