//! The words of [`super::Change::kind`].

/// A policy came into force. `summary` has its revision and source, `effects` what it changes for requests, `reason`
/// nothing.
pub const POLICY_APPLIED: &str = "policy-applied";
/// A candidate was refused, the last good policy stays. `reason` is the first finding, `effects` are the excerpt and the
/// others. The same refusal stands here once.
pub const POLICY_REFUSED: &str = "policy-refused";
/// The text of an earlier revision came into force again, by an operator or by the guard, with their `reason`.
pub const POLICY_ROLLED_BACK: &str = "policy-rolled-back";
/// The guard found that the revision named in `summary` made `upstream` do clearly worse: `reason` has the numbers before
/// and since, `effects` are what the revision changed and what is done about it.
pub const POLICY_GUARD: &str = "policy-guard";
/// The breaker of `upstream` changed its state by itself.
pub const CIRCUIT: &str = "circuit";
/// The addresses of `upstream` changed; how many there were and are.
pub const ENDPOINTS: &str = "endpoints";
/// An endpoint of `upstream` was taken out of rotation.
pub const EJECTION: &str = "ejection";
/// The name of `upstream` cannot be resolved, or can be again.
pub const DNS: &str = "dns";
/// Whether retries to `upstream` help is judged differently from before.
pub const RETRIES: &str = "retries";
/// A certificate was replaced.
pub const CERTIFICATE: &str = "certificate";
/// The process started. `reason` is set if the one before ended without saying goodbye.
pub const PROCESS_STARTED: &str = "process-started";
/// The process started, and is another version than the one before; the first of `effects` says which that was.
pub const PROCESS_UPGRADED: &str = "process-upgraded";
/// The process ended in order.
pub const PROCESS_STOPPED: &str = "process-stopped";
/// An operator changed living state: a circuit, an idempotency key, dead letters. One entry per order.
pub const MANUAL: &str = "manual";

/// All of them.
pub const ALL: [&str; 14] = [
    POLICY_APPLIED,
    POLICY_REFUSED,
    POLICY_ROLLED_BACK,
    POLICY_GUARD,
    CIRCUIT,
    ENDPOINTS,
    EJECTION,
    DNS,
    RETRIES,
    CERTIFICATE,
    PROCESS_STARTED,
    PROCESS_UPGRADED,
    PROCESS_STOPPED,
    MANUAL,
];

/// Words that mean several kinds: those that begin so.
pub const GROUPS: [&str; 2] = ["policy", "process"];

/// Whether `asked`, one of [`ALL`] or [`GROUPS`], means `kind`.
pub fn matches(asked: &str, kind: &str) -> bool {
    kind == asked || (GROUPS.contains(&asked) && kind.strip_prefix(asked).is_some_and(|rest| rest.starts_with('-')))
}

/// Whether there is such a word.
pub fn is_known(asked: &str) -> bool {
    ALL.contains(&asked) || GROUPS.contains(&asked)
}
