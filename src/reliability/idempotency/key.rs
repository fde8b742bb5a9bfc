//! The header: a structured-field String (RFC 9651 §3.3.3), or what clients really send.

/// Longest key, in characters, after unquoting.
pub const KEY_BYTES_MAX: usize = 255;

/// How strictly the header is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySyntax {
    /// A quoted String, as the IETF draft says.
    Strict,
    /// Also bare visible ASCII without `"`, `,`, `;`, `\` and blanks, as most APIs take it.
    Lenient,
}

/// Why a header is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Nothing in it, or nothing but blanks.
    Empty,
    /// More than [`KEY_BYTES_MAX`] characters.
    TooLong,
    /// No closing quote, or something behind it that is no parameter.
    Unterminated,
    /// A character that may not stand there.
    Character,
    /// Bare, where only a quoted String is taken.
    Unquoted,
}

impl KeyError {
    /// In words, for the problem's detail.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyError::Empty => "it is empty",
            KeyError::TooLong => "it has more than 255 characters",
            KeyError::Unterminated => "its quotes do not match",
            KeyError::Character => "it has characters other than visible ASCII",
            KeyError::Unquoted => "it must stand in double quotes",
        }
    }
}

/// The key in one header line. `"abc"` and `abc` are the same key. Parameters are ignored.
///
/// # Errors
/// [`KeyError`]
pub fn parse_key(line: &[u8], syntax: KeySyntax) -> Result<Vec<u8>, KeyError> {
    let text = trimmed(line);
    let key = match (text.first(), syntax) {
        (None, _) => return Err(KeyError::Empty),
        (Some(b'"'), _) => quoted(&text[1..])?,
        (Some(_), KeySyntax::Strict) => return Err(KeyError::Unquoted),
        (Some(_), KeySyntax::Lenient) => bare(text)?,
    };
    // Nothing but blanks parses, and would be one key for all whose template was left unfilled.
    if key.iter().all(|byte| *byte == b' ') {
        return Err(KeyError::Empty);
    }
    if key.len() <= KEY_BYTES_MAX { Ok(key) } else { Err(KeyError::TooLong) }
}

/// Structured fields know only the blank; a tab around a value is no part of it either (RFC 9110 §5.5).
fn trimmed(line: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = line.iter().position(|b| !blank(b)).unwrap_or(line.len());
    let end = line.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    &line[start..end]
}

fn quoted(text: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut key = Vec::with_capacity(text.len().min(KEY_BYTES_MAX + 1));
    let mut bytes = text.iter().copied().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return after(&text[at + 1..]).map(|()| key),
            b'\\' => match bytes.next() {
                Some((_, escaped @ (b'"' | b'\\'))) => key.push(escaped),
                Some(_) => return Err(KeyError::Character),
                None => return Err(KeyError::Unterminated),
            },
            b' '..=b'~' => key.push(byte),
            _ => return Err(KeyError::Character),
        }
    }
    Err(KeyError::Unterminated)
}

/// Behind the closing quote: nothing, or parameters, which have no meaning here.
fn after(rest: &[u8]) -> Result<(), KeyError> {
    match rest.first() {
        None => Ok(()),
        Some(b';') if rest.iter().all(|b| matches!(b, b' '..=b'~')) => Ok(()),
        Some(_) => Err(KeyError::Unterminated),
    }
}

fn bare(text: &[u8]) -> Result<Vec<u8>, KeyError> {
    let end = text.iter().position(|b| *b == b';').unwrap_or(text.len());
    let fits = |b: &u8| matches!(b, b'!'..=b'~') && !matches!(b, b'"' | b',' | b'\\');
    if text[..end].iter().all(fits) { Ok(text[..end].to_vec()) } else { Err(KeyError::Character) }
}
