//! `idempotency` of a route: what is promised, and deduplication by key.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use super::blocks::{MINUTE, SECOND, between};
use super::read::{Layer, Layered, Reader, flag, list, size};
use super::upstreams::method;
use crate::policy::diagnostic::Diagnostic;
use crate::policy::idempotency::{
    ForwardKey, IdempotencyPolicy, InFlight, OnStoreError, Oversize, Principal, StoreKind,
};
use crate::policy::lint::Code;
use crate::policy::raw;
use crate::policy::raw::scalar::{At, Header, Position, Principal as PrincipalKind, Text};
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::KeySyntax;

pub(super) const HOUR: Duration = Duration::from_secs(3_600);

/// `idempotency.maxBody`: default and most. Each is memory while its request runs.
const BODY: (u64, u64) = (1 << 20, 16 << 20);
/// `idempotency.maxStoredBody`: default and most.
const STORED_BODY: (u64, u64) = (256 << 10, 4 << 20);

/// Credentials: they change while the caller stays the same, and must not reach a store.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
/// Headers with another meaning: the same for many requests, or gone before a request is forwarded.
const NO_KEYS: [&str; 5] = ["connection", "content-length", "content-type", "host", "transfer-encoding"];

/// What is known of the callers of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callers {
    /// The app, which nobody needs to tell from itself.
    App,
    /// Others, whom nobody asks for a certificate.
    Strangers,
    /// Others, who have shown a certificate.
    Verified,
}

