//! Enough of Rust's grammar to say who imports whom: comments and tests are cut out, the rest becomes paths.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One source file without its tests.
#[derive(Debug)]
pub struct File {
    /// Relative to `src`, with slashes: `proxy/respond.rs`.
    pub name: String,
    /// Every path that is written out or imported, use trees expanded: `["crate", "policy", "Policy"]`.
    pub paths: Vec<Vec<String>>,
    /// Text of every string literal.
    pub literals: Vec<String>,
    /// `mod x` of this file: names that shadow a crate of the same name.
    children: BTreeSet<String>,
    /// Files below `src` (without `.rs`) that hold only tests.
    tests: Vec<String>,
}

impl File {
    /// Reads the text of one file.
    pub fn parse(name: &str, text: &str) -> File {
        let (code, literals) = blank(text);
        let all = tokens(&code);
        let (kept, cut) = without_tests(&all);
        let folder = folder(name);
        let tests = declared(&cut).map(|child| format!("{folder}{child}")).collect();
        // A literal was replaced by its number in quotes.
        let numbers = kept.windows(3).filter(|w| w[0] == "\"" && w[2] == "\"").map(|w| w[1]);
        let literals = numbers.filter_map(|n| literals.get(n.parse::<usize>().ok()?).cloned()).collect();
        let children = declared(&kept).map(str::to_owned).collect();
        File { name: name.to_owned(), paths: paths(&kept), literals, children, tests }
    }

    /// The top-level module it belongs to: `proxy`, or `main`.
    pub fn module(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap_or_default()
    }

    /// Paths into this crate, without the `crate`: `["policy", "Policy"]`.
    pub fn inward(&self) -> impl Iterator<Item = &[String]> {
        let depth = self.name.matches('/').count() + usize::from(!self.name.ends_with("/mod.rs"));
        self.paths.iter().filter_map(move |path| {
            let above = path.iter().take_while(|segment| *segment == "super").count();
            match path.first()?.as_str() {
                "crate" | "outrigger" => path.get(1..),
                "super" if above >= depth => path.get(above..),
                _ => None,
            }
        })
    }

    /// First segments of paths that may name another crate.
    pub fn outward(&self) -> impl Iterator<Item = &str> {
        let first = self.paths.iter().filter(|path| path.len() > 1).filter_map(|path| path.first());
        first.map(String::as_str).filter(|name| !self.children.contains(*name))
    }
}

/// Every file of a source tree that is part of the program; integration tests and unit test files are not.
pub fn tree(src: &Path) -> Vec<File> {
    let mut files = Vec::new();
    let mut folders = vec![src.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for path in entries.map(|entry| entry.expect("a readable directory").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(src).expect("below src").to_string_lossy().replace('\\', "/");
                let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
                files.push(File::parse(&name, &text));
            }
        }
    }
    let tests: Vec<String> = files.iter().flat_map(|file| file.tests.clone()).chain(["tests".to_owned()]).collect();
    let is_test = |file: &File| {
        let stem = file.name.trim_end_matches(".rs");
        tests.iter().any(|test| stem == test || stem.starts_with(&format!("{test}/")))
    };
    files.retain(|file| !is_test(file));
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// Where the out-of-line modules of a file lie: `proxy/` for `proxy/mod.rs`, `telemetry/metrics/` for
/// `telemetry/metrics.rs`, nothing for `lib.rs`.
fn folder(name: &str) -> String {
    match name.strip_suffix("mod.rs") {
        Some(folder) => folder.to_owned(),
        None if name == "lib.rs" || name == "main.rs" => String::new(),
        None => format!("{}/", name.trim_end_matches(".rs")),
    }
}

