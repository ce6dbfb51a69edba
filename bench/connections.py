"""`python -m bench.connections NAME... [--runs N]`, inside a lab: measure, and print JSON.

`bench.resolving` runs this in labs of its own and prints the results.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

Measured = dict[str, Any]

SM_PROXY: Final = (sys.executable, "-I", "-m", "sm_proxy")
FORGOTTEN: Final = ("jobs", "bastions")
LOOKED: Final = ("resolve", "ssh", "ssh, bastion named")
_LIMIT_S: Final = 120.0
_PAUSE_S: Final = 0.05
_QUIET_S: Final = 1.5
_TRIES: Final = 3
TRACING: Final = "sm_proxy.local.debug_log"
CACHED: Final = "cached"
GRANTED: Final = "session granted"
TUNNEL: Final = "tunnel up"
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


@dataclass(frozen=True)
class Cost:
    """What one run of a command cost.

    Attributes:
        seconds: of the wall clock.
        operations: the API calls it made.
        size: bytes of all response bodies.
    """

    seconds: float
    operations: list[str]
    size: int


def main() -> None:
    """Measure, and print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", choices=_MEASUREMENTS, nargs="+")
    parser.add_argument("--runs", type=int, default=1)
    args = parser.parse_args()
    warm_up()
    print(json.dumps({name: _MEASUREMENTS[name](args.runs) for name in args.names}))


def warm_up() -> None:
    """Create what is created once: cut-down models, bytecode, host keys."""
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
    """Cold connections to one node of the job, then to all at once."""
    nodes = range(1, len(os.environ["SM_PROXY_LAB_ADDRESSES"].split()) + 1)
    one = cost_of([ssh(".1")], cold=True)
    failed: list[int] = []
    everyone = cost_of([ssh(f".{node}") for node in nodes], cold=True, failed=failed)
    return {"one": asdict(one), "all": asdict(everyone), "failed": len(failed)}


def times(runs: int) -> Measured:
    """Plain ssh, a warm connection and a cold one, alternately."""
    taken: dict[str, list[Measured]] = {"plain": [], "warm": [], "cold": []}
    for _ in range(runs):
        taken["plain"].append(asdict(cost_of([plain_ssh()])))
        taken["warm"].append(asdict(cost_of([ssh()])))
        taken["cold"].append(asdict(cost_of([ssh()], cold=True)))
    return taken


def shares(runs: int) -> Measured:
    """Steps and imports of warm and cold connections, and the start of a bare interpreter."""
    found: Measured = {"interpreter": [], "steps": {}, "imports": {}}
    for state in ("warm", "cold"):
        found["steps"][state] = [
            steps_in(helped(cold=state == "cold", SM_PROXY_LOG="debug")) for _ in range(runs)
        ]
        tries = [
            imports_in(helped(*importing(), cold=state == "cold", SM_PROXY_LOG="debug"))
            for _ in range(_TRIES)
        ]
        found["imports"][state] = min(tries, key=lambda imports: float(imports["all"]))
    for _ in range(runs):
        found["interpreter"].append(cost_of([[sys.executable, "-c", "pass"]]).seconds * 1e3)
        for imports in found["imports"].values():
            command = [sys.executable, "-c", _IMPORT_ALL, *imports["names"]]
            imports["timed"].append(float(run(command)))
    return found


_MEASUREMENTS: Final = {"costs": costs, "wide": wide, "times": times, "shares": shares}


def helped(*options: str, cold: bool, **extra: str) -> str:
    """The stderr of one connection with these ssh options, with that of its ProxyCommand."""
    settle()
    if cold:
        forget()
    return run(["ssh", *options, *ssh()[1:]], **extra)


def importing() -> tuple[str, str]:
    """The option that makes the ProxyCommand print import times; `-I` ignores the variable."""
    shown = subprocess.run(["ssh", "-G", *ssh()[1:]], capture_output=True, text=True, check=True)
    lines = dict(line.split(" ", 1) for line in shown.stdout.splitlines() if " " in line)
    return "-o", "ProxyCommand=" + lines["proxycommand"].replace(" -I ", " -I -X importtime ", 1)


