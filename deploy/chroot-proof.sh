#!/usr/bin/env bash
# Shows, without a container engine, that the image's content runs: the binary alone in an empty root directory, as
# user 65532, with a policy it cannot write. Builds as the Dockerfile does, needs root for chroot, ends by itself.
#   deploy/chroot-proof.sh            PROFILE=quick-release deploy/chroot-proof.sh   (faster to build)
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${PROFILE:-release}
target=$(rustc --print host-tuple)
output=${CARGO_TARGET_DIR:-target}/$target/$profile/outrigger
[ "$(id -u)" -eq 0 ] || { echo "chroot-proof: needs root, because chroot does" >&2; exit 2; }

RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile "$profile" --target "$target"

root=$(mktemp -d)
pid=
finish() {
  if [ -n "$pid" ]; then kill -KILL "$pid" 2> /dev/null || true; fi
  rm -rf "$root" "$root.log"
}
trap finish EXIT

# Ports that are unlikely to be taken; the proxy says so and ends if they are.
base=$((20000 + RANDOM % 10000))
install -D -m 0555 "$output" "$root/outrigger"
install -d -m 0555 "$root/etc/outrigger"
cat > "$root/etc/outrigger/policy.yaml" << POLICY
version: 1
listen: 127.0.0.1:$base
admin: { listen: 127.0.0.1:$((base + 1)) }
metrics: { listen: 127.0.0.1:$((base + 2)) }
upstreams:
  nobody:
    url: http://127.0.0.1:$((base + 3))
    timeouts: { request: 2s }
POLICY
chmod 0444 "$root/etc/outrigger/policy.yaml"
chmod 0555 "$root" "$root/etc"

echo "== content of the root"
(cd "$root" && find . -type f -printf '%m %u %9s %P\n')
echo "== linked"
ldd "$root/outrigger" 2>&1 || true

chroot --userspec=65532:65532 "$root" /outrigger run --policy /etc/outrigger/policy.yaml > "$root.log" 2>&1 &
pid=$!

# One request by hand, so that neither curl nor anything else is needed. Prints the answer.
get() { # PORT PATH
  exec 3<> "/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET %s HTTP/1.1\r\nHost: proof\r\nConnection: close\r\n\r\n' "$2" >&3
  timeout 5 cat <&3
  exec 3>&-
}

ready=
for _ in $(seq 100); do
  if ! kill -0 "$pid" 2> /dev/null; then break; fi
  if (get $((base + 2)) /readyz) 2> /dev/null | grep -q '^HTTP/1.1 200'; then ready=1; break; fi
  sleep 0.1
done
if [ -z "$ready" ]; then
  echo "chroot-proof: not ready; it said:" >&2
  cat "$root.log" >&2
  exit 1
fi

echo "== runs as (uid gid)"
awk '/^(Uid|Gid|CapEff|VmRSS)/' "/proc/$pid/status"
echo "== readyz"
get $((base + 2)) /readyz
printf '\n== a request to an upstream that is down\n'
answer=$(get "$base" /)
printf '%s\n' "$answer"
grep -q 'connection_refused' <<< "$answer" || { echo "chroot-proof: expected connection_refused" >&2; exit 1; }

echo "== SIGTERM"
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
pid=
echo "exit code $status"
[ "$status" -eq 0 ]
