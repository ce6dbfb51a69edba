"""Read from an agent's text how its dial to the target failed.

The texts are those of Go or of Windows' sockets, behind the agent's own words
(A: session/plugins/port/port_basic.go:152-157, port.go:113-128,327). They arrive as the Output of
channel_closed, as a payload, or as an API's error.
"""

from __future__ import annotations

import re
from typing import Final, Literal

DialKind = Literal["refused", "unanswered", "unresolved", "barred", "forbidden"]

CRASHED: Final = "document process failed unexpectedly"
"""The service's text when an agent crashes because its dial failed, without smux (measured with
3.3.1230; A: session/plugins/port/port_basic.go:112-116)."""
_DIAL: Final = (
    r"unable to (dial|connect)|failed to connect|could not connect|dial (tcp|udp|ip)|connect: "
    r"|connection to (the )?\w+ (port|host|server) failed"
)
_TO_THE_SERVICE: Final = r"https?://|wss?://|RequestError"
"""The agent's connection to the service, not to the target."""
_UNRESOLVED: Final = (
    r"no such host|\blookup \S+.*: |name resolution|name or service not known|missing address"
    r"|nodename nor servname|no suitable address|unknown host"
    r"|(cannot|could not) (be )?resolved?\b"
)
_UNANSWERED: Final = (
    r"no route to host|(network|host) is (unreachable|down)|unreachable (network|host)"
    r"|did not properly respond"
)
_KINDS: Final[tuple[tuple[DialKind, str, str], ...]] = (
    ("forbidden", r"forwarding to ip address .* is forbidden", ""),
    ("unresolved", _UNRESOLVED, ""),
    ("refused", r"(connection|actively) refused", ""),
    ("unanswered", _UNANSWERED, r"timed? ?out|timeout|deadline exceeded"),
    (
        "barred",
        r"forbidden by its access permissions",
        r"permission denied|operation not permitted",
    ),
)
"""Each kind, a pattern that always means it, and a pattern that means it only if the text is about
a dial or has no other words."""


def dial_failure(text: str) -> DialKind | None:
    """How the agent's dial to the target failed; None if the text is not about the dial.

    Returns:
        `refused` nothing listens there, `unanswered` no answer or no route, `unresolved` the name
        has no address, `barred` the agent's machine is not allowed to connect, `forbidden` the
        agent's own rules exclude the address.
    """
    if re.search(_TO_THE_SERVICE, text, re.IGNORECASE):
        return None
    dialled = bool(re.search(_DIAL, text, re.IGNORECASE))
    for kind, anywhere, of_a_dial in _KINDS:
        if re.search(anywhere, text, re.IGNORECASE):
            return kind
        if of_a_dial and _matches(of_a_dial, text, dialled=dialled):
            return kind
    return "refused" if dialled else None


def found_in(data: bytes) -> tuple[DialKind, str] | None:
    """How the dial failed, and the agent's text about it, if that came in place of the target's."""
    text = data.decode(errors="replace").strip()
    if data.startswith(b"SSH-") or not text.isprintable():
        return None
    kind = dial_failure(text)
    return (kind, text) if kind else None


def _matches(words: str, text: str, *, dialled: bool) -> bool:
    if dialled:
        return bool(re.search(words, text, re.IGNORECASE))
    alone = rf"\W*((i/o|connection|operation) )?({words})\W*"
    return bool(re.fullmatch(alone, text, re.IGNORECASE))
