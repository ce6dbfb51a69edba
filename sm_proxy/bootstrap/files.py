"""Send files through a shell session, and check each by its SHA-256 before anything runs.

The files are in a private folder that is named after their content. So a second run finds those
that have arrived, and two runs of different versions do not disturb each other.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sm_proxy.bootstrap.shell import RemoteShell
from sm_proxy.errors import SmProxyError

_NEEDED: Final = ("cat", "cut", "env", "head", "id", "ls", "mkdir", "mv", "sed", "tr")
"""What container/entrypoint.sh needs as well."""
_LINE: Final = 76
"""Characters in a line of encoded bytes: `openssl base64` takes no longer ones."""
_STATUS_S: Final = 2.0
_ATTEMPTS: Final = 2
_PLAIN_PATH: Final = re.compile(r"/[A-Za-z0-9._/@+=:,-]{1,200}")
"""A path that needs no quotes."""
_FOLDERS: Final = '"${TMPDIR:-/tmp}" /tmp /var/tmp /dev/shm "${HOME:-/}" /opt/ml/output'
_MAKE_FOLDER: Final = (
    "umask 077; u=$(id -u); for p in {places}; do d=$p/sm-proxy-files.$u;"
    ' mkdir "$d" 2>/dev/null || case "$(ls -ldn "$d" | tr -s " " | cut -d " " -f 1-3) " in'
    ' drwx------*" $u ") ;; *) continue ;; esac;'
    ' mkdir -p "$d/{name}/wheels" && echo >"$d/{name}/test" && echo "$d/{name}" && break;'
    " done 2>/dev/null"
)
"""Makes the first private folder that can be written to. An existing one must be ours, no link."""


@dataclass(frozen=True)
class Codec:
    """How bytes become lines of ASCII, and the command that makes bytes of them again."""

    encode: Callable[[bytes], list[str]]
    decode: str


def _base64_lines(content: bytes) -> list[str]:
    text = base64.b64encode(content).decode()
    return [text[at : at + _LINE] for at in range(0, len(text), _LINE)]


def _octal_lines(content: bytes) -> list[str]:
    size = _LINE // 4
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return ["".join(f"\\{byte:03o}" for byte in piece) for piece in pieces]


_PYTHON_DECODE: Final = (
    'python3 -c "import base64,sys; base64.decode(sys.stdin.buffer,sys.stdout.buffer)"'
)
_PYTHON_HASH: Final = (
    "python3 -c \"import hashlib,sys; [print(hashlib.sha256(open(f,'rb').read()).hexdigest(), f)"
    ' for f in sys.argv[1:]]"'
)
_CODECS: Final = {
    "base64": Codec(_base64_lines, "base64 -d"),
    "openssl": Codec(_base64_lines, "openssl base64 -d"),
    "python3": Codec(_base64_lines, _PYTHON_DECODE),
    "printf": Codec(_octal_lines, 'while IFS= read -r l; do printf "$l"; done'),
}
"""By the program that decodes, best first."""
_HASHES: Final = {
    "sha256sum": "sha256sum",
    "openssl": "openssl dgst -sha256 -r",
    "shasum": "shasum -a 256",
    "python3": _PYTHON_HASH,
}
"""Commands that print `HEX NAME` for each file, by the program, best first."""


@dataclass(frozen=True)
class Tools:
    """The programs of an image.

    Attributes:
        codec: to send files.
        digest: the command that prints the SHA-256 of files.
    """

    codec: Codec
    digest: str


def find_tools(shell: RemoteShell) -> Tools:
    """Find out what the image has.

    Raises:
        SmProxyError: `unsupported`, too little.
    """
    names = " ".join(dict.fromkeys([*_NEEDED, *_CODECS, *_HASHES]))
    command = f'for t in {names}; do ! command -v "$t" >/dev/null || echo "$t"; done'
    there = set(shell.run(command).text.split())
    missing = [name for name in _NEEDED if name not in there]
    digest = next((command for name, command in _HASHES.items() if name in there), None)
    if missing or digest is None:
        what = ", ".join(missing) or f"any of {', '.join(_HASHES)} to check what arrives"
        raise SmProxyError(
            "unsupported",
            f"the image lacks the program(s) {what}",
            "Install coreutils in the image, or use an image with the sm-proxy entrypoint.",
        )
    return Tools(next(codec for name, codec in _CODECS.items() if name in there), digest)


def make_folder(shell: RemoteShell, files: Mapping[str, bytes]) -> str:
    """Make the private folder for these files, and return its path.

    Raises:
        SmProxyError: `unsupported`, no place can be written to.
    """
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content)} ".encode() + content)
    answer = shell.run(_MAKE_FOLDER.format(places=_FOLDERS, name=digest.hexdigest()[:16]))
    if not _PLAIN_PATH.fullmatch(answer.text):
        raise SmProxyError(
            "unsupported",
            "the container has no folder that we may write to",
            "Free some space in its /tmp, or make it writable.",
        )
    return answer.text


def send(
    shell: RemoteShell,
    tools: Tools,
    folder: str,
    files: Mapping[str, bytes],
    on_status: Callable[[str], None],
) -> None:
    """Send the files that are not in the folder yet, and check them.

    Args:
        shell: in the container.
        tools: of its image.
        folder: from `make_folder`.
        files: contents by path in the folder, of plain characters.
        on_status: takes lines about the progress.

    Raises:
        SmProxyError: `session-lost`, they did not arrive whole.
    """
    missing = _missing(shell, tools, folder, files)
    for _ in range(_ATTEMPTS):
        if not missing:
            return
        _upload(shell, tools, folder, {name: files[name] for name in missing}, on_status)
        missing = _missing(shell, tools, folder, files)
    if missing:
        raise SmProxyError(
            "session-lost",
            f"{len(missing)} file(s) did not arrive whole in the container, such as {missing[0]}",
            "Run it again. Is there space left in the container?",
        )


def _missing(
    shell: RemoteShell, tools: Tools, folder: str, files: Mapping[str, bytes]
) -> list[str]:
    """The files that are not in the folder, or are not what they should be."""
    command = f'cd {folder} && for f in * wheels/*; do [ ! -f "$f" ] || set -- "$@" "$f"; done;'
    answer = shell.run(f'set --; {command} {tools.digest} "$@"')
    present: dict[str, str] = {}
    for line in answer.text.splitlines():
        digest, _, name = line.partition(" ")
        present[name.lstrip(" *")] = digest
    return [name for name, data in files.items() if present.get(name) != _sha256(data)]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _upload(
    shell: RemoteShell,
    tools: Tools,
    folder: str,
    files: Mapping[str, bytes],
    on_status: Callable[[str], None],
) -> None:
    blocks = []
    for name, content in files.items():
        lines = tools.codec.encode(content)
        blocks.append("\n".join([f"{len(lines)} {name}", *lines]))
    body = "\n".join([*blocks, "end", ""]).encode()
    # `cat` takes what a decoder leaves that ends early, on a full disk for example: the rest of the
    # lines must not become commands.
    command = (
        f'cd {folder} || exit; while read -r n f && [ "$n" != end ]; do'
        f' head -n "$n" | {{ {tools.codec.decode} >"$f.$$"; cat >/dev/null; }};'
        ' mv -f "$f.$$" "$f"; done'
    )
    shell.run(command, body, on_progress=_Progress(len(body), on_status))


class _Progress:
    """Tells every two seconds how much has been sent."""

    def __init__(self, size: int, on_status: Callable[[str], None]) -> None:
        self._size = size
        self._on_status = on_status
        self._next = time.monotonic() + _STATUS_S

    def __call__(self, sent: int) -> None:
        """Count bytes that have been sent."""
        if (now := time.monotonic()) >= self._next:
            self._next = now + _STATUS_S
            self._on_status(
                f"sending our SSH server: {sent / 1e6:.1f} of {self._size / 1e6:.1f} MB"
            )
