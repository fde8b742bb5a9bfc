#!/usr/bin/env bash
# Lays out the root of the image: the program, the certificates that the system trusts, and the places of the volumes.
# Nothing else: no shell, no libc, no user database. The Dockerfile and the tests run these very commands.
#   deploy/image-root.sh DIRECTORY                 builds the program statically, reproducibly: $PROFILE or release
#   PROGRAM=FILE deploy/image-root.sh DIRECTORY    takes this one, with the libraries it is linked to, if any
set -euo pipefail
root=$(realpath -m "$1")
cd "$(dirname "$0")/.."

# Every file of the image has this time; without one it is that of the commit, else of 1970.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || echo 0)}
export SOURCE_DATE_EPOCH=$epoch

# The same bytes wherever it is built: no paths of this machine, no times.
build() {
  local profile=${PROFILE:-release} target sources cargo
  target=$(rustc --print host-tuple)
  sources=$PWD cargo=${CARGO_HOME:-$HOME/.cargo}
  # Linked statically. Names are resolved by hickory-resolver, so glibc's own resolver, which wants shared libraries at
  # run time, is never the first choice.
  export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$cargo=/cargo --remap-path-prefix=$sources=/build"
  export CFLAGS="-ffile-prefix-map=$cargo=/cargo -ffile-prefix-map=$sources=/build"
  CARGO_INCREMENTAL=0 cargo build --locked --profile "$profile" --bin outrigger --target "$target"
  program=${CARGO_TARGET_DIR:-target}/$target/$profile/outrigger
}

libraries() { # PROGRAM: its shared libraries and their loader, one a line
  ldd "$1" 2> /dev/null | grep -o '/[^ ]*' || true
}

program=${PROGRAM:-}
[ -n "$program" ] || build

install -d -m 0555 "$root" "$root/etc" "$root/etc/outrigger" "$root/etc/ssl" "$root/etc/ssl/certs" "$root/var" "$root/var/lib"
install -m 0555 "$program" "$root/outrigger"
# What an upstream's certificate is verified by, unless the policy names a file.
bundle=/etc/ssl/certs/ca-certificates.crt
[ -s "$bundle" ] || { echo "image-root: $bundle is missing: apt-get install ca-certificates" >&2; exit 1; }
install -m 0444 "$bundle" "$root/etc/ssl/certs/ca-certificates.crt"
for library in $(libraries "$program"); do
  install -D -m 0555 "$library" "$root$library"
done
# For `--state-dir` and the stores, if a volume is mounted: a volume takes its owner from here.
install -d -m 0700 "$root/var/lib/outrigger"
if [ "$(id -u)" -eq 0 ]; then chown 65532:65532 "$root/var/lib/outrigger"; fi
find "$root" -exec touch --no-dereference --date="@$epoch" {} +
