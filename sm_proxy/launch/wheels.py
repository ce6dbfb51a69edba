"""An SSH server in Python for images that have none: asyncssh and what it needs, as wheels.

`wheels.json` beside this module locks each file by its SHA-256. pip fetches the files, so the
user's index, mirrors and proxies apply. They are kept in the cache folder and checked at each use.
`container/unpack_wheels.py` chooses among them inside the container.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import debug_log, paths, private_files, waits
from sm_proxy.local.threads import map_concurrently

Architecture = Literal["x86_64", "aarch64"]

LOCK: Final = "wheels.json"
PLATFORMS: Final = {
    "x86_64-glibc": "manylinux2014_x86_64",
    "x86_64-musl": "musllinux_1_2_x86_64",
    "aarch64-glibc": "manylinux2014_aarch64",
    "aarch64-musl": "musllinux_1_2_aarch64",
}
"""pip's names for the machines that the wheels are for: glibc 2.17 or musl 1.2, and newer ones."""
_LARGEST: Final = 32_000_000
_RUNS_AT_ONCE: Final = 4
_PIP_TIMEOUT_S: Final = 300
_ONE_AT_A_TIME: Final = threading.Lock()
"""A program may create several jobs at once: they need the same files."""
_HINT: Final = "An image with openssh-server does without them."


@dataclass(frozen=True)
class Wheel:
    """One file of the lock.

    Attributes:
        file: its name.
        sha256: of its content, in hex.
        pythons: the versions that it is used for, such as `3.11`.
        targets: the machines, keys of `PLATFORMS`.
    """

    file: str
    sha256: str
    pythons: tuple[str, ...]
    targets: tuple[str, ...]

    @property
    def requirement(self) -> str:
        """The line of a requirements file that means this very file."""
        name, version = self.file.split("-")[:2]
        return f"{name}=={version} --hash=sha256:{self.sha256}\n"


def for_architecture(
    architecture: Architecture, on_status: Callable[[str], None] = lambda _: None
) -> dict[str, bytes]:
    """The files of the folder `wheels/` in the channel: the wheels, and their part of the lock.

    The first call takes pip some seconds; later ones read the cache.

    Args:
        architecture: of the job's instances. Of the types that train, only ml.p6e-gb200 has
            aarch64.
        on_status: told before pip runs.

    Raises:
        SmProxyError: `missing-dependency`, there is no pip, or it cannot fetch them.
    """
    wanted = [wheel for wheel in locked() if _of(architecture, wheel)]
    return _files(wanted, architecture, on_status)


def for_python(
    version: str, target: str, on_status: Callable[[str], None] = lambda _: None
) -> dict[str, bytes]:
    """The same files for one Python; empty if there are none for it.

    Args:
        version: such as `3.11`.
        target: a key of `PLATFORMS`.
        on_status: takes a line before pip runs.

    Raises:
        SmProxyError: as `for_architecture`.
    """
    wanted = [w for w in locked() if version in w.pythons and target in w.targets]
    return _files(wanted, target.split("-", maxsplit=1)[0], on_status) if wanted else {}


def _files(
    wanted: list[Wheel], architecture: str, on_status: Callable[[str], None]
) -> dict[str, bytes]:
    with _ONE_AT_A_TIME:
        cached = ((wheel.file, _cached(wheel)) for wheel in wanted)
        found = {file: content for file, content in cached if content is not None}
        missing = [wheel for wheel in wanted if wheel.file not in found]
        if missing:
            on_status("fetching an SSH server in Python with pip, for images that have none")
            found |= _fetched(missing, architecture)
    lock = [
        {"file": w.file, "sha256": w.sha256, "pythons": w.pythons, "targets": w.targets}
        for w in wanted
    ]
    return {**dict(sorted(found.items())), LOCK: json.dumps(lock, indent=1).encode()}


def lock_file() -> Path:
    """The lock in this package."""
    return Path(__file__).with_name(LOCK)


@functools.cache
def locked() -> tuple[Wheel, ...]:
    """All wheels of the lock."""
    return tuple(
        Wheel(row["file"], row["sha256"], tuple(row["pythons"]), tuple(row["targets"]))
        for row in json.loads(lock_file().read_text(encoding="utf-8"))
    )


def _of(architecture: str, wheel: Wheel) -> list[str]:
    return [target for target in wheel.targets if target.startswith(f"{architecture}-")]


