//! The token of `admin.tokenFile`, and what is told of those who do not know it.
//!
//! The file is read again when a second has passed since the last look, so a new token is in force a second later and an
//! old one is worthless. While it cannot be read, or holds nothing that is a token, nobody is let in: who takes the file
//! away means that. What is kept and compared is a hash, in constant time.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use crate::clock;
use crate::policy::admin::AdminAccess;
use crate::telemetry::events::Event;

/// Shorter tokens can be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// Longer ones do not fit into a head beside the rest.
const TOKEN_BYTES_MAX: usize = 1_024;
/// How old what is known of the file may be.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Refusals are written to the log at most this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Who is let in.
#[derive(Debug, Default)]
pub struct Access {
    token: Option<Token>,
    /// Connections are encrypted: what a browser calls this address is `https`, and has been compared with a certificate.
    pub(super) encrypted: bool,
    told: Mutex<Told>,
}

#[derive(Debug)]
struct Token {
    file: PathBuf,
    known: Mutex<Known>,
}

type Hash = [u8; 32];

#[derive(Debug)]
struct Known {
    hash: Result<Hash, String>,
    at: Instant,
}

#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    more: u64,
}

/// Why a caller is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// It shows no token.
    NoToken,
    /// It shows another one.
    WrongToken,
    /// Nobody can show the right one: the file cannot be read.
    NoFile,
    /// It could not agree with us on a session, as with a certificate of somebody else.
    Handshake,
    /// What it sends came through a proxy of our kind.
    Proxied,
}

impl Stranger {
    /// The word in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stranger::NoToken => "no-token",
            Stranger::WrongToken => "wrong-token",
            Stranger::NoFile => "no-token-file",
            Stranger::Handshake => "handshake",
            Stranger::Proxied => "proxied",
        }
    }
}

impl Access {
    /// As the policy says, with the token that the file holds now. Reads from the disk.
    ///
    /// # Errors
    /// A sentence: the file holds no token.
    pub fn open(policy: &AdminAccess) -> Result<Access, String> {
        let token = match &policy.token_file {
            Some(file) => {
                let hash = read(file).map_err(|why| format!("admin.tokenFile: {why}"))?;
                Some(Token { file: file.clone(), known: Mutex::new(Known { hash: Ok(hash), at: clock::now() }) })
            }
            None => None,
        };
        Ok(Access { token, encrypted: policy.tls.is_some(), told: Mutex::default() })
    }

    /// Whether callers must show a token.
    pub(super) fn asks(&self) -> bool {
        self.token.is_some()
    }

    /// Whether `headers` show the token; true where none is asked for.
    pub(super) fn login(&self, headers: &HeaderMap) -> Result<(), Stranger> {
        let Some(token) = &self.token else { return Ok(()) };
        let expected = token.hash(clock::now()).ok_or(Stranger::NoFile)?;
        let mut lines = headers.get_all(header::AUTHORIZATION).iter();
        let shown = lines.next().ok_or(Stranger::NoToken)?;
        if lines.next().is_some() {
            return Err(Stranger::WrongToken);
        }
        let (scheme, shown) = split(shown.as_bytes());
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            return Err(Stranger::NoToken);
        }
        let shown: Hash = Sha256::digest(shown).into();
        verify_slices_are_equal(&expected, &shown).map_err(|_| Stranger::WrongToken)
    }

    /// Says that `from` was not let in, at most once in a while.
    pub(super) fn tell(&self, stranger: Stranger, from: Option<SocketAddr>, now: Instant) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.at.is_some_and(|at| now.saturating_duration_since(at) < TELL_EVERY) {
            told.more = told.more.saturating_add(1);
            return;
        }
        let more = std::mem::take(&mut told.more);
        told.at = Some(now);
        drop(told);
        let from = from.map_or_else(String::new, |from| from.to_string());
        Event::AdminRefused { from: &from, reason: stranger.as_str(), more }.emit();
    }
}

impl Token {
    fn hash(&self, now: Instant) -> Option<Hash> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(known.at) >= LOOK_EVERY {
            let hash = read(&self.file);
            if let (Err(error), false) = (&hash, known.hash == hash) {
                tracing::error!(error, "nobody is let in to the admin API: admin.tokenFile holds no token");
            }
            *known = Known { hash, at: now };
        }
        known.hash.as_ref().ok().copied()
    }
}

/// `Bearer abc` in two.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (scheme, rest) = line.split_at(end);
    (scheme, rest.trim_ascii())
}

/// The hash of the token in `file`.
fn read(file: &Path) -> Result<Hash, String> {
    token_in(file).map(|token| Sha256::digest(&token).into())
}

