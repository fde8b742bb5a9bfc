//! gRPC as far as decisions need it: status codes, what they say of a dependency, and what a server says of retries.
//!
//! A gRPC answer is nearly always an HTTP 200; how the call went stands in `grpc-status`, in the head of an answer
//! that is nothing else (trailers-only) or in the trailers. Whoever judges by the HTTP status alone sees a dependency
//! that is down as one that is well.

mod framing;
mod health;
mod message;

pub use framing::Messages;
pub use health::{CHECK_PATH, check_request, is_serving};
pub use message::encode_message;

use super::breaker::Signal;
use super::classify::Contract;
use super::ejection::EndpointSignal;
use super::ending::Ending;
use super::failure::Failure;
use std::time::Duration;

/// The status of an answer whose call stands in `grpc-status`; any other was given by something before the server.
pub const HTTP_STATUS: u16 = 200;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $word:literal, $status:literal;)*) => {
        /// The status of a call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $name = $number,)* }

        impl Code {
            /// Every code; its place is its number.
            pub const ALL: [Code; 17] = [$(Code::$name,)*];

            /// The name in the specification, in policies, logs and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $word,)* }
            }

            /// The HTTP status that weighs the same: what breaker, ejection, throttle, verdicts, records of keys and
            /// dead letters make of that status, they make of this code. The table of `google.rpc.Code`, but for
            /// UNIMPLEMENTED: that a method is not served says nothing of the health of those that are, so it
            /// weighs as 404, which gRPC clients read as UNIMPLEMENTED, and not as 501.
            pub const fn as_status(self) -> u16 {
                match self { $(Code::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// It went well.
    Ok = 0, "OK", 200;
    /// Given up, usually by the caller.
    Cancelled = 1, "CANCELLED", 499;
    /// A failure without a better word, such as an exception in a handler.
    Unknown = 2, "UNKNOWN", 500;
    /// The caller's mistake.
    InvalidArgument = 3, "INVALID_ARGUMENT", 400;
    /// Time was over. The call may have been executed all the same.
    DeadlineExceeded = 4, "DEADLINE_EXCEEDED", 504;
    /// There is no such thing.
    NotFound = 5, "NOT_FOUND", 404;
    /// It is there already.
    AlreadyExists = 6, "ALREADY_EXISTS", 409;
    /// The caller may not.
    PermissionDenied = 7, "PERMISSION_DENIED", 403;
    /// Too much was asked for: a quota, a limit, a size.
    ResourceExhausted = 8, "RESOURCE_EXHAUSTED", 429;
    /// Not in this state of the system.
    FailedPrecondition = 9, "FAILED_PRECONDITION", 400;
    /// Another one was first: the whole transaction may be tried again.
    Aborted = 10, "ABORTED", 409;
    /// Past the end.
    OutOfRange = 11, "OUT_OF_RANGE", 400;
    /// The method is not served.
    Unimplemented = 12, "UNIMPLEMENTED", 404;
    /// Something is broken.
    Internal = 13, "INTERNAL", 500;
    /// Not now.
    Unavailable = 14, "UNAVAILABLE", 503;
    /// Data is lost.
    DataLoss = 15, "DATA_LOSS", 500;
    /// Who is it?
    Unauthenticated = 16, "UNAUTHENTICATED", 401;
}

impl Code {
    /// The value of `grpc-status`. What is no code of the specification is UNKNOWN, as it is for gRPC's own clients.
    pub fn parse(value: &[u8]) -> Code {
        let number = match value {
            [one @ b'0'..=b'9'] => usize::from(one - b'0'),
            [b'1', one @ b'0'..=b'9'] => 10 + usize::from(one - b'0'),
            _ => return Code::Unknown,
        };
        Code::ALL.get(number).copied().unwrap_or(Code::Unknown)
    }

    /// The code with this name: as in the specification, or in lower case with hyphens, as Envoy writes it.
    pub fn named(word: &str) -> Option<Code> {
        let upper = word.bytes().all(|b| !b.is_ascii_lowercase() && b != b'-');
        let lower = word.bytes().all(|b| !b.is_ascii_uppercase() && b != b'_');
        let same = |code: &Code| {
            let mut letters = code.as_str().bytes().zip(word.bytes());
            code.as_str().len() == word.len()
                && letters.all(|(ours, theirs)| match ours {
                    b'_' => matches!(theirs, b'_' | b'-'),
                    ours => ours == theirs.to_ascii_uppercase(),
                })
        };
        Code::ALL.into_iter().find(same).filter(|_| upper || lower)
    }

    /// What a client makes of an answer without `grpc-status`: doc/http-grpc-status-mapping.md of gRPC.
    pub const fn of_http(status: u16) -> Code {
        match status {
            400 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502..=504 => Code::Unavailable,
            _ => Code::Unknown,
        }
    }

    /// Whether the call did not get what it asked for, by the dependency's doing.
    pub const fn is_failure(self) -> bool {
        matches!(self.as_status(), 429 | 500..)
    }

    /// Whether this code says under the contract that the call was not executed. DEADLINE_EXCEEDED never does: it is
    /// defined as possibly late news of a success.
    pub const fn is_not_executed(self, contract: Contract) -> bool {
        match contract {
            Contract::Atomic5xx => self.as_status() >= 500 && !matches!(self, Code::DeadlineExceeded),
            Contract::Opaque | Contract::Dedupes => false,
        }
    }

    /// How the call ended, for verdicts. `pushback`: the server asks for less.
    pub const fn ending(self, pushback: bool) -> Ending {
        match self.as_status() {
            429 => Ending::Overload,
            503 if pushback => Ending::Overload,
            504 => Ending::TimedOut,
            500.. => Ending::Error,
            _ => Ending::Success,
        }
    }

    /// What breaker and endpoint learn if a call ends so that had begun well, with messages: its attempt was counted
    /// as good when they came. None = nothing. A stream that goes on until its deadline is no failure.
    pub const fn late(self) -> Option<(Signal, EndpointSignal)> {
        match self {
            Code::Unavailable => Some((Signal::Failure, EndpointSignal::Hard)),
            Code::Unknown | Code::Internal | Code::DataLoss => Some((Signal::Failure, EndpointSignal::Soft)),
            Code::ResourceExhausted => Some((Signal::Overload, EndpointSignal::Overload)),
            Code::DeadlineExceeded
            | Code::Ok
            | Code::Cancelled
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => None,
        }
    }

    /// Whether the span of a server is an error (OpenTelemetry, semantic conventions for gRPC).
    pub const fn is_server_error(self) -> bool {
        matches!(
            self,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        )
    }

    /// Under which a gRPC caller learns of a failure of ours.
    ///
    /// UNAVAILABLE is what callers repeat by themselves, so it is kept for what may pass soon: no connection, a
    /// breaker, a drain, a connection that was lost. Where time was over it is DEADLINE_EXCEEDED, also for the time of
    /// one try (Envoy says UNAVAILABLE there, by way of 504): the call may have been executed, and a caller must not
    /// repeat it because of a word. Our own limits are RESOURCE_EXHAUSTED and not UNAVAILABLE: who repeats at once
    /// makes it worse.
    pub const fn of_failure(failure: Failure) -> Code {
        match failure {
            // As clients read 400.
            Failure::BadRequest | Failure::RequestBodyIncomplete => Code::Internal,
            // As clients read 404.
            Failure::MethodNotAllowed | Failure::NoRoute => Code::Unimplemented,
            Failure::KeyMissing | Failure::KeyMalformed | Failure::KeyOfNobody | Failure::KeyReused => {
                Code::InvalidArgument
            }
            // The other one may be about to succeed: the same call, a little later.
            Failure::KeyInProgress => Code::Aborted,
            // Somebody has to look before it is tried again.
            Failure::OutcomeUnknown => Code::FailedPrecondition,
            // It was executed; what it said is not kept.
            Failure::AnswerNotRetained => Code::AlreadyExists,
            Failure::RequestBodyTooLarge
            | Failure::RateLimited
            | Failure::Overloaded
            | Failure::QueueFull
            | Failure::QueueTimeout
            | Failure::Shed
            | Failure::ConnectionLimit
            | Failure::StoreFull => Code::ResourceExhausted,
            Failure::RequestBodyTimeout
            | Failure::DeadlineOnArrival
            | Failure::DeadlineExceeded
            | Failure::TryTimeout
            | Failure::IdleTimeout => Code::DeadlineExceeded,
            Failure::ClientGone | Failure::ClientStalled => Code::Cancelled,
            Failure::CircuitOpen
            | Failure::Throttled
            | Failure::Draining
            | Failure::StoreUnavailable
            | Failure::NoEndpoint
            | Failure::DnsTimeout
            | Failure::DnsError
            | Failure::ConnectionRefused
            | Failure::ConnectTimeout
            | Failure::Unroutable
            | Failure::ConnectFailed
            | Failure::TlsTimeout
            | Failure::TlsFailed
            | Failure::TlsCertificate
            | Failure::TlsAlert
            | Failure::StreamRefused
            | Failure::StreamReset
            | Failure::ConnectionTerminated
            | Failure::ResponseIncomplete => Code::Unavailable,
            Failure::LoopDetected
            | Failure::ResponseMalformed
            | Failure::ResponseHeadTooLarge
            | Failure::UpgradeFailed
            | Failure::Internal => Code::Internal,
        }
    }
}

/// A set of codes, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CodeSet(u32);

impl CodeSet {
    /// `retry.grpcCodes` where the file says nothing. UNAVAILABLE alone, as in the service configurations that gRPC
    /// itself gives as examples: INTERNAL and UNKNOWN are as likely a bug that every try meets again, ABORTED asks for
    /// more than this call again, and RESOURCE_EXHAUSTED (as 429) does not pass by asking again.
    pub const DEFAULT: CodeSet = CodeSet(1 << Code::Unavailable as u32);

    /// Whether the code is a member.
    pub const fn contains(self, code: Code) -> bool {
        self.0 & (1 << code as u32) != 0
    }

    /// All members, by number.
    pub fn iter(self) -> impl Iterator<Item = Code> {
        Code::ALL.into_iter().filter(move |code| self.contains(*code))
    }
}

impl FromIterator<Code> for CodeSet {
    fn from_iter<I: IntoIterator<Item = Code>>(codes: I) -> Self {
        CodeSet(codes.into_iter().fold(0, |set, code| set | 1 << code as u32))
    }
}

/// What `grpc-retry-pushback-ms` of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pushback {
    /// Nothing.
    #[default]
    None,
    /// A retry comes no sooner than that.
    After(Duration),
    /// No retry.
    Never,
}

/// A server cannot make us wait longer than this, as with `Retry-After`.
const PUSHBACK_MAX: Duration = Duration::from_secs(300);

impl Pushback {
    /// Reads the value: milliseconds; what is negative or unreadable forbids a retry (gRFC A6).
    pub fn parse(value: &[u8]) -> Pushback {
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Pushback::Never;
        }
        // More digits than fit are more than the cap.
        let millis = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
        Pushback::After(millis.map_or(PUSHBACK_MAX, Duration::from_millis).min(PUSHBACK_MAX))
    }

    /// The least wait, if a retry is not forbidden.
    pub const fn hint(self) -> Option<Duration> {
        match self {
            Pushback::After(wait) => Some(wait),
            Pushback::None | Pushback::Never => None,
        }
    }
}

/// Whether a `Content-Type` is that of gRPC: `application/grpc`, also with a format or parameters. gRPC-Web is
/// something else: its trailers are part of the body.
pub fn is_content_type(value: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc";
    let Some((name, rest)) = value.split_at_checked(NAME.len()) else { return false };
    name.eq_ignore_ascii_case(NAME) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

#[cfg(test)]
mod tests;
