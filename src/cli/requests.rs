//! `outrigger why` and `outrigger tap`: single requests, in words and live.

pub(super) mod args;

use std::io::Write;
use std::ops::ControlFlow;

use super::Exit;
use super::args::Output;
use super::client::segment;
use super::print::{self, Tone};
use super::session::{Failure, Session};
use crate::admin::api::{Requests, Story, TapLost};
use crate::admin::words;
use args::{RequestCommand, TapArgs, WhyArgs};

/// Paths are cut to this many characters in a line of `tap`.
const PATH_CHARS_MAX: usize = 60;

impl Session<'_> {
    pub(super) fn request(&mut self, command: RequestCommand) -> Result<Exit, Failure> {
        match command {
            RequestCommand::Why(args) => self.why(&args),
            RequestCommand::Tap(args) => self.tap(&args),
            RequestCommand::Top(args) => self.top(&args),
        }
    }

    fn why(&mut self, args: &WhyArgs) -> Result<Exit, Failure> {
        let id = match &args.id {
            Some(id) => id.clone(),
            None => match self.last(args.upstream.as_deref())? {
                Some(id) => id,
                None => return Ok(Exit::Problem),
            },
        };
        let story: Story = self.client.get(&format!("/requests/{}", segment(&id)))?;
        if self.json(&story)? {
            return Ok(Exit::Fine);
        }
        let mut all: Vec<&Story> = std::iter::once(&story).chain(&story.also).collect();
        // RFC 3339 in UTC sorts as text.
        all.sort_by(|a, b| a.at.cmp(&b.at));
        let text: Vec<String> = all.iter().map(|story| told(story, self.surroundings.colour)).collect();
        self.out.write_all(text.join("\n").as_bytes())?;
        Ok(Exit::Fine)
    }

    /// The newest troubled request.
    fn last(&mut self, upstream: Option<&str>) -> Result<Option<String>, Failure> {
        let of = upstream.map(|name| format!("&upstream={}", segment(name))).unwrap_or_default();
        let listed: Requests = self.client.get(&format!("/requests?outcome=troubled&limit=1{of}"))?;
        if let Some(line) = listed.requests.first() {
            return Ok(Some(line.trace_id.clone()));
        }
        let whose = upstream.map(|name| format!(" of {}", print::line(name))).unwrap_or_default();
        writeln!(
            self.out,
            "No troubled request{whose} is kept: all since {} were served at the first attempt.",
            print::line(&listed.kept.since)
        )?;
        Ok(None)
    }

    fn tap(&mut self, args: &TapArgs) -> Result<Exit, Failure> {
        let mut path = format!("/tap?errors={}", args.errors);
        for (name, value) in [("upstream", &args.upstream), ("route", &args.route)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", segment(value)));
            }
        }
        if let Some(limit) = args.limit {
            path.push_str(&format!("&limit={limit}"));
        }
        let (mut event, mut ended) = (String::new(), Ok(()));
        let (output, colour, out) = (self.output, self.surroundings.colour, &mut *self.out);
        self.client.stream(&path, |line| {
            if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut event);
            } else if let Some(data) = line.strip_prefix("data: ") {
                ended = shown(data, &event, output, colour, out);
                event.clear();
            }
            if ended.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        ended?;
        Ok(Exit::Fine)
    }
}

/// One line of a tap, printed at once: whoever pipes it on waits for it.
fn shown(data: &str, event: &str, output: Output, colour: bool, out: &mut dyn Write) -> std::io::Result<()> {
    let line = match (event, output) {
        ("lost", Output::Json) => Some(format!("{{\"lost\":{data}}}")),
        ("lost", Output::Table) => serde_json::from_slice(data.as_bytes()).ok().map(|lost| missing(&lost)),
        (_, Output::Json) => Some(data.to_owned()),
        (_, Output::Table) => serde_json::from_slice(data.as_bytes()).ok().map(|story| line(&story, colour)),
    };
    if let Some(line) = line {
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Ok(())
}

fn missing(lost: &TapLost) -> String {
    let mut parts = Vec::new();
    if lost.slow > 0 {
        parts.push(format!("{} were lost because they were not read fast enough", words::grouped(lost.slow)));
    }
    if lost.rate > 0 {
        parts.push(format!("{} were left out, above the rate of a tap", words::grouped(lost.rate)));
    }
    format!("… {}", parts.join("; "))
}

fn tone(story: &Story) -> Tone {
    match story.outcome.as_str() {
        "success" if story.attempts.len() > 1 => Tone::Warn,
        "success" => Tone::Plain,
        "client_gone" => Tone::Warn,
        _ => Tone::Bad,
    }
}

/// `upstream/route`, as far as there is one.
fn place(story: &Story) -> String {
    match (&story.upstream, &story.route) {
        (Some(upstream), Some(route)) => format!("{upstream}/{route}"),
        _ => "no route".to_owned(),
    }
}

/// Status and outcome; one word where one says all.
fn ending(story: &Story) -> String {
    match story.status {
        Some(status) => format!("{status} {}", story.outcome),
        None => story.outcome.clone(),
    }
}

fn line(story: &Story, colour: bool) -> String {
    // The day is today's.
    let time = story.at.split('T').nth(1).unwrap_or(&story.at).trim_end_matches('Z');
    let reason = story.reason.as_deref().or(story.retry_denied.as_deref()).unwrap_or("-");
    let ending = format!("{:<19}", print::line(&ending(story)));
    format!(
        "{}  {}  {}  {:>9}  {}x  {}  {} {}  {}",
        print::line(time),
        if colour { tone(story).paint(&ending) } else { ending },
        print::line(&place(story)),
        print::milliseconds(Some(story.duration_ms)),
        story.attempts.len(),
        print::line(reason),
        print::line(&story.method),
        words::plain(&story.path, PATH_CHARS_MAX),
        print::line(&story.trace_id),
    )
}

/// The whole story.
fn told(story: &Story, colour: bool) -> String {
    let head = format!(
        "{} {}  {}  {}",
        print::line(&story.method),
        print::line(&story.path),
        print::line(&ending(story)),
        print::milliseconds(Some(story.duration_ms))
    );
    let mut text = if colour { tone(story).paint(&head) } else { head };
    text.push_str(&format!("\ntrace {}", print::line(&story.trace_id)));
    if let Some(id) = &story.request_id {
        text.push_str(&format!(", x-request-id {}", print::line(id)));
    }
    text.push_str(&format!(", {} ({})\n\n", print::line(&story.at), words::ago(story.age_seconds)));
    for (number, sentence) in story.sentences.iter().enumerate() {
        text.push_str(&format!("{:>3}. {}\n", number + 1, print::line(sentence)));
    }
    text
}
