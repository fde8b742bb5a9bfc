//! Why a file of records cannot be opened, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a store did not open. Each says what to do next.
#[derive(Debug)]
pub enum OpenError {
    /// Somebody else has it open.
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The directory, or the file itself, cannot be made, read or written.
    Unusable {
        /// What it is about.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The SQLite that was compiled in is too old to be safe.
    OldSqlite {
        /// Its version.
        version: String,
    },
    /// A newer version of this program has written the file.
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its tables.
        version: i64,
    },
    /// An older version of this program has written the file.
    Older {
        /// The file.
        path: PathBuf,
        /// The version of its tables.
        version: i64,
    },
    /// The file belongs to another program.
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// SQLite says no.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it says.
        error: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::InUse { path } => write!(
                f,
                "another process has {} open; stop it, or give this one a path of its own: two owners of one file \
                 would both execute a request",
                path.display()
            ),
            OpenError::Unusable { path, error } => write!(
                f,
                "{} cannot be used: {error}; mount a directory that the proxy's user may write to, or change the path",
                path.display()
            ),
            OpenError::OldSqlite { version } => write!(
                f,
                "SQLite {version} was compiled in, which can lose commits (its WAL-reset race); build with 3.51.3 or \
                 newer"
            ),
            OpenError::Newer { path, version } => write!(
                f,
                "{} was written by a newer version of this program (tables of version {version}); run that version, \
                 or move the file away and accept that its keys are forgotten",
                path.display()
            ),
            OpenError::Older { path, version } => write!(
                f,
                "{} was written by an older version of this program (tables of version {version}), which this one \
                 does not read; run that version until its keys have expired, or move the file away and accept that \
                 they are forgotten",
                path.display()
            ),
            OpenError::Foreign { path } => {
                write!(f, "{} is a database of another program; change the path", path.display())
            }
            OpenError::Sqlite { path, error } => write!(
                f,
                "{} cannot be opened: {error}; check the disk and the file's permissions, then start again",
                path.display()
            ),
        }
    }
}

impl std::error::Error for OpenError {}
