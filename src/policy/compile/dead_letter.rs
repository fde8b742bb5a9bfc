//! `deadLetter`: of a route, and its bounds at the top level.

use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;

use super::blocks::{Found, between};
use super::idempotency::{HOUR, header};
use super::read::{Layer, Layered, PROCESS, Reader, list, name, size, whole};
use super::stores::file_path;
use super::{Context, upstreams};
use crate::policy::dead_letter::{ALWAYS_REDACTED, CaptureAt, Credentials, DeadLetterBounds, DeadLetterPolicy};
use crate::policy::diagnostic::Diagnostic;
use crate::policy::idempotency::{EmbeddedPolicy, IdempotencyPolicy, StoreKind, Stores};
use crate::policy::lint::Code;
use crate::policy::raw::scalar::{At, FilePath, Header, Position, QueryName, Size, Text};
use crate::policy::{raw, size as bytes};
use crate::reliability::dead_letters::Cause;

/// `deadLetter.maxBytes` at least: a few letters.
const BYTES_MIN: u64 = 64 << 10;
/// `deadLetter.maxBytes` where there is no store that it could be a share of.
const BYTES: u64 = 128 << 20;
/// `deadLetter.maxLetters`: default and most. The index of them is in memory.
const LETTERS: (u32, u32) = (10_000, 1_000_000);
/// `deadLetter.capture.maxBody`: default and most.
const BODY: (u64, u64) = (1 << 20, 16 << 20);
/// Names of headers, or of parameters, in one list.
const NAMES_MAX: usize = 100;

impl Reader<'_> {
    /// `deadLetter` of a route. None = off: the block is absent.
    pub(super) fn dead_letter(
        &mut self,
        block: Option<&At<raw::RouteDeadLetter>>,
        upstream: &str,
        route: &str,
        keys: Option<&IdempotencyPolicy>,
    ) -> Option<Arc<DeadLetterPolicy>> {
        let at = block?;
        self.note("deadLetter", at.position, Layer::Own);
        self.letters_need_the_embedded_store(at.position);
        let block = Layered::own(Some(at));
        let queue = |text: &Text<_>| name(text).map(Arc::from);
        let default = Arc::from(format!("{upstream}/{route}"));
        Some(Arc::new(DeadLetterPolicy {
            queue: self.take("deadLetter.queue", block.pick(|d| &d.queue), queue, default),
            when: self.causes(block),
            capture: self.capture(block, keys),
        }))
    }

    fn letters_need_the_embedded_store(&mut self, place: Position) {
        let stores = self.stores();
        if stores.embedded.is_some() {
            return;
        }
        let message = match stores.redis {
            Some(_) => "dead letters need the embedded store: they lie in its file, also where the keys are in Redis",
            None => "dead letters need a store, and none is configured",
        };
        let note = "add at the top level: stores: { embedded: {} }";
        self.report(Diagnostic::new(Code::LettersWithoutStore, place, message).with_note(note));
    }

    fn causes(&mut self, block: Layered<'_, raw::RouteDeadLetter>) -> Vec<Cause> {
        let found = block.pick(|d| &d.when);
        if let Some((at, _)) = found
            && at.value.is_empty()
        {
            let message =
                "an empty list keeps nothing: leave the key out for all but circuit-open, or leave out deadLetter";
            self.refuse(at.position, message);
        }
        let default = Cause::ALL.into_iter().filter(|cause| *cause != Cause::CircuitOpen).collect();
        each_once(self.take_list("deadLetter.when", list(found), |word| Ok(cause(*word)), default))
    }

    fn capture(&mut self, block: Layered<'_, raw::RouteDeadLetter>, keys: Option<&IdempotencyPolicy>) -> CaptureAt {
        let found = block.pick(|d| &d.capture);
        let read = |word: &raw::CaptureAt| {
            Ok(match word {
                raw::CaptureAt::Failure => CaptureAt::Failure,
                raw::CaptureAt::Send => CaptureAt::Send,
            })
        };
        let capture = self.take("deadLetter.capture", found, read, CaptureAt::Failure);
        let missing = match keys.map(|keys| keys.store) {
            Some(StoreKind::Embedded) => None,
            Some(StoreKind::Redis) => Some((
                "capture: send notes a request in the record of its key, and the records of this route are in Redis",
                "write idempotency: { store: embedded }, or leave capture: send out",
            )),
            None => Some((
                "capture: send notes a request in the record of its key, and this route keeps no records",
                "add to the route: idempotency: { principal: none, store: embedded }, or leave capture: send out",
            )),
        };
        if let (CaptureAt::Send, Some((at, _)), Some((message, note))) = (capture, found, missing) {
            self.report(Diagnostic::new(Code::NoRecordToCaptureIn, at.position, message).with_note(note));
        }
        capture
    }
}

