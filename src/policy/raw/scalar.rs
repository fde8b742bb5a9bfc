//! What the mirror is made of: values that remember where they stand.
//!
//! Scalars are kept as text. Reading them is the compiler's work, so that one run reports every wrong
//! value of a file and not only the first one.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_saphyr::Spanned;

/// A place in the file; both count from 1. 0 = unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl From<serde_saphyr::Location> for Position {
    fn from(location: serde_saphyr::Location) -> Self {
        let clamp = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Position { line: clamp(location.line()), column: clamp(location.column()) }
    }
}

/// A value and where it is written.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub position: Position,
    pub value: T,
}

/// What can be read together with its place. A block says so with [`blocks!`].
///
/// The way through the parser is 6 kB of program for each type, so everything that is a single value shares one.
pub trait Placed: DeserializeOwned {
    /// The value and its place.
    ///
    /// # Errors
    /// It is not what is wanted here.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<At<Self>, D::Error> {
        let spanned = Spanned::<Self>::deserialize(deserializer)?;
        Ok(At { position: spanned.referenced.into(), value: spanned.value })
    }
}

impl Placed for String {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<At<Self>, D::Error> {
        single(deserializer)
    }
}

impl<T: DeserializeOwned> Placed for Vec<T> {}
impl<T: Placed> Placed for Named<T> {}

impl<K> Placed for Text<K> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<At<Self>, D::Error> {
        let At { position, value: text } = single(deserializer)?;
        Ok(At { position, value: Text { text, kind: PhantomData } })
    }
}

/// A single value as it is written.
#[inline(never)]
fn single<'de, D: Deserializer<'de>>(deserializer: D) -> Result<At<String>, D::Error> {
    let spanned = Spanned::<String>::deserialize(deserializer)?;
    Ok(At { position: spanned.referenced.into(), value: spanned.value })
}

/// Blocks of keys.
macro_rules! blocks {
    ($($block:ident)+) => {$(impl $crate::policy::raw::scalar::Placed for $block {})+};
}
pub(super) use blocks;

impl<'de, T: Placed> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer)
    }
}

/// A key that may be left out. Unlike `Option`, it does not take `key:` without a value for absent: an
/// empty `circuitBreaker:` must not mean "no circuit breaker".
///
/// Boxed, since most keys are absent: a route is then as large as what is written of it, and moving it while it
/// is read costs little.
#[derive(Clone, Debug)]
pub struct Key<T>(Option<Box<At<T>>>);

impl<T> Key<T> {
    pub fn get(&self) -> Option<&At<T>> {
        self.0.as_deref()
    }

    pub fn value(&self) -> Option<&T> {
        self.get().map(|at| &at.value)
    }

    pub const fn is_given(&self) -> bool {
        self.0.is_some()
    }

    pub fn position(&self) -> Option<Position> {
        self.get().map(|at| at.position)
    }
}

impl<T> Default for Key<T> {
    fn default() -> Self {
        Key(None)
    }
}

impl<'de, T: Placed> Deserialize<'de> for Key<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(|at| Key(Some(Box::new(at))))
    }
}

/// A mapping from names to `T` in file order.
#[derive(Clone, Debug)]
pub struct Named<T>(pub Vec<(At<String>, At<T>)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named(Vec::new())
    }
}

