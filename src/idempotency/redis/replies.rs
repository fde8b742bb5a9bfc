//! What the scripts return, read strictly: whatever is not exactly that is no answer.

use std::sync::Arc;
use std::vec::IntoIter;

use bytes::Bytes;
use redis::Value;

use super::super::answer::StoredAnswer;
use super::super::store::{Answered, Shown, StoreError};
use crate::reliability::classify::Contract;
use crate::reliability::idempotency::{Fingerprint, Nonce, Record, Reply, State};

/// The answer to an operation.
pub(super) fn answered(value: Value) -> Result<Answered, StoreError> {
    read_answered(value).ok_or_else(not_understood)
}

/// A whole record, if there is one.
pub(super) fn shown(value: Value) -> Result<Option<Shown>, StoreError> {
    read_shown(value).ok_or_else(not_understood)
}

fn not_understood() -> StoreError {
    StoreError::Unavailable("the server's answer is not what our script returns".to_owned())
}

fn read_answered(value: Value) -> Option<Answered> {
    let mut items = Items::of(value)?;
    let mut answer = None;
    let reply = match items.bytes()?.as_slice() {
        b"granted" => Reply::Granted { attempt: items.number()?, fence: items.number()? },
        b"replay" => {
            let ambiguous = items.flag()?;
            answer = items.answer()?;
            Reply::Replay { ambiguous }
        }
        b"mismatch" => Reply::Mismatch,
        b"busy" => Reply::Busy { left: items.number()?, sent: items.flag()? },
        b"unknown" => Reply::Unknown,
        b"absent" => Reply::Absent,
        b"done" => Reply::Done,
        b"fenced" => Reply::Fenced,
        _ => return None,
    };
    items.end()?;
    Some(Answered { reply, answer, letter: None })
}

fn read_shown(value: Value) -> Option<Option<Shown>> {
    let mut items = Items::of(value)?;
    match items.bytes()?.as_slice() {
        b"record" => {}
        b"absent" => return items.end().map(|()| None),
        _ => return None,
    }
    let record = items.record()?;
    let route = String::from_utf8(items.bytes()?).ok()?;
    let answer = items.answer()?;
    items.end()?;
    Some(Some(Shown { record, route: Arc::from(route), answer }))
}

/// The items of an array, from the first to the last.
struct Items(IntoIter<Value>);

impl Items {
    fn of(value: Value) -> Option<Items> {
        match value {
            Value::Array(items) => Some(Items(items.into_iter())),
            _ => None,
        }
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        self.maybe_bytes()?
    }

    /// The inner `None` is a field that the record has not.
    fn maybe_bytes(&mut self) -> Option<Option<Vec<u8>>> {
        match self.0.next()? {
            Value::BulkString(bytes) => Some(Some(bytes)),
            Value::Nil => Some(None),
            _ => None,
        }
    }

    fn number<N: TryFrom<i64>>(&mut self) -> Option<N> {
        match self.0.next()? {
            Value::Int(number) => N::try_from(number).ok(),
            _ => None,
        }
    }

    fn flag(&mut self) -> Option<bool> {
        match self.number()? {
            0u8 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// In the order of `show.lua`.
    fn record(&mut self) -> Option<Record> {
        Some(Record {
            state: match self.bytes()?.as_slice() {
                b"C" => State::Claimed,
                b"S" => State::Sent,
                b"D" => State::Complete,
                b"U" => State::Unknown,
                b"R" => State::Retryable,
                _ => return None,
            },
            fingerprint: Fingerprint(self.bytes()?.try_into().ok()?),
            nonce: Nonce(self.bytes()?.try_into().ok()?),
            fence: self.number()?,
            attempt: self.number()?,
            contract: match self.number()? {
                0u8 => Contract::Opaque,
                1 => Contract::Atomic5xx,
                2 => Contract::Dedupes,
                _ => return None,
            },
            ambiguous: self.flag()?,
            pinned: self.flag()?,
            lease_until: self.number()?,
            expires: self.number()?,
        })
    }

    /// Status, fields and body. The inner `None`: no answer is stored.
    fn answer(&mut self) -> Option<Option<StoredAnswer>> {
        let (status, fields, body) = (self.maybe_bytes()?, self.maybe_bytes()?, self.maybe_bytes()?);
        match (status, fields) {
            (Some(status), Some(fields)) => {
                let status: u16 = std::str::from_utf8(&status).ok()?.parse().ok()?;
                (100..=999).contains(&status).then_some(())?;
                Some(Some(StoredAnswer { status, fields: fields.into(), body: body.map(Bytes::from) }))
            }
            (None, None) => body.is_none().then_some(None),
            _ => None,
        }
    }

    fn end(&mut self) -> Option<()> {
        self.0.next().is_none().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn refuses(items: Vec<Value>) {
        assert!(matches!(answered(Value::Array(items.clone())), Err(StoreError::Unavailable(_))), "{items:?}");
    }

    #[test]
    fn only_what_the_scripts_return_is_an_answer() {
        let granted = vec![word("granted"), Value::Int(2), Value::Int(3)];
        assert_eq!(answered(Value::Array(granted)), Ok(Reply::Granted { attempt: 2, fence: 3 }.into()));
        assert_eq!(answered(Value::Array(vec![word("done")])), Ok(Reply::Done.into()));

        refuses(vec![]);
        refuses(vec![word("Done")]);
        refuses(vec![Value::Okay]);
        refuses(vec![word("done"), Value::Nil]);
        refuses(vec![word("granted"), Value::Int(1)]);
        refuses(vec![word("granted"), Value::Int(65_536), Value::Int(1)]);
        refuses(vec![word("granted"), Value::Int(-1), Value::Int(1)]);
        refuses(vec![word("busy"), Value::Int(1), Value::Int(2)]);
        assert!(answered(Value::Nil).is_err());
        assert!(shown(Value::Okay).is_err());
    }

    #[test]
    fn half_an_answer_is_not_replayed() {
        let replay = |rest: [Value; 3]| {
            let items = [word("replay"), Value::Int(0)].into_iter().chain(rest).collect();
            answered(Value::Array(items))
        };
        let whole = replay([word("201"), word("a: b\n"), Value::Nil]).expect("an answer").answer.expect("a stored one");
        assert_eq!((whole.status, &whole.fields[..], whole.body), (201, &b"a: b\n"[..], None));
        assert_eq!(replay([Value::Nil, Value::Nil, Value::Nil]).expect("an answer").answer, None);
        for damaged in [
            [word("201"), Value::Nil, Value::Nil],
            [Value::Nil, word(""), Value::Nil],
            [Value::Nil, Value::Nil, word("body")],
            [word("99"), word(""), Value::Nil],
            [word("2o1"), word(""), Value::Nil],
        ] {
            assert!(replay(damaged).is_err());
        }
    }
}
