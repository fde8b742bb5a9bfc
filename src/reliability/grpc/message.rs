//! `grpc-message`: text in a header field.

/// Longer messages are cut: many servers refuse a header block of more than 8 KiB.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// Percent-encodes a sentence as gRPC over HTTP/2 wants it: what is printable ASCII stays, but for the percent sign.
pub fn encode_message(text: &str) -> String {
    let text = text.get(..text.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or(text);
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => encoded.push(char::from(byte)),
            byte => {
                encoded.push('%');
                encoded.push(hex(byte >> 4));
                encoded.push(hex(byte & 0xf));
            }
        }
    }
    encoded
}

fn hex(half: u8) -> char {
    char::from_digit(u32::from(half), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sentence_is_readable_and_everything_else_is_encoded() {
        let table = [
            ("payments: Not answered in time.", "payments: Not answered in time."),
            ("50% of \"x\"", "50%25 of \"x\""),
            ("a\r\nb\0", "a%0D%0Ab%00"),
            ("grün ~", "gr%C3%BCn ~"),
            ("\u{7f}", "%7F"),
            ("", ""),
        ];
        for (text, encoded) in table {
            assert_eq!(encode_message(text), encoded);
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let encoded = encode_message(&"ü".repeat(1_000));
        assert_eq!(encoded, "%C3%BC".repeat(512));
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_a_header_value(text in any::<String>()) {
            prop_assert!(encode_message(&text).bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }
}
