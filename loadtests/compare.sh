#!/usr/bin/env bash
# CPU per request, memory and throughput of Outrigger and its peers, side by side on loopback. See README.md here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
outrigger=${1:-$here/../target/release/outrigger}
rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-5} connections=64
proxy_core=0 load_core=1
[ -x "$outrigger" ] || { echo "compare: $outrigger is not there; run make build first" >&2; exit 2; }
for tool in wrk nginx taskset; do
  command -v "$tool" > /dev/null || { echo "compare: $tool is missing; apt-get install wrk nginx util-linux" >&2; exit 2; }
done

work=$(mktemp -d)
pids=()
finish() { for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done; wait 2> /dev/null || true; rm -rf "$work"; }
trap finish EXIT
start() { # name core command...
  local name=$1 core=$2; shift 2
  taskset -c "$core" "$@" > "$work/$name.out" 2> "$work/$name.err" &
  pids+=($!); echo $! > "$work/$name.pid"
}

# The upstream shares the load's core: the proxy's core is the proxy's alone.
sed "s|WORK|$work|g" "$here/peers/upstream.nginx.conf" > "$work/upstream.conf"
start upstream "$load_core" nginx -c "$work/upstream.conf"
arms=()
start outrigger "$proxy_core" "$outrigger" run --workers 1 --policy "$here/peers/outrigger.yaml"
arms+=(outrigger:4460)
sed "s|WORK|$work|g" "$here/peers/nginx.conf" > "$work/nginx.conf"
start nginx "$proxy_core" nginx -c "$work/nginx.conf"
arms+=(nginx:4461)
if command -v haproxy > /dev/null; then
  start haproxy "$proxy_core" haproxy -db -f "$here/peers/haproxy.cfg"
  arms+=(haproxy:4462)
else echo "haproxy is not installed: skipped"; fi
envoy=${ENVOY:-$(command -v envoy || true)}
if [ -n "$envoy" ]; then
  start envoy "$proxy_core" "$envoy" -c "$here/peers/envoy.yaml" --concurrency 1 -l error
  arms+=(envoy:4463)
else echo "envoy is not installed: skipped (ENVOY=/path/to/envoy names it)"; fi

family() { echo "$1"; pgrep -P "$1" || true; }
ticks() { local user=0 system=0 pid u s; for pid in $(family "$1"); do
  read -r u s < <(awk '{print $14, $15}' "/proc/$pid/stat" 2> /dev/null || echo 0 0); user=$((user + u)) system=$((system + s)); done
  echo "$user $system"; }
rss() { local sum=0 pid kb; for pid in $(family "$1"); do kb=$(awk '/VmRSS/{print $2}' "/proc/$pid/status" 2> /dev/null || echo 0); sum=$((sum + kb)); done; echo "$sum"; }

for arm in "${arms[@]}"; do
  for _ in $(seq 100); do
    [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:${arm#*:}/" || true)" = 200 ] && break
    sleep 0.1
  done
done
echo "machine: $(nproc) cores, $(uname -srm), $(awk -F': ' '/model name/{print $2; exit}' /proc/cpuinfo)"
echo "load:    wrk -t1 -c$connections -d${seconds}s, $rounds rounds, interleaved; proxy on core $proxy_core, load and upstream on core $load_core"
for arm in "${arms[@]}"; do echo "idle RSS after one request: ${arm%%:*} $(rss "$(cat "$work/${arm%%:*}.pid")") kB"; done
printf '%-10s %5s %10s %9s %9s %9s %9s %8s\n' arm round requests req/s user_us sys_us total_us errors
hz=$(getconf CLK_TCK)
for round in $(seq "$rounds"); do
  for arm in "${arms[@]}"; do
    name=${arm%%:*} pid=$(cat "$work/${arm%%:*}.pid")
    read -r u0 s0 < <(ticks "$pid")
    taskset -c "$load_core" wrk -t1 -c"$connections" -d"${seconds}s" "http://127.0.0.1:${arm#*:}/" > "$work/wrk"
    read -r u1 s1 < <(ticks "$pid")
    awk -v name="$name" -v round="$round" -v u="$((u1 - u0))" -v s="$((s1 - s0))" -v hz="$hz" '
      /requests in/ {n = $1} /Requests\/sec/ {rate = $2} /Non-2xx/ {bad = $NF} /Socket errors/ {bad += $4 + $6 + $8 + $10}
      END {printf "%-10s %5d %10d %9.0f %9.2f %9.2f %9.2f %8d\n", name, round, n, rate, u/hz/n*1e6, s/hz/n*1e6, (u+s)/hz/n*1e6, bad}' "$work/wrk" | tee -a "$work/rows"
  done
done
echo
echo "medians, and as ratios to haproxy's CPU time"
python3 - "$work/rows" << 'PY'
import statistics, sys
rows = {}
for line in open(sys.argv[1]):
    name, _, _, rate, user, system, total, bad = line.split()
    rows.setdefault(name, []).append((float(rate), float(user), float(system), float(total), int(bad)))
base = statistics.median(r[3] for r in rows["haproxy"]) if "haproxy" in rows else None
for name, values in rows.items():
    rate, user, system, total = (statistics.median(v[i] for v in values) for i in range(4))
    ratio = f"{total / base:5.2f} x" if base else "    -"
    print(f"{name:<10} {rate:9.0f} req/s   user {user:6.2f} us   system {system:6.2f} us   total {total:6.2f} us   {ratio}   errors {sum(v[4] for v in values)}")
PY
for arm in "${arms[@]}"; do echo "RSS after the load: ${arm%%:*} $(rss "$(cat "$work/${arm%%:*}.pid")") kB"; done
