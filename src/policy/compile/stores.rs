//! `stores`: where records of idempotency keys are kept.

use std::path::PathBuf;
use std::sync::Arc;

use super::blocks::{MS, SECOND, between};
use super::environment::{Environment, Unexpanded, expanded};
use super::read::{self, Layer, Layered, PROCESS, size, whole};
use super::{Context, target};
use crate::policy::diagnostic::Diagnostic;
use crate::policy::idempotency::{Durability, EmbeddedPolicy, RedisPolicy, RedisUrl, StoreKind, Stores};
use crate::policy::lint::Code;
use crate::policy::raw;
use crate::policy::raw::scalar::{At, FilePath, Position, Text};
use crate::policy::tls::REDIS;

/// `stores.embedded.path`.
const PATH: &str = "/var/lib/outrigger/outrigger.db";
/// `stores.embedded.maxBytes`: default, least, most.
const BYTES: (u64, u64, u64) = (256 << 20, 1 << 20, 64 << 30);
/// `stores.embedded.maxRecords`: default and most. The index of them is in memory.
const RECORDS: (u32, u32) = (1_000_000, 10_000_000);
/// Longest path that Linux opens.
const PATH_BYTES_MAX: usize = 4_095;

/// Which stores the file configures, and where.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StorePlaces {
    pub(super) embedded: Option<Position>,
    pub(super) redis: Option<Position>,
}

impl StorePlaces {
    pub(super) const fn of(self, kind: StoreKind) -> Option<Position> {
        match kind {
            StoreKind::Embedded => self.embedded,
            StoreKind::Redis => self.redis,
        }
    }

    /// What a route has that names none.
    pub(super) fn first(self) -> Option<(StoreKind, Position)> {
        [StoreKind::Embedded, StoreKind::Redis].into_iter().find_map(|kind| Some((kind, self.of(kind)?)))
    }
}

impl Context {
    pub(super) fn stores(&mut self, stores: Option<&At<raw::Stores>>, name: Option<&str>) -> Stores {
        let Some(at) = stores else { return Stores::default() };
        let raw::Stores { embedded, redis } = &at.value;
        if !embedded.is_given() && !redis.is_given() {
            self.report(Code::InvalidValue, at.position, "stores needs `embedded` or `redis`, such as embedded: {}");
        }
        self.store_places = StorePlaces { embedded: embedded.position(), redis: redis.position() };
        Stores {
            embedded: embedded.get().map(|at| self.embedded_store(at)),
            redis: redis.get().and_then(|at| self.redis_store(at, name)),
        }
    }

    fn embedded_store(&mut self, at: &At<raw::EmbeddedStore>) -> EmbeddedPolicy {
        let block = Layered::own(Some(at));
        let mut reader = self.process();
        let (bytes, least, most) = BYTES;
        let (records, most_records) = RECORDS;
        let durability = |word: &raw::Durability| {
            Ok(match word {
                raw::Durability::Process => Durability::Process,
                raw::Durability::Power => Durability::Power,
            })
        };
        EmbeddedPolicy {
            path: reader.take("stores.embedded.path", block.pick(|e| &e.path), file_path, PathBuf::from(PATH)),
            max_bytes: reader.take(
                "stores.embedded.maxBytes",
                block.pick(|e| &e.max_bytes),
                |text| size(text, least, most),
                bytes,
            ),
            max_records: reader.take(
                "stores.embedded.maxRecords",
                block.pick(|e| &e.max_records),
                |text| whole(text, 1, most_records),
                records,
            ),
            durability: reader.take(
                "stores.embedded.durability",
                block.pick(|e| &e.durability),
                durability,
                Durability::Process,
            ),
        }
    }

