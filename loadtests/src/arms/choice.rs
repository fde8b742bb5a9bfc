//! `--arm` as it is written: `envoy`, `outrigger-b=outrigger,policy=my.yaml,binary=./outrigger`.

use std::path::PathBuf;

use super::Kind;
use super::own_policy::OwnPolicy;

/// Longest label: it heads a column.
const LABEL_MAX: usize = 24;

/// An arm that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its name in tables. Conditions without an arm of their own are judged for names that begin with `outrigger`.
    pub label: String,
    pub kind: Kind,
    /// Outrigger: a policy of the user's own instead of policy A.
    pub policy: Option<PathBuf>,
    /// The upstream of that policy that the requests go to; needed if it has several.
    pub upstream: Option<String>,
    /// The program, instead of the one that is found.
    pub binary: Option<PathBuf>,
}

impl Choice {
    /// The arm of that kind, under its own name.
    pub fn plain(kind: Kind) -> Choice {
        Choice { label: kind.as_str().to_owned(), kind, policy: None, upstream: None, binary: None }
    }

    /// Reads `[LABEL=]KIND[,policy=FILE][,upstream=NAME][,binary=FILE]`.
    ///
    /// # Errors
    /// One sentence that says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Choice, String> {
        let mut parts = text.split(',');
        let head = parts.next().unwrap_or_default();
        let (label, kind) = head.split_once('=').unwrap_or((head, head));
        let known = || Kind::ALL.map(Kind::as_str).join(", ");
        let kind = Kind::parse(kind).ok_or_else(|| format!("`{kind}` is no arm; there are {}", known()))?;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if label.is_empty() || label.len() > LABEL_MAX || !label.chars().all(fits) {
            return Err(format!(
                "`{label}` is no label; up to {LABEL_MAX} of a-z, 0-9 and - are: outrigger-b={kind}",
                kind = kind.as_str()
            ));
        }
        let mut choice = Choice { label: label.to_owned(), ..Choice::plain(kind) };
        for part in parts {
            choice.set(part)?;
        }
        if choice.upstream.is_some() && choice.policy.is_none() {
            return Err(format!("{label}: upstream= names one of a policy's upstreams; give policy=FILE, too"));
        }
        Ok(choice)
    }

    /// Reads the policy of the user's own, so that a missing or unclear one is found before anything is started.
    ///
    /// # Errors
    /// Those of [`OwnPolicy::read`].
    pub fn check_policy(&self) -> Result<(), String> {
        let Some(path) = &self.policy else { return Ok(()) };
        OwnPolicy::read(path, self.upstream.as_deref()).map(drop)
    }

    fn set(&mut self, part: &str) -> Result<(), String> {
        let label = &self.label;
        let (key, value) = part.split_once('=').filter(|(_, value)| !value.is_empty()).ok_or_else(|| {
            format!("{label}: `{part}` is no setting; there are policy=FILE, upstream=NAME and binary=FILE")
        })?;
        let of_outrigger = self.kind == Kind::Outrigger;
        match key {
            "policy" if of_outrigger => self.policy = Some(PathBuf::from(value)),
            "upstream" if of_outrigger => self.upstream = Some(value.to_owned()),
            "policy" | "upstream" => return Err(format!("{label}: {key}= is for arms of kind outrigger only")),
            "binary" if self.kind != Kind::Direct => self.binary = Some(PathBuf::from(value)),
            "binary" => return Err(format!("{label}: the direct way has no program")),
            other => return Err(format!("{label}: `{other}` is no setting; there are policy, upstream and binary")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_alone_is_an_arm_of_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Choice::parse(kind.as_str()), Ok(Choice::plain(kind)));
        }
    }

    #[test]
    fn an_outrigger_arm_has_a_label_a_policy_and_a_program() {
        let choice = Choice::parse("outrigger-b=outrigger,policy=a/b.yaml,upstream=pay,binary=/x/outrigger");
        let expected = Choice {
            label: "outrigger-b".to_owned(),
            kind: Kind::Outrigger,
            policy: Some(PathBuf::from("a/b.yaml")),
            upstream: Some("pay".to_owned()),
            binary: Some(PathBuf::from("/x/outrigger")),
        };
        assert_eq!(choice, Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        let wrong = |text: &str| Choice::parse(text).expect_err(text);
        assert!(wrong("traefik").contains("direct, outrigger, envoy, haproxy, nginx, pingora"));
        assert!(wrong("A B=envoy").contains("no label"));
        assert!(wrong("=envoy").contains("no label"));
        assert!(wrong("envoy,policy=x").contains("of kind outrigger only"));
        assert!(wrong("outrigger,polcy=x").contains("`polcy` is no setting"));
        assert!(wrong("outrigger,policy=").contains("no setting"));
        assert!(wrong("outrigger,upstream=pay").contains("give policy=FILE"));
        assert!(wrong("direct,binary=x").contains("no program"));
    }
}
