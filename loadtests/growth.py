#!/usr/bin/env python3
"""What a large policy costs the real program: 1 to 1,000 endpoints of one upstream, 1 to 10,000 routes.

    loadtests/growth.py --out FOLDER [--rounds 3] [--seconds 6] [--only start|endpoints|routes|reload|table]

Needs the shipped program and the load tool (make compare-tool). Scenarios and policies are written to a scratch folder,
everything measured to FOLDER, and the tables to standard output and FOLDER/summary.md.
"""
import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ENDPOINTS = [1, 10, 100, 1_000]
ROUTES = [1, 100, 10_000]
STARTS = 7
# Both go to the last route of each policy; with one route, that one.
PATH = "/exact/last"

LOAD = """\
title: {title}
description: {description}
duration: {seconds}s
warmUp: 1s
cost: true
load: {{ arrivals: closed, connections: 64, timeout: 5s, path: {path} }}
upstream: {{ endpoints: {endpoints}, answer: 100B }}
policy: {{ deadline: 2s, attempt: 500ms, retries: 2, connections: 64 }}
gates: ["success >= 99.99%"]
"""

RELOADS = """\
title: {title}
description: Does a reload of 10,000 routes move the latency of anything else?
duration: 6s
warmUp: 1s
load: {{ rate: 1000, connections: 64, timeout: 3s, path: {path} }}
upstream: {{ endpoints: 2, answer: 100B }}
policy: {{ deadline: 2s, attempt: 500ms, retries: 2 }}
{faults}gates: ["success >= 100%"]
"""


def policy(endpoints, routes, request="2s", listen=4400, admin=4490, metrics=4491):
    """Retries, breaker and deadline on; exact paths and prefixes take turns."""
    lines = ["version: 1", f"listen: 127.0.0.1:{listen}", f"admin: {{ listen: 127.0.0.1:{admin} }}",
             f"metrics: {{ listen: 127.0.0.1:{metrics} }}", "accessLog: { sampleRatio: 0.01 }", "upstreams:", "  up:",
             "    limits: { connections: 256, requests: 256 }",
             f"    timeouts: {{ request: {request}, backendRequest: 500ms }}",
             "    retry: { attempts: 2 }", "    circuitBreaker: {}", "    endpoints:"]
    lines += [f"      - http://127.0.{1 + n // 250}.{1 + n % 250}:9" for n in range(endpoints)]
    lines.append("    routes:")
    forms = ["path: /exact/{}", "pathPrefix: /prefix/{}"]
    lines += [f"      - {{ name: r{n}, match: {{ {forms[n % 2].format(n)} }} }}" for n in range(routes - 1)]
    lines.append(f"      - {{ name: last, match: {{ path: {PATH} }} }}")
    return "\n".join(lines) + "\n"