impl Reader<'_> {
    pub(super) fn contract(&mut self, block: Option<&At<raw::Idempotency>>) -> Contract {
        let read = |contract: &raw::Contract| {
            Ok(match contract {
                raw::Contract::Opaque => Contract::Opaque,
                raw::Contract::Atomic5xx => Contract::Atomic5xx,
                raw::Contract::Dedupes => Contract::Dedupes,
            })
        };
        let found = Layered::own(block).pick(|i| &i.contract);
        self.take("idempotency.contract", found, read, Contract::Opaque)
    }

    /// None = off: the block is absent, or has nothing but the contract.
    pub(super) fn deduplication(
        &mut self,
        block: Option<&At<raw::Idempotency>>,
        callers: Callers,
    ) -> Option<Arc<IdempotencyPolicy>> {
        let at = block.filter(|at| is_on(&at.value))?;
        self.note("idempotency", at.position, Layer::Own);
        let block = Layered::own(Some(at));
        let header = HeaderName::from_static("idempotency-key");
        let header = self.take("idempotency.header", block.pick(|i| &i.header), key_header, header);
        let (stored, stored_most) = STORED_BODY;
        let (held, held_most) = BODY;
        let max_body = self.take("idempotency.maxBody", block.pick(|i| &i.max_body), |t| size(t, 0, held_most), held);
        let found = block.pick(|i| &i.max_stored_body);
        let max_stored = self.take("idempotency.maxStoredBody", found, |t| size(t, 0, stored_most), stored);
        let unknown_ttl = between(HOUR, 90 * 24 * HOUR);
        Some(Arc::new(IdempotencyPolicy {
            principal: self.principal(block, at.position, &header, callers),
            header,
            required: self.take("idempotency.required", block.pick(|i| &i.required), flag, false),
            store: self.store(block, at.position),
            ttl: self.take("idempotency.ttl", block.pick(|i| &i.ttl), between(MINUTE, 30 * 24 * HOUR), 24 * HOUR),
            unknown_ttl: self.take(
                "idempotency.unknownTtl",
                block.pick(|i| &i.unknown_ttl),
                unknown_ttl,
                7 * 24 * HOUR,
            ),
            in_flight: self.in_flight(block),
            max_body: usize::try_from(max_body).unwrap_or(usize::MAX),
            oversize: self.take("idempotency.oversize", block.pick(|i| &i.oversize), oversize, Oversize::Reject),
            max_stored_body: usize::try_from(max_stored).unwrap_or(usize::MAX),
            on_store_error: self.take(
                "idempotency.onStoreError",
                block.pick(|i| &i.on_store_error),
                on_store_error,
                OnStoreError::Closed,
            ),
            methods: self.keyed_methods(block),
            syntax: self.take("idempotency.syntax", block.pick(|i| &i.syntax), syntax, KeySyntax::Lenient),
            forward_key: self.take(
                "idempotency.forwardKey",
                block.pick(|i| &i.forward_key),
                forward_key,
                ForwardKey::AsIs,
            ),
        }))
    }

    /// `place`: of the whole block.
    fn principal(
        &mut self,
        block: Layered<'_, raw::Idempotency>,
        place: Position,
        key: &HeaderName,
        callers: Callers,
    ) -> Principal {
        let found = block.pick(|i| &i.principal);
        if found.is_none() {
            let message = "deduplication needs `principal`: one caller must not get an answer that belongs to another";
            let note = "write principal: none if all callers may share keys, principal: header:NAME if a header tells them \
                        apart, or principal: mtls:spiffe if their certificates do";
            self.report(Diagnostic::new(Code::PrincipalNotWritten, place, message).with_note(note));
        }
        let read = |text: &Text<PrincipalKind>| match principal(&text.text)? {
            Principal::Header(name) if name == *key => {
                Err(format!("`{}` is the header with the key: every key would have a caller of its own", text.text))
            }
            Principal::Spiffe => match callers {
                Callers::Verified => Ok(Principal::Spiffe),
                Callers::Strangers => {
                    Err("`mtls:spiffe` needs inbound.tls with a clientCa: without it no caller shows a \
                                           certificate, and none has an id"
                        .to_owned())
                }
                Callers::App => {
                    Err("`mtls:spiffe` is for routes of inbound: this one's only caller is the app itself. Write \
                                     none, or header:NAME if the app acts for many"
                        .to_owned())
                }
            },
            principal => Ok(principal),
        };
        self.take("idempotency.principal", found, read, Principal::None)
    }

    /// `place`: of the whole block.
    fn store(&mut self, block: Layered<'_, raw::Idempotency>, place: Position) -> StoreKind {
        let configured = self.stores();
        let first = configured.first();
        if let Some((_, position)) = first {
            self.note("idempotency.store", position, Layer::Own);
        }
        let read = |word: &raw::StoreKind| {
            Ok(match word {
                raw::StoreKind::Embedded => StoreKind::Embedded,
                raw::StoreKind::Redis => StoreKind::Redis,
            })
        };
        let found = block.pick(|i| &i.store);
        let store = self.take("idempotency.store", found, read, first.map_or(StoreKind::Embedded, |(kind, _)| kind));
        if configured.of(store).is_none() {
            let word = store.as_str();
            let (position, message) = match found {
                Some((at, _)) => (at.position, format!("the store `{word}` is not configured")),
                None => (place, "deduplication needs a store, and none is configured".to_owned()),
            };
            let note = match store {
                StoreKind::Embedded => "add at the top level: stores: { embedded: {} }",
                StoreKind::Redis => "add at the top level: stores: { redis: { url: redis://HOST:PORT } }",
            };
            self.report(Diagnostic::new(Code::StoreNotConfigured, position, message).with_note(note));
        }
        store
    }

    fn in_flight(&mut self, block: Layered<'_, raw::Idempotency>) -> InFlight {
        let found = block.pick(|i| &i.in_flight_wait);
        let wait = self.take("idempotency.inFlightWait", found, between(Duration::ZERO, MINUTE), 5 * SECOND);
        let read = |word: &raw::InFlight| {
            Ok(match word {
                raw::InFlight::Wait => InFlight::Wait(wait),
                raw::InFlight::Reject => InFlight::Reject,
            })
        };
        let in_flight = self.take("idempotency.inFlight", block.pick(|i| &i.in_flight), read, InFlight::Wait(wait));
        if let (InFlight::Reject, Some((at, _))) = (in_flight, found) {
            self.refuse(at.position, "inFlightWait has no effect with inFlight: reject");
        }
        in_flight
    }

    fn keyed_methods(&mut self, block: Layered<'_, raw::Idempotency>) -> Vec<Method> {
        let found = block.pick(|i| &i.methods);
        if let Some((at, _)) = found
            && at.value.is_empty()
        {
            self.refuse(at.position, "an empty list deduplicates nothing: leave the key out for POST and PATCH");
        }
        let unsafe_only = |text: &Text<_>| match method(text)? {
            method if method.is_safe() => {
                Err(format!("{method} is safe: it may be repeated as it is, and its key means nothing"))
            }
            Method::CONNECT => Err("CONNECT opens a tunnel: there is no answer that could be kept".to_owned()),
            method => Ok(method),
        };
        let default = vec![Method::POST, Method::PATCH];
        let mut methods: Vec<Method> = Vec::new();
        for method in self.take_list("idempotency.methods", list(found), unsafe_only, default) {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        methods
    }
}

