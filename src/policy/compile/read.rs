//! Reading single values: from the nearest layer that has one, within its range, remembering the place.

use std::net::SocketAddr;
use std::time::Duration;

use super::Context;
use super::stores::StorePlaces;
use crate::policy::diagnostic::Diagnostic;
use crate::policy::lint::Code;
use crate::policy::origin::Origin;
use crate::policy::raw::scalar::{At, Flag, Key, Position, Text, Time};
use crate::policy::{duration, size as bytes};

pub(super) use crate::policy::origin::PROCESS;

/// Which block a value stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// The route, the upstream, or the top level.
    Own,
    Defaults,
}

/// The same block in several layers, the nearest first; keys are looked up one by one.
#[derive(Debug)]
pub(super) struct Layered<'a, B> {
    layers: [Option<(&'a At<B>, Layer)>; 3],
}

impl<B> Clone for Layered<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Layered<'_, B> {}

impl<'a, B> Layered<'a, B> {
    /// One block, no fallback.
    pub(super) fn own(block: Option<&'a At<B>>) -> Self {
        Layered { layers: [None, block.map(|b| (b, Layer::Own)), None] }
    }

    pub(super) fn new(upstream: Option<&'a At<B>>, defaults: Option<&'a At<B>>) -> Self {
        let [_, own, _] = Layered::own(upstream).layers;
        Layered { layers: [None, own, defaults.map(|b| (b, Layer::Defaults))] }
    }

    /// The same with a route's block before it.
    pub(super) fn under(mut self, route: Option<&'a At<B>>) -> Self {
        self.layers[0] = route.map(|b| (b, Layer::Own));
        self
    }

    /// The same layers of what is found in each.
    pub(super) fn map<I>(&self, of: impl Fn(&'a At<B>) -> Option<&'a At<I>>) -> Layered<'a, I> {
        Layered { layers: self.layers.map(|layer| layer.and_then(|(block, layer)| Some((of(block)?, layer)))) }
    }

    /// Where the nearest layer has the block. Some = it is present, and thereby on.
    pub(super) fn place(&self) -> Option<(Position, Layer)> {
        self.layers.iter().flatten().next().map(|(block, layer)| (block.position, *layer))
    }

    pub(super) fn pick<T: 'a>(&self, key: impl Fn(&'a B) -> &'a Key<T>) -> Option<(&'a At<T>, Layer)> {
        self.layers.iter().flatten().find_map(|(block, layer)| Some((key(&block.value).get()?, *layer)))
    }

    /// How far away the layer is that has the key: 0 = route, 1 = upstream, 2 = defaults, 3 = built in.
    pub(super) fn distance<T: 'a>(&self, key: impl Fn(&'a B) -> &'a Key<T>) -> usize {
        let has =
            |layer: &Option<(&'a At<B>, Layer)>| layer.as_ref().is_some_and(|(block, _)| key(&block.value).is_given());
        self.layers.iter().position(has).unwrap_or(self.layers.len())
    }
}

/// Reads values on behalf of one upstream or route.
pub(super) struct Reader<'c> {
    context: &'c mut Context,
    upstream: u32,
    route: Option<u32>,
}

impl<'c> Reader<'c> {
    pub(super) fn new(context: &'c mut Context, upstream: u32, route: Option<u32>) -> Self {
        Reader { context, upstream, route }
    }

    /// The value found, or the default if there is none or it is wrong.
    pub(super) fn take<T, V>(
        &mut self,
        key: &'static str,
        found: Option<(&At<T>, Layer)>,
        read: impl FnOnce(&T) -> Result<V, String>,
        default: V,
    ) -> V {
        let Some((at, layer)) = found else { return default };
        self.note(key, at.position, layer);
        match read(&at.value) {
            Ok(value) => value,
            Err(message) => {
                self.refuse(at.position, message);
                default
            }
        }
    }

    /// Every entry of a list that can be read; `default` if the list is absent.
    pub(super) fn take_list<T, V>(
        &mut self,
        key: &'static str,
        found: Option<(&Vec<At<T>>, Position, Layer)>,
        read: impl Fn(&T) -> Result<V, String>,
        default: Vec<V>,
    ) -> Vec<V> {
        let Some((entries, position, layer)) = found else { return default };
        self.note(key, position, layer);
        let mut values = Vec::with_capacity(entries.len());
        for entry in entries {
            match read(&entry.value) {
                Ok(value) => values.push(value),
                Err(message) => self.refuse(entry.position, message),
            }
        }
        values
    }

