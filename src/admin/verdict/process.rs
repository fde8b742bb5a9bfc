//! What is to be said of the process itself.

use super::blank;
use super::sentence::ERROR_CHARS_MAX;
use crate::admin::api::{Condition, PolicySummary, Readiness, Verdict};
use crate::admin::words;
use crate::reliability::verdict::Cause;

/// What is to be said of the process itself; nothing when all is well.
pub(in crate::admin) fn of_process(readiness: &Readiness, draining: bool, policy: &PolicySummary) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut degraded = |text| {
        let mut verdict = blank(None, Condition::Degraded, text);
        verdict.cause = Some(Cause::Ourselves.token().to_owned());
        verdicts.push(verdict);
    };
    if draining {
        degraded("The process is draining: requests in flight finish, new ones are not accepted.".to_owned());
    } else if !readiness.ready {
        degraded(format!("The process is not ready: {}.", readiness.reasons.join("; ")));
    }
    if policy.reload.failed {
        let error = policy.reload.error.as_deref().unwrap_or("no reason was kept");
        let error = shortened(error);
        let end = if error.ends_with('?') { "" } else { "." };
        degraded(format!("The policy file is refused, revision {} stays in force: {error}{end}", policy.revision));
    }
    verdicts
}

/// The first finding on one line: without the list of keys that may stand there, but with what was probably meant.
fn shortened(error: &str) -> String {
    let mut lines = error.lines();
    let first = lines.next().unwrap_or_default();
    let first = match first.split_once(", expected one of ") {
        Some((said, list)) => format!("{said}{}", list.rfind(" [").map_or("", |code| &list[code..])),
        None => first.to_owned(),
    };
    let mut text = words::plain(&first, ERROR_CHARS_MAX);
    // The caret's line belongs to the first finding: the source line stands between.
    let hint = lines.nth(1).and_then(|caret| Some(caret.split_once("^ ")?.1));
    if let Some(hint) = hint {
        text.push_str("; ");
        text.push_str(&words::plain(hint, ERROR_CHARS_MAX));
    }
    text
}
