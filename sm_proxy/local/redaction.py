"""Redact secrets in text that we show or write: known values, and patterns such as keys."""

from __future__ import annotations

import re
from typing import Final

from sm_proxy.local import secret_values

_SECRETS: Final = re.compile(
    r"(?P<url>(?i:wss?)://[^\s?]+)\?\S+"
    r"|(?P<login>\b(?i:[a-z][a-z0-9+]*)://)[^\s/@\"']*:[^\s\"']*(?=@)"
    r"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?s:.*?)(?:(?=-----END)|\Z)"
    r"|(?P<key>\b(?:AKIA|ASIA)[A-Z0-9]{4})[A-Z0-9]+"
    # After a bare colon, only a long word is a secret: "the credentials: The token ..." has none.
    r"|(?P<name>(?i:token|secret|signature|password|credential)\w*"
    r"(?:[\"']?\s*=\s*|[\"']\s*:\s*|\s*:\s*(?=\S{16})))[^\s,}]+"
    r"|(?P<blob>\b[A-Za-z0-9+/_-]{12})[A-Za-z0-9+/=_-]{88,}"
)
_LETTERS_PER_SLASH: Final = 16
"""Base64 has about one slash in 64 letters and a path one in ten: this keeps long paths."""


def redact(text: str) -> str:
    """`text` without this run's secrets, and without tokens, signatures and keys."""
    return _SECRETS.sub(_shortened, secret_values.strike(text))


def _shortened(match: re.Match[str]) -> str:
    if match["blob"] and match[0].count("/") * _LETTERS_PER_SLASH > len(match[0]):
        return match[0]
    kept = next((part for part in match.groups() if part), "")
    return f"{kept}{secret_values.REDACTED}"