def write(path, text):
    """Whole at any time: the program watches the file."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def ready(url):
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def resident_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


def one_start(outrigger, folder, endpoints, routes):
    """Milliseconds to readiness and of a reload that changes every route, and resident memory before it."""
    listen, admin, metrics = free_ports(3)
    addresses = {"listen": listen, "admin": admin, "metrics": metrics}
    path = os.path.join(folder, "policy.yaml")
    write(path, policy(endpoints, routes, **addresses))
    began = time.perf_counter()
    command = [outrigger, "run", "--policy", path, "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not ready(f"http://127.0.0.1:{metrics}/readyz"):
            if process.poll() is not None or time.perf_counter() - began > 30:
                sys.exit(f"{' '.join(command)}: does not become ready")
            time.sleep(0.0005)
        start = (time.perf_counter() - began) * 1000
        memory = resident_mib(process.pid)
        write(path, policy(endpoints, routes, request="1900ms", **addresses))
        order = urllib.request.Request(f"http://127.0.0.1:{admin}/policy/reload", data=b"{}", method="POST",
                                       headers={"x-outrigger-admin": "1", "content-type": "application/json"})
        began = time.perf_counter()
        with urllib.request.urlopen(order, timeout=30) as answer:
            changed = json.load(answer)["changed"]
        # Where its watcher was faster than we, there is nothing to time.
        reload = (time.perf_counter() - began) * 1000 if changed else None
        return {"endpoints": endpoints, "routes": routes, "start_ms": start, "reload_ms": reload,
                "idle_rss_mib": memory}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def starts(args, folder):
    cases = [(count, 1) for count in ENDPOINTS] + [(1, count) for count in ROUTES[1:]]
    rows = [one_start(args.outrigger, folder, *case) for _ in range(STARTS) for case in cases]
    write(os.path.join(args.out, "start.json"), json.dumps(rows, indent=1) + "\n")


def bench(args, *words):
    command = [args.bench, "run", *words, "--outrigger", args.outrigger]
    if subprocess.run(command, check=False).returncode == 2:
        sys.exit(f"{' '.join(command)}: failed")


def endpoints(args, folder):
    """Every round plays all sizes, so that drift of the machine meets all of them."""
    files = []
    for count in ENDPOINTS:
        files.append(os.path.join(folder, f"endpoints-{count}.yaml"))
        write(files[-1], LOAD.format(title=f"{count:,} endpoints", seconds=args.seconds, path="/", endpoints=count,
                                     description="What does a request cost with so many endpoints?"))
    for number in range(1, args.rounds + 1):
        bench(args, *files, "--arm", "outrigger", "--rounds", "1", "--seed", str(number),
              "--out", os.path.join(args.out, f"endpoints-{number}"))


def arms(folder):
    for count in ROUTES:
        path = os.path.join(folder, f"routes-{count}-policy.yaml")
        write(path, policy(1, count))
        yield from ("--arm", f"outrigger-{count}=outrigger,policy={path}")


def routes(args, folder):
    path = os.path.join(folder, "routes.yaml")
    write(path, LOAD.format(title="1 to 10,000 routes", seconds=args.seconds, path=PATH, endpoints=1,
                            description="What does a request to the last of so many routes cost?"))
    bench(args, path, *arms(folder), "--rounds", str(args.rounds), "--out", os.path.join(args.out, "routes"))


def reload(args, folder):
    """The same load without and with four reloads."""
    files = []
    faults = "faults:\n" + "".join(f"  - {{ at: {at}s, what: reload }}\n" for at in (1, 2, 3, 4))
    for name, script in (("undisturbed", ""), ("four-reloads", faults)):
        files.append(os.path.join(folder, f"{name}.yaml"))
        write(files[-1], RELOADS.format(title=name, path=PATH, faults=script))
    bench(args, *files, *arms(folder), "--rounds", str(args.rounds), "--out", os.path.join(args.out, "reload"))


def spread(values, form):
    values = list(values)
    if not values:
        return "–"
    middle, least, most = (form.format(value) for value in (statistics.median(values), min(values), max(values)))
    return middle if least == most else f"{middle} ({least}–{most})"


def played(out, folder):
    """Scenario, arm and one valid or invalid round at a time, of a run's folder."""
    try:
        with open(os.path.join(out, folder, "run.json"), encoding="utf-8") as file:
            run = json.load(file)
    except FileNotFoundError:
        return
    for scenario in run["scenarios"]:
        for arm in scenario["arms"]:
            for number in arm["rounds"]:
                yield scenario, arm["arm"], number


def p99_ms(number):
    """The first point at or above 99 %."""
    return next(micros for share, micros in number["client"]["latency"] if share >= 0.99) / 1000


def figure(number):
    """CPU per request, requests per second, p99, resident memory at the end."""
    cost, client = number["cost"], number["client"]
    cpu = (cost["user_s"] + cost["system_s"]) * 1e6 / max(cost["requests"], 1)
    return cpu, client["ok"] / client["seconds"], p99_ms(number), cost["rss_kib"] / 1024


