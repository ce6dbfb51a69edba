"""`python -m bench.connect [--quick]`: `ssh sm-x` by each route, against plain ssh, in one lab.

As root, because the lab needs network namespaces. Plain ssh goes to the container's own address,
from the terminal inside the VPC, with the options of our Host block. `direct` runs there too, the
other routes on the laptop. Each round runs every arm once, so that all arms see the same load;
compare ratios, not seconds. Cold: no job, bastion or place is cached. No arm compresses: see
`config write --no-compression`.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.connections import SM_PROXY, plain_ssh, settle
from sm_proxy.settings.route_names import ROUTE_NAMES

_TARGET_S: Final = 0.15
_TARGET_RATIO: Final = 0.9
_FORGOTTEN: Final = ("jobs", "bastions", "places", "routes")
_SIZE: Final = 512 << 20
"""So much that the start of ssh is a small part of the time."""
_MAKE: Final = f"head -c {_SIZE} /dev/zero"
_LIMIT_S: Final = 300.0
_NO_COMPRESSION: Final = "-oCompression=no"


@dataclass(frozen=True)
class Arm:
    """One way to run ssh.

    Attributes:
        name: for the table.
        words: the ssh command, up to the host.
        inside: whether it runs in the terminal inside the VPC; else on the laptop.
        route: the route that is forced; empty for plain ssh.
    """

    name: str
    words: Sequence[str]
    inside: bool
    route: str = ""


class Terminal:
    """A process in one of the lab's terminals that runs and times commands there."""

    def __init__(self, prefix: str) -> None:
        self._process = subprocess.Popen(
            [*shlex.split(prefix), sys.executable, "-m", "bench.connect", "--terminal"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self, command: Sequence[str], route: str) -> float:
        """The time of a command.

        Raises:
            RuntimeError: it failed.
        """
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        assert self._process.stdout is not None  # noqa: S101 - as above
        self._process.stdin.write(json.dumps([command, route]) + "\n")
        self._process.stdin.flush()
        taken, said = json.loads(self._process.stdout.readline())
        if taken is None:
            raise RuntimeError(said)
        return float(taken)

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=_LIMIT_S)


