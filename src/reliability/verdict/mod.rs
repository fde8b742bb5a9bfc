//! What is wrong, with whom, since when, and why: judged from what was counted second by second.
//!
//! [`watch::Watch`] is one upstream under watch. It learns what is `usual`, cuts what happened in `windows`, and asks
//! `judge` whether more goes wrong than chance explains; `endpoints` and `routes` tell whether a part is to blame, `onset`
//! when it began, `correlate` what changed just before, and [`app`] whether the app or a dependency of it is meant.

pub mod app;
mod correlate;
mod endpoints;
pub mod finding;
pub mod history;
mod judge;
mod onset;
mod rates;
mod routes;
mod usual;
pub mod watch;
mod windows;

#[cfg(test)]
mod tests;

/// How well something does. Ordered: the worse, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// Nothing to say.
    Healthy,
    /// Requests are served, but something needs a look.
    Degraded,
    /// Most requests fail or are refused.
    Failing,
}

/// The class of what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// No connection comes about: no answer to the attempt to connect, no route, no endpoint.
    Down,
    /// Connections are refused: nothing listens.
    Refusing,
    /// Answers do not come in time.
    TimingOut,
    /// Answers come, much later than usual or than the policy calls slow.
    Slow,
    /// Answers are errors.
    Erroring,
    /// Connections break, or answers make no sense.
    Breaking,
    /// It asks for less.
    Overloaded,
    /// No TLS session.
    Tls,
    /// The name does not resolve.
    Dns,
    /// One, or a few, of several endpoints: the rest does well. The evidence says which and what.
    OneEndpoint,
    /// An operator holds the circuit.
    Held,
    /// A limit of our own is reached.
    OurLimit,
    /// The app behind `inbound`, and none of its dependencies.
    TheApp,
    /// The app behind `inbound`, because a dependency of it does.
    AppsDependency,
    /// Clients leave before they are answered.
    ClientAborts,
    /// This proxy.
    Ourselves,
    /// Nothing any more: it answers again, and traffic returns.
    Recovering,
}

impl Cause {
    /// Every cause, in declaration order.
    pub const ALL: [Cause; 17] = [
        Cause::Down,
        Cause::Refusing,
        Cause::TimingOut,
        Cause::Slow,
        Cause::Erroring,
        Cause::Breaking,
        Cause::Overloaded,
        Cause::Tls,
        Cause::Dns,
        Cause::OneEndpoint,
        Cause::Held,
        Cause::OurLimit,
        Cause::TheApp,
        Cause::AppsDependency,
        Cause::ClientAborts,
        Cause::Ourselves,
        Cause::Recovering,
    ];

    /// The word in the admin API, metrics and logs.
    pub const fn token(self) -> &'static str {
        match self {
            Cause::Down => "down",
            Cause::Refusing => "refusing",
            Cause::TimingOut => "timing-out",
            Cause::Slow => "slow",
            Cause::Erroring => "erroring",
            Cause::Breaking => "breaking",
            Cause::Overloaded => "overloaded",
            Cause::Tls => "tls",
            Cause::Dns => "dns",
            Cause::OneEndpoint => "one-endpoint",
            Cause::Held => "held",
            Cause::OurLimit => "our-limit",
            Cause::TheApp => "the-app",
            Cause::AppsDependency => "apps-dependency",
            Cause::ClientAborts => "client-aborts",
            Cause::Ourselves => "ourselves",
            Cause::Recovering => "recovering",
        }
    }
}

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// It fits what was seen; little was seen.
    Low,
    /// 95 %.
    Medium,
    /// 99.9 %, or a fact rather than a share.
    High,
}

impl Confidence {
    /// The word in the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Confidence::Low => "low",
            Confidence::Medium => "medium",
            Confidence::High => "high",
        }
    }
}
