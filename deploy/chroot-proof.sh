#!/usr/bin/env bash
# Shows, without a container engine, that the image's content runs as Kubernetes would run it: in namespaces of its own,
# as user 65532, its root read-only, the policy from a ConfigMap's mount that is swapped, state on a volume. Needs root,
# ends by itself.
#   deploy/chroot-proof.sh                       builds the image's root first, as the Dockerfile does (minutes)
#   PROFILE=quick-release deploy/chroot-proof.sh   the same, faster to build
#   PROGRAM=FILE deploy/chroot-proof.sh          with this program
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "chroot-proof: $*"; }
fail() { echo "chroot-proof: $*" >&2; [ ! -s "$log" ] || tail -20 "$log" >&2; exit 1; }

log=/dev/null
if [ "$(id -u)" -ne 0 ]; then say "skipped: needs root for namespaces and chroot"; exit 77; fi
unshare --mount --pid --fork true 2> /dev/null || { say "skipped: this machine grants no namespaces"; exit 77; }

scratch=$(mktemp -d)
root=$scratch/root policy=$scratch/policy store=$scratch/store log=$scratch/log
pid=
finish() {
  if [ -n "$pid" ]; then kill -KILL "$pid" 2> /dev/null || true; wait "$pid" 2> /dev/null || true; fi
  rm -rf "$scratch"
}
trap finish EXIT

deploy/image-root.sh "$root"
say "the image's files"
(cd "$root" && find . -type f -printf '%m %9s %P\n')

# Ports that are unlikely to be taken; the proxy says so and ends if they are.
base=$((20000 + RANDOM % 10000))
listen=127.0.0.1:$base metrics=127.0.0.1:$((base + 2))

# As kubelet writes a ConfigMap: a new directory, then the link to it is moved over `..data`.
write_policy() { # REVISION NAME
  local fresh=..2026_11_23_$1
  install -d -m 0755 "$policy/$fresh"
  cat > "$policy/$fresh/policy.yaml" << POLICY
version: 1
name: $2
listen: $listen
admin: { listen: none }
metrics: { listen: $metrics }
drain: { timeout: 2s }
stores: { embedded: { path: /var/lib/outrigger/outrigger.db } }
upstreams:
  nobody:
    url: http://127.0.0.1:$((base + 3))
    timeouts: { request: 2s }
    routes:
    - { name: pay, match: { methods: [POST], path: /pay }, idempotency: { principal: none }, deadLetter: {} }
POLICY
  chmod 0444 "$policy/$fresh/policy.yaml"
  ln -s "$fresh" "$policy/..data_tmp"
  mv --no-target-directory "$policy/..data_tmp" "$policy/..data"
  [ -e "$policy/policy.yaml" ] || ln -s ..data/policy.yaml "$policy/policy.yaml"
}

install -d -m 0755 "$policy"
install -d -m 0700 -o 65532 -g 65532 "$store"
write_policy 1 first

# Mounts of its own, read-only but for the volume of the store; the first process of its own process space.
read -r -d '' inside << 'INSIDE' || true
set -euo pipefail
root=$1 policy=$2 store=$3
mount --bind "$root" "$root"
mount --bind "$policy" "$root/etc/outrigger"
mount -o remount,bind,ro "$root/etc/outrigger"
mount --bind "$store" "$root/var/lib/outrigger"
mount -o remount,bind,ro "$root"
shift 3
exec setpriv --no-new-privs chroot --userspec=65532:65532 --groups=65532 "$root" "$@"
INSIDE

unshare --mount --pid --fork --kill-child=SIGKILL bash -c "$inside" inside "$root" "$policy" "$store" \
  /outrigger run --policy /etc/outrigger/policy.yaml --state-dir /var/lib/outrigger > "$log" 2>&1 &
pid=$!

# The program itself: the only child of `unshare`.
program_pid() { cat "/proc/$pid/task/$pid/children" 2> /dev/null | tr -d ' '; }

# One request by hand, so that neither curl nor anything else is needed. Prints the answer.
ask() { # PORT METHOD PATH [FIELD]
  exec 3<> "/dev/tcp/127.0.0.1/$1" || return 1
  printf '%s %s HTTP/1.1\r\nHost: proof\r\nConnection: close\r\nContent-Length: 0\r\n%s\r\n' "$2" "$3" "${4:-}" >&3
  timeout 10 cat <&3
  exec 3>&-
}
until_true() { # WHAT COMMAND...
  local what=$1
  shift
  for _ in $(seq 200); do
    kill -0 "$pid" 2> /dev/null || fail "the program ended; it said:"
    if "$@" > /dev/null 2>&1; then return; fi
    sleep 0.1
  done
  fail "not within 20 s: $what; it said:"
}
ready() { (ask $((base + 2)) GET /readyz) | grep -q '^HTTP/1.1 200'; }
reloaded() { (ask $((base + 2)) GET /metrics) | grep -q '^outrigger_policy_reloads_total{.*success.*} 2$'; }

until_true "readiness" ready
main=$(program_pid)
say "runs as user, group, with capabilities"
grep -E '^(Uid|Gid|CapEff|NoNewPrivs)' "/proc/$main/status"
grep -q '^Uid:	65532	65532' "/proc/$main/status" || fail "not as user 65532"
grep -q '^CapEff:	0000000000000000' "/proc/$main/status" || fail "it has capabilities"

for place in / /etc/outrigger; do
  awk -v place="$place" '$5 == place && $6 ~ /^ro/ { found = 1 } END { exit !found }' "/proc/$main/mountinfo" \
    || fail "$place is not read-only"
done

say "an exec probe, in the image"
nsenter --target "$main" --mount --pid --root --wd --setuid 65532 --setgid 65532 /outrigger probe --startup --addr "$metrics"

say "a request to an upstream that is down, kept on the volume"
answer=$(ask "$base" POST /pay $'Idempotency-Key: "k"\r\n')
grep -q 'connection_refused' <<< "$answer" || fail "expected connection_refused: $answer"
grep -qi '^outrigger-dead-letter:' <<< "$answer" || fail "expected a dead letter: $answer"
[ -s "$store/outrigger.db" ] || fail "nothing is on the volume"

say "the ConfigMap is swapped"
write_policy 2 second
until_true "the second policy" reloaded

say "SIGTERM"
kill -TERM "$main"
status=0
wait "$pid" || status=$?
pid=
[ "$status" -eq 0 ] || fail "exit code $status; it said:"
say "passed"