def main() -> None:
    """Measure and print; inside the lab, or to start one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and less data")
    parser.add_argument("--in-lab", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--terminal", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.terminal:
        serve()
    elif args.in_lab:
        measure(quick=args.quick)
    else:
        words = [sys.executable, "-m", "bench.connect", "--in-lab", *["--quick"] * args.quick]
        sys.exit(subprocess.run([*SM_PROXY, "lab", "run", "--", *words], check=False).returncode)


def serve() -> None:
    """Run the commands that stdin names, and print the time of each."""
    for line in sys.stdin:
        command, route = json.loads(line)
        began = time.perf_counter()
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=_LIMIT_S,
            env={**os.environ, **({"SM_PROXY_ROUTE": route} if route else {})},
        )
        taken = time.perf_counter() - began
        print(json.dumps([None if done.returncode else taken, done.stderr]), flush=True)


def measure(*, quick: bool) -> None:
    """Measure in a lab that runs, and print."""
    if os.environ["SM_PROXY_LAB_NETWORK"] != "netns":
        sys.exit("bench.connect needs network namespaces: run it as root on Linux")
    host = os.environ["SM_PROXY_LAB_HOST"]
    enable = subprocess.run([*SM_PROXY, "enable-remote-debug", host], check=False)
    arms = arms_for(with_remote_debug=enable.returncode == 0)
    rounds = 3 if quick else 15
    terminals = {
        True: Terminal(os.environ["SM_PROXY_LAB_INSIDE"]),
        False: Terminal(""),
    }
    try:
        print(
            f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, "
            f"load {os.getloadavg()[0]:.1f}, {rounds} rounds in one lab, no latency"
        )
        arms = print_times(arms, terminals, rounds)
        print_throughput(arms, terminals, 3 if quick else 7)
    finally:
        for terminal in terminals.values():
            terminal.close()


def arms_for(*, with_remote_debug: bool) -> list[Arm]:
    """Plain ssh first, then one arm for each route, and `direct` as a pump."""
    host, config = os.environ["SM_PROXY_LAB_HOST"], os.environ["SM_PROXY_LAB_SSH_CONFIG"]
    on_bastion = len(shlex.split(os.environ["SM_PROXY_LAB_ON_BASTION"]))
    _, *options, there, _ = plain_ssh()[on_bastion:]
    words = ["ssh", _NO_COMPRESSION, *options, there]  # the first value of an option wins
    ours = ["ssh", "-F", config, _NO_COMPRESSION]
    routes = [
        Arm(name, [*ours, host], name == "direct", name)
        for name in ROUTE_NAMES
        if with_remote_debug or name != "remote-debug"
    ]
    pump = Arm("direct, pumped", [*ours, "-oProxyUseFdpass=no", host], inside=True, route="direct")
    return [Arm("plain ssh", words, inside=True), *routes, pump]


def print_times(arms: list[Arm], terminals: dict[bool, Terminal], rounds: int) -> list[Arm]:
    """Print the time of `ssh ... true` by each arm, warm and cold; return the arms that work."""
    works = [arm for arm in arms[1:] if can_serve(arm, terminals)]
    works.insert(0, arms[0])  # ours have pinned the host key for it
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for arm in works:
            for state in ("warm", "cold") if arm.route else ("",):
                settle()
                if state == "cold":
                    forget()
                seconds = terminals[arm.inside].seconds([*arm.words, "true"], arm.route)
                taken.setdefault((arm.name, state), []).append(seconds)
    plain = statistics.median(taken[works[0].name, ""])
    print("\n`ssh ... true`: seconds, ratio to plain ssh, seconds added to plain ssh")
    for (name, state), runs in taken.items():
        middle = statistics.median(runs)
        target = f" (target {_TARGET_S:+.2f})" if (name, state) == ("direct", "warm") else ""
        shown = f"  {name:18}{state:6}{spread(runs)}"
        print(f"{shown}  x {middle / plain:5.2f}  {middle - plain:+.3f}{target}")
    return works


def print_throughput(arms: list[Arm], terminals: dict[bool, Terminal], rounds: int) -> None:
    """Print how fast plain ssh and the direct route copy, both ways."""
    chosen = [arm for arm in arms if arm.inside]
    print(
        f"\ncopying {_SIZE >> 20} MiB through ssh, {rounds} rounds, the whole command: MB/s, ratio "
        "to plain ssh"
    )
    for way in ("down", "up"):
        rates: dict[str, list[float]] = {arm.name: [] for arm in chosen}
        for _ in range(rounds):
            for arm in chosen:
                settle()
                words = [*arm.words, _MAKE]
                if way == "up":
                    words = ["sh", "-c", f'{_MAKE} | "$@"', "sh", *arm.words, "cat >/dev/null"]
                seconds = terminals[arm.inside].seconds(words, arm.route)
                rates[arm.name].append(_SIZE / 1e6 / seconds)
        plain = statistics.median(rates[chosen[0].name])
        for name, found in rates.items():
            target = f" (target {_TARGET_RATIO})" if name == "direct" else ""
            ratio = statistics.median(found) / plain
            print(f"  {way:6}{name:18}{spread(found, 0)}  x {ratio:5.2f}{target}")


def can_serve(arm: Arm, terminals: dict[bool, Terminal]) -> bool:
    """Whether an arm works here; it also warms the caches."""
    try:
        for _ in range(2):
            terminals[arm.inside].seconds([*arm.words, "true"], arm.route)
    except RuntimeError as error:
        print(f"  {arm.name}: left out: {str(error).strip()}")
        return False
    return True


def forget() -> None:
    """Empty the caches that a connection fills; the cut-down models stay."""
    for purpose in _FORGOTTEN:
        shutil.rmtree(Path(os.environ["SM_PROXY_CACHE_DIR"]) / purpose, ignore_errors=True)


def spread(found: list[float], digits: int = 3) -> str:
    """The median, and the quartiles around it."""
    lower, middle, upper = statistics.quantiles(found, n=4, method="inclusive")
    width = 6 if digits else 5
    return f"{middle:{width}.{digits}f} (half within {lower:.{digits}f} to {upper:.{digits}f})"


if __name__ == "__main__":
    main()
