#!/usr/bin/env bash
# Installs what the tests call and this machine lacks. Debian and its relatives; elsewhere it names what is missing.
set -euo pipefail

# command and the Debian package that brings it
needed=(
  "cc gcc"                    # links the program and builds mimalloc
  "c++ g++"                   # builds libFuzzer
  "prometheus prometheus"     # scrapes the program, evaluates our rules
  "promtool prometheus"       # judges the metrics page, the rules and their tests
  "chromium chromium"         # reads the page of the admin listener
  "redis-server redis-server" # the store that replicas share
  "systemd-analyze systemd"   # judges the units
  # Clients and servers that others wrote (src/tests/peers).
  "curl curl"
  "h2load nghttp2-client"
  "/usr/sbin/nginx nginx-light"
  "/usr/bin/python3 python3"
)
# module of Debian's Python and the package that brings it
modules=("grpc python3-grpcio" "websockets python3-websockets")

commands=() packages=()
for pair in "${needed[@]}"; do
  read -r command package <<< "$pair"
  if ! command -v "$command" > /dev/null; then
    commands+=("$command")
    [[ " ${packages[*]} " == *" $package "* ]] || packages+=("$package")
  fi
done
for pair in "${modules[@]}"; do
  read -r module package <<< "$pair"
  if ! /usr/bin/python3 -c "import $module" 2> /dev/null; then
    commands+=("$module (Python)") packages+=("$package")
  fi
done
[ ${#packages[@]} -eq 0 ] && exit 0

say() { echo "test-tools: $*" >&2; }

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo > /dev/null; then
    say "missing: ${commands[*]}. Not root and no sudo; ask someone to run: apt-get install ${packages[*]}"
    exit 1
  fi
  as_root=(sudo)
fi
if ! command -v apt-get > /dev/null; then
  say "missing: ${commands[*]}. This system has no apt; Debian's packages are: ${packages[*]}"
  exit 1
fi

say "installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
install() { "${as_root[@]}" apt-get install --yes --quiet --no-install-recommends "${packages[@]}" > /dev/null; }
if ! install 2> /dev/null; then
  "${as_root[@]}" apt-get update --quiet > /dev/null
  if ! install; then
    say "apt could not install ${packages[*]}; see its message above"
    exit 1
  fi
fi