def steps_in(said: str) -> dict[str, float]:
    """The time of each step of the ProxyCommand, in ms."""
    found = (_STEP.fullmatch(line) for line in said.splitlines())
    steps = {step[2]: float(step[1]) for step in found if step}
    return {
        mark: at
        for mark in (CACHED, GRANTED, TUNNEL)
        for step, at in steps.items()
        if step.startswith(mark)
    }


def imports_in(said: str) -> Measured:
    """The ProxyCommand's imports beyond those of a bare interpreter: ms in all and at each step."""
    bare = run([sys.executable, "-c", "pass"], PYTHONPROFILEIMPORTTIME="1")
    known = {name for _, name in _IMPORT.findall(bare)}
    took = 0.0
    until: dict[str, float] = {}
    names: list[str] = []
    for line in said.splitlines():
        if (found := _IMPORT.match(line)) and found[2] not in known:
            took += int(found[1]) / 1e3
            names.append(found[2])
            if found[2] == TRACING:
                until[TRACING] = took
        until |= dict.fromkeys(steps_in(line), took)
    return {"all": took, "until": until, "names": names, "timed": []}


def cost_of(
    commands: list[list[str]],
    *,
    cold: bool = False,
    failed: list[int] | None = None,
    extra: dict[str, str] | None = None,
) -> Cost:
    """Run commands concurrently; the cost of all together.

    Args:
        commands: to run.
        cold: clear the cache of jobs and bastions first.
        failed: receives the exit statuses of failed commands; None raises for a failure.
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
    """Run a command to its end; its stderr."""
    process = popen(command, **extra)
    said = process.communicate(timeout=_LIMIT_S)[1]
    if process.returncode:
        raise RuntimeError(said)
    return said


def popen(command: list[str], **extra: str) -> subprocess.Popen[str]:
    """Start a command."""
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
    """Plain ssh with the same key and options, to the container's address, from the bastion."""
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


def settle(stays: tuple[int, int] = (0, 0)) -> None:
    """Wait until earlier connections have ended their sessions, and their helpers have ended.

    Args:
        stays: how many sessions and how many helpers do not end: see `at_rest`.
    """
    deadline = time.monotonic() + _LIMIT_S
    while any(now > rest for now, rest in zip(_open(), stays, strict=True)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"sessions or helpers are left: {sessions()} {helpers()}")
        time.sleep(0.01)
    time.sleep(_PAUSE_S)


def at_rest() -> tuple[int, int]:
    """How many sessions and helpers are left once nothing has ended for a while."""
    quiet_since, last = time.monotonic(), _open()
    while time.monotonic() - quiet_since < _QUIET_S:
        time.sleep(_PAUSE_S)
        if (now := _open()) != last:
            quiet_since, last = time.monotonic(), now
    return last


def _open() -> tuple[int, int]:
    return len(sessions()), len(helpers())


def sessions() -> list[str]:
    """The ids of the open sessions."""
    return Path(os.environ["SM_PROXY_LAB_SESSIONS"]).read_text().split()


def helpers() -> list[str]:
    """The process ids of this lab's ProxyCommands, and of its daemon with all its children.

    One may outlive its ssh.
    """
    lab = f"SM_PROXY_STATE_DIR={os.environ['SM_PROXY_STATE_DIR']}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            words = set((process / "cmdline").read_bytes().split(b"\0"))
            theirs = (process / "environ").read_bytes().split(b"\0")
            if words & {b"connect", b"daemon"} and lab in theirs:
                found.append(process.name)
    return found


def memory(pids: Iterable[str]) -> int:
    """The memory of these processes in bytes; what they share counts once (PSS)."""
    size = 0
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            size += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return size << 10


def forget() -> None:
    """Clear the cache of jobs and bastions; the cut-down models stay."""
    for purpose in FORGOTTEN:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(Path(os.environ["SM_PROXY_CACHE_DIR"]) / purpose)


def calls() -> list[Measured]:
    """Every AWS call so far."""
    lines = Path(os.environ["SM_PROXY_LAB_CALLS"]).read_text().splitlines()
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
