//! Files that nobody means well with.

use proptest::prelude::*;

use super::*;

#[test]
fn an_empty_file_says_so() {
    for text in ["", "\n\n", "# only a comment\n", "---\n", "\u{feff}"] {
        assert!(bad(text).contains("the file is empty"), "{text:?}");
    }
}

#[test]
fn a_file_that_is_no_text_names_the_line() {
    let said = load_bytes("p.yaml", b"version: 1\nname: \xff\n").unwrap_err().to_string();
    assert!(said.contains("not UTF-8: line 2"), "{said}");
}

#[test]
fn a_large_file_is_refused_unread() {
    let text = format!("version: 1\n# {}\n", "x".repeat(FILE_BYTES_MAX));
    assert!(bad(&text).contains("at most 1048576 are read"));
}

#[test]
fn a_large_file_within_the_bound_is_read() {
    let mut text = "version: 1\nupstreams:\n  a:\n    url: http://a\n    routes:\n".to_owned();
    (0..10_000).for_each(|n| text.push_str(&format!("    - {{ name: r{n}, match: {{ path: /r/{n} }} }}\n")));
    let Compiled { policy, warnings, .. } = good(&text);
    assert!(warnings.is_empty());
    assert_eq!(policy.upstreams[0].routes.len(), 10_001);
    assert_eq!(select(&policy, "h", "/r/9999").unwrap(), "a/r9999");
}

#[test]
fn aliases_are_a_convenience_and_no_bomb() {
    good(
        "version: 1\nupstreams:\n  a: { url: http://a, timeouts: &t { request: 1s } }\n  b: { url: http://b, timeouts: *t }\n",
    );
    let mut bomb = "version: 1\nupstreams:\n  l0: &l0 { url: http://a }\n".to_owned();
    for level in 1..40 {
        let below = level - 1;
        bomb.push_str(&format!("  l{level}: &l{level} [*l{below}, *l{below}, *l{below}, *l{below}, *l{below}]\n"));
    }
    assert!(bad(&bomb).contains("error"));
    let mut list =
        "version: 1\nupstreams:\n  a:\n    url: http://a\n    routes:\n    - &r { name: r, match: { path: /r } }\n"
            .to_owned();
    (0..100_000).for_each(|_| list.push_str("    - *r\n"));
    assert!(bad(&list).contains("too large or too complex"));
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        let text = format!("version: 1\nupstreams: {}{}\n", open.repeat(50_000), close.repeat(50_000));
        assert!(bad(&text).contains("error"));
    }
    let block: String = (0..1_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(bad(&block).contains("error"));
}

#[test]
fn tabs_and_second_documents_and_tags_are_refused_with_their_place() {
    assert!(bad("version: 1\nupstreams:\n\ta: {}\n").contains("p.yaml:"));
    assert!(bad("version: 1\n---\nversion: 1\n").contains("one YAML document"));
    assert!(bad("version: 1\nname: !secret x\n").contains("p.yaml:2:"));
}

#[test]
fn a_word_of_megabytes_is_answered_briefly() {
    let said = bad(&format!("version: 1\n{}: 1\n", "x".repeat(100_000)));
    assert!(said.len() < 2_000, "{} bytes", said.len());
}

const SEED: &str = include_str!("../../../../config/outrigger.yaml");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = load("p.yaml", &text);
    }

    #[test]
    fn no_mutation_of_a_policy_makes_it_panic(
        cuts in proptest::collection::vec((0..SEED.len(), 0usize..40, "[-a-z0-9:{}\\[\\]&*!'\"|>#%,. \n\t\u{e9}]{0,8}"), 1..6),
    ) {
        let mut bytes = SEED.as_bytes().to_vec();
        for (at, length, with) in cuts {
            let at = at.min(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, with.bytes());
        }
        match load_bytes("p.yaml", &bytes) {
            Ok(compiled) => prop_assert!(!compiled.warnings.has_errors()),
            Err(errors) => {
                prop_assert!(errors.has_errors());
                for format in [Format::Human, Format::Json, Format::Github] {
                    prop_assert!(!errors.render(format).is_empty());
                }
            }
        }
    }
}
