//! Every way in which a request can fail, in one enum.
//!
//! Status code, `Proxy-Status`, problem+json, `error.type`, metric label, access log and span all read
//! their words here, so that one failure has one name everywhere. The error names are those of
//! RFC 9209 §2.3; the tokens say which of our own reasons stands behind them.

/// How much of a request the upstream may have seen.
///
/// Errs towards `Yes`: `No` is said only with proof (nothing was written, or the peer said that it did
/// not process it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sent {
    /// Provably nothing: any method may be sent again.
    No,
    /// Bytes may have left, and no byte of an answer arrived.
    Maybe,
    /// The upstream has the request, or has begun to answer it.
    Yes,
}

impl Sent {
    /// The word used in logs, problem details and the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Sent::No => "no",
            Sent::Maybe => "maybe",
            Sent::Yes => "yes",
        }
    }
}

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The caller: what it sent, or that it went away.
    Client,
    /// The dependency, or the network on the way to it.
    Upstream,
    /// This proxy: its limits, its policy, or a bug.
    Ourselves,
}

impl Side {
    /// The word used in logs, problem details and the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Upstream => "upstream",
            Side::Ourselves => "outrigger",
        }
    }
}

/// How far the request had come, in the order of the request path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Reading the request head.
    Accept,
    /// Choosing the route.
    Route,
    /// Limits, deadline and breaker, before anything is sent.
    Admit,
    /// Reading the request body from the client.
    RequestBody,
    /// Resolving the name or choosing an endpoint.
    Balance,
    /// Opening the connection.
    Connect,
    /// Writing the request, or waiting for the head of the answer.
    Exchange,
    /// Passing on the answer's body.
    ResponseBody,
}

impl Phase {
    /// The word used in logs, problem details and the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Accept => "accept",
            Phase::Route => "route",
            Phase::Admit => "admit",
            Phase::RequestBody => "request-body",
            Phase::Balance => "balance",
            Phase::Connect => "connect",
            Phase::Exchange => "exchange",
            Phase::ResponseBody => "response-body",
        }
    }
}

/// One row of the table below.
struct Facts {
    error_type: &'static str,
    token: &'static str,
    status: u16,
    side: Side,
    phase: Phase,
    title: &'static str,
}

macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident => $error:literal, $token:literal, $status:literal, $side:ident, $phase:ident, $title:literal;)*) => {
        /// Why a request or an attempt failed. Upstream *answers* (also 5xx) are not failures of this kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Failure { $($(#[$doc])* $name,)* }

        impl Failure {
            /// Every failure, in declaration order.
            pub const ALL: &'static [Failure] = &[$(Failure::$name,)*];

            const fn facts(self) -> Facts {
                match self {
                    $(Failure::$name => Facts {
                        error_type: $error, token: $token, status: $status,
                        side: Side::$side, phase: Phase::$phase, title: $title,
                    },)*
                }
            }
        }
    };
}