/// The token in a file: one word, whatever blanks stand around it. Reads from the disk.
///
/// # Errors
/// A sentence that names the file and nothing of what it holds.
pub fn token_in(file: &Path) -> Result<Vec<u8>, String> {
    let name = file.display();
    let mut bytes = Vec::new();
    let most = TOKEN_BYTES_MAX as u64 + 64;
    let opened = File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes));
    opened.map_err(|error| format!("{name} cannot be read: {error}"))?;
    let token = bytes.trim_ascii();
    if token.is_empty() {
        return Err(format!("{name} is empty: write a token into it, as with `openssl rand -hex 32`"));
    }
    if !token.iter().all(u8::is_ascii_graphic) {
        return Err(format!("{name} holds more than a word: a token is visible ASCII without blanks, on one line"));
    }
    if token.len() < TOKEN_BYTES_MIN {
        return Err(format!(
            "the token in {name} has {} characters, and fewer than {TOKEN_BYTES_MIN} can be guessed: write a longer one, as \
             with `openssl rand -hex 32`",
            token.len()
        ));
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(format!("the token in {name} is longer than {TOKEN_BYTES_MAX} characters"));
    }
    Ok(token.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn headers(line: &str) -> HeaderMap {
        [(header::AUTHORIZATION, line.parse().unwrap())].into_iter().collect()
    }

    fn guarded(directory: &Path, text: &str) -> Result<Access, String> {
        let file = directory.join("token");
        std::fs::write(&file, text).unwrap();
        Access::open(&AdminAccess { token_file: Some(file), tls: None })
    }

    #[test]
    fn the_token_lets_in_and_nothing_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let access = guarded(directory.path(), &format!("\n {TOKEN}\r\n")).unwrap();
        for fits in [format!("Bearer {TOKEN}"), format!("bearer   {TOKEN} ")] {
            assert_eq!(access.login(&headers(&fits)), Ok(()), "{fits}");
        }
        let longer = format!("Bearer {TOKEN}0");
        for wrong in ["Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdeF", &longer] {
            assert_eq!(access.login(&headers(wrong)), Err(Stranger::WrongToken), "{wrong}");
        }
        for missing in [TOKEN, "Basic MDEyMzQ1Njc4OWFiY2RlZg==", ""] {
            assert_eq!(access.login(&headers(missing)), Err(Stranger::NoToken), "{missing}");
        }
        assert_eq!(access.login(&HeaderMap::new()), Err(Stranger::NoToken));
        let mut twice = headers(&format!("Bearer {TOKEN}"));
        twice.append(header::AUTHORIZATION, format!("Bearer {TOKEN}").parse().unwrap());
        assert_eq!(access.login(&twice), Err(Stranger::WrongToken), "two readers could pick different ones");
    }

    #[test]
    fn a_file_without_a_good_token_is_refused_and_its_content_not_told() {
        let directory = tempfile::tempdir().unwrap();
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        for (text, why) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("hunter2", "fewer than 16"),
            ("hunter2 hunter2 hunter2", "more than a word"),
            ("hunter2hunter2h\u{e9}", "more than a word"),
            (&*long, "longer than 1024"),
        ] {
            let error = guarded(directory.path(), text).unwrap_err();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
        let missing = AdminAccess { token_file: Some("/nonexistent/token".into()), tls: None };
        assert!(Access::open(&missing).unwrap_err().contains("/nonexistent/token cannot be read"));
    }

    #[test]
    fn a_changed_file_is_noticed_after_a_second_and_a_missing_one_lets_nobody_in() {
        let directory = tempfile::tempdir().unwrap();
        let access = guarded(directory.path(), TOKEN).unwrap();
        let file = directory.path().join("token");
        let token = access.token.as_ref().unwrap();
        let (start, hash) = (clock::now(), |text: &str| Some(<Hash>::from(Sha256::digest(text))));
        std::fs::write(&file, "fedcba9876543210\n").unwrap();
        assert_eq!(token.hash(start + LOOK_EVERY / 2), hash(TOKEN));
        assert_eq!(token.hash(start + 2 * LOOK_EVERY), hash("fedcba9876543210"));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(token.hash(start + 4 * LOOK_EVERY), None);
        std::fs::write(&file, TOKEN).unwrap();
        assert_eq!(token.hash(start + 6 * LOOK_EVERY), hash(TOKEN));
    }

    #[test]
    fn a_flood_of_wrong_tokens_is_a_line_in_ten_seconds() {
        let (access, start) = (Access::default(), clock::now());
        let told = |access: &Access| access.told.lock().unwrap().more;
        for _ in 0..1_000 {
            access.tell(Stranger::WrongToken, None, start);
        }
        assert_eq!(told(&access), 999);
        access.tell(Stranger::WrongToken, None, start + TELL_EVERY);
        assert_eq!(told(&access), 0);
    }
}