impl<'de, T: Placed> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Placed> Visitor<'de> for Entries<T> {
            type Value = Named<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping from names to settings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// What a scalar's text stands for; decides only how the JSON Schema describes it.
pub trait Kind {
    const NAME: &'static str;
    fn schema() -> Schema;
}

/// The text of a scalar, unread.
#[derive(Clone, Debug)]
pub struct Text<K> {
    pub text: String,
    kind: PhantomData<K>,
}

impl<'de, K> Deserialize<'de> for Text<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Text { text, kind: PhantomData })
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident => $schema:tt;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $kind;
        impl Kind for $kind {
            const NAME: &'static str = stringify!($kind);
            fn schema() -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

kinds! {
    /// `500ms`, `1s500ms`, `2m`: GEP-2257.
    Time => { "type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$" };
    /// `1s`, or `none`.
    TimeOrNone => { "type": "string", "pattern": "^(none|([0-9]{1,5}(h|m|s|ms)){1,4})$" };
    /// `p95`, or `50ms`.
    HedgeDelay => { "type": "string", "pattern": "^(p[0-9]{2}([.][0-9]+)?|([0-9]{1,5}(h|m|s|ms)){1,4})$" };
    /// `64KiB`, `1MiB`.
    Size => { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" };
    /// `1`.
    Version => { "const": 1 };
    /// A whole number.
    Whole => { "type": "integer", "minimum": 0 };
    /// 0 to 100, fractions allowed.
    Percent => { "type": "number", "minimum": 0, "maximum": 100 };
    /// 0.0 to 1.0.
    Ratio => { "type": "number", "minimum": 0, "maximum": 1 };
    /// A number that is not negative.
    Rate => { "type": "number", "minimum": 0 };
    /// `true` or `false`.
    Flag => { "type": "boolean" };
    /// `127.0.0.1:4400`.
    Address => { "type": "string", "pattern": "^.+:[0-9]+$" };
    /// `127.0.0.1:4490`, or `none`.
    AddressOrNone => { "type": "string", "pattern": "^(none|.+:[0-9]+)$" };
    /// `http://host:port`.
    Url => { "type": "string", "pattern": "^http://" };
    /// `https://host:port`, or `http://host:port`.
    UpstreamUrl => { "type": "string", "pattern": "^https?://" };
    /// `spiffe://trust.domain/path`.
    SpiffeId => { "type": "string", "pattern": "^spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)+$" };
    /// A host name, or an IP address.
    ServerName => { "type": "string", "pattern": "^[A-Za-z0-9._:-]+$" };
    /// `1.2` or `1.3`.
    MinVersion => { "enum": ["1.2", "1.3", 1.2, 1.3] };
    /// `redis://host:port`, `rediss://host:port`, or `${env:NAME}` in any part of it.
    StoreUrl => { "type": "string", "pattern": "^(rediss?://|[$][{]env:[A-Z0-9_]+[}])" };
    /// A file: an absolute path.
    FilePath => { "type": "string", "pattern": "^/." };
    /// The name of a header.
    Header => { "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" };
    /// The name of a query parameter.
    QueryName => { "type": "string", "pattern": "^[^&=#?;+%\\s]{1,128}$" };
    /// `header:NAME`, `mtls:spiffe`, or `none`.
    Principal => { "type": "string", "pattern": "^(none|mtls:spiffe|header:.+)$" };
    /// `address`, `header:NAME`, or `mtls:spiffe`.
    RateBy => { "type": "string", "pattern": "^(address|mtls:spiffe|header:.+)$" };
    /// A name: letters, digits, `.`, `_`, `-`.
    Name => { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$" };
    /// A path that begins with `/`.
    Path => { "type": "string", "pattern": "^/" };
    /// `api.example.com`, `api.example.com:8080`, `*.example.com`.
    Host => { "type": "string", "minLength": 1 };
    /// `GET`, `POST`.
    Method => { "type": "string", "pattern": "^[A-Z][A-Z-]*$" };
    /// `UNAVAILABLE`, or `unavailable` as Envoy writes it.
    GrpcCode => { "type": "string", "pattern": "^([A-Z_]+|[a-z-]+)$" };
    /// `10.4.0.0/20`.
    Cidr => { "type": "string", "pattern": "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$" };
    /// A name of a zone, or `${env:NAME}`.
    ZoneName => { "type": "string", "pattern": "^([A-Za-z0-9][A-Za-z0-9._-]{0,62}|[$][{]env:[A-Z0-9_]+[}])$" };
    /// `grpc.health.v1.Health`, or nothing.
    GrpcService => { "type": "string", "pattern": "^[A-Za-z0-9._/-]{0,200}$" };
    /// `header:NAME`.
    HashOn => { "type": "string", "pattern": "^header:.+$" };
}

/// Implements the schema by handing on to the inner type: no `null`, no indirection.
macro_rules! transparent_schema {
    ($($outer:ident)*) => {$(
        impl<T: JsonSchema> JsonSchema for $outer<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }
            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }
            fn schema_id() -> Cow<'static, str> {
                T::schema_id()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    )*};
}

transparent_schema! { At Key }

impl<K: Kind> JsonSchema for Text<K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed(K::NAME)
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        K::schema()
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("Named{}", T::schema_name()))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$" },
            "additionalProperties": value,
        })
    }
}
