//! `${env:NAME}`: the one thing in a policy that is not written in it. A policy file is shown, compared and kept
//! under version control, so that a password cannot stand there.

/// The value of a variable. None = not set, or no text.
pub(super) type Environment = fn(&str) -> Option<String>;

/// The environment of this process.
pub(super) fn of_process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Why a text cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unexpanded {
    /// Something after `${` that is no reference, in words.
    Form(String),
    /// This variable has no value.
    Missing(String),
}

/// The text with the values of its variables in place. A value is not expanded again.
pub(super) fn expanded(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, Unexpanded> {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        whole.push_str(before);
        let form = |found: &str| Unexpanded::Form(format!("`${{{found}`: write ${{env:NAME}}, NAME in capitals"));
        let Some((reference, tail)) = after.split_once('}') else { return Err(form(after)) };
        let name = reference.strip_prefix("env:").filter(|name| is_name(name));
        let Some(name) = name else { return Err(form(&format!("{reference}}}"))) };
        whole.push_str(&value(name).ok_or_else(|| Unexpanded::Missing(name.to_owned()))?);
        rest = tail;
    }
    whole.push_str(rest);
    Ok(whole)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> Option<String> {
        match name {
            "A" => Some("1".to_owned()),
            "B_2" => Some("${env:A}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_once_wherever_they_stand() {
        for (text, whole) in [
            ("", ""),
            ("plain $ {} }", "plain $ {} }"),
            ("${env:A}", "1"),
            ("x${env:A}y${env:A}z", "x1y1z"),
            ("${env:B_2}", "${env:A}"),
            ("[${env:EMPTY}]", "[]"),
        ] {
            assert_eq!(expanded(text, value).unwrap(), whole, "{text}");
        }
    }

    #[test]
    fn a_variable_without_a_value_is_named() {
        assert_eq!(expanded("${env:A}${env:NOT_SET}", value).unwrap_err(), Unexpanded::Missing("NOT_SET".to_owned()));
    }

    #[test]
    fn what_is_no_reference_is_refused_with_the_form() {
        for text in ["${A}", "${env:}", "${env:a}", "${env:A-B}", "${file:A}", "${env:A", "${", "${env:${env:A}}"] {
            let Err(Unexpanded::Form(said)) = expanded(text, value) else { panic!("{text}") };
            assert!(said.ends_with("write ${env:NAME}, NAME in capitals"), "{said}");
        }
    }
}
