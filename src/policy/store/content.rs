//! The text of a policy: its hash, and how it is read.

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{ApplyError, POLICY_BYTES_MAX};

/// SHA-256 in lower-case hex: what `sha256sum` prints.
pub fn content_hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The policy file's text.
///
/// # Errors
///
/// [`ApplyError::Unreadable`] or [`ApplyError::TooLarge`].
pub fn read_policy(path: &Path) -> Result<String, ApplyError> {
    let unreadable = |error: std::io::Error| ApplyError::Unreadable(format!("{}: {error}", path.display()));
    // A pipe would keep us waiting for its other end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(ApplyError::Unreadable(format!("{}: not a regular file", path.display())));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(POLICY_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() > POLICY_BYTES_MAX { Err(ApplyError::TooLarge) } else { Ok(text) }
}