def _cached(wheel: Wheel) -> bytes | None:
    """The wheel from the cache; None if it is not there, or not what the lock says."""
    try:
        content = private_files.read_own(_folder() / wheel.file, _LARGEST)
    except OSError:
        return None
    return content if _is_whole(wheel, content) else None


def _folder() -> Path:
    return paths.cache_dir() / "wheels"


def _is_whole(wheel: Wheel, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == wheel.sha256


def _fetched(missing: Iterable[Wheel], architecture: str) -> dict[str, bytes]:
    """Fetch wheels, one run of pip for each Python of each target, and cache them."""
    runs: dict[tuple[str, str], list[Wheel]] = defaultdict(list)
    for wheel in missing:
        runs[wheel.pythons[0], _of(architecture, wheel)[0]].append(wheel)
    pip = _pip()
    parts = map_concurrently(lambda run: _run(pip, *run), list(runs.items()), _RUNS_AT_ONCE)
    return {file: content for part in parts for file, content in part.items()}


def _pip() -> list[str]:
    """The command that runs pip. A program on PATH may be a stub that says that there is no pip.

    Raises:
        SmProxyError: `missing-dependency`.
    """
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    for name, arguments in (("pip3", []), ("pip", []), ("uvx", ["pip"]), ("pipx", ["run", "pip"])):
        if (program := shutil.which(name)) and _answers([program, *arguments]):
            return [program, *arguments]
    raise SmProxyError(
        "missing-dependency",
        "an image without an SSH server needs one from the Python package index, and neither pip"
        " nor uvx nor pipx is there to fetch it",
        f"Install pip: python3 -m ensurepip. {_HINT}",
    )


def _answers(pip: list[str]) -> bool:
    try:
        return not subprocess.run([*pip, "--version"], check=False, capture_output=True).returncode
    except OSError:
        return False


def _run(pip: list[str], key: tuple[str, str], wheels: list[Wheel]) -> dict[str, bytes]:
    python, target = key
    with tempfile.TemporaryDirectory(prefix="sm-proxy-") as name:
        folder = Path(name)
        requirements, constraints = folder / "requirements.txt", folder / "constraints.txt"
        requirements.write_text("".join(wheel.requirement for wheel in wheels), encoding="utf-8")
        constraints.touch()
        arguments = [
            *("download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"),
            *("--only-binary", ":all:", "--require-hashes", "--requirement", str(requirements)),
            # 3.9 would mean 3.9.0, which some releases exclude for its bugs.
            *("--implementation", "cp", "--python-version", f"{python}.9"),
            *("--platform", PLATFORMS[target], "--dest", str(folder / "wheels")),
        ]
        # A user may forbid pip outside a virtual environment, and pin other versions for projects:
        # nothing is installed here.
        own = {"PIP_REQUIRE_VIRTUALENV": "false", "PIP_CONSTRAINT": str(constraints)}
        _call([*pip, *arguments], own)
        return {wheel.file: _taken(folder / "wheels", wheel) for wheel in wheels}


def _call(command: list[str], environment: dict[str, str]) -> None:
    debug_log.write("runs pip", command=command)
    try:
        with waits.waiting("pip fetches an SSH server", _PIP_TIMEOUT_S):
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PIP_TIMEOUT_S,
                env={**os.environ, **environment},
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failure(str(error)) from None
    if done.returncode:
        raise _failure(_reason(done.stderr) or f"exit status {done.returncode}")


def _reason(stderr: bytes) -> str:
    """pip's first line that begins with ERROR; if it crashed, its last line."""  # noqa: D403
    lines = stderr.decode(errors="replace").strip().splitlines()
    told = [line for line in lines if line.startswith("ERROR: ") and line != "ERROR: Exception:"]
    return [*told, *lines[-1:], ""][0].removeprefix("ERROR: ")


def _taken(folder: Path, wheel: Wheel) -> bytes:
    """The wheel that pip has put into `folder`, now also in the cache."""
    try:
        content = (folder / wheel.file).read_bytes()
    except OSError:
        raise _failure(f"it did not bring {wheel.file}") from None
    if not _is_whole(wheel, content):
        raise _failure(f"{wheel.file} has another SHA-256 than the one that sm-proxy expects")
    try:
        private_files.write_private(_folder() / wheel.file, content)
    except OSError as error:
        debug_log.write("a wheel is not cached", why=error)
    return content


def _failure(why: str) -> SmProxyError:
    return SmProxyError(
        "missing-dependency",
        f"pip cannot fetch the SSH server for images that have none: {printable(why, 300)}",
        f"Check pip's settings with `pip download asyncssh`. {_HINT}",
    )
