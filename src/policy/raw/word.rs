//! Settings that are one word of a few.
//!
//! The readers that serde derives would each carry a copy of the YAML parser's way to an enum, 17 kB of program a piece.
//! Here all of them share one, which reads the place of a word among those that may stand there.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, VariantAccess, Visitor};

/// The place among `words` of the one that is written. `name` is that of the setting's type.
///
/// # Errors
/// If none of them is written there.
#[inline(never)]
pub(super) fn place<'de, D: Deserializer<'de>>(
    deserializer: D,
    name: &'static str,
    words: &'static [&'static str],
) -> Result<usize, D::Error> {
    deserializer.deserialize_enum(name, words, OneOf { name, words })
}

struct OneOf {
    name: &'static str,
    words: &'static [&'static str],
}

impl<'de> Visitor<'de> for OneOf {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "enum {}", self.name)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, written: A) -> Result<usize, A::Error> {
        let (place, rest) = written.variant_seed(Word { words: self.words })?;
        rest.unit_variant()?;
        Ok(place)
    }
}

struct Word {
    words: &'static [&'static str],
}

impl<'de> DeserializeSeed<'de> for Word {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Word {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("variant identifier")
    }

    fn visit_str<E: Error>(self, written: &str) -> Result<usize, E> {
        let place = self.words.iter().position(|word| *word == written);
        place.ok_or_else(|| E::unknown_variant(written, self.words))
    }
}