impl Context {
    /// `deadLetter` at the top level. None: no route keeps letters, or they have no place.
    pub(super) fn dead_letters(
        &mut self,
        at: Option<&At<raw::DeadLetter>>,
        stores: &Stores,
        upstreams: &[upstreams::Compiled<'_>],
    ) -> Option<Arc<DeadLetterBounds>> {
        if let Some(at) = at {
            self.process().note("deadLetter", at.position, Layer::Own);
        }
        let block = Layered::own(at);
        let store = stores.embedded.as_ref();
        let max_bytes = self.letter_bytes(block, store);
        let key_file = self.letter_key(block, store);
        let capture = Layered::own(at.and_then(|at| at.value.capture.get()));
        let mut reader = self.process();
        let (letters, letters_most) = LETTERS;
        let share = |text: &Text<_>| whole(text, 1, 100).map(|share| u8::try_from(share).unwrap_or(100));
        let (body, body_most) = BODY;
        let max_body = capture.pick(|c| &c.max_body);
        let max_body = reader.take("deadLetter.capture.maxBody", max_body, |t| size(t, 0, body_most), body);
        let bounds = DeadLetterBounds {
            retention: reader.take(
                "deadLetter.retention",
                block.pick(|d| &d.retention),
                between(HOUR, 90 * 24 * HOUR),
                7 * 24 * HOUR,
            ),
            max_bytes,
            max_letters: reader.take(
                "deadLetter.maxLetters",
                block.pick(|d| &d.max_letters),
                |text| whole(text, 1, letters_most),
                letters,
            ),
            max_share: reader.take("deadLetter.maxShare", block.pick(|d| &d.max_share), share, 100),
            key_file,
            max_body: usize::try_from(max_body).unwrap_or(usize::MAX),
            redact_headers: reader.redacted_headers(capture),
            redact_query: reader.redacted_parameters(capture),
            credentials: reader.take(
                "deadLetter.capture.credentials",
                capture.pick(|c| &c.credentials),
                credentials,
                Credentials::Seal,
            ),
        };
        let mut routes = upstreams.iter().flat_map(|upstream| &upstream.policy.routes);
        (store.is_some() && routes.any(|route| route.dead_letter.is_some())).then(|| Arc::new(bounds))
    }

    /// Letters and keys share one file: letters must leave room for keys, whose requests are refused without it.
    fn letter_bytes(&mut self, block: Layered<'_, raw::DeadLetter>, store: Option<&EmbeddedPolicy>) -> u64 {
        let of_store = self.origins.position(PROCESS, None, "stores.embedded.maxBytes");
        let found = block.pick(|d| &d.max_bytes);
        let mut reader = self.process();
        if let Some(position) = of_store {
            reader.note("deadLetter.maxBytes", position, Layer::Own);
        }
        let least = |text: &Text<Size>| size(text, BYTES_MIN, u64::MAX);
        let default = store.map_or(BYTES, |store| store.max_bytes / 2);
        let max_bytes = reader.take("deadLetter.maxBytes", found, least, default);
        if let (Some(store), Some((at, _))) = (store, found) {
            let (all, most) = (bytes::print(store.max_bytes), store.max_bytes / 4 * 3);
            if max_bytes > most {
                let message = format!(
                    "{} is more than three quarters of stores.embedded.maxBytes ({all}): no room is left for keys",
                    at.value.text
                );
                let note = format!("write at most {}, or raise stores.embedded.maxBytes", bytes::print(most));
                let finding = Diagnostic::new(Code::LettersLeaveNoRoom, at.position, message).with_note(note);
                reader.report(finding.with_related(of_store, "the whole file"));
            }
        }
        max_bytes
    }

    fn letter_key(&mut self, block: Layered<'_, raw::DeadLetter>, store: Option<&EmbeddedPolicy>) -> Option<PathBuf> {
        let read = |text: &Text<FilePath>| {
            let path = file_path(text)?;
            if store.is_some_and(|store| store.path == path) {
                return Err(format!("`{}` is the file of the store: the key needs one of its own", text.text));
            }
            Ok(Some(path))
        };
        self.process().take("deadLetter.keyFile", block.pick(|d| &d.key_file), read, None)
    }
}

impl Reader<'_> {
    fn redacted_headers(&mut self, block: Layered<'_, raw::Capture>) -> Vec<HeaderName> {
        let read = |text: &Text<Header>| header(&text.text);
        let more = self.names("deadLetter.capture.redactHeaders", block.pick(|c| &c.redact_headers), read);
        each_once(ALWAYS_REDACTED.into_iter().map(HeaderName::from_static).chain(more))
    }

    fn redacted_parameters(&mut self, block: Layered<'_, raw::Capture>) -> Vec<String> {
        each_once(self.names("deadLetter.capture.redactQuery", block.pick(|c| &c.redact_query), parameter))
    }

    /// A bounded list: it is gone through for every field of a letter.
    fn names<K, V>(
        &mut self,
        key: &'static str,
        found: Found<'_, Vec<At<Text<K>>>>,
        read: impl Fn(&Text<K>) -> Result<V, String>,
    ) -> Vec<V> {
        if let Some((at, _)) = found
            && at.value.len() > NAMES_MAX
        {
            self.refuse(at.position, format!("{} names: at most {NAMES_MAX} are possible", at.value.len()));
            return Vec::new();
        }
        self.take_list(key, list(found), read, Vec::new())
    }
}

fn each_once<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for value in values {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

/// As it stands in front of the `=`: nothing is decoded.
fn parameter(text: &Text<QueryName>) -> Result<String, String> {
    let name = text.text.as_str();
    let odd = |c: char| matches!(c, '&' | '=' | '#' | '?' | ';' | '+' | '%') || c.is_whitespace() || c.is_control();
    if name.is_empty() || name.len() > 128 || name.contains(odd) {
        return Err(format!("`{name}` names no parameter of a query: write token for ?token=..."));
    }
    Ok(name.to_owned())
}

const fn cause(word: raw::Cause) -> Cause {
    match word {
        raw::Cause::RetriesExhausted => Cause::RetriesExhausted,
        raw::Cause::Deadline => Cause::Deadline,
        raw::Cause::CircuitOpen => Cause::CircuitOpen,
        raw::Cause::ServerError => Cause::ServerError,
        raw::Cause::OutcomeUnknown => Cause::OutcomeUnknown,
        raw::Cause::ProcessEnded => Cause::ProcessEnded,
    }
}

fn credentials(word: &raw::Credentials) -> Result<Credentials, String> {
    Ok(match word {
        raw::Credentials::Seal => Credentials::Seal,
        raw::Credentials::Drop => Credentials::Drop,
    })
}
