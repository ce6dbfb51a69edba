"""Remove the secrets that this process has loaded or received from text.

We recognise a secret by its value: whole, in pieces, broken over lines, or as `repr`, JSON, a URL
or a header writes it. Matching ignores white space, control characters and backslashes, because a
message may escape or replace them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

SHORTEST: Final = 8
"""A shorter secret, such as a code, is removed only where it is a word of its own."""
_SHORTEST_WORD: Final = 4
_SPLITTABLE: Final = 20
"""From this length on, pieces of a secret are removed too; shorter ones may be common words."""
_PIECE: Final = 8
_GAP: Final = 3
"""The most characters between two pieces that may come from an unknown escape."""
REDACTED: Final = "[redacted]"
_IGNORED: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\N{REPLACEMENT CHARACTER}\\]+")
_VARIABLES: Final = re.compile(
    r"AWS_BEARER_TOKEN_\w+"
    r"|(AWS|SM_PROXY)_(\w+_)?(SECRET|TOKEN|PASSWORD|PASSPHRASE|API_KEY|SECRET_ACCESS_KEY)"
)
_FILE_VARIABLE: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
_TOKEN_LIMIT: Final = 16 << 10
_FIELDS: Final = frozenset(
    {"accesstoken", "clientsecret", "codeverifier", "devicecode", "dpopkey", "idtoken"}
    | {"plaintext", "refreshtoken", "samlassertion", "secretaccesskey", "sessiontoken", "token"}
    | {"tokenvalue", "webidentitytoken"}
    | {"aws_secret_access_key", "aws_security_token", "aws_session_token"}
)
"""Fields with a secret, in requests, responses, AWS profiles and saved sessions."""

_kept: Final[set[str]] = set()


def keep(*values: object) -> None:
    """Remember secrets of this run: text or bytes; other values are ignored."""
    for value in values:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if isinstance(text, str) and text:
            _kept.add(text)


def keep_fields(document: Any) -> None:
    """Remember the values of all secret fields in a request, response or profile."""
    if isinstance(document, dict):
        for name, value in document.items():
            # Only a lab or a test has such short keys, and they may be ordinary words.
            if str(name).lower() in _FIELDS and isinstance(value, str | bytes):
                keep(value if len(value) >= SHORTEST else None)
            keep_fields(value)
    elif isinstance(document, list | tuple):
        for item in document:
            keep_fields(item)


def strike(text: str, *, in_data: bool = False) -> str:
    """`text` without secrets.

    Args:
        text: before it is shown or written.
        in_data: `text` is for programs: remove whole secrets only, and no short ones.
    """
    forms, words, pieces = _index(frozenset({*_kept, *_of_environment()}))
    if not forms and not words:
        return text
    squeezed = _IGNORED.sub("", text)
    found = [match for form in forms for match in _occurrences(form, squeezed)]
    if pieces and not in_data:
        ends = range(_PIECE, len(squeezed) + 1)
        found += [(end - _PIECE, end) for end in ends if squeezed[end - _PIECE : end] in pieces]
    places = _places(text) if found else []  # takes long for a long text
    spans = [(places[start], places[end - 1] + 1) for start, end in found]
    if not in_data:
        spans += [match for word in words for match in _alone(word, text)]
    if not spans:
        return text
    marked = bytearray(len(text))
    for start, end in spans:
        marked[start:end] = b"\x01" * (end - start)
    return _without(text, bytes(marked))


@lru_cache(maxsize=4)
def _index(
    secrets: frozenset[str],
) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The texts to search for: whole secrets in all forms, short ones, and pieces of long ones."""
    forms = {form for secret in secrets for form in _forms(secret)}
    long = {form for form in forms if len(form) >= SHORTEST}
    words = {form for form in forms - long if len(form) >= _SHORTEST_WORD}
    pieces = {
        form[at : at + _PIECE]
        for form in long
        if len(form) >= _SPLITTABLE
        for at in range(len(form) - _PIECE + 1)
    }
    return frozenset(long), frozenset(words), frozenset(pieces)


def _forms(secret: str) -> Iterator[str]:
    """A secret as `repr`, JSON, URLs and headers write it, without ignored characters."""
    import base64  # noqa: PLC0415 - only to show something
    import json  # noqa: PLC0415
    from urllib.parse import quote, quote_plus  # noqa: PLC0415

    data = secret.encode("utf-8", "surrogateescape")
    written = [secret, repr(secret)[1:-1], repr(data)[2:-1], json.dumps(secret)[1:-1]]
    for quoted in (quote(data), quote(data, safe=""), quote_plus(data)):
        written += [quoted, re.sub("%..", lambda found: found[0].lower(), quoted)]
    if len(secret) >= SHORTEST:
        # After `user:`, the secret may start at any of three offsets in a Base64 group.
        for lead, unsure in enumerate((0, 2, 3)):
            encoded = base64.b64encode(b"\0" * lead + data).decode().rstrip("=")
            written.append(encoded[unsure:-1])
    for form in written:
        yield _IGNORED.sub("", form)


def _of_environment() -> Iterator[str]:
    """Secrets in variables with such a name, and passwords in the URLs of proxies."""
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and _VARIABLES.fullmatch(name):
            yield value
        elif name.lower().endswith("_proxy") and "@" in value:
            yield from _of_login((value.partition("://")[2] or value).rpartition("@")[0])
        elif name == _FILE_VARIABLE:  # only botocore reads this file
            with contextlib.suppress(OSError, ValueError), open(value, encoding="utf-8") as file:  # noqa: PTH123
                yield file.read(_TOKEN_LIMIT)


def _of_login(login: str) -> Iterator[str]:
    """A proxy's password, encoded and decoded; a long user name may be a token."""
    from urllib.parse import unquote  # noqa: PLC0415 - only with a proxy's login

    name, _, password = login.partition(":")
    secret = password or (name if len(name) >= _SPLITTABLE else "")
    yield from {secret, unquote(secret)} - {""}


def _occurrences(form: str, text: str) -> Iterator[tuple[int, int]]:
    at = text.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = text.find(form, at + 1)


def _alone(word: str, text: str) -> Iterator[tuple[int, int]]:
    found = re.finditer(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", text)
    return (match.span() for match in found)


def _places(text: str) -> list[int]:
    """The positions of the characters that are not ignored."""
    ignored = {at for match in _IGNORED.finditer(text) for at in range(*match.span())}
    return [at for at in range(len(text)) if at not in ignored]


def _without(text: str, marked: bytes) -> str:
    """The text with `REDACTED` in place of each marked range."""
    parts: list[str] = []
    end = 0
    for match in re.finditer(b"\x01+(?:\x00{1,%d}\x01+)*" % _GAP, marked):
        parts += [text[end : match.start()], REDACTED]
        end = match.end()
    return "".join([*parts, text[end:]])
