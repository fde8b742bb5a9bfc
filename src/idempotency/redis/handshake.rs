//! What is asked of a server on every new connection, before the first command.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisError, Value};

use super::dial::Dial;
use super::trouble::said;
use crate::random;

/// What a server must be like.
pub(super) struct Terms {
    /// Refuse one that evicts.
    pub(super) require_noeviction: bool,
    /// Where the secret lies that replicas agree on; `None` = it is configured.
    pub(super) secret_key: Option<String>,
    /// Commands at once.
    pub(super) in_flight_max: usize,
}

/// A connection that may be used.
pub(super) struct Opened {
    /// Shared by all commands.
    pub(super) connection: MultiplexedConnection,
    /// What the server promises less than it should.
    pub(super) degraded: Option<String>,
    /// What the replicas have agreed on, if it is not configured.
    pub(super) secret: Option<[u8; 32]>,
}

/// Connects. `known`: the secret in use; it is offered to a server that has lost it.
pub(super) async fn open(dial: &Dial, terms: &Terms, known: Option<[u8; 32]>) -> Result<Opened, String> {
    // Time is limited from outside: this may be polled by one short-lived command after the other.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(terms.in_flight_max);
    let mut connection = dial.connect(&config).await?;

    let replication = info(&mut connection, "replication").await?;
    if replication.lines().any(|line| matches!(line.trim(), "role:slave" | "role:replica")) {
        return Err("the server is a replica, which takes no writes; name its primary".to_owned());
    }
    let degraded = eviction(&info(&mut connection, "memory").await?);
    if let Some(why) = degraded.as_ref().filter(|_| terms.require_noeviction) {
        return Err(why.clone());
    }
    let secret = match &terms.secret_key {
        Some(key) => Some(agree(&mut connection, key, known).await?),
        None => None,
    };
    Ok(Opened { connection, degraded, secret })
}

/// A section of INFO; empty where it may not be read.
async fn info(connection: &mut MultiplexedConnection, section: &str) -> Result<String, String> {
    let asked: Result<String, RedisError> = redis::cmd("INFO").arg(section).query_async(connection).await;
    match asked {
        Ok(text) => Ok(text),
        Err(error) if is_not_permitted(&error) => Ok(String::new()),
        Err(error) => Err(explain(&error)),
    }
}

fn is_not_permitted(error: &RedisError) -> bool {
    error.code() == Some("NOPERM") || error.detail().is_some_and(|detail| detail.contains("unknown command"))
}

/// What is wrong with the server's policy when its memory is full.
fn eviction(memory: &str) -> Option<String> {
    let policy = memory.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).map(str::trim);
    let consequence = "a server that evicts forgets which requests were executed; set maxmemory-policy to noeviction";
    match policy {
        Some("noeviction") => None,
        Some(other) => Some(format!("maxmemory-policy is {other}: {consequence}")),
        None => Some(format!("maxmemory-policy is not known, because INFO memory does not tell it: {consequence}")),
    }
}

/// The first replica sets the secret, and all read what was set first.
async fn agree(connection: &mut MultiplexedConnection, key: &str, known: Option<[u8; 32]>) -> Result<[u8; 32], String> {
    if let Some(secret) = stored(connection, key).await? {
        return Ok(secret);
    }
    let offered = match known {
        Some(secret) => secret,
        None => random::secret().map_err(|error| format!("the system has no randomness for a secret: {error}"))?,
    };
    let set: Result<Value, RedisError> =
        redis::cmd("SET").arg(key).arg(&offered[..]).arg("NX").query_async(connection).await;
    set.map_err(|error| explain(&error))?;
    stored(connection, key).await?.ok_or_else(|| "the server does not keep the secret of this store".to_owned())
}

async fn stored(connection: &mut MultiplexedConnection, key: &str) -> Result<Option<[u8; 32]>, String> {
    let got: Result<Option<Vec<u8>>, RedisError> = redis::cmd("GET").arg(key).query_async(connection).await;
    match got.map_err(|error| explain(&error))?.map(<[u8; 32]>::try_from) {
        None => Ok(None),
        Some(Ok(secret)) => Ok(Some(secret)),
        Some(Err(other)) => Err(format!("the secret of this store has {} bytes instead of 32 in {key}", other.len())),
    }
}

fn explain(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::Io => format!("the connection to the server broke: {error}"),
        _ => said(error),
    }
}
