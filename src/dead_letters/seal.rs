//! Seals what a replay needs, so that a stolen store or backup gives nobody's credentials away.
//!
//! AES-256-GCM with a random nonce for each letter. The letter's id is bound to the seal: contents cannot be put under
//! another letter. A key seals some 2^32 letters before a nonce may repeat, which no queue with bounds comes near.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use bytes::Bytes;
use sha2::{Digest, Sha256};

pub use super::contents::Contents;

use super::letter::{LetterId, Sealed};
use crate::random;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// A file of keys is not larger than this.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The keys of this process. The first one seals, all of them open: a new key is put in front of the old ones, which
/// stay until their last letter is gone.
pub struct Keys(Vec<Key>);

struct Key {
    id: [u8; 4],
    cipher: RandomizedNonceKey,
}

/// Why contents cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsealable {
    /// They are sealed with a key that is not in the file of keys.
    NoSuchKey([u8; 4]),
    /// They were changed, or belong to another letter.
    Damaged,
}

impl fmt::Display for Unsealable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsealable::NoSuchKey(id) => {
                write!(f, "it is sealed with the key {}, which is not in the file of keys: add it as a line", Id(*id))
            }
            Unsealable::Damaged => f.write_str("what was kept of it is damaged"),
        }
    }
}

impl std::error::Error for Unsealable {}

/// Says which keys there are, and never what they are.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| Id(key.id).to_string())).finish()
    }
}

/// A key's name.
struct Id([u8; 4]);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Keys {
    /// Reads a file with one key per line, 64 hex digits or the base64 of 32 bytes; or of nothing but 32 bytes. Reads
    /// from the disk: not for a thread that carries traffic.
    ///
    /// # Errors
    /// A sentence.
    pub fn read(path: &Path) -> Result<Keys, String> {
        let name = path.display();
        let file = File::open(path).map_err(|error| format!("the file of keys {name} cannot be opened: {error}"))?;
        let mode = file.metadata().map(|data| data.permissions().mode()).unwrap_or_default();
        if is_open_to_all(mode) {
            tracing::warn!(file = %name, "everybody on this machine can read the keys of dead letters: chmod 600");
        }
        let mut bytes = Vec::new();
        let read = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(|error| format!("the file of keys {name} cannot be read: {error}"))?;
        Keys::parse(&bytes).map_err(|why| format!("the file of keys {name} is of no use: {why}"))
    }

    /// Reads the keys beside a store, and makes one if there are none. The caller owns the store's lock: nobody else
    /// makes one at the same time.
    ///
    /// # Errors
    /// A sentence.
    pub fn beside(store: &Path) -> Result<Keys, String> {
        let path = with_suffix(store, ".key");
        if !path.try_exists().map_err(|error| format!("the file of keys {} cannot be seen: {error}", path.display()))? {
            make(&path).map_err(|error| {
                format!(
                    "a key for dead letters cannot be written to {}: {error}; name one with deadLetter.keyFile",
                    path.display()
                )
            })?;
        }
        Keys::read(&path)
    }

    fn parse(bytes: &[u8]) -> Result<Keys, String> {
        if bytes.len() == KEY_BYTES && !is_text(bytes) {
            return Ok(Keys(vec![Key::new(bytes)?]));
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| format!("it is neither text nor exactly {KEY_BYTES} bytes but {}", bytes.len()))?;
        let lines =
            text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())).filter(|(_, line)| !line.is_empty());
        let mut keys = Vec::new();
        for (number, line) in lines {
            let key = hex(line).or_else(|| base64(line)).ok_or_else(|| malformed(number, line))?;
            keys.push(Key::new(&key)?);
        }
        if keys.is_empty() {
            return Err("it is empty; `openssl rand -hex 32` makes a key".to_owned());
        }
        Ok(Keys(keys))
    }

    /// Seals the contents of this letter with the first key. `None`: they are too large to be told.
    pub fn seal(&self, id: LetterId, contents: &Contents) -> Option<Sealed> {
        let key = self.0.first()?;
        let mut sealed = contents.encode()?;
        let nonce = key.cipher.seal_in_place_append_tag(Aad::from(id.0), &mut sealed).ok()?;
        let bytes = [&nonce.as_ref()[..], &sealed].concat().into();
        Some(Sealed { key: key.id, bytes })
    }

    /// Opens the contents of this letter.
    ///
    /// # Errors
    /// [`Unsealable`]
    pub fn open(&self, id: LetterId, sealed: &Sealed) -> Result<Contents, Unsealable> {
        let mut keys = self.0.iter().filter(|key| key.id == sealed.key).peekable();
        if keys.peek().is_none() {
            return Err(Unsealable::NoSuchKey(sealed.key));
        }
        let (nonce, text) = sealed.bytes.split_at_checked(NONCE_LEN).ok_or(Unsealable::Damaged)?;
        // Two keys may have the same name, once in four thousand million.
        let opened = keys.find_map(|key| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut text = text.to_vec();
            let length = key.cipher.open_in_place(nonce, Aad::from(id.0), &mut text).ok()?.len();
            text.truncate(length);
            Some(Bytes::from(text))
        });
        opened.and_then(|bytes| Contents::decode(&bytes)).ok_or(Unsealable::Damaged)
    }
}

impl Key {
    fn new(bytes: &[u8]) -> Result<Key, String> {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| "a key was refused".to_owned())?;
        let digest = Sha256::digest(bytes);
        let mut id = [0; 4];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Ok(Key { id, cipher })
    }
}

/// A raw key is 32 bytes of which hardly ever all could stand in a line of text.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

fn malformed(number: usize, line: &str) -> String {
    let found = line.len();
    let short = if found < 43 { " (too short)" } else { "" };
    format!("line {number} is no key: expected 64 hex digits or 44 characters of base64, found {found}{short}")
}

fn is_open_to_all(mode: u32) -> bool {
    mode & 0o004 != 0
}

fn hex(line: &str) -> Option<Vec<u8>> {
    if line.len() != 2 * KEY_BYTES || !line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = line.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Of 32 bytes, in either alphabet, with or without the `=` at its end.
fn base64(line: &str) -> Option<Vec<u8>> {
    let digits = line.strip_suffix('=').unwrap_or(line);
    if digits.len() != 43 {
        return None;
    }
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::with_capacity(KEY_BYTES));
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // What is left over of the last digit carries nothing.
    (bits == 0).then_some(bytes)
}

/// Under another name first: a key that is there is whole.
fn make(path: &Path) -> io::Result<()> {
    let secret = random::secret().map_err(io::Error::other)?;
    let line: String = secret.iter().map(|byte| format!("{byte:02x}")).chain(["\n".to_owned()]).collect();
    let draft = with_suffix(path, ".new");
    match fs::remove_file(&draft) {
        // Left by a process that ended in between.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(directory) => File::open(directory)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests;
