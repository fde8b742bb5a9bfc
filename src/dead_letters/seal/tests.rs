use tempfile::TempDir;

use super::*;
use crate::dead_letters::contents::tests::payment;

const A: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const B: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn keys(text: &str) -> Keys {
    Keys::parse(text.as_bytes()).expect("keys")
}

fn id(n: u8) -> LetterId {
    LetterId([n; 16])
}

fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keys");
    fs::write(&path, bytes).expect("a file");
    (directory, path)
}

#[test]
fn what_is_sealed_is_opened_and_cannot_be_read_without_the_key() {
    let (keys, contents) = (keys(A), payment());
    let sealed = keys.seal(id(1), &contents).expect("sealed");
    assert_eq!(keys.open(id(1), &sealed), Ok(contents.clone()));
    assert!(!sealed.bytes.windows(6).any(|part| part == b"s3cret" || part == b"12 EUR"));
    // Equal contents are not seen to be equal.
    assert_ne!(keys.seal(id(1), &contents).expect("sealed").bytes, sealed.bytes);
}

#[test]
fn contents_cannot_be_moved_to_another_letter_or_changed() {
    let keys = keys(A);
    let sealed = keys.seal(id(1), &payment()).expect("sealed");
    assert_eq!(keys.open(id(2), &sealed), Err(Unsealable::Damaged));
    for at in 0..sealed.bytes.len() {
        let mut bytes = sealed.bytes.to_vec();
        bytes[at] ^= 1;
        let damaged = Sealed { bytes: bytes.into(), ..sealed.clone() };
        assert_eq!(keys.open(id(1), &damaged), Err(Unsealable::Damaged), "at {at}");
    }
    for length in 0..40 {
        let cut = Sealed { bytes: sealed.bytes.slice(..length), ..sealed.clone() };
        assert_eq!(keys.open(id(1), &cut), Err(Unsealable::Damaged), "{length} bytes");
    }
}

#[test]
fn the_first_key_seals_and_all_open() {
    let old = keys(A).seal(id(1), &payment()).expect("sealed");
    let both = keys(&format!("{B}\n{A}\n"));
    assert_eq!(both.open(id(1), &old), Ok(payment()));
    let new = both.seal(id(1), &payment()).expect("sealed");
    assert_eq!(keys(B).open(id(1), &new), Ok(payment()));
    let Err(missing) = keys(A).open(id(1), &new) else { panic!("opened with a key that did not seal it") };
    assert_eq!(missing, Unsealable::NoSuchKey(new.key));
    let name: String = new.key.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(missing.to_string().contains(&name), "{missing}");
}

#[test]
fn a_key_is_hex_or_base64_or_the_bytes_themselves() {
    let raw: Vec<u8> = (0..32).collect();
    let spellings: [&[u8]; 7] = [
        A.as_bytes(),
        &A.to_uppercase().into_bytes(),
        &raw,
        b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        b"\n  AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=  \r\n\n",
        &[A.as_bytes(), b"\r\n"].concat(),
    ];
    let sealed = keys(A).seal(id(1), &payment()).expect("sealed");
    for spelling in spellings {
        let keys = Keys::parse(spelling).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(keys.open(id(1), &sealed), Ok(payment()), "{}", spelling.escape_ascii());
    }
}

#[test]
fn what_is_no_key_is_refused_with_its_line_and_without_its_text() {
    for (text, expected) in [
        ("", "empty"),
        ("\n \n", "empty"),
        ("0123", "line 1 is no key: expected 64 hex digits or 44 characters of base64, found 4 (too short)"),
        (&format!("{A}\n{}", &A[1..]), "line 2 is no key"),
        (&format!("{A}{A}"), "line 1 is no key"),
        ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", "line 1 is no key"),
        ("hunter2-hunter2-hunter2-hunter22", "line 1 is no key"),
    ] {
        let Err(error) = Keys::parse(text.as_bytes()) else { panic!("{text:?} was taken for a key") };
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter2") && !error.contains("0123"), "{error}");
    }
    let Err(binary) = Keys::parse(&[0xff; 31]) else { panic!("31 bytes were taken for a key") };
    assert!(binary.contains("exactly 32 bytes but 31"), "{binary}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let Err(error) = Keys::read(&directory.path().join("nowhere")) else { panic!("read what is not there") };
    assert!(error.contains("nowhere cannot be opened"), "{error}");
    let (_directory, path) = written(b"short");
    let Err(error) = Keys::read(&path) else { panic!("took a short key") };
    assert!(error.contains(&path.display().to_string()) && error.contains("too short"), "{error}");
}

#[test]
fn keys_that_everybody_can_read_are_a_warning_and_no_error() {
    let (_directory, path) = written(A.as_bytes());
    for (mode, open) in [(0o600, false), (0o640, false), (0o644, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        assert_eq!(is_open_to_all(fs::metadata(&path).expect("there").permissions().mode()), open);
        assert!(Keys::read(&path).is_ok());
    }
}

#[test]
fn a_key_beside_the_store_is_made_once_and_for_its_owner_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = directory.path().join("outrigger.db");
    // Left behind by a process that was killed while it made one.
    fs::write(directory.path().join("outrigger.db.key.new"), "half").expect("a file");
    let sealed = Keys::beside(&store).expect("a new key").seal(id(1), &payment()).expect("sealed");
    assert_eq!(Keys::beside(&store).expect("the same key").open(id(1), &sealed), Ok(payment()));
    let path = directory.path().join("outrigger.db.key");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
    let other = Keys::beside(&directory.path().join("other.db")).expect("a new key");
    assert_eq!(other.open(id(1), &sealed), Err(Unsealable::NoSuchKey(sealed.key)), "no two are alike");
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_with_a_way_out() {
    let Err(error) = Keys::beside(Path::new("/proc/outrigger.db")) else { panic!("wrote to /proc") };
    assert!(error.contains("deadLetter.keyFile"), "{error}");
}

#[test]
fn keys_are_not_shown() {
    let shown = format!("{:?}", keys(A));
    assert!(!shown.contains("0001") && shown.len() == 12, "{shown}");
}
