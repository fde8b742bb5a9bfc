use super::*;
use KeySyntax::{Lenient, Strict};

fn lenient(line: &str) -> Result<String, KeyError> {
    parse_key(line.as_bytes(), Lenient).map(|key| String::from_utf8(key).unwrap())
}

#[test]
fn quoted_and_bare_are_the_same_key() {
    let expected = Ok("8e03978e-40d5-43dd-bc93-6894a57f9324".to_owned());
    for line in [
        "8e03978e-40d5-43dd-bc93-6894a57f9324",
        "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"",
        "  \"8e03978e-40d5-43dd-bc93-6894a57f9324\" ",
        "\t8e03978e-40d5-43dd-bc93-6894a57f9324",
        "\"8e03978e-40d5-43dd-bc93-6894a57f9324\";v=1",
        "8e03978e-40d5-43dd-bc93-6894a57f9324;v=1",
    ] {
        assert_eq!(lenient(line), expected, "{line}");
    }
}

#[test]
fn escapes_are_undone_and_only_the_two_there_are() {
    assert_eq!(lenient(r#""a\"b\\c""#), Ok(r#"a"b\c"#.to_owned()));
    assert_eq!(lenient(r#""a\b""#), Err(KeyError::Character));
    assert_eq!(lenient(r#""a\"#), Err(KeyError::Unterminated));
}

#[test]
fn what_is_no_key_is_refused_for_what_it_is() {
    for (line, error) in [
        ("", KeyError::Empty),
        ("  ", KeyError::Empty),
        ("\"\"", KeyError::Empty),
        ("\"  \"", KeyError::Empty),
        (";v=1", KeyError::Empty),
        ("\"abc", KeyError::Unterminated),
        ("\"abc\" x", KeyError::Unterminated),
        ("\"abc\", \"d\"", KeyError::Unterminated),
        ("a b", KeyError::Character),
        ("a,b", KeyError::Character),
        ("a\"b", KeyError::Character),
        ("a\\b", KeyError::Character),
        ("gr\u{fc}n", KeyError::Character),
        ("\"gr\u{fc}n\"", KeyError::Character),
        ("a\u{7f}", KeyError::Character),
        ("\"a\u{1}\"", KeyError::Character),
    ] {
        assert_eq!(lenient(line), Err(error), "{line:?}");
    }
}

#[test]
fn strict_takes_nothing_but_a_string() {
    assert_eq!(parse_key(b"abc", Strict), Err(KeyError::Unquoted));
    assert_eq!(parse_key(b"\"abc\"", Strict), Ok(b"abc".to_vec()));
    assert_eq!(parse_key(b":YWJj:", Strict), Err(KeyError::Unquoted));
}

#[test]
fn a_key_has_at_most_255_characters_after_unquoting() {
    let longest = "x".repeat(KEY_BYTES_MAX);
    assert_eq!(lenient(&longest), Ok(longest.clone()));
    assert_eq!(lenient(&format!("\"{longest}\"")), Ok(longest.clone()));
    assert_eq!(lenient(&format!("{longest}x")), Err(KeyError::TooLong));
    // 255 characters of which each is escaped are 255 characters.
    let escaped = format!("\"{}\"", "\\\\".repeat(KEY_BYTES_MAX));
    assert_eq!(lenient(&escaped), Ok("\\".repeat(KEY_BYTES_MAX)));
}