/// Taken apart without `..`: a new key must be thought about.
fn is_on(block: &raw::Idempotency) -> bool {
    let raw::Idempotency {
        contract: _,
        principal,
        header,
        required,
        methods,
        syntax,
        store,
        ttl,
        unknown_ttl,
        in_flight,
        in_flight_wait,
        max_body,
        oversize,
        max_stored_body,
        on_store_error,
        forward_key,
    } = block;
    principal.is_given()
        || header.is_given()
        || required.is_given()
        || methods.is_given()
        || syntax.is_given()
        || store.is_given()
        || ttl.is_given()
        || unknown_ttl.is_given()
        || in_flight.is_given()
        || in_flight_wait.is_given()
        || max_body.is_given()
        || oversize.is_given()
        || max_stored_body.is_given()
        || on_store_error.is_given()
        || forward_key.is_given()
}

pub(super) fn header(name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| format!("`{name}` names no valid header"))
}

fn key_header(text: &Text<Header>) -> Result<HeaderName, String> {
    let name = header(&text.text)?;
    if CREDENTIALS.contains(&name.as_str()) || NO_KEYS.contains(&name.as_str()) {
        return Err(format!("`{}` has a meaning of its own: a key needs a header to itself", text.text));
    }
    Ok(name)
}

fn principal(text: &str) -> Result<Principal, String> {
    match text.split_once(':') {
        None if text == "none" => Ok(Principal::None),
        Some(("mtls", "spiffe")) => Ok(Principal::Spiffe),
        Some(("jwt", "sub")) => Err(format!(
            "`{text}`: tokens are not verified here, and a claim that nobody has verified names nobody: write header:NAME \
             with a header that your gateway sets, or mtls:spiffe for routes of inbound"
        )),
        Some(("header", name)) => {
            let name = header(name.trim())?;
            if CREDENTIALS.contains(&name.as_str()) {
                return Err(format!(
                    "`{text}`: a rotated token would defeat deduplication; name a header that stays the same for a caller"
                ));
            }
            Ok(Principal::Header(name))
        }
        Some(_) | None => {
            Err(format!("`{text}`: write header:NAME, mtls:spiffe, or none if all callers may share keys"))
        }
    }
}

fn oversize(word: &raw::Oversize) -> Result<Oversize, String> {
    Ok(match word {
        raw::Oversize::Reject => Oversize::Reject,
        raw::Oversize::Bypass => Oversize::Bypass,
    })
}

fn on_store_error(word: &raw::OnStoreError) -> Result<OnStoreError, String> {
    Ok(match word {
        raw::OnStoreError::Closed => OnStoreError::Closed,
        raw::OnStoreError::Open => OnStoreError::Open,
    })
}

fn syntax(word: &raw::KeySyntax) -> Result<KeySyntax, String> {
    Ok(match word {
        raw::KeySyntax::Lenient => KeySyntax::Lenient,
        raw::KeySyntax::Strict => KeySyntax::Strict,
    })
}

fn forward_key(word: &raw::ForwardKey) -> Result<ForwardKey, String> {
    Ok(match word {
        raw::ForwardKey::AsIs => ForwardKey::AsIs,
        raw::ForwardKey::Strip => ForwardKey::Strip,
    })
}
