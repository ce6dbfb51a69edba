"""`ssh sm-x` by each route, against plain ssh: for `bench.connect`.

Plain ssh goes to the container's own address, from the terminal inside the VPC, with the options of
our Host block. `direct` runs there too, the other routes on the laptop. Cold: no job, bastion or
place is cached. No arm compresses: see `config write --no-compression`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.connections import SM_PROXY, plain_ssh, settle
from bench.terminal import Terminal, spread
from sm_proxy.settings.route_names import ROUTE_NAMES

_TARGET_S: Final = 0.15
_TARGET_RATIO: Final = 0.9
_FORGOTTEN: Final = ("jobs", "bastions", "places", "routes")
_SIZE: Final = 512 << 20
"""So much that the start of ssh is a small part of the time."""
_MAKE: Final = f"head -c {_SIZE} /dev/zero"
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

    @property
    def environment(self) -> dict[str, str]:
        """The variables that force its route."""
        return {"SM_PROXY_ROUTE": self.route} if self.route else {}


def measure(*, quick: bool) -> None:
    """Measure in a lab that runs, and print."""
    host = os.environ["SM_PROXY_LAB_HOST"]
    enable = subprocess.run([*SM_PROXY, "enable-remote-debug", host], check=False)
    arms = arms_for(with_remote_debug=enable.returncode == 0)
    rounds = 3 if quick else 15
    terminals = {
        True: Terminal(os.environ["SM_PROXY_LAB_INSIDE"]),
        False: Terminal(""),
    }
    try:
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
                seconds = terminals[arm.inside].seconds([*arm.words, "true"], arm.environment)
                taken.setdefault((arm.name, state), []).append(seconds)
    plain = statistics.median(taken[works[0].name, ""])
    print(
        f"`ssh ... true`, {rounds} rounds: seconds, ratio to plain ssh, seconds added to plain ssh"
    )
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
                seconds = terminals[arm.inside].seconds(words, arm.environment)
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
            terminals[arm.inside].seconds([*arm.words, "true"], arm.environment)
    except RuntimeError as error:
        print(f"  {arm.name}: left out: {str(error).strip()}")
        return False
    return True


def forget() -> None:
    """Empty the caches that a connection fills; the cut-down models stay."""
    for purpose in _FORGOTTEN:
        shutil.rmtree(Path(os.environ["SM_PROXY_CACHE_DIR"]) / purpose, ignore_errors=True)
