"""SHA-256 of files in the container, by `sha256sum` or else by its Python, in few calls.

A call is an ssh of its own, and takes a second or two over a session. So `Digests` asks for many
files at once, in the background, while the bytes still move.
"""

from __future__ import annotations

import re
import shlex
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from sm_proxy.errors import SmProxyError
from sm_proxy.local import threads
from sm_proxy.transfer.ssh.connection import Answer

_BYTES_S: Final = 20e6
"""Bytes per second that a slow disk reads at least."""
_SLACK_S: Final = 60.0
_UNKNOWN: Final = 1 << 20
_FILES: Final = 1000
_BATCH: Final = 1 << 30
"""Bytes of the files of one call: a caller that waits for its first file waits for all of them."""
_TRIES: Final = 3
_TRANSIENT: Final = frozenset({"network", "throttled", "session-lost", "sshd-silent"})
_CHUNK: Final = 100
"""Files of one program's arguments: names are 4096 bytes at most, arguments 128 KiB and more."""
_LINE: Final = re.compile(r"^(\d+) ([0-9a-f]{64})$", re.MULTILINE)
_ODD: Final = re.compile(r"[\\\r\n]")
"""`sha256sum` prints such names, and their digests, in a form of its own."""

_PYTHON: Final = """\
import hashlib, os, sys
words = sys.argv[1:]
for at in range(0, len(words), 3):
    number, left, name = words[at:at + 3]
    left = float("inf") if left == "-" else int(left)
    digest = hashlib.sha256()
    try:
        if not os.path.isfile(name):
            continue
        with open(name, "rb") as file:
            while left > 0:
                data = file.read(int(min(left, 1 << 20)))
                if not data:
                    break
                digest.update(data)
                left -= len(data)
    except (IOError, OSError):
        continue
    print("%s %s" % (number, digest.hexdigest()))
"""
_TOOLS: Final = f"""\
tool=
command -v sha256sum >/dev/null 2>&1 && tool=sha256sum
for python in python3 python /opt/conda/bin/python; do
  [ -n "$tool" ] && break
  command -v "$python" >/dev/null 2>&1 && tool=$python
done
[ -n "$tool" ] || {{ echo unverifiable; exit 0; }}
program={shlex.quote(_PYTHON)}
some() {{ # NUMBER BYTES FILE ...: the first bytes of files, one by one; `-` for all
  if [ "$tool" != sha256sum ]; then "$tool" -c "$program" "$@" 2>/dev/null; return; fi
  while [ $# -gt 0 ]; do
    digest=
    if [ ! -f "$3" ]; then :
    elif [ "$2" = - ]; then digest=$(sha256sum <"$3")
    else digest=$(exec 4<"$3" && head -c "$2" <&4 | sha256sum)
    fi 2>/dev/null
    [ -z "$digest" ] || echo "$1 ${{digest%% *}}"
    shift 3
  done
}}
whole() {{ # NUMBER FILE ...: whole files, numbered from NUMBER on
  number=$1
  shift
  if [ "$tool" = sha256sum ] && all=$(sha256sum "$@" 2>/dev/null); then
    printf '%s\\n' "$all" | while read -r digest _; do
      echo "$number $digest"
      number=$((number + 1))
    done
    return
  fi
  for file do
    some "$number" - "$file"
    number=$((number + 1))
  done
}}
"""


class Scripts(Protocol):
    """What runs a script in the container: `connections.Connections`."""

    def script(self, text: str, timeout: float) -> Answer:
        """See `Connections.script`."""


def of(connections: Scripts, sizes: Mapping[str, int]) -> dict[str, str | None]:
    """The SHA-256 of whole files in the container.

    Args:
        connections: to reach it.
        sizes: of each file in bytes, by its path in the container: how long it may take. Names may
            be any; relative ones begin at the user's home folder.

    Returns:
        the hexadecimal digest of each; None if it cannot be read.

    Raises:
        SmProxyError: `unsupported`, the container has neither `sha256sum` nor Python; else the code
            of `Connections.script`.
    """
    return _digests(connections, dict.fromkeys(sizes), sum(sizes.values()))


def of_heads(connections: Scripts, sizes: Mapping[str, int | None]) -> dict[str, str | None]:
    """As `of`, of the first bytes of each file; None for all of it, which should be small."""
    return _digests(connections, sizes, sum(size or _UNKNOWN for size in sizes.values()))


