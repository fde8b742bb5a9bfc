//! What the errors of the server and of the connection mean for a command.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::super::store::StoreError;

/// Why a command has no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server does not know the script, or not any more. Nothing was done.
    NoScript,
    /// The connection broke, before or after the command was applied.
    Lost(String),
    /// This server takes no writes: another one may by now have its name.
    Misplaced(String),
    /// What the caller is told.
    Final(StoreError),
}

impl Trouble {
    /// Reads an error.
    pub(super) fn of(error: &RedisError) -> Trouble {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => Trouble::NoScript,
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => {
                Trouble::Misplaced(said(error))
            }
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => {
                let why = "the server is one of a cluster and has only some of the records; name a server that has all";
                Trouble::Final(StoreError::Unavailable(why.to_owned()))
            }
            ErrorKind::Io => Trouble::Lost(format!("the connection to the server broke: {error}")),
            // No details: they may be parts of records.
            ErrorKind::Parse => Trouble::Lost("the server does not speak Redis' protocol".to_owned()),
            _ if is_out_of_memory(error) => Trouble::Final(StoreError::Full),
            _ => Trouble::Final(StoreError::Unavailable(said(error))),
        }
    }

    /// What the caller is told.
    pub(super) fn into_error(self) -> StoreError {
        match self {
            Trouble::NoScript => StoreError::Unavailable("the server refuses the text of a script".to_owned()),
            Trouble::Lost(why) | Trouble::Misplaced(why) => StoreError::Unavailable(why),
            Trouble::Final(error) => error,
        }
    }
}

/// Before version 7 an error inside of a script came as ERR with its text somewhere in it.
fn is_out_of_memory(error: &RedisError) -> bool {
    error.code() == Some("OOM") || error.detail().is_some_and(|detail| detail.contains("OOM command not allowed"))
}

/// In the server's words.
pub(super) fn said(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("the server says {code}: {detail}"),
        (Some(code), None) => format!("the server says {code}"),
        (None, _) => format!("the server's answer is not understood: {}", error.category()),
    }
}
