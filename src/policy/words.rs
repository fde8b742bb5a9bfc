//! Words that are not ours, and the ones that were meant.

mod dead_letter;

/// A word of another proxy or library, its home, and what to write here.
struct Foreign {
    /// Lower-case, without `_` and `-`.
    word: &'static str,
    home: &'static str,
    ours: &'static str,
}

const fn foreign(word: &'static str, home: &'static str, ours: &'static str) -> Foreign {
    Foreign { word, home, ours }
}

/// Where it belongs.
const DEAD_LETTER: &str = "deadLetter in an entry of `routes`";

const FOREIGN: &[Foreign] = &[
    foreign("pertrytimeout", "Istio's and Envoy's word", "timeouts.backendRequest"),
    foreign("perretrytimeout", "Envoy Gateway's word", "timeouts.backendRequest"),
    foreign("perretry", "Envoy Gateway's word", "timeouts.backendRequest"),
    foreign("pertryidletimeout", "Envoy's word", "timeouts.backendRequest"),
    foreign("timeoutduration", "resilience4j's word", "timeouts.request"),
    foreign("requesttimeout", "Envoy's word", "timeouts.request"),
    foreign("connecttimeout", "Envoy's word", "timeouts.connect"),
    foreign("connectiontimeout", "a word of many clients", "timeouts.connect"),
    foreign("dialtimeout", "Caddy's word", "timeouts.connect"),
    foreign("idletimeout", "Envoy's word", "timeouts.idle, or keepAlive.idle towards the upstream"),
    foreign("timeout", "Envoy's and Istio's word", "timeouts.request"),
    foreign("retries", "Istio's word", "retry"),
    foreign("retrypolicy", "Envoy's word", "retry"),
    foreign("numretries", "Envoy's word", "retry.attempts"),
    foreign("maxretries", "a word of Envoy and Dapr", "retry.attempts, or retryBudget for a cap on concurrent retries"),
    foreign("maxretryattempts", "Polly's word", "retry.attempts"),
    foreign("maxattempts", "a word of resilience4j and gRPC that includes the first try", "retry.attempts (one less)"),
    foreign("limit", "Linkerd's word", "retry.attempts"),
    foreign("retriablestatuscodes", "Envoy's word", "retry.codes"),
    foreign("retryablestatuscodes", "a word of gRPC and others", "retry.codes"),
    foreign("statuscodes", "a word of others", "retry.codes"),
    foreign("httpstatuscodes", "Envoy Gateway's word", "retry.codes"),
    foreign("retrybackoff", "Envoy's word", "retry.backoff and retry.maxBackoff"),
    foreign("baseinterval", "Envoy's word", "retry.backoff"),
    foreign("initialinterval", "Traefik's word", "retry.backoff"),
    foreign("initialbackoff", "gRPC's word", "retry.backoff"),
    foreign("maxinterval", "Envoy's word", "retry.maxBackoff"),
    foreign("waitduration", "resilience4j's word", "retry.backoff"),
    foreign("budget", "the Gateway API's word", "retryBudget"),
    foreign("retryconstraint", "the Gateway API's word", "retryBudget"),
    foreign("budgetpercent", "Envoy's word", "retryBudget.percent"),
    foreign("budgetinterval", "Istio's word", "retryBudget.interval"),
    foreign("minretryrate", "the Gateway API's word", "retryBudget.minPerSecond"),
    foreign("minretryconcurrency", "Envoy's word", "retryBudget.minPerSecond"),
    foreign("outlierdetection", "Envoy's and Istio's word", "ejection"),
    foreign("failureaccrual", "Linkerd's word", "ejection"),
    foreign("activehealthcheck", "Envoy Gateway's word", "healthCheck"),
    foreign("healthchecks", "Envoy's word", "healthCheck"),
    foreign("healthythreshold", "Envoy's word", "healthCheck.healthy"),
    foreign("unhealthythreshold", "Envoy's word", "healthCheck.unhealthy"),
    foreign("expectedstatuses", "Envoy's word", "healthCheck.codes"),
    foreign("slowstartconfig", "Envoy's word", "balance.slowStart, a duration"),
    foreign("warmupdurationsecs", "Istio's word", "balance.slowStart, a duration"),
    foreign("localitylbsetting", "Istio's word", "balance.zone"),
    foreign("maxconnectionduration", "Envoy's word", "keepAlive.maxAge"),
    foreign("passivehealthcheck", "Envoy Gateway's word", "ejection"),
    foreign("maxejectionpercent", "Envoy's word", "ejection.maxEjectedPercent"),
    foreign("baseejectiontime", "Envoy's word", "ejection.baseDuration"),
    foreign("maxejectiontime", "Envoy's word", "ejection.maxDuration"),
    foreign("consecutive5xx", "Envoy's word", "ejection.consecutiveFailures"),
    foreign("consecutive5xxerrors", "Istio's word", "ejection.consecutiveFailures"),
    foreign("consecutivegatewayerrors", "Istio's word", "ejection.consecutiveFailures"),
    foreign("consecutivegatewayfailure", "Envoy's word", "ejection.consecutiveFailures"),
    foreign("maxfails", "nginx's and Caddy's word", "ejection.consecutiveFailures"),
    foreign("failtimeout", "nginx's word", "ejection.baseDuration"),
    foreign("circuitbreakers", "Envoy's word for caps", "limits for caps, circuitBreaker for the state machine"),
    foreign("connectionpool", "Istio's word", "limits"),
    foreign("maxconnections", "Envoy's word", "limits.connections"),
    foreign("maxrequests", "Envoy's word", "limits.requests"),
    foreign("http2maxrequests", "Istio's word", "limits.requests"),
    foreign("maxparallelrequests", "Envoy Gateway's word", "limits.requests"),
    foreign("maxpendingrequests", "Envoy's word", "limits.pending"),
    foreign("http1maxpendingrequests", "Istio's word", "limits.pending"),
    foreign("failureratethreshold", "resilience4j's word", "circuitBreaker.failurePercent"),
    foreign("failureratio", "Polly's word", "circuitBreaker.failurePercent"),
    foreign("slidingwindowsize", "resilience4j's word", "circuitBreaker.window, a duration"),
    foreign("samplingduration", "Polly's word", "circuitBreaker.window"),
    foreign("minimumnumberofcalls", "resilience4j's word", "circuitBreaker.minRequests"),
    foreign("minimumthroughput", "Polly's word", "circuitBreaker.minRequests"),
    foreign("waitdurationinopenstate", "resilience4j's word", "circuitBreaker.openDuration"),
    foreign("breakduration", "Polly's word", "circuitBreaker.openDuration"),
    foreign("permittednumberofcallsinhalfopenstate", "resilience4j's word", "circuitBreaker.halfOpenRequests"),
    foreign("slowcallratethreshold", "resilience4j's word", "circuitBreaker.slowCall.percent"),
    foreign("slowcalldurationthreshold", "resilience4j's word", "circuitBreaker.slowCall.threshold"),
    foreign("proxyconnecttimeout", "nginx's word", "timeouts.connect"),
    foreign("proxyreadtimeout", "nginx's word", "timeouts.backendRequest"),
    foreign("proxysendtimeout", "nginx's word", "timeouts.backendRequest"),
    foreign("proxynextupstream", "nginx's word", "retry.retryOn and retry.codes"),
    foreign("proxynextupstreamtries", "nginx's word that includes the first try", "retry.attempts (one less)"),
    foreign("proxynextupstreamtimeout", "nginx's word", "timeouts.request"),
    foreign("proxypass", "nginx's word", "url"),
    foreign("keepalivetimeout", "nginx's word", "keepAlive.idle, or timeouts.idle towards clients"),
    foreign("clusters", "Envoy's word", "upstreams"),
    foreign("cluster", "Envoy's word", "upstreams"),
    foreign("services", "a word of others", "upstreams"),
    foreign("backends", "HAProxy's word", "upstreams"),
    foreign("backend", "HAProxy's word", "upstreams"),
    foreign("backendrefs", "the Gateway API's word", "upstreams"),
    foreign("targets", "a word of others", "upstreams"),
    foreign("listeners", "Envoy's word", "listen"),
    foreign("port", "a word of others", "listen (IP:PORT), or the port in url"),
    foreign("bind", "HAProxy's word", "listen"),
    foreign("host", "Istio's word", "url for an upstream, hosts in a match"),
    foreign("hostname", "a word of others", "url for an upstream, hosts in a match"),
    foreign("hostnames", "the Gateway API's word", "match.hosts"),
    foreign("domains", "Envoy's word", "match.hosts"),
    foreign("address", "Envoy's word", "url or endpoints"),
    foreign("addresses", "a word of others", "endpoints"),
    foreign("hosts", "Envoy's word", "endpoints"),
    foreign("servers", "a word of nginx and Traefik", "endpoints"),
    foreign("lbendpoints", "Envoy's word", "endpoints"),
    foreign("prefix", "Envoy's word", "pathPrefix"),
    foreign("uri", "Istio's word", "match.path or match.pathPrefix"),
    foreign("method", "a word of others", "methods, a list"),
    foreign("virtualhosts", "Envoy's word", "upstreams with match.hosts"),
    foreign("rules", "the Gateway API's word", "routes"),
    foreign("loadbalancer", "Istio's word", "balance.by"),
    foreign("lbpolicy", "Envoy's word", "balance.by"),
    foreign("loadbalancing", "a word of others", "balance.by"),
    foreign("hashpolicy", "Envoy's word", "balance.hashOn"),
    foreign("consistenthash", "Istio's word", "balance.by: hash with balance.hashOn"),
    foreign("app", "a word of others", "inbound.forward"),
    foreign("apiversion", "Kubernetes' word; this is no cluster object", "version: 1"),
    foreign("kind", "Kubernetes' word; this is no cluster object", "version: 1"),
    foreign("accesslogs", "a word of others", "accessLog"),
    foreign("idempotency", "a key of a route", "idempotency in an entry of `routes`"),
    foreign("deadletter", "a key of a route, and of the top level for its bounds", DEAD_LETTER),
    foreign("deadletters", "a word of others", DEAD_LETTER),
    foreign("deadletterqueue", "a word of SQS and others", DEAD_LETTER),
    foreign("deadletterexchange", "RabbitMQ's word", DEAD_LETTER),
    foreign("deadletterpolicy", "Pub/Sub's word", DEAD_LETTER),
    foreign("deadlettertopic", "a word of Pub/Sub and Kafka", DEAD_LETTER),
    foreign("redrivepolicy", "SQS' word", DEAD_LETTER),
    foreign("dlq", "a word of others, and of our command line", DEAD_LETTER),
    foreign("queue", "a key of `deadLetter` in a route", "deadLetter.queue"),
    foreign("when", "a key of `deadLetter` in a route", "deadLetter.when"),
    foreign("capture", "a key of `deadLetter`", "deadLetter.capture"),
    foreign("redactheaders", "a key of `deadLetter.capture` at the top level", "deadLetter.capture.redactHeaders"),
    foreign("redactquery", "a key of `deadLetter.capture` at the top level", "deadLetter.capture.redactQuery"),
    foreign("ratelimits", "a word of others", "rateLimit"),
    foreign("localratelimit", "Envoy's word", "rateLimit"),
    foreign("ratelimiting", "a word of others", "rateLimit"),
    foreign("limitreq", "nginx's word", "rateLimit"),
    foreign("requestspersecond", "a word of others", "rateLimit.requests, with rateLimit.per"),
    foreign("requestsperunit", "Envoy's word", "rateLimit.requests, with rateLimit.per"),
    foreign("filltokens", "Envoy's word", "rateLimit.requests"),
    foreign("tokensperfill", "Envoy's word", "rateLimit.requests"),
    foreign("maxtokens", "Envoy's word", "rateLimit.requests, with rateLimit.burst"),
    foreign("fillinterval", "Envoy's word", "rateLimit.per"),
    foreign("average", "Traefik's word", "rateLimit.requests"),
    foreign("period", "Traefik's word", "rateLimit.per"),
    foreign("sourcecriterion", "Traefik's word", "rateLimit.by"),
    foreign("dedup", "a word of others", "idempotency in an entry of `routes`"),
    foreign("dedupe", "a word of others", "idempotency in an entry of `routes`"),
    foreign("deduplicate", "a word of others", "idempotency in an entry of `routes`"),
    foreign("deduplication", "a word of others", "idempotency in an entry of `routes`"),
    foreign("idempotencykey", "the usual name of the header", "idempotency.header"),
    foreign("idempotencyheader", "a word of others", "idempotency.header"),
    foreign("headername", "a word of others", "idempotency.header"),
    foreign("keyheader", "fiber's word", "idempotency.header"),
    foreign("header", "a key of `idempotency` in a route", "idempotency.header"),
    foreign("required", "a key of `idempotency` in a route", "idempotency.required"),
    foreign("requirekey", "a word of others", "idempotency.required"),
    foreign("scope", "a word of others", "idempotency.principal"),
    foreign("principal", "a key of `idempotency` in a route", "idempotency.principal"),
    foreign("tenant", "a word of others", "idempotency.principal"),
    foreign("ttl", "a key of `idempotency` in a route", "idempotency.ttl"),
    foreign("retention", "a word of others", "idempotency.ttl"),
    foreign("lifetime", "fiber's word", "idempotency.ttl"),
    foreign("expiry", "a word of others", "idempotency.ttl"),
    foreign("expiration", "a word of others", "idempotency.ttl"),
    foreign("expiresafterseconds", "Powertools' word", "idempotency.ttl"),
    foreign("unknownretention", "a word of others", "idempotency.unknownTtl"),
    foreign("locktimeout", "a word of others; the right to run a key renews itself", "idempotency.inFlightWait"),
    foreign("lockttl", "a word of others; the right to run a key renews itself", "idempotency.inFlightWait"),
    foreign("lease", "a word of others; the right to run a key renews itself", "idempotency.inFlightWait"),
    foreign("waittimeout", "a word of others", "idempotency.inFlightWait"),
    foreign("inflight", "a key of `idempotency` in a route", "idempotency.inFlight"),
    foreign("onconflict", "a word of others", "idempotency.inFlight"),
    foreign("maxrequestbody", "a word of others", "idempotency.maxBody"),
    foreign("maxresponsebody", "a word of others", "idempotency.maxStoredBody"),
    foreign("failopen", "a word of others", "idempotency.onStoreError: open"),
    foreign("failuremodeallow", "Envoy's word", "idempotency.onStoreError: open"),
    foreign("store", "a key of `idempotency` in a route", "idempotency.store, of those in `stores`"),
    foreign("storage", "fiber's word", "idempotency.store, of those in `stores`"),
    foreign("database", "a word of others", "stores.embedded"),
    foreign("sqlite", "the engine of the embedded store", "stores.embedded"),
    foreign("valkey", "it speaks redis", "stores.redis"),
    foreign("memory", "what is in memory alone dies with the process", "stores.embedded"),
    foreign("dbpath", "a word of others", "stores.embedded.path"),
    foreign("file", "a word of others", "stores.embedded.path"),
    foreign("filename", "a word of others", "stores.embedded.path"),
    foreign("maxsize", "a word of others", "stores.embedded.maxBytes"),
    foreign("maxentries", "a word of others", "stores.embedded.maxRecords"),
    foreign("synchronous", "SQLite's word", "stores.embedded.durability"),
    foreign("fsync", "a word of others", "stores.embedded.durability: power"),
    foreign("keyprefix", "a word of others", "stores.redis.service"),
    foreign("namespace", "a word of others", "stores.redis.service"),
    foreign(
        "password",
        "a secret, which does not belong in a file",
        "url: \"${env:NAME}\", a URL with the password in it",
    ),
    foreign("tls", "a key of upstreams and of inbound", "tls beside url, or beside forward"),
    foreign("mtls", "a word of others", "tls: clientCa on inbound, cert and key on an upstream"),
    foreign("certificate", "a word of others", "tls.cert"),
    foreign("certfile", "a word of others", "tls.cert"),
    foreign("clientcertificate", "Istio's word", "tls.cert"),
    foreign("cert", "a key of `tls`", "tls.cert"),
    foreign("privatekey", "Istio's word", "tls.key"),
    foreign("cacert", "a word of others", "tls.ca"),
    foreign("cacertificates", "Istio's word", "tls.ca"),
    foreign("trustedca", "Envoy's word", "tls.ca"),
    foreign("clientca", "a key of `tls` of inbound", "tls.clientCa"),
    foreign("sni", "Istio's and Envoy's word", "tls.serverName"),
    foreign("subjectaltnames", "Istio's word", "tls.spiffe for SPIFFE ids, tls.serverName for a host"),
    foreign("spiffe", "a key of `tls`", "tls.spiffe"),
    foreign("insecureskipverify", "peers are always verified", "tls.ca, whoever vouches for the server"),
    foreign("tlsminversion", "a word of others", "tls.minVersion"),
    foreign("h2upgradepolicy", "Istio's word", "protocol: http2"),
    foreign("http2", "a word of others", "protocol: http2"),
    foreign("grpc", "gRPC needs no key of its own", "protocol: http2 for an upstream that speaks nothing else"),
    foreign("h2c", "HTTP/2 in clear", "http2"),
    foreign("h2", "HTTP/2", "http2"),
    foreign("hedging", "a word of others", "hedge"),
    foreign("hedgingpolicy", "gRPC's word", "hedge"),
    foreign("hedgepolicy", "Envoy's word", "hedge"),
    foreign("hedgingdelay", "gRPC's word", "hedge.delay"),
    foreign("guard", "a key of `policy` at the top level", "policy.guard"),
    foreign("autorollback", "a word of others", "policy.guard: rollback"),
    foreign("rollbackonfailure", "a word of others", "policy.guard: rollback"),
    foreign("enabled", "a word of others; a block that is present is on", "mode: none to switch a default off"),
    // Values.
    foreign("5xx", "Envoy's word", "retry.codes: [500, 502, 503, 504]"),
    foreign("gatewayerror", "Envoy's word", "retry.codes: [502, 503, 504]"),
    foreign("retriable4xx", "Envoy's word", "retry.codes: [409]"),
    foreign(
        "resetbeforerequest",
        "Envoy's word",
        "connect-failure and refused-stream; what was not sent is always safe",
    ),
    foreign("unavailable", "Envoy's word", "retry.grpcCodes"),
    foreign("resourceexhausted", "Envoy's word", "retry.grpcCodes"),
    foreign("deadlineexceeded", "Envoy's word", "retry.grpcCodes"),
    foreign("internal", "Envoy's word", "retry.grpcCodes"),
    foreign("cancelled", "Envoy's word", "retry.grpcCodes"),
    foreign("httptimeout", "nginx's word", "timeout"),
    foreign("roundrobinlb", "a word of others", "roundRobin"),
    foreign("leastconn", "a word of HAProxy and nginx", "leastRequest"),
    foreign("leastconnection", "a word of others", "leastRequest"),
    foreign("ringhash", "Envoy's word", "hash"),
    foreign("maglev", "Envoy's word", "hash"),
    foreign("random", "Envoy's word", "peakEwma, which chooses between two at random"),
    foreign("off", "a bare word that YAML 1.1 takes for false", "none"),
    foreign("false", "no word of this key", "none"),
    foreign("passthrough", "a word of others", "bypass"),
    foreign("conflict", "a word of others", "reject"),
    foreign("normal", "SQLite's word", "process"),
    foreign("traces", "a word of others", "tracing"),
    foreign("otlp", "the protocol's name", "tracing"),
    foreign("samplingrate", "a word of others", "sampleRatio"),
];

