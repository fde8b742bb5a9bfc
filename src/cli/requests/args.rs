//! The words of `why`, `tap` and `top`.

use clap::{Args, Subcommand};

/// Commands about what happens right now.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RequestCommand {
    /// The life of one request: each attempt, each decision, and why; exit code 1 if it is not kept
    #[command(after_help = "\
Examples:
  outrigger why 0af7651916cd43dd8448eb211c80319c
  outrigger why --last --upstream payments

Kept in memory are troubled requests, slow ones, and those that `accessLog` drew.")]
    Why(WhyArgs),

    /// Requests as they end, one line each, until interrupted
    #[command(after_help = "\
Examples:
  outrigger tap --errors
  outrigger tap --upstream payments --limit 20 -o json | jq -r .sentences[]")]
    Tap(TapArgs),

    /// A live view of all dependencies; one frame if standard output is no terminal
    Top(TopArgs),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct WhyArgs {
    /// Trace id (or eight digits and more of its beginning), x-request-id, or the id of a dead letter
    #[arg(required_unless_present = "last", conflicts_with = "last")]
    pub id: Option<String>,
    /// The newest troubled request
    #[arg(long)]
    pub last: bool,
    /// With --last: of this dependency
    #[arg(long, value_name = "NAME", requires = "last", conflicts_with = "id")]
    pub upstream: Option<String>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct TapArgs {
    /// Only of this dependency
    #[arg(long, value_name = "NAME")]
    pub upstream: Option<String>,
    /// Only of this route
    #[arg(long, value_name = "UPSTREAM/ROUTE")]
    pub route: Option<String>,
    /// Only requests that failed, were refused or were retried
    #[arg(long)]
    pub errors: bool,
    /// End after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: Option<u32>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct TopArgs {
    /// Print one frame and end
    #[arg(long)]
    pub once: bool,
}
