//! Which letters are meant: the words of a filter, and ids that are written in part.

use crate::admin::api::{LetterFilter, LettersQuery};
use crate::admin::control::Control;
use crate::admin::letters::LIST_MAX;
use crate::admin::problem::Problem;
use crate::admin::words;
use crate::dead_letters::letter::{Filter, LetterId};
use crate::policy::duration;
use crate::reliability::dead_letters::{Cause, Class, LetterState};
use crate::reliability::idempotency::Millis;

/// Fewest hex digits that name a letter.
const DIGITS_MIN: usize = 8;
/// Digits of a whole id.
const DIGITS: usize = 32;
/// Most letters that one filter names: as a query they must fit into the head of a request.
const IDS_MAX: usize = 200;
/// Longest name of a queue, an upstream or a route.
const NAME_CHARS_MAX: usize = 300;

/// Which states are meant if none is stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum States {
    /// Those that nobody has closed; all of them if letters are named.
    Undecided,
    /// Open ones.
    Open,
    /// Any.
    All,
}

/// Takes a query apart.
pub(super) type Parts = (LetterFilter, Option<LetterId>, Option<usize>);

/// The filter of a query, and which part of what it matches.
pub(super) fn parts(query: LettersQuery) -> Result<Parts, Problem> {
    let LettersQuery { id, state, class, cause, route, queue, since, until, after, limit } = query;
    if let Some(limit) = limit.filter(|limit| !(1..=LIST_MAX).contains(limit)) {
        let next = format!("ask for 1 to {LIST_MAX} letters, and go on with `after`");
        return Err(Problem::invalid(format!("`limit` {limit} is out of range"), next));
    }
    let whole = |text: String| {
        LetterId::parse(&text).ok_or_else(|| {
            let detail = format!("`after` {} is not the id of a letter", words::quoted(&text, 60));
            Problem::invalid(detail, "write the whole id, as `next` of the page before has it")
        })
    };
    let after = after.map(whole).transpose()?;
    Ok((LetterFilter { id, state, class, cause, route, queue, since, until }, after, limit))
}

/// Reads the words. May ask for letters whose ids are written in part.
pub(super) fn read(control: &Control, filter: &LetterFilter, default: States, now: Millis) -> Result<Filter, Problem> {
    let ids = ids(control, filter.id.as_deref())?;
    let stated = filter.state.as_deref().map(states).transpose().map_err(wrong("state"))?;
    let states = stated.unwrap_or_else(|| match default {
        States::Undecided if ids.is_empty() => vec![LetterState::Open, LetterState::Replaying],
        States::Open => vec![LetterState::Open],
        States::Undecided | States::All => Vec::new(),
    });
    let (upstream, route) = match filter.route.as_deref().map(|text| name("route", text)).transpose()? {
        None => (None, None),
        Some(text) => match text.split_once('/') {
            None => (Some(text), None),
            Some((upstream, route)) => (Some(upstream.to_owned()), Some(route.to_owned())),
        },
    };
    let since = filter.since.as_deref().map(|text| ago("since", text, now)).transpose()?;
    let until = filter.until.as_deref().map(|text| ago("until", text, now)).transpose()?;
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        let detail = "`since` is no longer ago than `until`: nothing lies between";
        return Err(Problem::invalid(detail, "write for example since 2h, until 10m"));
    }
    Ok(Filter {
        ids,
        states,
        classes: filter.class.as_deref().map(classes).transpose().map_err(wrong("class"))?.unwrap_or_default(),
        causes: filter.cause.as_deref().map(causes).transpose().map_err(wrong("cause"))?.unwrap_or_default(),
        queue: filter.queue.as_deref().map(|text| name("queue", text)).transpose()?,
        upstream,
        route,
        since,
        until,
    })
}

fn wrong(field: &'static str) -> impl Fn(String) -> Problem {
    move |why| Problem::invalid(format!("`{field}`: {why}"), "several are written with commas between them")
}

/// Words of states with commas between them; `all` gives none, which matches all.
pub(crate) fn states(text: &str) -> Result<Vec<LetterState>, String> {
    if text == "all" {
        return Ok(Vec::new());
    }
    let known = LetterState::ALL.map(LetterState::as_str);
    list(text, LetterState::of, &[&known[..], &["all"]].concat())
}

/// Words of classes with commas between them.
pub(crate) fn classes(text: &str) -> Result<Vec<Class>, String> {
    list(text, Class::of, &Class::ALL.map(Class::as_str))
}

/// Words of causes with commas between them.
pub(crate) fn causes(text: &str) -> Result<Vec<Cause>, String> {
    list(text, Cause::of, &Cause::ALL.map(Cause::as_str))
}

