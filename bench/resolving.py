"""`python -m bench.resolving [--quick]`: the cost of finding a container and connecting to it.

Everything runs in labs (`sm-proxy lab run`, without latency): as root in network namespaces, else
on loopback. Cold: no job or bastion is cached, but the cut-down service models are. Warm: all is
cached. Compare calls and bytes (of response bodies), which the lab's AWS counts. Seconds depend on
the machine, except for the difference to plain ssh, which runs alternately with ours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import Counter
from typing import Final

from bench.connections import CACHED, GRANTED, SM_PROXY, TRACING, TUNNEL, Cost, Measured

LINES: Final = (100, 10_000, 1_000_000)
NODES: Final = (8, 64)
COLD: Final = "ssh, cold"
_TARGETS_S: Final = {"warm": 0.25, "cold": 0.6}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, and no 64 nodes")
    measure(quick=parser.parse_args().quick)


def measure(*, quick: bool) -> None:
    """Run the labs one after the other and print the results."""
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


def in_a_lab(names: list[str], runs: int, *options: str) -> Measured:
    """Take measurements of `bench.connections` in a lab with these options."""
    ours = [sys.executable, "-m", "bench.connections", "--runs", str(runs), *names]
    done = subprocess.run(
        [*SM_PROXY, "lab", "run", *options, "--", *ours], stdout=subprocess.PIPE, check=True
    )
    measured: Measured = json.loads(done.stdout)
    return measured


def print_costs(costs: Measured) -> None:
    """Print calls, bytes and time of each command, cold and warm."""
    print("\n`sm-proxy resolve` and `ssh sm-x true`: calls, bytes of the responses, time")
    for name, runs in costs["runs"].items():
        print(row(name, costs_of(runs)))
    counted = Counter(costs_of(costs["runs"][COLD])[0].operations)
    print(f"  ssh, cold, calls {shown(counted)}")


def print_lines(by_lines: dict[int, Measured]) -> None:
    """Print a cold connection with ever more log lines after the marker."""
    print("\n`ssh sm-x true`, cold, by log lines after the marker; calls and bytes should be flat")
    costs = {lines: Cost(**measured["one"]) for lines, measured in by_lines.items()}
    for lines, cost in costs.items():
        print(row(f"{lines:,} lines", [cost]))
    calls = [len(cost.operations) for cost in costs.values()]
    sizes = [cost.size for cost in costs.values()]
    print(
        f"  largest / smallest: calls {max(calls) / min(calls):.3f}, "
        f"bytes {max(sizes) / min(sizes):.3f}"
    )


def print_nodes(by_nodes: dict[int, Measured]) -> None:
    """Print connections to one node of a job, and to all of its nodes at once."""
    print("\n`ssh sm-x.<n> true`, cold, by number of nodes: to one of them, then to all at once")
    for nodes, measured in by_nodes.items():
        print(row(f"{nodes} node(s), one", [Cost(**measured["one"])]))
        everyone = Cost(**measured["all"])
        failed = f"   {measured['failed']} FAILED" if measured["failed"] else ""
        print(row(f"{nodes} node(s), all", [everyone]) + failed)
        print(f"  {'':24}{shown(Counter(everyone.operations))}")


def print_times(times: Measured) -> None:
    """Print the time that we add to plain ssh."""
    print("\n`ssh sm-x true` and plain ssh to the container's own address, alternately, s")
    print(f"  {'plain ssh':12}{spread(times['plain'])}")
    for state, target in _TARGETS_S.items():
        added = median_of(times[state]) - median_of(times["plain"])
        print(f"  {state:12}{spread(times[state])}   added {added:+.3f} (target: {target})")


def print_shares(shares: Measured, times: Measured) -> None:
    """Print where the time of a connection goes."""
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
        # Printing import times slows imports down, so only their shares are used.
        part = float(imports["until"][end] - imports["until"][begin]) / float(imports["all"])
        return median_at(steps, end) - median_at(steps, begin) - part * importing(state)

    # Both do the same up to reading the cache, and only a warm connection logs that step.
    started = busy(TRACING, CACHED, "warm")
    parts = {
        "interpreter": statistics.median(shares["interpreter"]),
        "imports": importing(state),
        "command line, settings, cache": started,
        "AWS: clients, signing, calls": busy(TRACING, GRANTED) - started,
        "session: websocket, handshake, dial": busy(GRANTED, TUNNEL),
        "ssh itself": median_of(times["plain"]) * 1e3,
    }
    total = median_of(times[state]) * 1e3
    return {**parts, "rest: relay, ends, overlap": total - sum(parts.values()), "total": total}


def median_at(runs: list[dict[str, float]], mark: str) -> float:
    """Median time of a step in ms; the clock starts when the debug log is imported."""
    return 0.0 if mark == TRACING else float(statistics.median(run[mark] for run in runs))


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
    """The median, the quartiles, and the number of calls."""
    seconds = [cost.seconds for cost in costs_of(runs)]
    lower, middle, upper = statistics.quantiles(seconds, n=4, method="inclusive")
    made = "/".join(str(count) for count in sorted({len(run["operations"]) for run in runs}))
    return f"{middle:6.3f} (half within {lower:.3f} to {upper:.3f}) {made:>2} calls"


def median_of(runs: list[Measured]) -> float:
    """The median of their seconds."""
    return statistics.median(cost.seconds for cost in costs_of(runs))


def costs_of(runs: list[Measured]) -> list[Cost]:
    """Costs, from JSON."""
    return [Cost(**run) for run in runs]


if __name__ == "__main__":
    main()
