"""`python -m bench.resolving [--quick]`: what it takes to find a container and to get to it.

Everything runs in labs of its own (`sm-proxy lab run`, without latency): as root in network
namespaces, else on loopback. Cold means that nothing is remembered of jobs and bastions, while the
cut-down service models are kept; warm means that everything is. Calls and bytes (of the answers'
bodies) are what the lab's AWS has written down. They count; seconds are for orientation, except for
what is added to plain ssh, which is taken in turns with it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

Measured = dict[str, Any]

SM_PROXY: Final = (sys.executable, "-I", "-m", "sm_proxy")
FORGOTTEN: Final = ("jobs", "bastions")
LINES: Final = (100, 10_000, 1_000_000)
NODES: Final = (8, 64)
LOOKED: Final = ("resolve", "ssh", "ssh, bastion named")
COLD: Final = "ssh, cold"
_LIMIT_S: Final = 120.0
_PAUSE_S: Final = 0.05
_TRIES: Final = 3
_TRACING: Final = "sm_proxy.local.debug_log"
_REMEMBERED: Final = "remembered"
_GRANTED: Final = "session granted"
_TUNNEL: Final = "tunnel up"
_STEP: Final = re.compile(r"\s*([\d.]+) ms  (.+)")
_IMPORT: Final = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
_IMPORT_ALL: Final = """
import contextlib, importlib, sys, time
started = time.perf_counter()
for name in sys.argv[1:]:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
print((time.perf_counter() - started) * 1e3, file=sys.stderr)
"""
_TARGETS_S: Final = {"warm": 0.25, "cold": 0.6}


@dataclass(frozen=True)
class Cost:
    """What one run of a command took.

    Attributes:
        seconds: of the wall clock.
        operations: the API calls it made.
        size: bytes of all answers' bodies.
    """

    seconds: float
    operations: list[str]
    size: int


def main() -> None:
    """Measure and print; inside a lab, measure and hand over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, and no 64 nodes")
    parser.add_argument("--inside", choices=_INSIDE, nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        warm_up()
        print(json.dumps({name: _INSIDE[name](args.runs) for name in args.inside}))
    else:
        measure(quick=args.quick)


# ---- outside: labs, and what is printed ----


def measure(*, quick: bool) -> None:
    """Start the labs one after the other and print what was measured in them."""
    runs = 4 if quick else 15
    first = in_a_lab(["costs", "wide", "times", "shares"], runs, "--log-lines", str(LINES[0]))
    network = first["costs"]["network"]
    print(
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"medians of {runs}, labs without latency on {network}"
        + ("" if network == "netns" else " (as root: network namespaces)")
    )
    print_costs(first["costs"])
    by_lines = {LINES[0]: first["wide"]}
    for lines in LINES[1:]:
        by_lines[lines] = in_a_lab(["wide"], 1, "--log-lines", str(lines))["wide"]
    print_lines(by_lines)
    by_nodes = {1: first["wide"]}
    for nodes in NODES[:1] if quick else NODES:
        options = ("--nodes", str(nodes), "--log-lines", str(LINES[0]))
        by_nodes[nodes] = in_a_lab(["wide"], 1, *options)["wide"]
    print_nodes(by_nodes)
    print_times(first["times"])
    print_shares(first["shares"], first["times"])


def in_a_lab(inside: list[str], runs: int, *options: str) -> Measured:
    """Run ourselves in a lab with these options; return what was measured there."""
    ours = [sys.executable, "-m", "bench.resolving", "--runs", str(runs), "--inside", *inside]
    done = subprocess.run(
        [*SM_PROXY, "lab", "run", *options, "--", *ours], stdout=subprocess.PIPE, check=True
    )
    measured: Measured = json.loads(done.stdout)
    return measured


def print_costs(costs: Measured) -> None:
    """Calls, bytes and time of each command, cold and warm."""
    print("\nof `sm-proxy resolve` and `ssh sm-x true`: calls, bytes of their answers, time")
    for name, runs in costs["runs"].items():
        print(row(name, costs_of(runs)))
    counted = Counter(costs_of(costs["runs"][COLD])[0].operations)
    print(f"  ssh, cold, calls {shown(counted)}")


def print_lines(by_lines: dict[int, Measured]) -> None:
    """The same cold connection with more and more lines behind the marker."""
    print("\n`ssh sm-x true`, cold, by log lines behind the marker; calls and bytes are to be flat")
    costs = {lines: Cost(**measured["one"]) for lines, measured in by_lines.items()}
    for lines, cost in costs.items():
        print(row(f"{lines:,} lines", [cost]))
    calls = [len(cost.operations) for cost in costs.values()]
    sizes = [cost.size for cost in costs.values()]
    print(
        f"  most against least: calls {max(calls) / min(calls):.3f}, "
        f"bytes {max(sizes) / min(sizes):.3f}"
    )


def print_nodes(by_nodes: dict[int, Measured]) -> None:
    """Connections to one node of a job, and to all of its nodes at once."""
    print("\n`ssh sm-x.<n> true`, cold, by nodes of the job: to one of them, then to all at once")
    for nodes, measured in by_nodes.items():
        print(row(f"{nodes} node(s), one", [Cost(**measured["one"])]))
        everyone = Cost(**measured["all"])
        failed = f"   {measured['failed']} FAILED" if measured["failed"] else ""
        print(row(f"{nodes} node(s), all", [everyone]) + failed)
        print(f"  {'':24}{shown(Counter(everyone.operations))}")


def print_times(times: Measured) -> None:
    """What we add to plain ssh."""
    print("\n`ssh sm-x true` against plain ssh to the container's own address, in turns, s")
    print(f"  {'plain ssh':12}{spread(times['plain'])}")
    for state, target in _TARGETS_S.items():
        added = median_of(times[state]) - median_of(times["plain"])
        print(f"  {state:12}{spread(times[state])}   added {added:+.3f} (to reach: {target})")


def print_shares(shares: Measured, times: Measured) -> None:
    """Where the time of a connection goes."""
    print(
        "\nshares of `ssh sm-x true`, ms, of the medians above\n"
        "  interpreter: `python -c pass`; imports: of all that the helper imports, in another "
        "process;\n"
        "  ssh itself: plain ssh; the others: between steps of SM_PROXY_LOG=debug, without the "
        "imports there"
    )
    parts = {name: shares_of(shares, times, name) for name in _TARGETS_S}
    print(f"  {'':38}" + "".join(f"{name:>16}" for name in parts))
    for name in parts["warm"]:
        cells = (
            f"{part[name]:6.0f} ({part[name] / part['total']:4.0%})" for part in parts.values()
        )
        print(f"  {name:38}" + "".join(f"{cell:>16}" for cell in cells))


def shares_of(shares: Measured, times: Measured, state: str) -> dict[str, float]:
    """The parts of a warm or cold connection in ms; they add up to its total."""

    def importing(state: str) -> float:
        return float(statistics.median(shares["imports"][state]["timed"]))

    def busy(begin: str, end: str, state: str = state) -> float:
        steps, imports = shares["steps"][state], shares["imports"][state]
        # Writing import times out slows imports down: only the shares they tell are used.
        part = float(imports["until"][end] - imports["until"][begin]) / float(imports["all"])
        return median_at(steps, end) - median_at(steps, begin) - part * importing(state)

    # Up to the look into the cache both do the same, and only a warm one says when it is there.
    started = busy(_TRACING, _REMEMBERED, "warm")
    parts = {
        "interpreter": statistics.median(shares["interpreter"]),
        "imports": importing(state),
        "command line, settings, cache": started,
        "AWS: clients, signing, calls": busy(_TRACING, _GRANTED) - started,
        "session: websocket, handshake, dial": busy(_GRANTED, _TUNNEL),
        "ssh itself": median_of(times["plain"]) * 1e3,
    }
    total = median_of(times[state]) * 1e3
    return {**parts, "rest: relay, ends, overlap": total - sum(parts.values()), "total": total}


def median_at(runs: list[dict[str, float]], mark: str) -> float:
    """When a mark was reached, in ms; the clock of the steps starts with its own import."""
    return 0.0 if mark == _TRACING else float(statistics.median(run[mark] for run in runs))


def row(name: str, runs: list[Cost]) -> str:
    """One line of a table: calls, bytes, seconds."""
    calls = statistics.median(len(cost.operations) for cost in runs)
    size = statistics.median(cost.size for cost in runs)
    seconds = statistics.median(cost.seconds for cost in runs)
    return f"  {name:24}{calls:5.0f} calls {size:10,.0f} bytes {seconds:8.3f} s"


def shown(counted: Counter[str]) -> str:
    """`DescribeSubnets 1, StartSession 64`."""
    return ", ".join(f"{name} {count}" for name, count in counted.items())


def spread(runs: list[Measured]) -> str:
    """The median, between what the middle half lies, and the calls made by each."""
    seconds = [cost.seconds for cost in costs_of(runs)]
    lower, middle, upper = statistics.quantiles(seconds, n=4, method="inclusive")
    made = "/".join(str(count) for count in sorted({len(run["operations"]) for run in runs}))
    return f"{middle:6.3f} (half within {lower:.3f} to {upper:.3f}) {made:>2} calls"


def median_of(runs: list[Measured]) -> float:
    """The median of their seconds."""
    return statistics.median(cost.seconds for cost in costs_of(runs))


def costs_of(runs: list[Measured]) -> list[Cost]:
    """Costs, out of JSON."""
    return [Cost(**run) for run in runs]


# ---- inside a lab ----


def warm_up() -> None:
    """Have everything made that is made once: cut-down models, bytecode, host keys."""
    for _ in range(2):
        run(ssh())
        run(plain_ssh())


def costs(runs: int) -> Measured:
    """Calls, bytes and time of the commands, cold and warm."""
    commands = {
        LOOKED[0]: ([*SM_PROXY, "resolve", os.environ["SM_PROXY_LAB_HOST"]], {}),
        LOOKED[1]: (ssh(), {}),
        LOOKED[2]: (ssh(), {"SM_PROXY_BASTION": os.environ["SM_PROXY_LAB_BASTION"]}),
    }
    found = {
        f"{name}, {state}": [
            asdict(cost_of([command], cold=state == "cold", extra=extra))
            for _ in range(1 + runs // 4)
        ]
        for name, (command, extra) in commands.items()
        for state in ("cold", "warm")
    }
    return {"network": os.environ["SM_PROXY_LAB_NETWORK"], "runs": found}


def wide(_: int) -> Measured:
    """One node of the job, then all at once, cold."""
    nodes = range(1, len(os.environ["SM_PROXY_LAB_ADDRESSES"].split()) + 1)
    one = cost_of([ssh(".1")], cold=True)
    failed: list[int] = []
    everyone = cost_of([ssh(f".{node}") for node in nodes], cold=True, failed=failed)
    return {"one": asdict(one), "all": asdict(everyone), "failed": len(failed)}


def times(runs: int) -> Measured:
    """Plain ssh, a warm connection and a cold one, in turns."""
    taken: dict[str, list[Measured]] = {"plain": [], "warm": [], "cold": []}
    for _ in range(runs):
        taken["plain"].append(asdict(cost_of([plain_ssh()])))
        taken["warm"].append(asdict(cost_of([ssh()])))
        taken["cold"].append(asdict(cost_of([ssh()], cold=True)))
    return taken


def shares(runs: int) -> Measured:
    """Steps and imports of warm and cold connections, and what the interpreter takes by itself."""
    found: Measured = {"interpreter": [], "steps": {}, "imports": {}}
    for state in ("warm", "cold"):
        found["steps"][state] = [
            steps_in(helped(cold=state == "cold", SM_PROXY_LOG="debug")) for _ in range(runs)
        ]
        extra = {"SM_PROXY_LOG": "debug", "PYTHONPROFILEIMPORTTIME": "1"}
        tries = [imports_in(helped(cold=state == "cold", **extra)) for _ in range(_TRIES)]
        found["imports"][state] = min(tries, key=lambda imports: float(imports["all"]))
    for _ in range(runs):
        found["interpreter"].append(cost_of([[sys.executable, "-c", "pass"]]).seconds * 1e3)
        for imports in found["imports"].values():
            command = [sys.executable, "-c", _IMPORT_ALL, *imports["names"]]
            imports["timed"].append(float(run(command)))
    return found


_INSIDE: Final = {"costs": costs, "wide": wide, "times": times, "shares": shares}


def helped(*, cold: bool, **extra: str) -> str:
    """What one connection and its helper say on stderr."""
    settle()
    if cold:
        forget()
    return run(ssh(), **extra)


def steps_in(said: str) -> dict[str, float]:
    """When the helper came to each mark, in ms."""
    found = (_STEP.fullmatch(line) for line in said.splitlines())
    steps = {step[2]: float(step[1]) for step in found if step}
    return {
        mark: at
        for mark in (_REMEMBERED, _GRANTED, _TUNNEL)
        for step, at in steps.items()
        if step.startswith(mark)
    }


def imports_in(said: str) -> Measured:
    """What the helper imported beyond what any interpreter does: ms of all and until each mark."""
    bare = run([sys.executable, "-c", "pass"], PYTHONPROFILEIMPORTTIME="1")
    known = {name for _, name in _IMPORT.findall(bare)}
    took = 0.0
    until: dict[str, float] = {}
    names: list[str] = []
    for line in said.splitlines():
        if (found := _IMPORT.match(line)) and found[2] not in known:
            took += int(found[1]) / 1e3
            names.append(found[2])
            if found[2] == _TRACING:
                until[_TRACING] = took
        until |= dict.fromkeys(steps_in(line), took)
    return {"all": took, "until": until, "names": names, "timed": []}


def cost_of(
    commands: list[list[str]],
    *,
    cold: bool = False,
    failed: list[int] | None = None,
    extra: dict[str, str] | None = None,
) -> Cost:
    """Run these at the same time; what they took together.

    Args:
        commands: what to run.
        cold: forget first what is remembered.
        failed: takes the exit statuses of those that fail; without it a failure ends all.
        extra: environment variables.
    """
    settle()
    if cold:
        forget()
    before = len(calls())
    started = time.perf_counter()
    processes = [popen(command, **(extra or {})) for command in commands]
    said = [process.communicate(timeout=_LIMIT_S)[1] for process in processes]
    seconds = time.perf_counter() - started
    wrong = [process.returncode for process in processes if process.returncode]
    if failed is not None:
        failed += wrong
    elif wrong:
        raise RuntimeError("".join(said))
    made = calls()[before:]
    return Cost(seconds, [call["operation"] for call in made], sum(call["bytes"] for call in made))


def run(command: list[str], **extra: str) -> str:
    """Run one to its end; what it said on stderr."""
    process = popen(command, **extra)
    said = process.communicate(timeout=_LIMIT_S)[1]
    if process.returncode:
        raise RuntimeError(said)
    return said


def popen(command: list[str], **extra: str) -> subprocess.Popen[str]:
    """Start one."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **extra},
    )


def ssh(node: str = "") -> list[str]:
    """`ssh sm-x true` with the lab's config."""
    host = os.environ["SM_PROXY_LAB_HOST"] + node
    return ["ssh", "-F", os.environ["SM_PROXY_LAB_SSH_CONFIG"], host, "true"]


def plain_ssh() -> list[str]:
    """The same key and options to the container's own address, from where that can be reached."""
    _, _, where = os.environ["SM_PROXY_LAB_ADDRESSES"].split()[0].partition("=")
    address, _, port = where.rpartition(":")
    ours = Path(os.environ["SM_PROXY_LAB_SSH_CONFIG"]).parent / "sm-proxy"
    pinned = ours / "known_hosts.d" / os.environ["SM_PROXY_LAB_HOST"]
    options = {
        "IdentityFile": ours / "id_ed25519",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": pinned,
        "GlobalKnownHostsFile": "none",
        "UpdateHostKeys": "no",
        "Compression": "yes",
    }
    words = [f"-o{name}={value}" for name, value in options.items()]
    user = os.environ["SM_PROXY_LAB_USER"]
    on_bastion = shlex.split(os.environ["SM_PROXY_LAB_ON_BASTION"])
    return [*on_bastion, "ssh", "-F", "none", *words, "-p", port, f"{user}@{address}", "true"]


def settle() -> None:
    """Wait for what an earlier connection still does after its ssh has ended."""
    sessions = Path(os.environ["SM_PROXY_LAB_SESSIONS"])
    deadline = time.monotonic() + _LIMIT_S
    while sessions.read_text().strip():
        if time.monotonic() > deadline:
            raise RuntimeError(f"sessions are left open: {sessions.read_text()}")
        time.sleep(0.01)
    time.sleep(_PAUSE_S)


def forget() -> None:
    """Remove what is remembered of jobs and bastions; the cut-down models stay."""
    for purpose in FORGOTTEN:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(Path(os.environ["SM_PROXY_CACHE_DIR"]) / purpose)


def calls() -> list[Measured]:
    """Every AWS call so far."""
    lines = Path(os.environ["SM_PROXY_LAB_CALLS"]).read_text().splitlines()
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
