//! Files that cannot be used, and those that can and are odd: each with its sentence.

use std::fs;

use super::*;
use crate::testing::Identity as Shown;
use crate::testing::certificates::DAY;
use crate::tls::certificate::Purpose;
use crate::tls::material::Reading;

fn written(shown: &Shown) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    shown.write(directory.path());
    private(directory.path());
    directory
}

fn private(directory: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory.join("tls.key"), fs::Permissions::from_mode(0o400)).unwrap();
}

fn problems(directory: &Path, purpose: Purpose) -> Vec<Problem> {
    let mut reading = Reading::default();
    let read = reading.identity(&identity(directory), purpose);
    let unusable = reading.problems.iter().any(|problem| problem.degree == Degree::Unusable);
    assert_eq!(read.is_none(), unusable, "{:?}", reading.problems);
    reading.problems
}

/// The only problem.
fn problem(directory: &Path, purpose: Purpose) -> (Part, Degree, String) {
    match problems(directory, purpose).as_slice() {
        [Problem { part, degree, text }] => (*part, *degree, text.clone()),
        other => panic!("one problem was expected: {other:?}"),
    }
}

#[test]
fn a_good_identity_has_no_problem() {
    let authority = Authority::new().intermediate("Between");
    for kind in [crate::testing::certificates::KeyKind::Ecdsa, crate::testing::certificates::KeyKind::Ed25519] {
        let directory = written(&authority.issue(&pay().key(kind)));
        assert_eq!(problems(directory.path(), Purpose::Server), []);
    }
}

#[test]
fn what_cannot_be_used_is_named_with_its_file_and_the_next_step() {
    let authority = Authority::new();
    let good = authority.issue(&pay());
    let with = |chain: &str, key: &str| {
        problem(written(&Shown { chain: chain.into(), key: key.into() }).path(), Purpose::Server)
    };
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let cases = [
        (with("", &good.key), Part::Cert, "is empty"),
        (with("hello", &good.key), Part::Cert, "holds no certificate"),
        (with(&good.key, &good.key), Part::Cert, "cert and key the wrong way round"),
        (with(&good.chain, &good.chain), Part::Key, "cert and key the wrong way round"),
        (with(&good.chain, "hello"), Part::Key, "holds no key"),
        (with(&good.chain, encrypted), Part::Key, "is encrypted"),
        (with(&good.chain, &authority.issue(&pay()).key), Part::Key, "is not the key of the certificate in"),
        (with(&good.chain.replace("MII", "!!!"), &good.key), Part::Cert, "no PEM file that can be read"),
    ];
    for ((part, degree, text), wanted, sentence) in cases {
        assert_eq!((part, degree), (wanted, Degree::Unusable), "{text}");
        assert!(text.contains(sentence), "{text} / {sentence}");
        assert!(text.contains("/tls."), "the file is named: {text}");
    }
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let found = problems(directory.path(), Purpose::Server);
    assert_eq!(found.len(), 2, "both files: {found:?}");
    assert!(found.iter().all(|problem| problem.text.contains("is not there: is it mounted")), "{found:?}");
}

#[test]
fn time_is_looked_at() {
    let authority = Authority::new();
    let of = |leaf: Leaf| problem(written(&authority.issue(&leaf)).path(), Purpose::Server);
    let (_, degree, text) = of(pay().expired());
    assert!(degree == Degree::Unusable && text.contains("expired at 20") && text.contains("24 h ago"), "{text}");
    let (_, degree, text) = of(pay().not_yet_valid());
    assert!(degree == Degree::Unusable && text.contains("is the clock of this machine right?"), "{text}");
    let (_, degree, text) = of(pay().expires_in(Duration::from_secs(3 * 3_600 + 30)));
    assert!(degree == Degree::ExpiresSoon && text.contains("expires in 3 h"), "{text}");
    let now = std::time::SystemTime::now();
    let short = pay().valid(now - Duration::from_secs(600), now + Duration::from_secs(3_000));
    assert_eq!(problems(written(&authority.issue(&short)).path(), Purpose::Server), [], "an hour is all it ever had");
    let long = pay().valid(now - 80 * DAY, now + 20 * DAY);
    assert_eq!(problems(written(&authority.issue(&long)).path(), Purpose::Server), []);
}

#[test]
fn a_chain_that_does_not_build_is_found_before_a_client_does() {
    let root = Authority::new();
    let between = root.intermediate("Between");
    let mut shown = between.issue(&pay());
    shown.chain.push_str(root.root());
    assert_eq!(problems(written(&shown).path(), Purpose::Server), [], "with the root behind it");
    let leaf_only = root.issue(&pay());
    let wrong = Shown { chain: format!("{}{}", leaf_only.chain, Authority::new().root()), key: leaf_only.key };
    let (part, degree, text) = problem(written(&wrong).path(), Purpose::Server);
    assert!((part, degree) == (Part::Cert, Degree::Unusable) && text.contains("do not vouch for it"), "{text}");
}

#[test]
fn what_peers_will_refuse_is_pointed_at() {
    let authority = Authority::new();
    let of = |leaf: Leaf, purpose| problem(written(&authority.issue(&leaf)).path(), purpose);
    let cases = [
        (of(Leaf::server(&[]), Purpose::Server), "has no alternative name"),
        (of(web(), Purpose::Server), "is not one for servers"),
        (of(pay(), Purpose::Client), "is not one for clients"),
        (of(pay().uri(WEB), Purpose::Server), "has 2 URIs"),
    ];
    for ((part, degree, text), sentence) in cases {
        assert_eq!((part, degree), (Part::Cert, Degree::Odd), "{text}");
        assert!(text.contains(sentence), "{text} / {sentence}");
    }
    assert_eq!(problems(written(&authority.issue(&pay().both())).path(), Purpose::Client), []);
}

#[test]
fn a_key_that_everybody_can_read_is_pointed_at() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = written(&Authority::new().issue(&pay()));
    fs::set_permissions(directory.path().join("tls.key"), fs::Permissions::from_mode(0o444)).unwrap();
    let (part, degree, text) = problem(directory.path(), Purpose::Server);
    assert!((part, degree) == (Part::Key, Degree::Open) && text.contains("chmod 0400"), "{text}");
}

#[test]
fn authorities_are_read_as_far_as_they_are_good() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.crt");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        let mut reading = Reading::default();
        let count = reading.authorities(&path).map(|believed| believed.roots.len());
        (count, reading.unusable().map(str::to_owned))
    };
    let (one, two) = (Authority::new(), Authority::new());
    assert_eq!(read(&format!("{}{}", one.root(), two.root())), (Some(2), None));
    let expired = one.issue(&pay().expired()).chain;
    assert_eq!(read(&format!("{}{expired}", one.root())), (Some(1), None));
    let (none, why) = read(&expired);
    assert!(none.is_none() && why.unwrap().contains("expired at"));
    assert!(read("").1.unwrap().contains("is empty"));
}

#[test]
fn the_mark_changes_with_the_content_and_with_nothing_else() {
    let authority = Authority::new();
    let directory = written(&authority.issue(&pay()));
    let mark = || {
        let mut reading = Reading::default();
        let _ = reading.identity(&identity(directory.path()), Purpose::Server);
        reading.mark()
    };
    let before = mark();
    assert_eq!(mark(), before);
    let again = authority.issue(&pay());
    fs::remove_file(directory.path().join("tls.key")).unwrap();
    assert_ne!(mark(), before);
    again.write(directory.path());
    assert_ne!(mark(), before);
}
