//! Every finding has a code that stays the same for ever, and a page behind it.

use crate::policy::diagnostic::Severity;

/// What `outrigger explain CODE` prints.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub title: &'static str,
    /// Why it is worth a finding.
    pub why: &'static str,
    pub fix: &'static str,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $severity:ident, $title:literal, $why:literal, $fix:literal;)*) => {
        /// Kinds of findings. Numbers are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($variant),* }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $code),* }
            }

            pub const fn severity(self) -> Severity {
                match self { $(Code::$variant => Severity::$severity),* }
            }

            pub const fn page(self) -> Page {
                match self { $(Code::$variant => Page { title: $title, why: $why, fix: $fix }),* }
            }
        }
    };
}

codes! {
    AttemptExceedsRequest = "OR001", Error, "One attempt may take longer than the whole request",
        "timeouts.backendRequest limits one attempt, timeouts.request all of them with the waits between. An attempt is cut off when the request's time is over, so the larger value never takes effect.",
        "Lower backendRequest or raise request. A value that a route merely inherits is cut to fit and not reported.";
    TriesDoNotFit = "OR002", Warning, "The tries do not fit into the request's time",
        "(1 + attempts) x backendRequest is longer than timeouts.request. When a dependency hangs, the last retries are never made: there is no time left for them.",
        "Raise timeouts.request, lower timeouts.backendRequest, or ask for fewer attempts.";
    RetriesWithoutBudget = "OR003", Warning, "Retries are asked for, and the budget allows none",
        "retryBudget with percent: 0 and minPerSecond: 0 denies every retry.",
        "Remove the retryBudget block to get the default of 20%, or the retry block.";
    UnsafeWithoutContract = "OR004", Warning, "Retries for methods that must not be repeated",
        "The route has a retry block, but all its methods are unsafe to repeat (POST, PATCH, ...) and nothing says that the upstream recognises a repeated request. Only attempts of which provably nothing was sent are repeated; codes, timeouts and resets after sending are not.",
        "If the upstream deduplicates, say so: idempotency: { contract: dedupes }. If a 5xx from it means that nothing happened: contract: atomic5xx. If all these requests may be sent twice, as gRPC calls that only read: retry: { methods: all }. Otherwise remove the retry block.";
    UnreachableRoute = "OR005", Warning, "No request reaches a route",
        "An earlier route of the same upstream matches the same path, hosts and methods. The order is: exact path, longest prefix, hosts given, methods given, order in the file.",
        "Remove it, or give it a match of its own.";
    BreakerNeedsMuchTraffic = "OR006", Warning, "The circuit breaker needs more traffic than most services have",
        "Below circuitBreaker.minRequests attempts per window the breaker never opens by rate. This one needs more than 50 attempts per second to have an opinion.",
        "Lower minRequests (20 is enough for a percentage) or lengthen the window.";
    HighAmplification = "OR007", Warning, "One request can become many",
        "With this many attempts a single request is sent more than four times in the worst case. The retry budget bounds the sum over all requests, not the load of a single one, and layers multiply: three layers with three retries each make 64 requests out of one.",
        "Two retries rescue nearly everything that retries can rescue. Retry at one layer only.";
    AdminExposed = "OR008", Error, "The admin API is reachable from outside, and lets everybody in",
        "admin.listen is not a loopback address. The API can open and close circuit breakers, change the policy and show bodies of dead letters, and neither a token nor a certificate is asked for.",
        "Listen on 127.0.0.1:4490 and forward the port, or add admin.tokenFile, or admin.tls with a clientCa. For metrics and probes there is metrics.listen.";
    ForwardNotLoopback = "OR009", Error, "inbound.forward is not on this machine",
        "Inbound protects the app that runs beside it. A remote target would turn the sidecar into an open proxy that never retries or balances.",
        "Forward to 127.0.0.1. For another machine define an upstream.";
    PortTaken = "OR010", Error, "Two listeners on one address",
        "Only one of them can be bound. 0.0.0.0 includes every other address.",
        "Give one of them another port, or let several upstreams share `listen`.";
    AdminPortTaken = "OR011", Error, "A listener on the address of admin or metrics",
        "Admin (127.0.0.1:4490) and metrics (0.0.0.0:4491) have their addresses also when the policy does not mention them.",
        "Choose another port, move admin.listen or metrics.listen, or switch one off with `listen: none`.";
    DrainExceedsGrace = "OR012", Warning, "Draining may take longer than the grace period",
        "After SIGTERM the process may take drain.delay + drain.timeout to finish; Kubernetes kills it after terminationGracePeriodSeconds (30 s by default), and requests in flight are lost.",
        "Raise terminationGracePeriodSeconds or lower drain.timeout. Checked when OUTRIGGER_GRACE_PERIOD (such as 30s) is set.";
    HashWithoutKey = "OR013", Error, "Hash balancing and its key belong together",
        "`by: hash` needs `hashOn` to know which header decides, and `hashOn` has no meaning for the other ways.",
        "Write balance: { by: hash, hashOn: header:NAME }, or remove hashOn.";
    OutboundExposed = "OR014", Warning, "The outbound listener is reachable from outside",
        "Whoever reaches it can call the dependencies through this sidecar. It is meant for the app on the same machine.",
        "Listen on 127.0.0.1. For traffic that comes from others there is `inbound`.";
    Ambiguous = "OR015", Error, "Two upstreams match the same requests",
        "On the shared listener a request's Host and path decide which upstream is meant, and here both say the same for two upstreams.",
        "Give them different match.hosts or match.pathPrefix, or one of them a `listen` of its own.";
    Duplicate = "OR016", Error, "The same thing twice",
        "Names are metric labels and must be unique; an endpoint that is listed twice would get twice the traffic.",
        "Rename or remove one of them.";
    ConnectExceedsAttempt = "OR017", Warning, "Connecting may use up the whole attempt",
        "timeouts.connect is not shorter than the time of one attempt. An endpoint that does not answer is then noticed only when the attempt is over, and no time is left for another endpoint.",
        "Lower timeouts.connect; within one data centre 250ms is generous.";
    SlowCallUnreachable = "OR018", Warning, "No attempt can be slow",
        "circuitBreaker.slowCall.threshold is not shorter than the longest attempt that the timeouts allow, so that timeouts come first and the slow-call rule never does anything.",
        "Lower the threshold, or remove slowCall: timeouts count as failures.";
    MarginExceedsRequest = "OR019", Warning, "The margin uses up the deadline",
        "deadline.margin is taken off the time that is handed on. With a margin as long as timeouts.request the dependency is told that it has no time.",
        "Lower deadline.margin; 10ms is the default.";
    UnusedDefaults = "OR020", Warning, "Defaults without upstreams",
        "`defaults` are merged under upstreams only; inbound is not affected.",
        "Remove the block.";
    UnusedListener = "OR021", Warning, "Nothing is reachable through the shared listener",
        "Every upstream has a listener of its own, so `listen` is not bound.",
        "Remove `listen`.";
    BalanceWithoutChoice = "OR022", Warning, "Balancing over a single endpoint",
        "There is one fixed endpoint: every way of balancing chooses it.",
        "Remove the balance block, or add endpoints.";
    QueueLongerThanLimit = "OR023", Warning, "More requests may wait than may run",
        "limits.pending is larger than limits.requests. Requests wait at most 100 ms for a place; a long queue is refused late instead of early.",
        "Keep pending at about a quarter of requests.";
    NothingDeduplicated = "OR024", Warning, "No request of a route is deduplicated",
        "The route's match.methods and its idempotency.methods have no method in common. Keys of all other methods are passed on and mean nothing: a safe method may be repeated as it is, PUT and DELETE are left out unless they are asked for.",
        "Add the method to idempotency.methods, or remove the block.";
    DuplicatesIfStoreIsDown = "OR025", Warning, "Duplicates are possible while the store is down",
        "With onStoreError: open, requests are sent as if they had no key while the store does not answer. A client that repeats one then has it executed twice.",
        "Remove it: with closed, the default, such requests get 503 and can be repeated safely later. If availability matters more than duplicates, keep it and watch the store.";
    KeyNotForwarded = "OR026", Error, "The upstream cannot recognise a request by a key that it does not get",
        "contract: dedupes says that the upstream recognises a repeated request by its key, so that any attempt may be repeated. forwardKey: strip takes the key away: every repetition would be executed.",
        "Remove forwardKey: strip. If the upstream does not deduplicate, the contract is opaque.";
    ForgottenTooEarly = "OR027", Error, "An answer is forgotten before its request may be over",
        "idempotency.ttl is shorter than timeouts.request. A client that waited for the whole request and then repeats it would find its key forgotten, and have the request executed again.",
        "Raise ttl; 24h is the default. It should be longer than the time in which clients repeat requests.";
    StoreIsTemporary = "OR028", Warning, "The store is in a folder that is emptied",
        "stores.embedded.path is under /tmp or /dev/shm. What is there goes with a restart of the machine or of the container, and with it the memory of what has been executed, and dead letters.",
        "Use a volume, such as /var/lib/outrigger. It survives the Pod on a PersistentVolume, and not on an emptyDir.";
    PrincipalNotWritten = "OR029", Error, "Nothing says whose idempotency keys they are",
        "Equal keys of two callers would be one key, and one caller would get an answer that belongs to the other. Only you know whether callers differ and which header tells them apart, so there is no default.",
        "Write principal: none if all callers may share keys, as behind an outbound listener with one app. Otherwise principal: header:NAME, with a header that callers cannot choose.";
    StoreNotConfigured = "OR030", Error, "A route needs a store that is not configured",
        "Deduplication keeps a record of every key. The store for it is configured once, at the top level.",
        "Add stores: { embedded: {} } for a file beside this process, or stores: { redis: { url: redis://HOST:PORT } } for one that replicas share.";
    VariableNotSet = "OR031", Error, "An environment variable is not set",
        "The policy takes a value from the environment, and there is none. Starting without it would mean to run without the safeguard that needs it.",
        "Set the variable. Where the policy is only checked, as in CI, any value of the right form will do.";
    ContractWithoutEffect = "OR032", Warning, "A contract that nothing asks for",
        "Inbound never retries. What the app promises about requests sent twice matters there only together with deduplication, which is off in this route.",
        "Remove the block, or switch deduplication on: add principal and a store.";
    LettersWithoutStore = "OR033", Error, "Dead letters have no place",
        "A route has deadLetter, and stores.embedded is not configured. Letters lie in that file, also where the records of keys are in Redis: what failed must be written down when the network is what failed.",
        "Add stores: { embedded: {} }, with its path on a volume, or remove deadLetter.";
    UnusedDeadLetter = "OR034", Warning, "Bounds of dead letters that nobody writes",
        "The top-level deadLetter says how much is kept and for how long. What is kept is said by routes, and none has a deadLetter of its own.",
        "Add deadLetter: {} to the routes whose requests are worth repairing, or remove the block.";
    NothingToRepair = "OR035", Warning, "Dead letters of requests that have no effect",
        "All methods that the route matches are safe (GET, HEAD, ...). Nothing is to be repaired when one of them fails: whoever needs the answer asks again. Letters are kept of other methods only.",
        "Remove deadLetter from this route.";
    ReplayWithoutKey = "OR036", Warning, "A replay cannot be told from the client's own next try",
        "The route keeps dead letters and does not deduplicate. A client that got an error may send its request again by itself; without a key nothing tells that this is the same request, so that a replay of its letter executes it a second time, and the letter stays open after the client has succeeded.",
        "Add idempotency: { principal: none } or another principal, and let clients send keys. A letter of a request with a key is closed when its client succeeds, and is replayed under the same key.";
    NoRecordToCaptureIn = "OR037", Error, "There is no record in which a request could be noted when it is sent",
        "capture: send writes a request down together with the record of its key, in one write to the file of the embedded store. This route does not deduplicate, or has its records in Redis.",
        "Deduplicate with store: embedded, or leave capture: send out: with capture: failure a letter is written when the request has failed, and only what is under way when the process dies cannot be replayed.";
    KeyBesideLetters = "OR038", Info, "The key lies beside what it seals",
        "Bodies and credentials in dead letters are sealed, so that a copy of the store's file gives nothing away. Without keyFile the key is made in the same folder, with access for this user only: who copies the folder has both.",
        "Mount a secret (`openssl rand -hex 32` makes one), and name it: deadLetter: { keyFile: /run/secrets/outrigger-dead-letters }. It is worth knowing and no mistake: --deny-warnings lets it pass.";
    LettersLeaveNoRoom = "OR039", Error, "Dead letters may fill the store",
        "Letters and records of keys share one file. With more than three quarters of stores.embedded.maxBytes for letters, a bad night would leave no room for keys, and requests with a key are refused (503) while the store is full.",
        "Lower deadLetter.maxBytes, or raise stores.embedded.maxBytes. Without it, letters may take half.";
    TracesGoNowhere = "OR042", Warning, "Traces are configured and go nowhere",
        "The policy has a tracing block, and nothing says where the collector is: without an endpoint no span is made, exported or kept.",
        "Add tracing: { endpoint: http://COLLECTOR:4318 }, or set OTEL_EXPORTER_OTLP_ENDPOINT. Where the policy is only checked, as in CI, any value will do.";
    TlsOnHttp = "OR043", Error, "Encryption is configured for an http URL",
        "A tls block says who vouches for the upstream. With http:// nothing is encrypted and nobody is checked: requests would go in clear while the file looks as if they did not.",
        "Write the URL with https://, or remove the tls block.";
    MixedSchemes = "OR044", Error, "Some endpoints are encrypted and others not",
        "A request may go to any endpoint of an upstream. With http and https side by side, some would go in clear, by chance.",
        "Write the same scheme for all endpoints, or make two upstreams of them.";
    IdsWithoutCa = "OR045", Error, "Identities are named, and nobody vouches for them",
        "inbound.tls.spiffe lists who may call. Only with clientCa are callers asked for a certificate; without it the list would be looked at by nobody.",
        "Add clientCa with the certificates of whoever issues the callers' certificates, or remove spiffe.";
    AnyoneOfCa = "OR046", Info, "Whoever the client CA vouches for may call",
        "inbound.tls.clientCa demands a certificate, and every certificate of that authority is accepted. Where one authority serves a whole cluster, every workload in it can call.",
        "Add spiffe with the ids of the callers. If the authority issues certificates to these callers alone, it is as it should be: --deny-warnings lets it pass.";
    SystemVouchesForIds = "OR047", Warning, "A SPIFFE id is looked for, and any public authority may vouch for it",
        "tls.spiffe is given without tls.ca: the certificates that the system trusts decide. SPIFFE ids are issued by an authority of your own, so that either nobody is accepted or, worse, the wrong one.",
        "Add ca: the trust bundle of the authority that issues these ids.";
    CertificateUnusable = "OR048", Error, "A certificate or key cannot be used",
        "A file that the policy names is not there, cannot be read, has no PEM in it, belongs to another key, or is not valid now. Handshakes would fail. A running proxy goes on with what it read before; a start fails.",
        "See the message: it names the file and what is wrong with it. Where the policy is checked without its files, as in CI, add --without-files.";
    CertificateExpiresSoon = "OR049", Warning, "A certificate expires soon",
        "When it has expired, every handshake fails. Files are watched: a new certificate in the same place is used at once, without a restart.",
        "Renew it. Issuers such as cert-manager renew at two thirds of the lifetime; a certificate that is not renewed by then has an issuer that is in trouble.";
    CertificateOdd = "OR050", Warning, "A certificate that peers will probably refuse",
        "It can be read and is valid, and has something that clients or servers do not accept: no subject alternative name, another purpose, several URIs where SPIFFE has one.",
        "See the message, and have the certificate issued again.";
    KeyReadableByOthers = "OR051", Warning, "A private key is readable by every user of this machine",
        "Whoever reads it can speak in the name of this workload.",
        "chmod 0400, or defaultMode: 0400 for the volume of a Kubernetes secret.";
    TokenInClear = "OR055", Warning, "The token of the admin API goes over the network in clear",
        "admin.listen is not loopback and admin.tls is missing. Whoever sees the packets sees the token, and can do from then on what an operator can.",
        "Add admin.tls: { cert, key }, or keep the address on loopback and forward the port.";
    UpstreamIsOurselves = "OR056", Error, "An upstream leads to this proxy's own admin or metrics address",
        "Whoever may send requests to that upstream would reach the admin API as if from this machine, or the metrics. Requests that come through an Outrigger are refused there, so that it would not even work.",
        "Correct the address of the upstream, or choose another port for admin.listen or metrics.listen.";
    LimitCannotAdapt = "OR061", Warning, "An adaptive limit without room to adapt",
        "limits.adaptive looks for a limit between min and max, and here they are the same, or nothing above min is ever in force because limits.requests is not larger.",
        "Lower min, raise max or limits.requests, or remove the block.";
    PriorityWithoutQueue = "OR062", Warning, "A priority that decides nothing",
        "Who is more important is served first by the queue and takes the place of those who are less. With limits.pending: 0 there is no queue, and who finds no slot is refused, whatever the class.",
        "Allow a queue, such as pending: 32, or remove the priority block.";
    NothingToInherit = "OR063", Warning, "Nothing to inherit from",
        "deadline.fromTrace lets a call end no later than the inbound request that it is made for. Inbound requests are known to this process only if they come through it, and the policy has no inbound.",
        "Add inbound, so that callers reach the app through this proxy, or remove fromTrace.";
    HedgeWithoutChoice = "OR065", Warning, "Hedges with nowhere to go",
        "A hedge goes to another endpoint than the first attempt, and there is a single one. Asking the same one twice would only make it slower.",
        "Remove the hedge block, or add endpoints. With a url that is a name, all its addresses count.";
    HedgeOfUnsafe = "OR066", Warning, "Hedges for methods that must not be sent twice",
        "All methods of the route are unsafe to repeat (POST, PATCH, ...). A hedge is a second execution at the same time, unless the upstream recognises it.",
        "Remove the hedge block. If the upstream deduplicates by a key that clients send: idempotency: { contract: dedupes } and hedge: { unsafe: true }.";
    HedgeWithoutContract = "OR067", Error, "Unsafe requests would be executed twice at once",
        "hedge.unsafe sends requests with an effect twice at the same time. Only an upstream that recognises the second one by its key can bear that, and nothing says that this one does.",
        "Add idempotency: { contract: dedupes } to the route if that is so; otherwise remove unsafe: true.";
    HedgeHoldsNoBody = "OR068", Warning, "Only requests without a body are hedged",
        "What is sent twice must be held in memory, and retry.maxBody: 0 holds no body.",
        "Raise retry.maxBody, or remove the hedge block where all requests have bodies.";
    HedgeTooLate = "OR069", Warning, "A hedge is due when the attempt is over",
        "hedge.delay (or its floor, minDelay) is not shorter than the time of one attempt, so that no hedge is ever sent.",
        "Lower hedge.delay or minDelay, or raise timeouts.backendRequest.";
    SlowStartWithHash = "OR075", Warning, "Slow start without effect",
        "With balance.by: hash the key alone says which endpoint gets a request, so that a new endpoint gets its keys at once.",
        "Remove slowStart, or balance in another way.";
    LocalZoneUnknown = "OR076", Warning, "No endpoint is near",
        "balance.zone prefers endpoints of our own zone, and none is there: the zone is not among zones, or none of the fixed endpoints is in its networks. Every request goes to another zone.",
        "Correct local or zones. Where local comes from the environment and the policy is only checked, as in CI, set the variable to one of the zones.";
    CheckWithoutChoice = "OR077", Info, "Checks of a single endpoint",
        "A single endpoint never sits out, since nobody could take its place. Its checks say how it does, in verdicts and metrics, and change nothing.",
        "Add endpoints, or leave it as it is: --deny-warnings lets it pass.";
    Syntax = "OR100", Error, "Not a readable file",
        "The text is no YAML, no UTF-8, empty, or too large.",
        "See the place that is named. Tabs cannot indent YAML; a value with a colon followed by a blank must be quoted.";
    UnknownKey = "OR101", Error, "Unknown or repeated key",
        "A key that is not known would be a setting that silently has no effect.",
        "See the word that is suggested; config/outrigger.yaml lists every key.";
    InvalidValue = "OR102", Error, "A value that cannot be used",
        "The value has the wrong form or is out of its range.",
        "See the message; config/outrigger.yaml lists every key with its default.";
    NotSupported = "OR103", Error, "Not supported by this version",
        "The key belongs to the format, and this version of Outrigger does not act on it. It is refused, because a safeguard that is configured and absent is worse than none.",
        "Remove the key, or use a version that supports it.";
}

impl Code {
    /// `OR012`, any case.
    pub fn parse(text: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }
}