fn list<T: PartialEq>(text: &str, of: fn(&str) -> Option<T>, known: &[&str]) -> Result<Vec<T>, String> {
    let mut found = Vec::new();
    for word in text.split(',').map(str::trim) {
        let Some(value) = of(word) else {
            return Err(format!("{} is not one of {}", words::quoted(word, 40), known.join(", ")));
        };
        if !found.contains(&value) {
            found.push(value);
        }
    }
    Ok(found)
}

fn name(field: &str, text: &str) -> Result<String, Problem> {
    let fits = !text.is_empty() && words::plain(text, NAME_CHARS_MAX) == text && !text.split('/').any(str::is_empty);
    fits.then(|| text.to_owned()).ok_or_else(|| {
        let detail = format!("`{field}` {} is no name", words::quoted(text, 60));
        Problem::invalid(detail, "write it as the policy does, such as payments or payments/charge")
    })
}

/// The moment `text` before `now`.
pub(super) fn ago(field: &str, text: &str, now: Millis) -> Result<Millis, Problem> {
    let span = duration::parse(text).map_err(|why| {
        Problem::invalid(format!("`{field}`: {}", words::plain(&why, 200)), "write for example 90s, 30m or 24h")
    })?;
    Ok(now.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

fn ids(control: &Control, stated: Option<&str>) -> Result<Vec<LetterId>, Problem> {
    let Some(stated) = stated else { return Ok(Vec::new()) };
    let mut ids = Vec::new();
    for text in stated.split(',').map(str::trim) {
        let id = identify(control, text)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
        if ids.len() > IDS_MAX {
            let detail = format!("more than {IDS_MAX} letters are named");
            return Err(Problem::invalid(detail, "name fewer, or state what they have in common"));
        }
    }
    Ok(ids)
}

/// The letter that `text` names: a whole id, or so much of either end that no other letter has it.
pub(super) fn identify(control: &Control, text: &str) -> Result<LetterId, Problem> {
    let digits = digits(text).map_err(|why| Problem::invalid(why, "`outrigger dlq ls` shows whole ids"))?;
    if digits.len() == DIGITS
        && let Some(id) = LetterId::parse(&digits)
    {
        return Ok(id);
    }
    let found = (control.letters.find)(digits)?;
    match found.as_slice() {
        [id] => Ok(*id),
        [] => {
            let detail = format!("no dead letter's id begins or ends with {}", words::quoted(text, 60));
            Err(crate::admin::control::Refused::UnknownLetter(detail).into())
        }
        several => {
            let ids: Vec<String> = several.iter().take(5).map(LetterId::to_string).collect();
            Err(Problem::ambiguous_letter(text, &ids))
        }
    }
}

/// The hex digits of an id or of an end of it, in lower case.
pub(crate) fn digits(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex && (DIGITS_MIN..=DIGITS).contains(&digits.len()) && text.len() <= DIGITS + 4 {
        return Ok(digits);
    }
    let text = words::quoted(text, 60);
    Err(format!("{text} is not the id of a letter, nor an end of one of at least {DIGITS_MIN} hex digits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_filter_are_told_apart_and_repeated_ones_count_once() {
        assert_eq!(states("open, replaying,open"), Ok(vec![LetterState::Open, LetterState::Replaying]));
        assert_eq!(states("all"), Ok(Vec::new()));
        assert_eq!(classes("unknown"), Ok(vec![Class::Unknown]));
        assert_eq!(causes("deadline,circuit-open"), Ok(vec![Cause::Deadline, Cause::CircuitOpen]));
        assert_eq!(
            classes("unknwon"),
            Err("`unknwon` is not one of not-executed, unknown, failed-response".to_owned())
        );
        for wrong in ["", "open,", "Open", "open,all"] {
            assert!(states(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_id_may_be_written_in_part_but_not_shorter_than_8_digits() {
        assert_eq!(digits("0199C2D4-5a6b").as_deref(), Ok("0199c2d45a6b"));
        assert_eq!(digits("0199c2d4-5a6b-7000-8000-00000000000a").map(|text| text.len()), Ok(32));
        for wrong in
            ["", "0199c2d", "0199-c2d", "0199c2dg", "é199c2d4", "0199c2d4-5a6b-7000-8000-00000000000a0", "--------"]
        {
            assert!(digits(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_span_is_counted_from_now_and_never_before_the_beginning() {
        assert_eq!(ago("since", "2h", 10_000_000).unwrap(), 2_800_000);
        assert_eq!(ago("since", "9h", 10_000_000).unwrap(), 0);
        assert!(ago("since", "2d", 10_000_000).is_err());
    }
}