failures! {
    /// The request's framing or head is malformed or ambiguous.
    BadRequest => "http_request_error", "bad-request", 400, Client, Accept, "The request is malformed";
    /// CONNECT is not served.
    MethodNotAllowed => "http_request_error", "method-not-allowed", 405, Client, Accept, "This method is not served here";
    /// The client did not deliver its body in time.
    RequestBodyTimeout => "http_request_error", "request-body-timeout", 408, Client, RequestBody, "The request body did not arrive in time";
    /// The client's body ended early or was malformed.
    RequestBodyIncomplete => "http_request_error", "request-body-incomplete", 400, Client, RequestBody, "The request body ended early or was malformed";
    /// The route requires an idempotency key, and there is none.
    KeyMissing => "http_request_error", "key-missing", 400, Client, Admit, "This route requires an idempotency key";
    /// The idempotency key cannot be read, or there are several.
    KeyMalformed => "http_request_error", "key-malformed", 400, Client, Admit, "The idempotency key cannot be read";
    /// The header that tells whose key it is, is missing.
    KeyOfNobody => "http_request_error", "key-of-nobody", 400, Client, Admit, "The header that tells whose idempotency key this is, is missing";
    /// The key was used for another request.
    KeyReused => "http_request_error", "key-reused", 422, Client, Admit, "This idempotency key belongs to another request";
    /// The body of a keyed request is larger than the route takes.
    RequestBodyTooLarge => "http_request_error", "request-body-too-large", 413, Client, RequestBody, "The body is too large for a request with an idempotency key";
    /// The memory for bodies that are held is used up, and a keyed request goes nowhere without its body.
    Overloaded => "connection_limit_reached", "overloaded", 503, Ourselves, RequestBody, "The memory for request bodies is used up; nothing was sent";
    /// A request with this key is being executed.
    KeyInProgress => "http_request_error", "in-progress", 409, Client, Admit, "A request with this idempotency key is in progress";
    /// A request with this key may have been executed.
    OutcomeUnknown => "http_request_error", "outcome-unknown", 409, Upstream, Admit, "A request with this idempotency key was sent and its outcome is not known";
    /// A request with this key was executed, and only head of its answer is known.
    AnswerNotRetained => "http_request_error", "response-not-retained", 409, Ourselves, Admit, "A request with this idempotency key was executed; its answer was too large to be kept";
    /// The store of keys does not work.
    StoreUnavailable => "proxy_internal_error", "store-unavailable", 503, Ourselves, Admit, "The store of idempotency keys is not available; nothing was sent";
    /// The store of keys is full.
    StoreFull => "proxy_internal_error", "store-full", 503, Ourselves, Admit, "The store of idempotency keys is full; nothing was sent";
    /// The client went away before the answer was complete. Nobody reads the status.
    ClientGone => "http_request_error", "client-gone", 499, Client, Exchange, "The client went away";
    /// The client stopped reading the answer.
    ClientStalled => "http_request_error", "client-stalled", 499, Client, ResponseBody, "The client stopped reading the answer";
    /// No upstream or route matches.
    NoRoute => "destination_not_found", "no-route", 500, Ourselves, Route, "No upstream matches this request";
    /// The request came back to the proxy that sent it.
    LoopDetected => "proxy_loop_detected", "loop", 502, Ourselves, Route, "This request has already passed through this proxy";
    /// The caller's deadline had passed when the request arrived.
    DeadlineOnArrival => "http_response_timeout", "deadline-expired-on-arrival", 504, Client, Admit, "The caller's deadline had passed on arrival";
    /// The caller has sent as many requests as it may for now.
    RateLimited => "http_request_error", "rate-limited", 429, Client, Admit, "This caller sends more requests than it may";
    /// The breaker of the dependency is open.
    CircuitOpen => "destination_unavailable", "circuit-open", 503, Upstream, Admit, "The circuit breaker of this dependency is open";
    /// The dependency throttle rejected the request.
    Throttled => "destination_unavailable", "throttled", 503, Upstream, Admit, "This dependency rejects most requests; this one was not sent";
    /// The in-flight limit is reached and the queue is full.
    QueueFull => "connection_limit_reached", "queue-full", 503, Ourselves, Admit, "The limit of requests in flight is reached and the queue is full";
    /// The request waited in the queue as long as it may.
    QueueTimeout => "connection_limit_reached", "queue-timeout", 503, Ourselves, Admit, "The limit of requests in flight is reached; no slot came free in time";
    /// The upstream is overloaded, and the request gave way: to more important ones, or because it would only have waited.
    Shed => "connection_limit_reached", "shed", 503, Ourselves, Admit, "More requests than can be served now; this one was not let in";
    /// Every connection the endpoint may have is in use.
    ConnectionLimit => "connection_limit_reached", "connection-limit", 503, Ourselves, Connect, "The limit of connections to this endpoint is reached";
    /// The proxy is shutting down.
    Draining => "connection_limit_reached", "draining", 503, Ourselves, Admit, "This proxy is shutting down";
    /// The dependency has no address.
    NoEndpoint => "destination_unavailable", "no-endpoint", 503, Upstream, Balance, "This dependency has no endpoint";
    /// The resolver did not answer in time.
    DnsTimeout => "dns_timeout", "dns-timeout", 504, Upstream, Balance, "The name of this dependency could not be resolved in time";
    /// The resolver said no.
    DnsError => "dns_error", "dns-error", 502, Upstream, Balance, "The name of this dependency could not be resolved";
    /// The endpoint refused the connection.
    ConnectionRefused => "connection_refused", "connection-refused", 502, Upstream, Connect, "The endpoint refused the connection";
    /// The connection was not established within `timeouts.connect`.
    ConnectTimeout => "connection_timeout", "connect-timeout", 504, Upstream, Connect, "The connection to the endpoint was not established in time";
    /// There is no route to the endpoint.
    Unroutable => "destination_ip_unroutable", "unroutable", 502, Upstream, Connect, "There is no network route to the endpoint";
    /// Connecting failed in another way.
    ConnectFailed => "destination_unavailable", "connect-failed", 502, Upstream, Connect, "The connection to the endpoint could not be established";
    /// The TLS handshake was not over within `timeouts.connect`.
    TlsTimeout => "connection_timeout", "tls-timeout", 504, Upstream, Connect, "The TLS handshake with the endpoint was not over in time";
    /// The endpoint speaks no TLS, or none that we do.
    TlsFailed => "tls_protocol_error", "tls-failed", 502, Upstream, Connect, "No TLS session with the endpoint could be agreed on";
    /// The endpoint's certificate is not believed: expired, of another name, of an unknown authority.
    TlsCertificate => "tls_certificate_error", "tls-certificate", 502, Upstream, Connect, "The certificate of the endpoint is not believed";
    /// The endpoint refused us in the handshake: our certificate, most likely.
    TlsAlert => "tls_alert_received", "tls-alert", 502, Upstream, Connect, "The endpoint refused the TLS handshake";
    /// The upstream refused the stream before it looked at it (REFUSED_STREAM, GOAWAY). Provably not processed.
    StreamRefused => "connection_terminated", "stream-refused", 502, Upstream, Exchange, "The upstream refused the request before it looked at it";
    /// The upstream reset the stream before it answered.
    StreamReset => "connection_terminated", "stream-reset", 502, Upstream, Exchange, "The upstream reset the stream before it answered";
    /// The upstream closed or reset the connection before it answered.
    ConnectionTerminated => "connection_terminated", "reset", 502, Upstream, Exchange, "The upstream closed the connection before it answered";
    /// One attempt took longer than `timeouts.backendRequest`.
    TryTimeout => "http_response_timeout", "try-timeout", 504, Upstream, Exchange, "The upstream did not answer within the time of one try";
    /// The whole request took longer than its deadline.
    DeadlineExceeded => "http_response_timeout", "deadline", 504, Upstream, Exchange, "The upstream did not answer before the deadline";
    /// Nothing moved on the upstream connection for `timeouts.idle`.
    IdleTimeout => "connection_read_timeout", "idle-timeout", 504, Upstream, ResponseBody, "The upstream stopped sending";
    /// The answer is not valid HTTP.
    ResponseMalformed => "http_protocol_error", "malformed-response", 502, Upstream, Exchange, "The upstream's answer is not valid HTTP";
    /// The answer's head is larger than we accept.
    ResponseHeadTooLarge => "http_response_header_section_size", "response-head-too-large", 502, Upstream, Exchange, "The head of the upstream's answer is too large";
    /// The answer's body ended early.
    ResponseIncomplete => "http_response_incomplete", "incomplete-response", 502, Upstream, ResponseBody, "The upstream's answer ended early";
    /// The upstream switched protocols without being asked, or refused in a way that we cannot pass on.
    UpgradeFailed => "http_upgrade_failed", "upgrade-failed", 502, Upstream, Exchange, "The protocol upgrade failed";
    /// A bug, or a caught panic.
    Internal => "proxy_internal_error", "internal", 500, Ourselves, Admit, "This proxy failed";
}

impl Failure {
    /// RFC 9209 error type; also the value of `error.type` and of the metric label `error_type`.
    pub const fn error_type(self) -> &'static str {
        self.facts().error_type
    }

    /// Our own reason, kebab-case: `details` of Proxy-Status, problem type, log field, CLI word. Unique.
    pub const fn token(self) -> &'static str {
        self.facts().token
    }

    /// Status code sent to the client. 499 is never sent: nobody is there to read it.
    pub const fn status(self) -> u16 {
        self.facts().status
    }

    /// Who is at fault.
    pub const fn side(self) -> Side {
        self.facts().side
    }

    /// How far the request had come.
    pub const fn phase(self) -> Phase {
        self.facts().phase
    }

    /// One short sentence for people, without a full stop.
    pub const fn title(self) -> &'static str {
        self.facts().title
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_token_of_its_own() {
        for (i, a) in Failure::ALL.iter().enumerate() {
            assert!(Failure::ALL[i + 1..].iter().all(|b| a.token() != b.token()), "{}", a.token());
        }
    }

    #[test]
    fn failures_before_connecting_are_never_the_answer_of_an_upstream() {
        for f in Failure::ALL {
            assert!((400..600).contains(&f.status()), "{}", f.token());
        }
    }
}
