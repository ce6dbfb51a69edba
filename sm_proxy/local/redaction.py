"""Secrets struck out of what is shown or written: by their values, and by their looks."""

from __future__ import annotations

import re
from typing import Final

from sm_proxy.local import secret_values

_SECRETS: Final = re.compile(
    r"(?P<url>(?i:wss?)://[^\s?]+)\?\S+"
    r"|(?P<login>\b(?i:[a-z][a-z0-9+]*)://)[^\s/@\"']*:[^\s\"']*(?=@)"
    r"|(?P<pem>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?s:.*?)(?:(?=-----END)|\Z)"
    r"|(?P<key>\b(?:AKIA|ASIA)[A-Z0-9]{4})[A-Z0-9]+"
    # Behind a bare colon only what is too long for a word: "the credentials: The token ..."
    r"|(?P<name>(?i:token|secret|signature|password|credential)\w*"
    r"(?:[\"']?\s*=\s*|[\"']\s*:\s*|\s*:\s*(?=\S{16})))[^\s,}]+"
    r"|(?P<blob>\b[A-Za-z0-9+/_-]{12})[A-Za-z0-9+/=_-]{88,}"
)
_LETTERS_PER_SLASH: Final = 16
"""Base64 has a slash in 64 letters, a path one in ten: that is how a long path is told from it."""


def redact(text: str) -> str:
    """`text` without the secrets of this run, tokens, signatures and key material."""
    return _SECRETS.sub(_shortened, secret_values.strike(text))


def _shortened(match: re.Match[str]) -> str:
    if match["blob"] and match[0].count("/") * _LETTERS_PER_SLASH > len(match[0]):
        return match[0]
    kept = next((part for part in match.groups() if part), "")
    return f"{kept}{secret_values.REDACTED}"