    /// None after a finding.
    fn redis_store(&mut self, at: &At<raw::RedisStore>, name: Option<&str>) -> Option<RedisPolicy> {
        let url = self.redis_url(at);
        let name_written = self.origins.position(PROCESS, None, "name");
        let block = Layered::own(Some(at));
        let mut reader = self.process();
        let time = between(5 * MS, 5 * SECOND);
        let timeout = reader.take("stores.redis.timeout", block.pick(|r| &r.timeout), time, 50 * MS);
        if let Some(position) = name_written {
            reader.note("stores.redis.service", position, Layer::Own);
        }
        let found = block.pick(|r| &r.service);
        let service = |text: &Text<_>| read::name(text).map(Some);
        let service = reader.take("stores.redis.service", found, service, name.map(str::to_owned));
        if service.is_none() && found.is_none() {
            let message =
                "redis needs `service`, or the policy a `name`: services that share a server must not share keys";
            reader.refuse(at.position, message);
        }
        let written = at.value.tls.get();
        let tls = reader.client_block(&REDIS, Layered::own(written));
        let encrypted = url.as_ref().is_some_and(RedisUrl::is_encrypted);
        if let (Some(tls), Some(_), false) = (written, &url, encrypted) {
            let message = "`tls` has no effect on a redis:// URL: what is sent goes in clear, the password included";
            let note = "write the URL with rediss://, or remove `tls`";
            reader.report(Diagnostic::new(Code::TlsOnHttp, tls.position, message).with_note(note));
        }
        Some(RedisPolicy { url: url?, tls: encrypted.then(|| Arc::new(tls)), timeout, service: service? })
    }

    fn redis_url(&mut self, store: &At<raw::RedisStore>) -> Option<RedisUrl> {
        let Some(at) = store.value.url.get() else {
            self.report(
                Code::InvalidValue,
                store.position,
                "redis needs `url`: redis://HOST:PORT, or \"${env:NAME}\" with the name of a variable that holds it",
            );
            return None;
        };
        self.process().note("stores.redis.url", at.position, Layer::Own);
        match read_url(&at.value.text, self.environment) {
            Ok(url) => Some(url),
            Err((code, message)) => {
                self.report(code, at.position, message);
                None
            }
        }
    }
}

pub(super) fn file_path(text: &Text<FilePath>) -> Result<PathBuf, String> {
    let path = text.text.as_str();
    if path.contains("${") {
        return Err(format!("`{path}`: environment variables are not expanded here"));
    }
    if !path.starts_with('/') {
        return Err(format!("`{path}` is not an absolute path: it would depend on where the process was started"));
    }
    let odd = path.ends_with('/') || path.split('/').any(|part| matches!(part, "." | ".."));
    if odd || path.len() > PATH_BYTES_MAX || path.chars().any(char::is_control) {
        return Err(format!(
            "`{path}` does not name a file: write /folder/file, without `.`, `..` or a slash at the end"
        ));
    }
    Ok(PathBuf::from(path))
}

/// What is found in a variable is in no message: it may be a password.
fn read_url(written: &str, environment: Environment) -> Result<RedisUrl, (Code, String)> {
    let refused = |why: Unexpanded| match why {
        Unexpanded::Form(message) => (Code::InvalidValue, message),
        Unexpanded::Missing(name) => {
            let message = format!("the environment variable {name} is not set, and `url` needs it");
            (Code::VariableNotSet, message)
        }
    };
    // A variable that is there and empty is one that somebody forgot to fill.
    let url = expanded(written, |name| environment(name).filter(|value| !value.is_empty())).map_err(refused)?;
    let without_variables = expanded(written, |_| Some(String::new())).map_err(refused)?;
    if has_password(&without_variables) {
        let message = "a password does not belong in a policy file: put the URL into an environment variable, and write \
                       url: \"${env:NAME}\"";
        return Err((Code::InvalidValue, message.to_owned()));
    }
    match unusable(&url) {
        None => Ok(RedisUrl::new(url)),
        Some(why) => {
            let shown = url == written && !written.contains('@');
            let subject = if shown { format!("`{written}`") } else { "the URL of Redis".to_owned() };
            Err((Code::InvalidValue, format!("{subject}: {why}")))
        }
    }
}

fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let password = rest.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
    password.is_some_and(|(_, password)| !password.is_empty())
}

/// Why this is no URL of a server. None = it is one.
fn unusable(url: &str) -> Option<&'static str> {
    if url.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return Some("it has a blank or the end of a line in it");
    }
    let rest = match url.split_once("://") {
        Some(("redis" | "rediss", rest)) => rest,
        Some(_) => return Some("only redis:// and rediss:// are supported; Valkey speaks them, too"),
        None => return Some("it is not a URL: write redis://HOST:PORT"),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if target::authority(&format!("http://{host}")).is_err() {
        return Some(
            "it has no valid host or port: write redis://HOST:PORT, and in a password %40 for @, %2F for /, %3F for ?",
        );
    }
    let database = path.strip_prefix('/').unwrap_or(path);
    let plain = database.len() <= 5 && database.bytes().all(|b| b.is_ascii_digit());
    (!plain).then_some("behind the host there may be only the number of a database, such as /0")
}
