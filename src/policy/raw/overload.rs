//! What is done in an overload: `limits.adaptive`, `limits.queue` and `priority`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{HashOn, Key, Text, Time, Whole};
use super::{Class, Mode};

/// How many requests in flight the upstream can bear, found out below `requests`. Present = on.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Adaptive {
    /// enforce, observe (report what it would do) or none. Default enforce; inbound observe.
    pub mode: Key<Mode>,
    /// The limit never falls below this. Default 4.
    pub min: Key<Text<Whole>>,
    /// The limit never rises above this. Default: limits.requests.
    pub max: Key<Text<Whole>>,
    /// Where it begins. Default 20.
    pub initial: Key<Text<Whole>>,
}

/// What is done about a queue that stands: its waits are cut, and the newest is served first.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Queue {
    /// enforce, observe (report what it would do) or none. Default enforce; without the block, that of adaptive.
    pub mode: Key<Mode>,
    /// How long a request waits in a queue that stands. Default 5ms.
    pub target: Key<Text<Time>>,
    /// A queue that has not been empty for so long stands. Default 100ms.
    pub interval: Key<Text<Time>>,
}

/// How important requests are: in an overload the less important ones are refused first. A retry counts one class less.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Priority {
    /// header:NAME, a header with one of the four words of class; other values count as class. Default: none.
    pub header: Key<Text<HashOn>>,
    /// critical-plus, critical, sheddable-plus or sheddable. Default critical.
    pub class: Key<Class>,
}

super::scalar::blocks! {
    Adaptive Queue Priority
}
