//! What is typed, read from the bytes that a terminal in raw mode sends.

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    Left,
    Right,
    Tab,
    Enter,
    /// Escape or backspace.
    Back,
    /// Control and C: in raw mode no signal is made of it.
    Interrupt,
    Letter(char),
}

/// The keys of one read. A sequence arrives in one piece; an escape that nothing follows is the key itself.
pub(super) fn read(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let Some((key, after)) = first(rest) {
        keys.extend(key);
        rest = after;
    }
    keys
}

fn first(bytes: &[u8]) -> Option<(Option<Key>, &[u8])> {
    let (byte, rest) = bytes.split_first()?;
    let key = match byte {
        0x1b => return Some(sequence(rest)),
        b'\t' => Key::Tab,
        b'\r' | b'\n' => Key::Enter,
        0x03 => Key::Interrupt,
        0x08 | 0x7f => Key::Back,
        byte if byte.is_ascii_graphic() => Key::Letter(char::from(*byte)),
        _ => return Some((None, rest)),
    };
    Some((Some(key), rest))
}

/// After an escape: `[` or `O`, parameters, one letter.
fn sequence(bytes: &[u8]) -> (Option<Key>, &[u8]) {
    let Some((b'[' | b'O', inner)) = bytes.split_first() else { return (Some(Key::Back), bytes) };
    let end = inner.iter().position(|byte| (0x40..=0x7e).contains(byte));
    let (last, rest) = match end.and_then(|end| inner.get(end).zip(inner.get(end + 1..))) {
        Some((last, rest)) => (*last, rest),
        None => return (None, &[]),
    };
    let key = match last {
        b'A' => Some(Key::Up),
        b'B' => Some(Key::Down),
        b'C' => Some(Key::Right),
        b'D' => Some(Key::Left),
        // Shift and tab.
        b'Z' => Some(Key::Left),
        _ => None,
    };
    (key, rest)
}
