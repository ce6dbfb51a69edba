"""Which of the user's own hosts our wildcard block excludes.

A plain name is always excluded. A pattern is excluded only if it is narrower than ours, such as
`sm-dev-*`. A pattern that matches our jobs in general, such as `sm-*` or `*`, is not.
"""

from __future__ import annotations

import fnmatch
import re
import string
from collections.abc import Iterable
from typing import Final

from sm_proxy.aws.job_kinds import KINDS, SESSION_KINDS
from sm_proxy.jobs import hostname
from sm_proxy.settings import contexts

_OWN: Final = re.compile(r"[A-Za-z0-9_*?][A-Za-z0-9_.:@*?-]*")
_WILD: Final = frozenset("*?")
_LABELS: Final = (
    *("1", "algo-1", "i-0123456789abcdef0", *KINDS, *SESSION_KINDS),
    *("d-0123456789ab.space", "workers.1.hyperpod"),
)
_ANY_JOB: Final = f"{string.ascii_lowercase[::-1]}-{string.digits}-0"
"""A job name with every letter and digit: only a general pattern matches it."""


def is_own(word: str) -> bool:
    """Whether a word of a Host line is a name or pattern that a block can exclude."""
    return bool(_OWN.fullmatch(word))


def is_pattern(word: str) -> bool:
    """Whether it has a wildcard."""
    return bool(_WILD & set(word))


def matches(host: str, words: Iterable[str]) -> bool:
    """Whether a host name equals or matches one of these words."""
    return any(fnmatch.fnmatchcase(host, word) for word in words)


def excluded_patterns(taken: Iterable[str], prefix: str, prefixes: Iterable[str]) -> list[str]:
    """The names and patterns that the block of `prefix` must exclude.

    Args:
        taken: the user's names and patterns.
        prefix: of the block.
        prefixes: of all blocks; a word belongs to the longest prefix that it begins with.
    """
    known = list(prefixes)
    return [
        word
        for word in taken
        if (
            contexts.prefix_of(word, known) == prefix
            and (not is_pattern(word) or _is_narrower(word, prefix))
        )
        or _is_elsewhere(word, prefix)
    ]


def _is_narrower(pattern: str, prefix: str) -> bool:
    if pattern.rpartition(".")[2] in SESSION_KINDS:  # whatever its domain or instance group is
        pattern = prefix + pattern.removeprefix(prefix).partition(".")[0]
    while hostname.is_label(pattern.rpartition(".")[2]):
        pattern = pattern.rpartition(".")[0]
    rest = pattern.removeprefix(prefix)
    if rest[:1].isalnum():
        return True
    jobs = [prefix + _ANY_JOB, *(f"{prefix}{_ANY_JOB}.{label}" for label in _LABELS)]
    return any(map(str.isalpha, rest)) and not any(matches(job, [pattern]) for job in jobs)


def _is_elsewhere(pattern: str, prefix: str) -> bool:
    """Whether it matches names in a domain, such as `*.example.com`: no job has a domain."""
    start = re.split(r"[*?]", pattern)[0]
    if start == pattern or not prefix.startswith(start):
        return False
    _, dot, domain = pattern.rpartition(".")
    return bool(dot) and not is_pattern(domain) and not hostname.is_label(domain)
