"""`python -m bench.copy [--quick] [PART...]`: `sm-proxy cp` against scp, in one lab.

As root, because the lab needs network namespaces. The lab's agent pauses as the real one does. All
data are random, so that compression gains nothing. Times are those of whole commands: start, login,
checksums and end included. Compare ratios, not seconds. The parts, in this order:

- drain: 64 MiB by 8 ssh at once, each an eighth, thrown away: what 8 sessions carry;
- scp: one session, 64 MiB; without --quick also 256 MiB, which takes minutes;
- cp: the same files;
- small: 1,000 files of 4 KiB, by `scp -r` and `cp -r`;
- memory: of `cp` during 64 MiB, the processes of ssh included and not (PSS);
- faults: 64 MiB while 20 faults cut websockets and end sessions: what is sent again.
"""

from __future__ import annotations

import argparse
import contextlib
import filecmp
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import connections
from bench.connections import SM_PROXY

MIB: Final = 1 << 20
SESSIONS: Final = 8
_THERE: Final = Path("/opt/ml/model/bench-copy")
_LIMIT_S: Final = 1800.0
_LOADED: Final = 1.0
_SAMPLE_S: Final = 0.1
_FAULTS: Final = 20


@dataclass
class Bench:
    """The files and figures of one run.

    Attributes:
        folder: on this machine.
        quick: whether to copy less.
        seconds: of the whole commands, by name.
    """

    folder: Path
    quick: bool
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def sizes(self) -> list[int]:
        """The sizes of the large files, in MiB."""
        return [16] if self.quick else [64, 256]

    def source(self, mib: int) -> Path:
        """A file of random bytes, which is in the container, too."""
        path = self.folder / f"{mib}-mib"
        if not path.exists():
            with path.open("wb") as file:
                for _ in range(mib):
                    file.write(os.urandom(MIB))
            _put(path)
        return path

    def target(self, name: str) -> Path:
        """A path that does not exist."""
        path = self.folder / f"to-{name}"
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        return path

    def time(self, name: str, command: Sequence[str]) -> float:
        """The seconds of a command."""
        connections.settle()
        began = time.perf_counter()
        process = connections.popen(list(command))
        said = process.communicate(timeout=_LIMIT_S)[1]
        if process.returncode:
            raise RuntimeError(said)
        self.seconds[name] = time.perf_counter() - began
        return self.seconds[name]


