//! One script per operation, and its arguments.

use std::borrow::Cow;

use bytes::Bytes;
use redis::Cmd;

use super::super::answer::StoredAnswer;
use super::super::store::Command;
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::{Millis, Nonce, Op};
use crate::sabotage::{Defect, is_broken};

/// Lua counts in floating point, which has 53 bits for a moment and this. It is as good as for ever.
const SPAN_MAX: Millis = 1 << 52;

/// The text of a script, and the name under which a server keeps it.
pub(super) struct Script {
    text: Cow<'static, str>,
    hash: String,
}

/// A script and its arguments behind the key.
pub(super) struct Call<'a> {
    script: &'a Script,
    arguments: Vec<Bytes>,
}

/// All of them.
pub(super) struct Scripts {
    claim: Script,
    lookup: Script,
    mark_sent: Script,
    renew: Script,
    complete: Script,
    release: Script,
    fail: Script,
    resolve_executed: Script,
    resolve_not_executed: Script,
    pin: Script,
    show: Script,
}

macro_rules! script {
    ($edit:ident, $file:literal) => {
        Script::new($edit(concat!(
            include_str!("scripts/record.lua"),
            include_str!(concat!("scripts/", $file, ".lua"))
        )))
    };
}

impl Default for Scripts {
    fn default() -> Scripts {
        let mut scripts = Scripts::edited(Cow::Borrowed);
        if is_broken(Defect::OverwritingClaim) {
            let blind = ["redis.call('DEL', KEYS[1])\n", &scripts.claim.text].concat();
            scripts.claim = Script::new(blind.into());
        }
        scripts
    }
}

impl Scripts {
    /// The scripts as `edit` makes them of their files. Tests put a clock of their own in.
    pub(super) fn edited(edit: impl Fn(&'static str) -> Cow<'static, str>) -> Scripts {
        Scripts {
            claim: script!(edit, "claim"),
            lookup: script!(edit, "lookup"),
            mark_sent: script!(edit, "mark_sent"),
            renew: script!(edit, "renew"),
            complete: script!(edit, "complete"),
            release: script!(edit, "release"),
            fail: script!(edit, "fail"),
            resolve_executed: script!(edit, "resolve_executed"),
            resolve_not_executed: script!(edit, "resolve_not_executed"),
            pin: script!(edit, "pin"),
            show: script!(edit, "show"),
        }
    }

    /// What does this command?
    pub(super) fn apply(&self, command: Command) -> Call<'_> {
        match command.op {
            Op::Claim(claim) => {
                let route = command.route.as_deref().unwrap_or_default();
                let arguments = vec![
                    Bytes::copy_from_slice(&claim.fingerprint.0),
                    of(claim.nonce),
                    span(claim.lease),
                    span(claim.keep),
                    number(contract_number(claim.contract)),
                    Bytes::copy_from_slice(route.as_bytes()),
                ];
                Call { script: &self.claim, arguments }
            }
            Op::Lookup { fingerprint } => {
                Call { script: &self.lookup, arguments: vec![Bytes::copy_from_slice(&fingerprint.0)] }
            }
            Op::MarkSent { nonce, lease } => Call { script: &self.mark_sent, arguments: vec![of(nonce), span(lease)] },
            Op::Renew { nonce, lease } => Call { script: &self.renew, arguments: vec![of(nonce), span(lease)] },
            Op::Complete { nonce, ambiguous, keep } => {
                let arguments = vec![of(nonce), number(u64::from(ambiguous)), span(keep)];
                Call { script: &self.complete, arguments }.with(command.answer)
            }
            Op::Release { nonce } => Call { script: &self.release, arguments: vec![of(nonce)] },
            Op::Fail { nonce, keep } => Call { script: &self.fail, arguments: vec![of(nonce), span(keep)] },
            Op::ResolveExecuted { nonce, keep } => {
                Call { script: &self.resolve_executed, arguments: vec![of(nonce), span(keep)] }.with(command.answer)
            }
            Op::ResolveNotExecuted { nonce } => Call { script: &self.resolve_not_executed, arguments: vec![of(nonce)] },
            Op::Pin => Call { script: &self.pin, arguments: vec![number(1)] },
            Op::Unpin => Call { script: &self.pin, arguments: vec![number(0)] },
        }
    }

    /// What shows a whole record?
    pub(super) fn show(&self) -> Call<'_> {
        Call { script: &self.show, arguments: Vec::new() }
    }
}

impl Script {
    fn new(text: Cow<'static, str>) -> Script {
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Script { text, hash }
    }
}

impl Call<'_> {
    fn with(mut self, answer: Option<StoredAnswer>) -> Self {
        if let Some(StoredAnswer { status, fields, body }) = answer {
            self.arguments.extend([number(u64::from(status)), fields]);
            self.arguments.extend(body);
        }
        self
    }

    /// The usual form, for a server that knows the script.
    pub(super) fn by_hash(&self, key: &str) -> Cmd {
        self.command("EVALSHA", &self.script.hash, key)
    }

    /// For a server that does not: it keeps the text.
    pub(super) fn by_text(&self, key: &str) -> Cmd {
        self.command("EVAL", &self.script.text, key)
    }

    fn command(&self, verb: &str, script: &str, key: &str) -> Cmd {
        let mut command = redis::cmd(verb);
        command.arg(script).arg(1).arg(key);
        for argument in &self.arguments {
            command.arg(&argument[..]);
        }
        command
    }
}

/// As in record.lua: the smaller permits less.
fn contract_number(contract: Contract) -> u64 {
    match contract {
        Contract::Opaque => 0,
        Contract::Atomic5xx => 1,
        Contract::Dedupes => 2,
    }
}

fn of(nonce: Nonce) -> Bytes {
    Bytes::copy_from_slice(&nonce.0)
}

fn span(milliseconds: Millis) -> Bytes {
    number(milliseconds.min(SPAN_MAX))
}

fn number(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}
