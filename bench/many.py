"""Many connections at once: for `bench.connect`, in a lab with several nodes."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Final

from bench import connections
from bench.second_ssh import ALONE, DAEMON, KEPT, PUMPED, daemons, stop_daemon
from bench.terminal import LIMIT_S, Terminal, spread

NODES: Final = 8
_MANY: Final = 64
_SETTLES_S: Final = 5.0
"""After so long, a connection with a kept session has been left to its keeper."""
_ARMS: Final[Mapping[str, tuple[Mapping[str, str], Sequence[str]]]] = {
    "warm, fdpass": (ALONE, []),
    "warm, pumped": (ALONE, [PUMPED]),
    "daemon, fdpass": (DAEMON, []),
    "daemon, pumped": (DAEMON, [PUMPED]),
    "kept, fdpass": (KEPT, []),
    "kept, pumped": (KEPT, [PUMPED]),
}
"""The variables and the options of ssh; the first arm is what the others are compared with."""


def measure(*, quick: bool) -> None:
    """Measure in a lab that runs, and print."""
    laptop = Terminal("")
    try:
        _print_times(laptop, 3 if quick else 15)
        _print_memory()
    finally:
        laptop.close()
        stop_daemon()


def _print_times(laptop: Terminal, rounds: int) -> None:
    taken: dict[str, list[float]] = {name: [] for name in _ARMS}
    nodes = range(1, NODES + 1)
    for environment, options in _ARMS.values():
        for node in nodes:
            laptop.seconds(_ssh(node, options, "true"), environment)
    stays = connections.at_rest()
    for _ in range(rounds):
        for name, (environment, options) in _ARMS.items():
            connections.settle(stays)
            commands = [_ssh(node, options, "true") for node in nodes]
            taken[name].append(laptop.seconds_together(commands, environment))
    first = statistics.median(next(iter(taken.values())))
    print(f"`ssh ... true` to {NODES} nodes at once, {rounds} rounds: seconds, ratio to the first")
    for name, runs in taken.items():
        target = "  (target x 0.6)" if name == "daemon, fdpass" else ""
        print(f"  {name:16}{spread(runs)}  x {statistics.median(runs) / first:5.2f}{target}")


def _print_memory() -> None:
    print(f"{_MANY} connections that are open at once: memory of all our processes, MB (PSS)")
    for name, (environment, options) in _ARMS.items():
        stop_daemon()
        _await_daemon(environment, options)
        opened = [
            subprocess.Popen(
                _ssh(1 + number % NODES, options, "echo up; exec cat"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **environment},
            )
            for number in range(_MANY)
        ]
        try:
            for each in opened:
                _await_greeting(each)
            began = connections.memory(connections.helpers())
            time.sleep(_SETTLES_S)
            pids = connections.helpers()
            size = connections.memory(pids)
        finally:
            for each in opened:
                each.communicate(timeout=LIMIT_S)
        target = "  (target 300)" if name == "kept, fdpass" else ""
        print(
            f"  {name:16}{began / 1e6:6.0f} as the last one begins, {size / 1e6:6.0f} in "
            f"{len(pids)} processes {_SETTLES_S:.0f} s later{target}"
        )


def _await_daemon(environment: Mapping[str, str], options: Sequence[str]) -> None:
    """Let a first ssh start the daemon of this arm, if it has one."""
    subprocess.run(_ssh(1, options, "true"), env={**os.environ, **environment}, check=True)
    deadline = time.monotonic() + LIMIT_S
    while environment is not ALONE and not daemons():
        if time.monotonic() > deadline:
            raise RuntimeError("no daemon has started")
        time.sleep(0.1)


def _await_greeting(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None  # noqa: S101 - for the type checker
    if process.stdout.readline() != b"up\n":
        raise RuntimeError("a connection has failed")


def _ssh(node: int, options: Sequence[str], command: str) -> list[str]:
    config, host = os.environ["SM_PROXY_LAB_SSH_CONFIG"], os.environ["SM_PROXY_LAB_HOST"]
    return ["ssh", "-F", config, *options, f"{host}.{node}", command]
