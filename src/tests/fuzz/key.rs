//! The idempotency key: a structured-field String, or what clients really send.

use outrigger::reliability::idempotency::{KEY_BYTES_MAX, KeySyntax, parse_key};

/// Whatever the strict reader takes, the lenient one takes for the same key.
pub fn read(data: &[u8]) {
    let (strict, lenient) = (parse_key(data, KeySyntax::Strict), parse_key(data, KeySyntax::Lenient));
    if let Ok(key) = &strict {
        assert_eq!(lenient.as_ref(), Ok(key));
    }
    let Ok(key) = lenient else { return };
    assert!(!key.is_empty() && key.len() <= KEY_BYTES_MAX);
    assert!(key.iter().all(|b| (0x20..0x7f).contains(b)), "visible ASCII and blanks");
    let mut quoted = vec![b'"'];
    for byte in key.iter().copied() {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(byte);
    }
    quoted.push(b'"');
    assert_eq!(parse_key(&quoted, KeySyntax::Strict), Ok(key), "quoted, it is the same key");
}