/// Cuts comments and character literals out; each string literal becomes `"N"`, its number in the second result.
fn blank(text: &str) -> (String, Vec<String>) {
    let bytes = text.as_bytes();
    let (mut code, mut literals, mut at) = (String::new(), Vec::new(), 0);
    while at < bytes.len() {
        let rest = &text[at..];
        if let Some(length) = comment(rest).or_else(|| character(rest)) {
            code.push(' ');
            at += length;
        } else if let Some((length, literal)) = string(rest, code.chars().next_back()) {
            code.push_str(&format!("\"{}\"", literals.len()));
            literals.push(literal);
            at += length;
        } else {
            let next = rest.chars().next().unwrap_or(' ');
            code.push(next);
            at += next.len_utf8();
        }
    }
    (code, literals)
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    let (mut depth, mut at) = (0, 0);
    while rest.starts_with("/*") && at < rest.len() {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// `'x'` and `'\n'`, not the lifetime `'a`.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if inside.starts_with('\\') {
        // The character after the backslash may be a quote.
        let skip = 2;
        return inside.get(skip..)?.find('\'').map(|end| 1 + skip + end + 1);
    }
    let first = inside.chars().next()?;
    inside[first.len_utf8()..].starts_with('\'').then(|| first.len_utf8() + 2)
}

/// `"…"`, `r#"…"#` and their byte forms; `before` tells a prefix from the end of a name.
fn string(rest: &str, before: Option<char>) -> Option<(usize, String)> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let prefix = rest.find(|c: char| !matches!(c, 'b' | 'r' | 'c'))?;
    if prefix > 0 && before.is_some_and(word) || prefix > 2 {
        return None;
    }
    let raw = rest[..prefix].contains('r');
    let hashes = if raw { rest[prefix..].len() - rest[prefix..].trim_start_matches('#').len() } else { 0 };
    let start = prefix + hashes + 1;
    if rest.as_bytes().get(start - 1) != Some(&b'"') {
        return None;
    }
    let body = &rest[start..];
    if raw {
        let end = body.find(&format!("\"{}", "#".repeat(hashes)))?;
        return Some((start + end + 1 + hashes, body[..end].to_owned()));
    }
    let mut escaped = false;
    let end = body.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some((start + end + 1, body[..end].to_owned()))
}

/// Names, numbers, `::`, and single signs.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = match word {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            length => length,
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// The tokens outside of items marked `#[cfg(test)]`, and those inside.
fn without_tests<'a>(all: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    const MARKS: [&[&str]; 2] =
        [&["#", "[", "cfg", "(", "test", ")", "]"], &["#", "[", "cfg", "(", "all", "(", "test", ","]];
    let (mut kept, mut cut, mut at) = (Vec::new(), Vec::new(), 0);
    while at < all.len() {
        let marked = MARKS.iter().any(|mark| all[at..].starts_with(mark));
        let length = if marked { item(&all[at..]) } else { 1 };
        let side = if marked { &mut cut } else { &mut kept };
        side.extend_from_slice(&all[at..at + length]);
        at += length;
    }
    (kept, cut)
}

/// Tokens of one item with its attributes: up to its semicolon, or to the end of its braces.
fn item(tokens: &[&str]) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    return at + 1 + usize::from(tokens.get(at + 1) == Some(&";"));
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Names in `mod NAME`.
fn declared<'a>(tokens: &[&'a str]) -> impl Iterator<Item = &'a str> {
    tokens.windows(3).filter(|w| w[0] == "mod" && matches!(w[2], ";" | "{")).map(|w| w[1])
}

/// Every path, with those of a use tree written out in full.
fn paths(tokens: &[&str]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let follows = at > 0 && matches!(tokens[at - 1], "::" | ".");
        at = if is_name(tokens[at]) && !follows { grow(tokens, at, &mut Vec::new(), &mut found) } else { at + 1 };
    }
    found
}

/// Follows one path from `at`; branches at `::{`. Returns where it ends.
fn grow(tokens: &[&str], mut at: usize, stem: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let before = stem.len();
    while at < tokens.len() && is_name(tokens[at]) {
        stem.push(tokens[at].to_owned());
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    if tokens.get(at) == Some(&"{") && tokens.get(at.wrapping_sub(1)) == Some(&"::") {
        at += 1;
        while at < tokens.len() && tokens[at] != "}" {
            at = if is_name(tokens[at]) { grow(tokens, at, stem, found) } else { at + 1 };
        }
        at += 1;
    } else {
        found.push(stem.clone());
    }
    stem.truncate(before);
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