def load_table(title, groups):
    """One line per size: the first is what the others are compared with."""
    lines = [f"| {title} | CPU per request, µs | next to the first | requests/s | p99, ms | RSS at the end, MiB |",
             "|---|---|---|---|---|---|"]
    base = None
    for label, rounds in groups.items():
        figures = [figure(each) for each in rounds if not each["invalid"]]
        if not figures:
            lines.append(f"| {label} | no valid round of {len(rounds)} | | | | |")
            continue
        cpu, rate, p99, memory = zip(*figures)
        base = base or statistics.median(cpu)
        lines.append(f"| {label} | {spread(cpu, '{:.2f}')} | {statistics.median(cpu) / base:.3f} "
                     f"| {spread(rate, '{:,.0f}')} | {spread(p99, '{:.2f}')} | {spread(memory, '{:.1f}')} |")
    return lines


def start_table(args):
    lines = ["| endpoints, routes | start to ready, ms | reload that changes every route, ms | idle RSS, MiB |",
             "|---|---|---|---|"]
    try:
        with open(os.path.join(args.out, "start.json"), encoding="utf-8") as file:
            rows = json.load(file)
    except FileNotFoundError:
        return []
    for case in dict.fromkeys((row["endpoints"], row["routes"]) for row in rows):
        own = [row for row in rows if (row["endpoints"], row["routes"]) == case]
        columns = [spread((row[key] for row in own if row[key] is not None), "{:.1f}")
                   for key in ("start_ms", "reload_ms", "idle_rss_mib")]
        lines.append(f"| {case[0]:,}, {case[1]:,} | {' | '.join(columns)} |")
    return lines


def reload_table(args):
    lines = ["| routes | without a reload: p99, ms | four reloads in six seconds: p99, ms | requests that failed |",
             "|---|---|---|---|"]
    groups = {}
    for scenario, arm, number in played(args.out, "reload"):
        groups.setdefault(arm, {}).setdefault(scenario["name"], []).append(number)
    for arm, both in groups.items():
        columns = [spread((p99_ms(number) for number in both.get(name, []) if not number["invalid"]), "{:.2f}")
                   for name in ("undisturbed", "four-reloads")]
        clients = [number["client"] for numbers in both.values() for number in numbers]
        failed = sum(client["intended"] - client["ok"] for client in clients)
        lines.append(f"| {int(arm.split('-')[-1]):,} | {' | '.join(columns)} | {failed} |")
    return lines if groups else []


def table(args, _folder):
    groups = {}
    for number in range(1, args.rounds + 1):
        for scenario, _, each in played(args.out, f"endpoints-{number}"):
            groups.setdefault(scenario["title"].removesuffix(" endpoints"), []).append(each)
    of_routes = {}
    for _, arm, each in played(args.out, "routes"):
        of_routes.setdefault(f"{int(arm.split('-')[-1]):,}", []).append(each)
    parts = [start_table(args)]
    parts += [load_table(title, rounds) for title, rounds in (("endpoints", groups), ("routes", of_routes)) if rounds]
    text = "\n\n".join("\n".join(lines) for lines in [*parts, reload_table(args)] if lines) + "\n"
    write(os.path.join(args.out, "summary.md"), text)
    print(text)


def main():
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    parts = {"start": starts, "endpoints": endpoints, "routes": routes, "reload": reload, "table": table}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder of the results")
    parser.add_argument("--outrigger", default=f"{target}/release/outrigger")
    parser.add_argument("--bench", default=f"{target}/quick-release/outrigger-bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6, help="of each turn under load")
    parser.add_argument("--only", choices=parts, help="this part; the others keep what an earlier call measured")
    args = parser.parse_args()
    for program in (args.outrigger, args.bench):
        if not os.access(program, os.X_OK):
            parser.error(f"{program} is not there; build it: make compare-tool")
    os.makedirs(args.out, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="outrigger-growth-") as folder:
        for name in [args.only, "table"] if args.only and args.only != "table" else [args.only] if args.only else parts:
            parts[name](args, folder)


if __name__ == "__main__":
    main()