/// Keys that the format has, or will have, and this version does not act on.
const LATER: &[&str] = &["http3", "callers"];

/// What stands at the caret under a word that is not known where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// A key of the format that this version refuses, because it would not act on it.
    Later,
    /// A sentence.
    Instead(String),
}

/// What was probably meant by `word` where only `expected` is allowed.
pub fn hint(word: &str, expected: &[&str]) -> Option<Hint> {
    let plain = normalise(word);
    // Our own word in another spelling, such as retry_on or max-backoff.
    if let Some(ours) = expected.iter().find(|ours| normalise(ours) == plain) {
        return Some(Hint::Instead(format!("did you mean `{ours}`?")));
    }
    if LATER.contains(&plain.as_str()) {
        return Some(Hint::Later);
    }
    if let Some(nearest) = nearest(word, expected, 1) {
        return Some(Hint::Instead(format!("did you mean `{nearest}`?")));
    }
    // Some words mean something else inside of deadLetter.
    let found = dead_letter::find(&plain, expected).or_else(|| FOREIGN.iter().find(|foreign| foreign.word == plain));
    if let Some(found) = found {
        // Where the right key is in this very block, its last part is enough.
        let (key, _) = found.ours.split_once(" in an entry of ").unwrap_or((found.ours, ""));
        let here = expected.iter().find(|ours| key.rsplit('.').next() == Some(**ours));
        return Some(Hint::Instead(format!("{}; use {}", found.home, here.copied().unwrap_or(found.ours))));
    }
    nearest(word, expected, usize::MAX).map(|nearest| Hint::Instead(format!("did you mean `{nearest}`?")))
}

/// The expected word that was probably meant, by its spelling alone.
pub fn similar<'a>(word: &str, expected: &[&'a str]) -> Option<&'a str> {
    let plain = normalise(word);
    expected.iter().copied().find(|ours| normalise(ours) == plain).or_else(|| nearest(word, expected, usize::MAX))
}

fn normalise(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-' | '.')).flat_map(char::to_lowercase).collect()
}

/// The expected word within a third of its length, and within `most`, in edits; the first of equals.
fn nearest<'a>(word: &str, expected: &[&'a str], most: usize) -> Option<&'a str> {
    // Longer words than this are no typing errors, and would make the table large.
    if word.chars().count() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    expected
        .iter()
        .map(|ours| (distance(&lower, &ours.to_lowercase()), *ours))
        .filter(|(edits, ours)| *edits <= most.min((ours.len() / 3).max(1)))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, ours)| ours)
}

/// Edits between two words; swapping two neighbours is one (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests;