    /// Before `take`: where the key is not written, it has its value because the block is there.
    pub(super) fn switched_on<B>(&mut self, key: &'static str, block: Layered<'_, B>) -> bool {
        let place = block.place();
        if let Some((position, layer)) = place {
            self.note(key, position, layer);
        }
        place.is_some()
    }

    /// Values of environment variables.
    pub(super) fn environment(&self) -> super::environment::Environment {
        self.context.environment
    }

    /// Which stores the file configures.
    pub(super) fn stores(&self) -> StorePlaces {
        self.context.store_places
    }

    pub(super) fn note(&mut self, key: &'static str, position: Position, layer: Layer) {
        let origin = match layer {
            Layer::Own => Origin::File(position),
            Layer::Defaults => Origin::Defaults(position),
        };
        self.context.origins.insert(self.upstream, self.route, key, origin);
    }

    pub(super) fn refuse(&mut self, position: Position, message: impl Into<String>) {
        self.context.report(Code::InvalidValue, position, message);
    }

    pub(super) fn report(&mut self, finding: Diagnostic) {
        self.context.findings.push(finding);
    }
}

/// A list together with where it begins.
pub(super) fn list<T>(found: Option<(&At<Vec<At<T>>>, Layer)>) -> Option<(&Vec<At<T>>, Position, Layer)> {
    found.map(|(at, layer)| (&at.value, at.position, layer))
}

pub(super) fn time(text: &Text<Time>, least: Duration, most: Duration) -> Result<Duration, String> {
    let value = duration::parse(&text.text)?;
    if value < least || value > most {
        let (least, most) = (duration::print(least), duration::print(most));
        return Err(format!("{} is out of range: {least} to {most}", text.text));
    }
    Ok(value)
}

pub(super) fn size<K>(text: &Text<K>, least: u64, most: u64) -> Result<u64, String> {
    let value = bytes::parse(&text.text)?;
    if value < least || value > most {
        return Err(format!("{} is out of range: {} to {}", text.text, bytes::print(least), bytes::print(most)));
    }
    Ok(value)
}

pub(super) fn whole<K>(text: &Text<K>, least: u32, most: u32) -> Result<u32, String> {
    let text = &text.text;
    // No sign, no underscore, no hexadecimal: only what every YAML reader takes for the same number.
    let plain = !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit());
    let value = plain.then(|| text.parse::<u64>().ok()).flatten().ok_or(format!("`{text}` is not a whole number"))?;
    u32::try_from(value)
        .ok()
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| format!("{text} is out of range: {least} to {most}"))
}

pub(super) fn number<K>(text: &Text<K>, least: f64, most: f64) -> Result<f64, String> {
    let text = &text.text;
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.starts_with(|c: char| c.is_ascii_digit());
    if let Some(number) = text.strip_suffix('%') {
        return Err(format!("`{text}`: write {number} without the percent sign"));
    }
    let value = plain.then(|| text.parse::<f64>().ok()).flatten().ok_or(format!("`{text}` is not a number"))?;
    if !(least..=most).contains(&value) {
        return Err(format!("{text} is out of range: {least} to {most}"));
    }
    Ok(value)
}

pub(super) fn flag(text: &Text<Flag>) -> Result<bool, String> {
    match text.text.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(format!("`{other}` is neither true nor false")),
    }
}

pub(super) fn name<K>(text: &Text<K>) -> Result<String, String> {
    check_name(&text.text).map(|()| text.text.clone())
}

/// Names are metric labels and parts of URLs of the admin API.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins || name.len() > 63 || !name.bytes().all(allowed) {
        return Err(format!(
            "`{name}` is not a name: up to 63 letters, digits, `.`, `_` and `-`, beginning with a letter or digit"
        ));
    }
    Ok(())
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let advice = match text.rsplit_once(':') {
        Some(("localhost", port)) => format!("write 127.0.0.1:{port}"),
        Some(("" | "*", port)) => format!("write 127.0.0.1:{port}, or 0.0.0.0:{port} for all interfaces"),
        Some(_) | None if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() => {
            format!("write 127.0.0.1:{text}")
        }
        Some(_) | None => "write IP:PORT, such as 127.0.0.1:4400".to_owned(),
    };
    Err(format!("`{text}` is not an address to listen on: {advice}"))
}