def _digests(
    connections: Scripts, sizes: Mapping[str, int | None], total: int
) -> dict[str, str | None]:
    numbered = list(enumerate(sizes.items()))
    script = "".join([_TOOLS, *_calls(numbered), "echo end\n"])
    seconds = _SLACK_S + total / _BYTES_S
    answer = patiently(lambda: connections.script(script, seconds), seconds)
    if answer.output.startswith("unverifiable"):
        raise SmProxyError(
            "unsupported",
            "the container has neither sha256sum nor Python, so that copies cannot be verified",
        )
    if not answer.output.endswith("end\n"):
        raise SmProxyError(
            "copy-failed", f"the checksums in the container failed with status {answer.status}"
        )
    found = {int(number): digest for number, digest in _LINE.findall(answer.output)}
    return {path: found.get(number) for number, (path, _) in numbered}


def _calls(numbered: Sequence[tuple[int, tuple[str, int | None]]]) -> Iterator[str]:
    """Lines of the script: whole files with plain names go many at a time."""
    for at in range(0, len(numbered), _CHUNK):
        chunk = numbered[at : at + _CHUNK]
        names = [_argument(path) for _, (path, _) in chunk]
        if all(size is None and not _ODD.search(path) for _, (path, size) in chunk):
            yield f"whole {chunk[0][0]} {' '.join(names)}\n"
        else:
            words = (
                f"{number} {'-' if size is None else size} {name}"
                for (number, (_, size)), name in zip(chunk, names, strict=True)
            )
            yield f"some {' '.join(words)}\n"


def _argument(path: str) -> str:
    return shlex.quote(path if path.startswith("/") else f"./{path}")


def patiently(run: Callable[[], Answer], seconds: float) -> Answer:
    """Run a script, again where its session was lost on the way; not where it was too slow.

    Args:
        run: runs it, as often as it is called.
        seconds: that it may take.

    Raises:
        SmProxyError: as `Connections.script`.
    """
    for left in reversed(range(_TRIES)):
        began = time.monotonic()
        try:
            return run()
        except SmProxyError as error:
            too_slow = time.monotonic() - began >= seconds
            if not left or too_slow or error.code not in _TRANSIENT:
                raise
    raise AssertionError("not reached")


@dataclass
class _Request:
    size: int | None
    ready: threading.Event = field(default_factory=threading.Event)
    digest: str | None = None
    error: BaseException | None = None


class Digests:
    """Computes digests in the container in the background, before they are needed.

    Args:
        connections: to reach the container.
        delay: seconds before the first call, unless a caller waits: its ssh should not compete
            with those that are still opening.
    """

    def __init__(self, connections: Scripts, delay: float = 2.0) -> None:
        self._connections = connections
        self._delay = delay
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._requests: dict[str, _Request] = {}
        self._queue: deque[str] = deque()
        self._working = False

    def expect(self, path: str, size: int | None) -> None:
        """The digest of the first `size` bytes of `path` will be needed; None for all of it.

        Whole files are much cheaper: one `sha256sum` reads a hundred.
        """
        with self._lock:
            self._requests[path] = _Request(size)
            self._queue.append(path)
            if self._working:
                return
            self._working = True
        threading.Thread(target=threads.inheriting(self._work), daemon=True).start()

    def begin(self) -> None:
        """Begin the first call now."""
        self._wanted.set()

    def ready(self, path: str) -> bool:
        """Whether `get` returns at once."""
        return self._requests[path].ready.is_set()

    def get(self, path: str) -> str | None:
        """The digest of what was last expected of `path`; None if it could not be read.

        Raises:
            SmProxyError: as `of`.
        """
        request = self._requests[path]
        self._wanted.set()
        request.ready.wait()
        if request.error is not None:
            raise request.error
        return request.digest

    def close(self) -> None:
        """Begin no further call; callers that wait get `session-lost`."""
        with self._lock:
            for path in self._queue:
                request = self._requests[path]
                request.error = SmProxyError("session-lost", "the copy is over")
                request.ready.set()
            self._queue.clear()
        self._wanted.set()

    def _work(self) -> None:
        self._wanted.wait(self._delay)
        while batch := self._batch():
            try:
                found = of_heads(self._connections, {path: r.size for path, r in batch.items()})
            except BaseException as error:  # noqa: BLE001 - raised by `get`
                for request in batch.values():
                    request.error = error
            else:
                for path, request in batch.items():
                    request.digest = found[path]
            for request in batch.values():
                request.ready.set()

    def _batch(self) -> dict[str, _Request]:
        batch: dict[str, _Request] = {}
        with self._lock:
            total = 0
            while self._queue and len(batch) < _FILES and total < _BATCH:
                path = self._queue.popleft()
                batch[path] = self._requests[path]
                total += batch[path].size or _UNKNOWN
            self._working = bool(batch)
        return batch
