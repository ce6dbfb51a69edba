"""What an ssh costs after the first one: `ssh sm-x true` against plain ssh, for `bench.connect`.

Plain ssh goes to the container's own address, from the bastion; ours go from the laptop through the
bastion, so a lab's latency is on their way only. Cold: no job or bastion is cached. Warm: all that
is needed is cached. Daemon: a process that has imported everything serves it. Kept: the daemon also
has a session open. ControlMaster: an ssh is open that takes it along. Each of ours but that has an
arm for an ssh that gets a descriptor (fdpass), and one for which its bytes are copied (pumped).
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import connections
from bench.connections import SM_PROXY
from bench.terminal import LIMIT_S, Terminal, spread

ALONE: Final = {"SM_PROXY_DAEMON_IDLE": "0", "SM_PROXY_KEEP_SESSION": "0"}
DAEMON: Final = {"SM_PROXY_DAEMON_IDLE": "1h", "SM_PROXY_KEEP_SESSION": "0"}
KEPT: Final = {"SM_PROXY_DAEMON_IDLE": "1h", "SM_PROXY_KEEP_SESSION": "1h"}
PUMPED: Final = "-oProxyUseFdpass=no"
_PLAIN: Final = "plain ssh"
_TARGETS: Final = {
    "daemon, fdpass": "target +0.05",
    "daemon, pumped": "target +0.07",
    "kept, fdpass": "target +0.02; with 20 ms x 2.4",
}
_REST_S: Final = 5.0


@dataclass(frozen=True)
class Arm:
    """One way to run ssh.

    Attributes:
        name: for the table.
        words: the whole ssh command.
        environment: further variables.
        cold: whether the caches are emptied before.
        on_bastion: whether it runs on the bastion; else on the laptop.
    """

    name: str
    words: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=lambda: ALONE)
    cold: bool = False
    on_bastion: bool = False


def measure(*, quick: bool) -> None:
    """Measure in a lab that runs, and print."""
    rounds = 3 if quick else 15
    laptop = Terminal("")
    bastion = Terminal(os.environ["SM_PROXY_LAB_ON_BASTION"])
    control = str(Path(os.environ["SM_PROXY_LAB_SSH_CONFIG"]).with_name("master"))
    laptop.seconds(connections.ssh(), ALONE)  # pins the host key, also for plain ssh
    try:
        laptop.seconds(_ours("-f", "-N", "-M", "-S", control), ALONE)
        arms = _arms(control)
        for arm in [*arms, *arms]:
            (bastion if arm.on_bastion else laptop).seconds(arm.words, arm.environment)
        taken = _taken(arms, {True: bastion, False: laptop}, rounds)
        _print_times(taken, rounds)
        subprocess.run(_ours("-S", control, "-O", "exit"), check=True, capture_output=True)
        _print_rest()
    finally:
        laptop.close()
        bastion.close()
        stop_daemon()


def _arms(control: str) -> list[Arm]:
    on_bastion = len(shlex.split(os.environ["SM_PROXY_LAB_ON_BASTION"]))
    passed, pumped = _ours(command="true"), _ours(PUMPED, command="true")
    return [
        Arm(_PLAIN, connections.plain_ssh()[on_bastion:], on_bastion=True),
        Arm("cold, fdpass", passed, cold=True),
        Arm("cold, pumped", pumped, cold=True),
        Arm("warm, fdpass", passed),
        Arm("warm, pumped", pumped),
        Arm("daemon, fdpass", passed, DAEMON),
        Arm("daemon, pumped", pumped, DAEMON),
        Arm("kept, fdpass", passed, KEPT),
        Arm("kept, pumped", pumped, KEPT),
        Arm("ControlMaster", _ours("-S", control, command="true")),
    ]


def _ours(*options: str, command: str = "") -> list[str]:
    config, host = os.environ["SM_PROXY_LAB_SSH_CONFIG"], os.environ["SM_PROXY_LAB_HOST"]
    return ["ssh", "-F", config, *options, host, *filter(None, [command])]


def _taken(
    arms: Sequence[Arm], terminals: Mapping[bool, Terminal], rounds: int
) -> dict[str, list[float]]:
    """The seconds of each run, by the arm's name."""
    taken: dict[str, list[float]] = {arm.name: [] for arm in arms}
    stays = connections.at_rest()
    for _ in range(rounds):
        for arm in arms:
            connections.settle(stays)
            if arm.cold:
                connections.forget()
            terminal = terminals[arm.on_bastion]
            taken[arm.name].append(terminal.seconds(arm.words, arm.environment))
    return taken


def _print_times(taken: Mapping[str, list[float]], rounds: int) -> None:
    plain = statistics.median(taken[_PLAIN])
    print(f"`ssh ... true`, {rounds} rounds: seconds, ratio to plain ssh, seconds added to it")
    for name, runs in taken.items():
        middle = statistics.median(runs)
        target = f"  ({_TARGETS[name]})" if name in _TARGETS else ""
        print(f"  {name:16}{spread(runs)}  x {middle / plain:5.2f}  {middle - plain:+.3f}{target}")


def _print_rest() -> None:
    """Print what the daemon costs while it waits."""
    (status,) = daemons()
    before = _wake_ups(status["pid"])
    time.sleep(_REST_S)
    woken = _wake_ups(status["pid"]) - before
    size = connections.memory([str(status["pid"])])
    print(
        f"daemon at rest, with {len(status['sessions'])} kept session(s): {size / 1e6:.0f} MB (PSS;"
        f" target 45), {woken} wake-ups in {_REST_S:.0f} s (target 0)"
    )


def _wake_ups(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if "voluntary_ctxt_switches" in line)


def daemons() -> list[dict[str, Any]]:
    """What `sm-proxy daemon status` tells of each daemon."""
    command = [*SM_PROXY, "daemon", "status", "--json"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=LIMIT_S)
    found: list[dict[str, Any]] = json.loads(done.stdout)["data"]["daemons"]
    return found


def stop_daemon() -> None:
    """End the daemon, and the sessions that it keeps."""
    subprocess.run([*SM_PROXY, "daemon", "stop"], check=True, timeout=LIMIT_S, stdout=sys.stderr)
