//! `outrigger idem`.

use super::Exit;
use super::args::{Idem, KeyArgs, ResolveArgs};
use super::print;
use super::session::{Failure, Session};
use crate::admin::api::{KeyResponse, KeyView, ResolveAs, ResolveKeyRequest, ResolvedKey, ShowKeyRequest};
use crate::admin::keys::{replayed, sentence};

impl Session<'_> {
    pub(super) fn idem(&mut self, action: Idem) -> Result<Exit, Failure> {
        match action {
            Idem::Show(key) => self.show_key(&key),
            Idem::Resolve(order) => self.resolve_key(order),
        }
    }

    fn show_key(&mut self, named: &KeyArgs) -> Result<Exit, Failure> {
        let KeyArgs { route, key, principal } = named.clone();
        let request = ShowKeyRequest { upstream: route.upstream, route: route.route, key, principal };
        let answer: KeyView = self.client.post("/idempotency/show", &request)?;
        if !self.json(&answer)? {
            writeln!(self.out, "{} {}", name(named), print::line(&sentence(&answer)))?;
            // While somebody is at it, its end may still answer the question.
            if answer.ambiguous && answer.lease_left_ms.is_none() {
                writeln!(self.out, "Resolve it: {}", advice(named))?;
            }
        }
        Ok(Exit::Fine)
    }

    fn resolve_key(&mut self, order: ResolveArgs) -> Result<Exit, Failure> {
        let ResolveArgs { key: named, outcome, reason, status, body } = order;
        let response = (status.is_some() || body.is_some()).then_some(KeyResponse { status, body });
        if ResolveAs::from(outcome) == ResolveAs::NotExecuted && response.is_some() {
            let text = "what was not executed has no answer: --status and --body belong to --as executed";
            return Err(Failure::Usage(text.to_owned(), "leave them out".to_owned()));
        }
        let KeyArgs { route, key, principal } = named.clone();
        let request = ResolveKeyRequest {
            upstream: route.upstream,
            route: route.route,
            key,
            principal,
            outcome: outcome.into(),
            reason,
            response,
            author: self.author(),
        };
        let answer: ResolvedKey = self.client.post("/idempotency/resolve", &request)?;
        if !self.json(&answer)? {
            let became = match answer.outcome {
                ResolveAs::NotExecuted => {
                    "resolved as not executed. The key is free: the next request with it is executed.".to_owned()
                }
                ResolveAs::Executed => format!("resolved as executed. Repetitions {}.", replayed(answer.answer)),
            };
            writeln!(self.out, "{} {became}", name(&named))?;
            writeln!(self.out, "The change journal has it under record {}.", print::line(&answer.record))?;
        }
        Ok(Exit::Fine)
    }
}

/// `payments/charge k1:`, with the caller if it was stated.
fn name(KeyArgs { route, key, principal }: &KeyArgs) -> String {
    let whose = principal.as_ref().map(|principal| format!(" of {principal}")).unwrap_or_default();
    print::line(&format!("{}/{} {key}{whose}:", route.upstream, route.route))
}

/// A command to copy.
fn advice(KeyArgs { route, key, principal }: &KeyArgs) -> String {
    let whose = principal.as_ref().map(|principal| format!(" --principal {}", word(principal))).unwrap_or_default();
    // Behind `--` a key may begin with a dash.
    let (dashes, key) = (if key.starts_with('-') { " --" } else { "" }, word(key));
    print::line(&format!(
        "outrigger idem resolve --as executed|not-executed --reason TEXT{whose}{dashes} {}/{} {key}",
        route.upstream, route.route
    ))
}

/// One word of a shell.
pub(super) fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b':' | b'@');
    if text.bytes().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_can_be_copied_whatever_is_in_the_key() {
        assert_eq!(word("k-1"), "k-1");
        assert_eq!(word("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(word("\"a b\""), "'\"a b\"'");
    }
}
