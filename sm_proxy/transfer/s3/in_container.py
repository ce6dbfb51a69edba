"""Let the container upload or download by presigned URLs, with its Python or with curl.

URLs go in through the script's stdin and reach curl as a config file: the list of processes does
not show them. What the container answers is only believed where a lie harms nobody but itself: a
wrong ETag fails the upload, and content is compared by SHA-256.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.transfer import checksums
from sm_proxy.transfer.checksums import Scripts
from sm_proxy.transfer.s3.container_programs import CURL, FIND, PYTHON
from sm_proxy.transfer.s3.store import denied
from sm_proxy.transfer.ssh.connection import Answer

_SLACK_S: Final = 120
_BYTES_S: Final = 2_000_000
"""A slow link to S3 carries at least so many bytes per second."""
_ENDPOINT_S: Final = 60.0
_VPCE: Final = re.compile(r"bucket\.vpce-[a-z0-9-]+\.s3\.[a-z0-9-]+\.vpce\.amazonaws\.com(\.cn)?")
_LINE: Final = re.compile(r"^sm-proxy-copy (\d+) (done|failed|refused|unreachable|changed)(.*)$")
_TAG: Final = re.compile(r'"?[0-9a-fA-F]{32}"?')
_NO_TOOL: Final = "sm-proxy-copy no-tool"
_WORDS: Final = {
    "changed": "it changed while it was copied",
    "failed": "the container's upload or download failed",
    "unreachable": "the container does not reach S3",
}


@dataclass(frozen=True)
class Put:
    """A range of a file that the container uploads.

    Attributes:
        path: in the container.
        start: the offset of its first byte.
        size: in bytes.
        url: presigned.
    """

    path: str
    start: int
    size: int
    url: str


@dataclass(frozen=True)
class Get:
    """A file that the container downloads: to a temporary name, which becomes `path` at the end.

    Attributes:
        path: in the container.
        size: in bytes.
        url: presigned.
        sha256: of the content, in hexadecimal digits.
        mode: permission bits.
        modified: in Unix seconds.
        accessed: in Unix seconds.
    """

    path: str
    size: int
    url: str
    sha256: str
    mode: int
    modified: int
    accessed: int


def endpoint(connections: Scripts) -> str | None:
    """The endpoint at which the container reaches S3, if its environment names a private one.

    A URL is signed for its host. So a name that could be another bucket's is not accepted: only an
    address of a private network, or the name of a VPC endpoint.

    Raises:
        SmProxyError: as `Connections.script`.
    """
    script = 'printf "endpoint=%s\\n" "${AWS_ENDPOINT_URL_S3:-${AWS_ENDPOINT_URL-}}"\n'
    answer = checksums.patiently(lambda: connections.script(script, _ENDPOINT_S), _ENDPOINT_S)
    found = re.search(r"^endpoint=(https?://[A-Za-z0-9.:\[\]-]+)/?$", answer.output, re.MULTILINE)
    host = urlsplit(found[1]).hostname if found else None
    return found[1] if found and host and _is_private(host) else None


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _VPCE.fullmatch(host) is not None
    return address.is_private or address.is_link_local


def run(
    connections: Scripts, size: int, works_for: Callable[[int], Sequence[Put | Get]]
) -> list[str | SmProxyError]:
    """Let the container do some uploads and downloads; again if its session is lost meanwhile.

    Args:
        connections: to the container.
        size: of all of them, in bytes.
        works_for: makes them, with URLs that are valid for so many seconds.

    Returns:
        For each the ETag, empty for a download; or why it failed.

    Raises:
        SmProxyError: `copy-failed`, the container has no tool, or reaches no S3; or ssh failed.
    """
    seconds = _SLACK_S + size // _BYTES_S
    works: Sequence[Put | Get] = ()

    def again() -> Answer:
        nonlocal works
        works = works_for(seconds)
        return connections.script(script(works), float(seconds))

    answer = checksums.patiently(again, float(seconds))
    if _NO_TOOL in answer.output:
        raise SmProxyError(
            "copy-failed",
            "the container has neither Python 3 nor curl, so that it cannot use S3",
            "Copy with --via ssh.",
        )
    found = _outcomes(answer.output)
    results = [
        _result(work, *found.get(number, ("failed", ""))) for number, work in enumerate(works)
    ]
    kinds = {found.get(number, ("failed", ""))[0] for number in range(len(works))}
    if kinds == {"unreachable"}:
        raise next(error for error in results if isinstance(error, SmProxyError))
    return results


def script(works: Sequence[Put | Get]) -> str:
    """The sh script for some uploads and downloads."""
    document = json.dumps([_described(work) for work in works])
    python = f"works = {document!r}\n{PYTHON}"
    lines = "".join(_for_curl(works))
    return f"{FIND}{CURL}{lines}}}\n{_USE.replace('PROGRAM', python)}"


_USE: Final = """\
if [ -n "$python" ]; then
  "$python" - <<'SM_PROXY_COPY'
PROGRAM
SM_PROXY_COPY
elif command -v curl >/dev/null 2>&1; then
  with_curl
else
  echo 'sm-proxy-copy no-tool'
fi
"""


def _described(work: Put | Get) -> dict[str, str | int]:
    """For Python. A path may have any bytes, and its locale any encoding."""
    path = work.path.encode("utf-8", "surrogateescape").hex()
    return {**vars(work), "path": path}


def _for_curl(works: Sequence[Put | Get]) -> Iterator[str]:
    for number, work in enumerate(works):
        path = shlex.quote(work.path if work.path.startswith("/") else f"./{work.path}")
        if isinstance(work, Put):
            yield f"put {number} {work.start} {work.size} {path} <<'E'\nurl = \"{work.url}\"\nE\n"
        else:
            words = f"{work.sha256} {work.mode & 0o777:o} {work.modified} {work.accessed}"
            yield f"get {number} {words} {path} <<'E'\nurl = \"{work.url}\"\nE\n"


def _outcomes(output: str) -> dict[int, tuple[str, str]]:
    """What the script printed for each work: a kind, and more words."""
    found = {}
    for line in output.splitlines():
        if match := _LINE.match(line):
            found[int(match[1])] = match[2], match[3].strip()
    return found


def _result(work: Put | Get, kind: str, words: str) -> str | SmProxyError:
    if kind == "done" and (isinstance(work, Get) or _TAG.fullmatch(words)):
        return words if isinstance(work, Put) else ""
    words = printable(words, 300)
    if kind == "refused":
        return denied(f"S3 refuses the container's request for {work.path}: {words}")
    if kind == "changed":
        hint = "Copy it again."
        return SmProxyError("source-changed", f"{work.path}: {_WORDS[kind]}", hint)
    what = f"{work.path}: {_WORDS.get(kind, _WORDS['failed'])}{': ' if words else ''}{words}"
    if kind == "unreachable":
        hint = (
            "Its subnets need a way to S3, such as a gateway endpoint, and its network must not be"
            " isolated. Or copy with --via ssh."
        )
        return SmProxyError("copy-failed", what, hint)
    return SmProxyError("copy-failed", what, "Copy it again, or with --via ssh.")
