# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_outrigger_global_optspecs
    string join \n addr= o/output= token-file= ca= cert= key= server-name= h/help V/version
end

function __fish_outrigger_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_outrigger_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_outrigger_using_subcommand
    set -l cmd (__fish_outrigger_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c outrigger -n "__fish_outrigger_needs_command" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_needs_command" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_needs_command" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_needs_command" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_needs_command" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_needs_command" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_needs_command" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_needs_command" -s V -l version -d 'Print version'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "run" -d 'Start the proxy'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "demo" -d 'Show a minute of trouble and what the proxy does about it; needs nothing else'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "check" -d 'Check a policy file as a reload would; exit code 1 if it has errors, 2 if it cannot be read'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "explain" -d 'Explain what happens to a request, or what a finding means'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "diff" -d 'Compare two policy files by what they do'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "schema" -d 'Print the JSON Schema of the policy file, for editors'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "init" -d 'Print a policy to begin with'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "simulate" -d 'Try a policy, or compare two, on a virtual clock: success, added latency, load, recovery'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "k8s" -d 'Kubernetes manifests: add the sidecar'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "doctor" -d 'Look for what goes wrong in a Pod; exit code 1 if something was found'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "version" -d 'Print the version'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "status" -d 'How the proxy and its dependencies do; exit code 1 if degraded'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "upstreams" -d 'All dependencies, or one with its endpoints'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "changes" -d 'What changed: policies, circuits, endpoints, operators'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "circuits" -d 'Circuit breakers: list, hold open or closed for a while, reset'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "idem" -d 'Idempotency keys: look at one, settle an outcome that nobody knows'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "dlq" -d 'Dead letters: look at them, send them again, give them up, say what became of them'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "replay" -d 'Replays of many dead letters, as `dlq replay` starts them'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "audit" -d 'Who did what to which dead letter, and whether that record is intact; exit code 1 if it is not'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "why" -d 'The life of one request: each attempt, each decision, and why; exit code 1 if it is not kept'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "tap" -d 'Requests as they end, one line each, until interrupted'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "top" -d 'A live view of all dependencies; one frame if standard output is no terminal'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "record" -d 'Record a sketch of the traffic for `simulate`: counts and times, no paths, fields or bodies'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "retries" -d 'Whether retries help, by route and class of failure; exit code 1 if some do not'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "budgets" -d 'Retry budgets: what is left, what retries rescued, and why some were not made'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "policy" -d 'The policy in force and its history'
complete -c outrigger -n "__fish_outrigger_needs_command" -f -a "probe" -d 'Ask for readiness: exit code 0 if ready, else 1. For exec probes'
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -l policy -d 'The policy file' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -l workers -d 'Threads that carry traffic' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -l state-dir -d 'Where the change journal is kept; without it history ends with the process' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -l log-format -d 'Form of the process log on standard error' -r -f -a "json\t'One JSON object per line'
text\t'For people'"
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -l admin-listen -d 'Instead of the policy\'s `admin.listen`' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -l metrics-listen -d 'Instead of the policy\'s `metrics.listen`' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -l quit-endpoint -d 'End on `POST /quitquitquit` on the admin listener, from loopback only. For Jobs whose sidecar is a plain container'
complete -c outrigger -n "__fish_outrigger_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand demo" -l seconds -d 'How long it runs' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand demo" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand demo" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand demo" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand demo" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand demo" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand demo" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand demo" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand check" -l format -d 'Form of the findings' -r -f -a "human\t'The line and what to write instead'
json\t'A JSON array'
github\t'Annotations of GitHub Actions'"
complete -c outrigger -n "__fish_outrigger_using_subcommand check" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand check" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand check" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand check" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand check" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand check" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand check" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand check" -l deny-warnings -d 'Exit with 1 also if there are only warnings'
complete -c outrigger -n "__fish_outrigger_using_subcommand check" -l without-files -d 'Do not read the certificates and keys that the policy names: for places where they are not, such as CI'
complete -c outrigger -n "__fish_outrigger_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand explain" -l policy -d 'The policy file, or - for standard input' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand explain" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand explain" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand explain" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand explain" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand explain" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand explain" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand explain" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand diff" -l format -d 'Form of the answer' -r -f -a "human\t'One sentence for each subject that changes'
json\t'A JSON array'"
complete -c outrigger -n "__fish_outrigger_using_subcommand diff" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand diff" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand diff" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand diff" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand diff" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand diff" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand diff" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand schema" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand schema" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand schema" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand schema" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand schema" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand schema" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand schema" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand schema" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand init" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand init" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand init" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand init" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand init" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand init" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand init" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l policy -d 'The policy that is tried' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l against -d 'The policy that it is compared with' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l scenario -d 'Load and faults, as the load tests play them' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l recording -d 'What `outrigger record` has written' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l upstream -d 'Which upstream of the policies, if there are several' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l capacity -d 'With --recording: requests that each endpoint serves at once; more wait. Without it, load changes nothing' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l plays -d 'Plays of each policy, with seeds of their own' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l seed -d 'The first seed; the same seed gives the same answer' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l format -d 'Form of the answer' -r -f -a "human\t'A sentence, a table, and what is left out'
json\t'One JSON document'"
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l html -d 'Write a page with curves to this file as well' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -l fail-if-worse -d 'Exit with 1 if the new policy is worse in anything beyond chance'
complete -c outrigger -n "__fish_outrigger_using_subcommand simulate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and not __fish_seen_subcommand_from inject" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and not __fish_seen_subcommand_from inject" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and not __fish_seen_subcommand_from inject" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and not __fish_seen_subcommand_from inject" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and not __fish_seen_subcommand_from inject" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and not __fish_seen_subcommand_from inject" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and not __fish_seen_subcommand_from inject" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and not __fish_seen_subcommand_from inject" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and not __fish_seen_subcommand_from inject" -f -a "inject" -d 'Add the sidecar to the workloads in YAML or JSON; all else passes unchanged'
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -s f -l filename -d 'The manifests, or - for standard input' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -l image -d 'Image of the sidecar [annotation: outrigger.dev/image]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -l policy-configmap -d 'ConfigMap with the key policy.yaml [annotation: outrigger.dev/policy-configmap]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -l tls-secret -d 'Secret with certificates, mounted at /etc/outrigger-tls [annotation: outrigger.dev/tls-secret]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -l state -d 'Where history, keys and dead letters are kept, at /var/lib/outrigger: pvc:NAME, emptyDir or none [annotation: outrigger.dev/state]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -l inbound -d 'Names the port of the policy\'s `inbound` as outrigger-in, for the Service\'s targetPort [annotation: outrigger.dev/inbound]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -l plain -d 'As an ordinary container, for clusters older than 1.29'
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -l uninject -d 'Take away what was injected'
complete -c outrigger -n "__fish_outrigger_using_subcommand k8s; and __fish_seen_subcommand_from inject" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand doctor" -l policy -d 'The policy file [default: that of the running proxy, or /etc/outrigger/policy.yaml]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand doctor" -l state-dir -d 'Where the proxy keeps its history [default: that of the running proxy]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand doctor" -l grace-period -d 'terminationGracePeriodSeconds of the Pod, such as 30s [env: OUTRIGGER_GRACE_PERIOD]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand doctor" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand doctor" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand doctor" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand doctor" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand doctor" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand doctor" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand doctor" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand doctor" -l offline -d 'Do not look for a running proxy'
complete -c outrigger -n "__fish_outrigger_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand version" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand version" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand version" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand version" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand version" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand version" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand version" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand version" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand status" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand status" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand status" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand status" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand status" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand status" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand status" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand status" -l watch -d 'Ask again every two seconds, until interrupted'
complete -c outrigger -n "__fish_outrigger_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand upstreams" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand upstreams" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand upstreams" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand upstreams" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand upstreams" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand upstreams" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand upstreams" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand upstreams" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand changes" -l since -d 'How far back, such as 90s, 30m or 24h' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand changes" -l limit -d 'At most this many, the newest ones' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand changes" -l upstream -d 'Only what concerns this dependency' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand changes" -l kind -d 'Only this kind' -r -f -a "policy\t''
process\t''
policy-applied\t''
policy-refused\t''
policy-rolled-back\t''
policy-guard\t''
circuit\t''
endpoints\t''
ejection\t''
dns\t''
retries\t''
certificate\t''
process-started\t''
process-upgraded\t''
process-stopped\t''
manual\t''"
complete -c outrigger -n "__fish_outrigger_using_subcommand changes" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand changes" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand changes" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand changes" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand changes" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand changes" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand changes" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand changes" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and not __fish_seen_subcommand_from ls open close reset" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and not __fish_seen_subcommand_from ls open close reset" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and not __fish_seen_subcommand_from ls open close reset" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and not __fish_seen_subcommand_from ls open close reset" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and not __fish_seen_subcommand_from ls open close reset" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and not __fish_seen_subcommand_from ls open close reset" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and not __fish_seen_subcommand_from ls open close reset" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and not __fish_seen_subcommand_from ls open close reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and not __fish_seen_subcommand_from ls open close reset" -f -a "ls" -d 'List all'
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and not __fish_seen_subcommand_from ls open close reset" -f -a "open" -d 'Hold one open: its requests are refused at once'
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and not __fish_seen_subcommand_from ls open close reset" -f -a "close" -d 'Hold one closed: its requests pass whatever fails'
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and not __fish_seen_subcommand_from ls open close reset" -f -a "reset" -d 'End a hold, close the circuit, forget what it learned'
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from ls" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from ls" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from ls" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from ls" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from ls" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from ls" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from ls" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from open" -l ttl -d 'How long, 1s to 24h' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from open" -l reason -d 'Why; it goes to the change journal' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from open" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from open" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from open" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from open" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from open" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from open" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from open" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from open" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from close" -l ttl -d 'How long, 1s to 24h' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from close" -l reason -d 'Why; it goes to the change journal' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from close" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from close" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from close" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from close" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from close" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from close" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from close" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from close" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from reset" -l reason -d 'Why; it goes to the change journal' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from reset" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from reset" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from reset" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from reset" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from reset" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from reset" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from reset" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand circuits; and __fish_seen_subcommand_from reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and not __fish_seen_subcommand_from show resolve" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and not __fish_seen_subcommand_from show resolve" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and not __fish_seen_subcommand_from show resolve" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and not __fish_seen_subcommand_from show resolve" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and not __fish_seen_subcommand_from show resolve" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and not __fish_seen_subcommand_from show resolve" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and not __fish_seen_subcommand_from show resolve" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and not __fish_seen_subcommand_from show resolve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and not __fish_seen_subcommand_from show resolve" -f -a "show" -d 'Where a key stands; exit code 1 if there is no record of it'
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and not __fish_seen_subcommand_from show resolve" -f -a "resolve" -d 'Settle an unknown outcome or an ambiguous answer; exit code 1 if it is neither'
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from show" -l principal -d 'Whose key it is, where the policy tells callers apart' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from show" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from show" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from show" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from show" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from show" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from show" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from show" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from resolve" -l principal -d 'Whose key it is, where the policy tells callers apart' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from resolve" -l as -d 'What you have found out' -r -f -a "executed\t'It took effect: repetitions get an answer'
not-executed\t'It did not: the next request with the key is executed'"
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from resolve" -l reason -d 'Why; it goes to the change journal' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from resolve" -l status -d 'Status that repetitions get, with `executed` [default: 200]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from resolve" -l body -d 'Body that repetitions get, with `executed` [default: empty]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from resolve" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from resolve" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from resolve" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from resolve" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from resolve" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from resolve" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from resolve" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand idem; and __fish_seen_subcommand_from resolve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -f -a "ls" -d 'List them, newest first'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -f -a "stats" -d 'How many there are, how full it is, how many were lost'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -f -a "show" -d 'One letter: what happened, where its key stands, what may be done'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -f -a "body" -d 'The body of its request; reading it is noted in the audit'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -f -a "replay" -d 'Send them again, with their own keys'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -f -a "drop" -d 'Give them up'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -f -a "resolve" -d 'Say what became of one, and settle its key; exit code 1 if it is closed already'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and not __fish_seen_subcommand_from ls stats show body replay drop resolve export" -f -a "export" -d 'All of them as JSON, one letter per line, without what is sealed'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l state -d 'open, replaying, replayed, superseded, dropped, resolved, expired (several with commas), or all' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l class -d 'not-executed, unknown, failed-response (several with commas)' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l cause -d 'retries-exhausted, deadline, circuit-open, server-error, outcome-unknown, process-ended (several with commas)' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l route -d 'As the policy names them' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l queue -d 'As `deadLetter.queue` names it' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l since -d 'Captured in this last time, such as 2h' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l until -d 'Captured longer ago than this, such as 10m' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l limit -d 'At most this many' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l after -d 'Continue behind this letter: its whole id' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from stats" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from stats" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from stats" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from stats" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from stats" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from stats" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from stats" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from stats" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from show" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from show" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from show" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from show" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from show" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from show" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from show" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from body" -l out -d 'Into this new file instead of standard output' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from body" -l reason -d 'Why; it goes to the audit' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from body" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from body" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from body" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from body" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from body" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from body" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from body" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from body" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l state -d 'open, replaying, replayed, superseded, dropped, resolved, expired (several with commas), or all' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l class -d 'not-executed, unknown, failed-response (several with commas)' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l cause -d 'retries-exhausted, deadline, circuit-open, server-error, outcome-unknown, process-ended (several with commas)' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l route -d 'As the policy names them' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l queue -d 'As `deadLetter.queue` names it' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l since -d 'Captured in this last time, such as 2h' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l until -d 'Captured longer ago than this, such as 10m' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l rate -d 'Requests per second' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l max -d 'At most this many letters' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l stop-after -d 'End after this many failures' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l reason -d 'Why; it goes to the audit' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l dry-run -d 'Say what would be done, and do nothing'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l yes -d 'More than one letter is meant'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l accept-duplicate-risk -d 'Also those that may be executed twice'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -l wait -d 'Tell how it goes until it has ended'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l state -d 'open, replaying, replayed, superseded, dropped, resolved, expired (several with commas), or all' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l class -d 'not-executed, unknown, failed-response (several with commas)' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l cause -d 'retries-exhausted, deadline, circuit-open, server-error, outcome-unknown, process-ended (several with commas)' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l route -d 'As the policy names them' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l queue -d 'As `deadLetter.queue` names it' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l since -d 'Captured in this last time, such as 2h' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l until -d 'Captured longer ago than this, such as 10m' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l reason -d 'Why; it goes to the audit' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -l yes -d 'More than one letter is meant'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from drop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from resolve" -l as -d 'What you have found out' -r -f -a "executed\t'It took effect: repetitions get an answer'
not-executed\t'It did not: the next request with the key is executed'"
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from resolve" -l reason -d 'Why; it goes to the audit' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from resolve" -l status -d 'Status that repetitions get, with `executed` [default: 200]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from resolve" -l body -d 'Body that repetitions get, with `executed` [default: empty]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from resolve" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from resolve" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from resolve" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from resolve" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from resolve" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from resolve" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from resolve" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from resolve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l state -d 'open, replaying, replayed, superseded, dropped, resolved, expired (several with commas), or all' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l class -d 'not-executed, unknown, failed-response (several with commas)' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l cause -d 'retries-exhausted, deadline, circuit-open, server-error, outcome-unknown, process-ended (several with commas)' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l route -d 'As the policy names them' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l queue -d 'As `deadLetter.queue` names it' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l since -d 'Captured in this last time, such as 2h' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l until -d 'Captured longer ago than this, such as 10m' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l out -d 'Into this new file instead of standard output' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand dlq; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and not __fish_seen_subcommand_from ls status cancel" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and not __fish_seen_subcommand_from ls status cancel" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and not __fish_seen_subcommand_from ls status cancel" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and not __fish_seen_subcommand_from ls status cancel" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and not __fish_seen_subcommand_from ls status cancel" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and not __fish_seen_subcommand_from ls status cancel" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and not __fish_seen_subcommand_from ls status cancel" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and not __fish_seen_subcommand_from ls status cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and not __fish_seen_subcommand_from ls status cancel" -f -a "ls" -d 'List those that run, and the last ones that ended'
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and not __fish_seen_subcommand_from ls status cancel" -f -a "status" -d 'How far one has come; exit code 3 if it served only a part'
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and not __fish_seen_subcommand_from ls status cancel" -f -a "cancel" -d 'End one; what is being sent at this moment is finished'
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from ls" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from ls" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from ls" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from ls" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from ls" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from ls" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from ls" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from status" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from status" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from status" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from status" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from status" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from status" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from status" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from status" -l wait -d 'Tell how it goes until it has ended'
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from cancel" -l reason -d 'Why; it goes to the audit' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from cancel" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from cancel" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from cancel" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from cancel" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from cancel" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from cancel" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from cancel" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand replay; and __fish_seen_subcommand_from cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand audit" -l limit -d 'At most this many, the newest ones' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand audit" -l since -d 'How far back, such as 90s, 30m or 24h' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand audit" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand audit" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand audit" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand audit" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand audit" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand audit" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand audit" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand why" -l upstream -d 'With --last: of this dependency' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand why" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand why" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand why" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand why" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand why" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand why" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand why" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand why" -l last -d 'The newest troubled request'
complete -c outrigger -n "__fish_outrigger_using_subcommand why" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand tap" -l upstream -d 'Only of this dependency' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand tap" -l route -d 'Only of this route' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand tap" -l limit -d 'End after so many' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand tap" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand tap" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand tap" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand tap" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand tap" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand tap" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand tap" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand tap" -l errors -d 'Only requests that failed, were refused or were retried'
complete -c outrigger -n "__fish_outrigger_using_subcommand tap" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand top" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand top" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand top" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand top" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand top" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand top" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand top" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand top" -l once -d 'Print one frame and end'
complete -c outrigger -n "__fish_outrigger_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand record" -l for -d 'How long, 1s to 10m' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand record" -l out -d 'Where to write it' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand record" -l upstream -d 'Only requests to this dependency' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand record" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand record" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand record" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand record" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand record" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand record" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand record" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand record" -l addresses -d 'Write the addresses of endpoints, too'
complete -c outrigger -n "__fish_outrigger_using_subcommand record" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand retries" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand retries" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand retries" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand retries" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand retries" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand retries" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand retries" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand retries" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand budgets" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand budgets" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand budgets" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand budgets" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand budgets" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand budgets" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand budgets" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand budgets" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and not __fish_seen_subcommand_from show history rollback reload" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and not __fish_seen_subcommand_from show history rollback reload" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and not __fish_seen_subcommand_from show history rollback reload" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and not __fish_seen_subcommand_from show history rollback reload" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and not __fish_seen_subcommand_from show history rollback reload" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and not __fish_seen_subcommand_from show history rollback reload" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and not __fish_seen_subcommand_from show history rollback reload" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and not __fish_seen_subcommand_from show history rollback reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and not __fish_seen_subcommand_from show history rollback reload" -f -a "show" -d 'Print the text of the policy in force'
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and not __fish_seen_subcommand_from show history rollback reload" -f -a "history" -d 'List the revisions that a rollback can name'
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and not __fish_seen_subcommand_from show history rollback reload" -f -a "rollback" -d 'Apply an earlier revision again'
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and not __fish_seen_subcommand_from show history rollback reload" -f -a "reload" -d 'Read the policy file now'
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from show" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from show" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from show" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from show" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from show" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from show" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from show" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from history" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from history" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from history" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from history" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from history" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from history" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from history" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l reason -d 'Why; it goes to the change journal' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from rollback" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from rollback" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from reload" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from reload" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from reload" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from reload" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from reload" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from reload" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from reload" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand policy; and __fish_seen_subcommand_from reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c outrigger -n "__fish_outrigger_using_subcommand probe" -l timeout -d 'How long the answer may take; stay below the probe\'s own `timeoutSeconds`' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand probe" -l addr -d 'Admin address of the running proxy, with https:// before it if it speaks TLS [default: 127.0.0.1:4490] [env: OUTRIGGER_ADDR]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand probe" -s o -l output -d 'Form of the answer' -r -f -a "table\t'Aligned columns and sentences'
json\t'The admin API\'s JSON, with stable keys'"
complete -c outrigger -n "__fish_outrigger_using_subcommand probe" -l token-file -d 'File with the token of `admin.tokenFile` [env: OUTRIGGER_TOKEN_FILE]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand probe" -l ca -d 'With https: PEM file of who vouches for the proxy [default: whom the system trusts] [env: OUTRIGGER_CA]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand probe" -l cert -d 'With https: PEM file of your certificate [env: OUTRIGGER_CERT]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand probe" -l key -d 'With https: PEM file of its key [env: OUTRIGGER_KEY]' -r -F
complete -c outrigger -n "__fish_outrigger_using_subcommand probe" -l server-name -d 'With https: the name in the proxy\'s certificate, as behind a port-forward [default: the host of --addr]' -r
complete -c outrigger -n "__fish_outrigger_using_subcommand probe" -l startup -d 'Has it started? The policy is loaded and the listeners are bound (`/readyz`)'
complete -c outrigger -n "__fish_outrigger_using_subcommand probe" -l ready -d 'May it get requests? The default (`/readyz`)'
complete -c outrigger -n "__fish_outrigger_using_subcommand probe" -l live -d 'Does it answer at all? (`/livez`)'
complete -c outrigger -n "__fish_outrigger_using_subcommand probe" -s h -l help -d 'Print help (see more with \'--help\')'
