//! The words of `outrigger dlq` and `outrigger replay`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::admin::api::LetterFilter;
use crate::admin::letters::filter;
use crate::cli::args::{Found, STATUSES, duration};
use crate::cli::client::segment;
use crate::cli::idem::word;

pub(in crate::cli) const EXAMPLES: &str = "\
Examples:
  outrigger dlq ls --route payments --since 2h
  outrigger dlq show 0000002a
  outrigger dlq replay --route payments/charge --dry-run
  outrigger dlq replay --route payments/charge --rate 5 --yes --wait --reason 'INC-42 is over'
  outrigger dlq resolve 0000002a --as executed --status 201 --reason 'INC-42: the bank has it'

A letter is named by its id, or by so much of its beginning or end (8 hex digits or more) that no other has it.";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Dlq {
    /// List them, newest first
    Ls {
        #[command(flatten)]
        filter: FilterArgs,
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
        limit: u16,
        /// Continue behind this letter: its whole id
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },

    /// How many there are, how full it is, how many were lost
    Stats,

    /// One letter: what happened, where its key stands, what may be done
    Show {
        /// Which letter
        #[arg(value_name = "ID", value_parser = letter)]
        id: String,
    },

    /// The body of its request; reading it is noted in the audit
    Body {
        /// Which letter
        #[arg(value_name = "ID", value_parser = letter)]
        id: String,
        /// Into this new file instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Why; it goes to the audit
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },

    /// Send them again, with their own keys
    #[command(after_help = "\
One letter is sent at once and its outcome told. Several, or a filter, become a replay of their own, oldest first: \
without --yes only its plan is printed. Exit code 3: only a part was served (with --wait).")]
    Replay(ReplayArgs),

    /// Give them up
    Drop(DropArgs),

    /// Say what became of one, and settle its key; exit code 1 if it is closed already
    Resolve {
        /// Which letter
        #[arg(value_name = "ID", value_parser = letter)]
        id: String,
        /// What you have found out
        #[arg(long = "as", value_enum)]
        outcome: Found,
        /// Why; it goes to the audit
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Status that repetitions get, with `executed` [default: 200]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(STATUSES))]
        status: Option<u16>,
        /// Body that repetitions get, with `executed` [default: empty]
        #[arg(long, value_name = "TEXT")]
        body: Option<String>,
    },

    /// All of them as JSON, one letter per line, without what is sealed
    Export {
        #[command(flatten)]
        filter: FilterArgs,
        /// Into this new file instead of standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ReplayArgs {
    /// Which letters; none = all that the filter matches
    #[arg(value_name = "ID", value_parser = letter)]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// More than one letter is meant
    #[arg(long)]
    pub yes: bool,
    /// Also those that may be executed twice
    #[arg(long)]
    pub accept_duplicate_risk: bool,
    /// Requests per second
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rate: u32,
    /// At most this many letters
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max: Option<u64>,
    /// End after this many failures
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub stop_after: u32,
    /// Why; it goes to the audit
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    pub reason: Option<String>,
    /// Tell how it goes until it has ended
    #[arg(long)]
    pub wait: bool,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct DropArgs {
    /// Which letters; none = all open ones that the filter matches
    #[arg(value_name = "ID", value_parser = letter)]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// More than one letter is meant
    #[arg(long)]
    pub yes: bool,
    /// Why; it goes to the audit
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Replay {
    /// List those that run, and the last ones that ended
    Ls,
    /// How far one has come; exit code 3 if it served only a part
    Status {
        /// As `dlq replay` printed it
        id: String,
        /// Tell how it goes until it has ended
        #[arg(long)]
        wait: bool,
    },
    /// End one; what is being sent at this moment is finished
    Cancel {
        /// As `dlq replay` printed it
        id: String,
        /// Why; it goes to the audit
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Which letters.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct FilterArgs {
    /// open, replaying, replayed, superseded, dropped, resolved, expired (several with commas), or all
    #[arg(long, value_name = "STATES", value_parser = states)]
    pub state: Option<String>,
    /// not-executed, unknown, failed-response (several with commas)
    #[arg(long, value_name = "CLASSES", value_parser = classes)]
    pub class: Option<String>,
    /// retries-exhausted, deadline, circuit-open, server-error, outcome-unknown, process-ended (several with commas)
    #[arg(long, value_name = "CAUSES", value_parser = causes)]
    pub cause: Option<String>,
    /// As the policy names them
    #[arg(long, value_name = "UPSTREAM[/ROUTE]")]
    pub route: Option<String>,
    /// As `deadLetter.queue` names it
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<String>,
    /// Captured in this last time, such as 2h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub since: Option<String>,
    /// Captured longer ago than this, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub until: Option<String>,
}

impl FilterArgs {
    /// As the API takes it.
    pub fn of(&self, ids: &[String]) -> LetterFilter {
        let FilterArgs { state, class, cause, route, queue, since, until } = self.clone();
        let id = (!ids.is_empty()).then(|| ids.join(","));
        LetterFilter { id, state, class, cause, route, queue, since, until }
    }

    /// As it was typed, each word behind a blank.
    pub fn words(&self, ids: &[String]) -> String {
        let mut text: String = ids.iter().map(|id| format!(" {}", word(id))).collect();
        for (name, value) in named(&self.of(&[])) {
            text.push_str(&format!(" --{name} {}", word(value)));
        }
        text
    }

    /// Nothing is stated.
    pub fn is_empty(&self) -> bool {
        self.of(&[]) == LetterFilter::default()
    }
}

/// As a query, each part behind an ampersand.
pub(in crate::cli) fn query(filter: &LetterFilter) -> String {
    named(filter).into_iter().map(|(name, value)| format!("&{name}={}", segment(value))).collect()
}

fn named(filter: &LetterFilter) -> Vec<(&'static str, &str)> {
    let all = [
        ("id", &filter.id),
        ("state", &filter.state),
        ("class", &filter.class),
        ("cause", &filter.cause),
        ("route", &filter.route),
        ("queue", &filter.queue),
        ("since", &filter.since),
        ("until", &filter.until),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
}

/// Checked here, so that a wrong one is a usage error; the server reads it again.
fn letter(text: &str) -> Result<String, String> {
    filter::digits(text).map(|_| text.to_owned())
}

fn states(text: &str) -> Result<String, String> {
    filter::states(text).map(|_| text.to_owned())
}

fn classes(text: &str) -> Result<String, String> {
    filter::classes(text).map(|_| text.to_owned())
}

fn causes(text: &str) -> Result<String, String> {
    filter::causes(text).map(|_| text.to_owned())
}