def main() -> None:
    """Start a lab; inside a lab, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less data")
    parser.add_argument("--in-lab", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("parts", nargs="*", metavar="PART", help="default: all parts")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(_PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if not args.in_lab:
        words = ["--quick"] * args.quick + args.parts
        inside = [sys.executable, "-m", "bench.copy", "--in-lab", *words]
        sys.exit(subprocess.run([*SM_PROXY, "lab", "run", "--", *inside], check=False).returncode)
    if os.environ["SM_PROXY_LAB_NETWORK"] != "netns":
        sys.exit("bench.copy needs network namespaces: run it as root on Linux")
    load = os.getloadavg()[0]
    print(
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {load:.1f}"
        f"{' (LOADED: others work on this machine)' if load > _LOADED else ''}; whole commands"
    )
    connections.warm_up()
    with tempfile.TemporaryDirectory(prefix="bench-copy-") as name:
        bench = Bench(Path(name), args.quick)
        for part in args.parts or _PARTS:
            _PARTS[part](bench)
    print(f"load at the end {os.getloadavg()[0]:.1f}")


def drain(bench: Bench) -> None:
    """What 8 sessions carry: an eighth of the file each, at once, thrown away."""
    mib = bench.sizes[0]
    source, share = bench.source(mib), mib // SESSIONS
    connections.settle()
    began = time.perf_counter()
    each = [_drain(source, number * share, share) for number in range(SESSIONS)]
    for process in each:
        assert process.stderr is not None  # noqa: S101 - for the type checker
        if process.stderr.readline() != b"up\n":
            raise RuntimeError("a drain does not begin")
    ready = time.perf_counter()
    for process in each:
        assert process.stdin is not None  # noqa: S101 - as above
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in each:
        process.communicate(timeout=_LIMIT_S)
    if any(process.returncode for process in each):
        raise RuntimeError("a drain has failed")
    ended = time.perf_counter()
    bench.seconds["drain"], bench.seconds["bytes"] = ended - began, ended - ready
    print(_rate(f"drain by {SESSIONS} ssh", mib, ended - began))
    print(_rate("  without their start", mib, ended - ready))


def _drain(source: Path, skip: int, mib: int) -> subprocess.Popen[bytes]:
    """An ssh that says that it is there, waits, and carries these bytes."""
    path = _THERE / source.name
    script = f"echo up >&2; read go; dd if={path} bs=1M skip={skip} count={mib} 2>/dev/null"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen(_ssh(script), **pipes)  # type: ignore[call-overload,no-any-return]


def scp(bench: Bench) -> None:
    """One session."""
    for mib in bench.sizes:
        target = bench.target("scp")
        bench.time(f"scp {mib}", _scp(_there(bench.source(mib)), str(target)))
        print(_rate(f"scp, {mib} MiB", mib, bench.seconds[f"scp {mib}"]))


def cp(bench: Bench) -> None:
    """8 sessions and checksums."""
    for mib in bench.sizes:
        name, target = f"cp {mib}", bench.target("cp")
        source = bench.source(mib)
        seconds = bench.time(name, _cp(_there(source), str(target)))
        _compare(source, target)
        against = [
            f"{bench.seconds[scp] / seconds:.2f} x scp (target {_target(mib)})"
            for scp in [f"scp {mib}"]
            if scp in bench.seconds
        ]
        if mib == bench.sizes[0] and "drain" in bench.seconds:
            whole, rest = bench.seconds["drain"] / seconds, bench.seconds["bytes"] / seconds
            against.append(f"{whole:.2f} of the drain (target 0.9), {rest:.2f} without its start")
        print(_rate(f"cp, {mib} MiB", mib, seconds), *against, sep="   ")


def small(bench: Bench) -> None:
    """Many small files."""
    count = 200 if bench.quick else 1000
    source = bench.folder / "small"
    for number in range(count):
        path = source / f"folder-{number % 10}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(4096))
    _put(source)
    taken = {}
    for name, words in (("scp", _scp), ("cp", _cp)):
        for way in ("down", "up"):
            target = bench.target(f"small-{name}")
            ends = [_there(source), str(target)] if way == "down" else [str(source), _there(target)]
            taken[name, way] = bench.time(f"{name} -r {way}", [*words("-r", *ends)])
            if way == "down":
                _compare(source, target)
            else:
                _compare_there(source, target)
    for way in ("down", "up"):
        theirs, ours = taken["scp", way], taken["cp", way]
        target_words = " (target 5)" if way == "down" else ""
        print(
            f"{count} files of 4 KiB {way}: scp -r {theirs:.1f} s, cp -r {ours:.1f} s, "
            f"{theirs / ours:.1f} x{target_words}"
        )


def memory(bench: Bench) -> None:
    """The most that `cp` takes while it copies."""
    source, target = bench.source(bench.sizes[0]), bench.target("memory")
    connections.settle()
    process = connections.popen(_cp(_there(source), str(target)))
    most = {"python": 0, "all": 0}
    while process.poll() is None:
        pids = _tree(process.pid)
        ours = [pid for pid in pids if not _is_ssh(pid)]
        most["python"] = max(most["python"], connections.memory(ours))
        most["all"] = max(most["all"], connections.memory(pids))
        time.sleep(_SAMPLE_S)
    process.communicate()
    _compare(source, target)
    print(
        f"memory (PSS, MB): {most['all'] / 1e6:.0f} with its {SESSIONS} ssh (target 150), "
        f"{most['python'] / 1e6:.0f} without them"
    )


def faults(bench: Bench) -> None:
    """Bytes that come again because of faults, as the counters of the network show them."""
    mib = bench.sizes[0]
    source, target = bench.source(mib), bench.target("calm")
    command = _cp(_there(source), str(target))
    before = _received()
    seconds = bench.time("calm", command)
    calm = _received() - before
    cut = bench.target("cut")
    before = _received()
    with _at_work(seconds / (_FAULTS + 2)) as done:
        taken = bench.time("cut", _cp(_there(source), str(cut)))
    again = (_received() - before) / calm - 1
    _compare(source, cut)
    print(
        f"{len(done)} faults ({done.count('cut')} websockets cut, {done.count('terminate')} "
        f"sessions ended): intact, {taken:.1f} s in place of {seconds:.1f} s, "
        f"{100 * again:.1f} % more bytes received (target 5 %)"
    )


@contextlib.contextmanager
def _at_work(every_s: float) -> Iterator[list[str]]:
    """Cut a websocket and end a session in turn, until all faults are done or the block ends."""
    done: list[str] = []
    over = threading.Event()
    chance = random.Random(20)  # noqa: S311 - the same faults each time

    def work() -> None:
        while len(done) < _FAULTS and not over.wait(every_s):
            open_now = connections.sessions()
            if len(open_now) > 1:
                kind = ("cut", "terminate")[len(done) % 2]
                with contextlib.suppress(OSError):
                    _gateway(op=kind, session=chance.choice(open_now), side="client")
                    done.append(kind)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()


def _gateway(**request: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(Path(os.environ["SM_PROXY_LAB_SESSIONS"]).parent / "gateway.sock"))
        connection.sendall(json.dumps(request).encode() + b"\n")
        connection.makefile().readline()


def _received() -> int:
    """Bytes that this network namespace has received."""
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    return sum(int(line.partition(":")[2].split()[0]) for line in lines)


def _tree(pid: int) -> list[str]:
    """A process and its descendants."""
    found, queue = [], [str(pid)]
    while queue:
        each = queue.pop()
        found.append(each)
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # it has ended
                queue += task.read_text().split()
    return found


def _is_ssh(pid: str) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == "ssh"
    return True


def _there(path: Path) -> str:
    return f"{os.environ['SM_PROXY_LAB_HOST']}:{_THERE / path.name}"


def _put(path: Path) -> None:
    """Copy it into the container by means of others."""
    packed = subprocess.Popen(
        ["tar", "-C", str(path.parent), "-c", path.name], stdout=subprocess.PIPE
    )
    command = f"mkdir -p {_THERE} && tar -C {_THERE} -x"
    subprocess.run(_ssh(command), stdin=packed.stdout, check=True, timeout=_LIMIT_S)
    if packed.wait():
        raise RuntimeError(f"{path} cannot be packed")


def _compare_there(source: Path, target: Path) -> None:
    files = sorted(path for path in source.rglob("*") if path.is_file())
    command = f"cd {_THERE / target.name} && find . -type f -exec sha256sum {{}} +"
    found = subprocess.run(_ssh(command), capture_output=True, text=True, check=True).stdout
    there = {line[66:].removeprefix("./"): line[:64] for line in found.splitlines()}
    here = {
        str(file.relative_to(source)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }
    if here != there:
        raise RuntimeError(f"{target} in the container differs from {source}")


def _ssh(command: str) -> list[str]:
    return [*connections.ssh()[:1], "-oCompression=no", *connections.ssh()[1:-1], command]


def _scp(*words: str) -> list[str]:
    return ["scp", "-q", "-oCompression=no", "-F", os.environ["SM_PROXY_LAB_SSH_CONFIG"], *words]


def _cp(*words: str) -> list[str]:
    return [*SM_PROXY, "cp", "-q", "--via", "ssh", "--sessions", str(SESSIONS), *words]


def _compare(source: Path, target: Path) -> None:
    files = [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]
    for file in files:
        if not filecmp.cmp(file, target / file.relative_to(source), shallow=False):
            raise RuntimeError(f"{target} differs from {source}")


def _rate(name: str, mib: int, seconds: float) -> str:
    return f"{name:22} {seconds:7.1f} s {mib * MIB / 1e6 / seconds:6.2f} MB/s"


def _target(mib: int) -> str:
    return "7" if mib > 64 else "6.5"


_PARTS: Final[dict[str, Callable[[Bench], None]]] = {
    "drain": drain,
    "scp": scp,
    "cp": cp,
    "small": small,
    "memory": memory,
    "faults": faults,
}

if __name__ == "__main__":
    main()
