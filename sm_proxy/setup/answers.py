"""What `setup` has to know before it writes: the profile and the region.

Every answer is a flag as well; a question is asked only where somebody sits at a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from sm_proxy.aws import profiles
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.settings import Settings

Ask = Callable[[str, Sequence[str], str], str]
"""Asks a question: its words, the answers that are possible (none: any), the default."""

_DEFAULT = "default"
_TRIES = 3


def ask_missing(settings: Settings, ask: Ask | None) -> dict[str, Any]:
    """The flags that nobody has given and that cannot do without.

    Args:
        settings: of this run, with what an earlier `setup` has recorded.
        ask: None where nobody can be asked.

    Raises:
        SmProxyError: `no-credentials`, `bad-setting`: somebody must choose, with the flag, or
            the profile that was named is not among those there are.
    """
    found: dict[str, Any] = {}
    if (profile := _profile(settings, ask)) is not None:
        found["profile"] = profile
    if settings.region is None and profiles.region_of(profile or settings.profile) is None:
        found["region"] = _region(ask)
    return found


def terminal_asker() -> Ask | None:
    """How to ask, if there is a terminal for the question and for the answer."""
    # AttributeError: Python has neither where it was started with them closed.
    try:
        there = sys.stdin.isatty() and sys.stderr.isatty()
    except (AttributeError, ValueError):
        there = False
    return _asked if there else None


def _profile(settings: Settings, ask: Ask | None) -> str | None:
    """The profile to write down; None for botocore's own choice."""
    names, named = profiles.list_profiles(), settings.named_profile
    known = ", ".join(map(printable, names))
    if names and named and named not in names:
        # Mistyped, most likely: written down, it would take the place of one that works.
        raise SmProxyError(
            "no-credentials",
            f"there is no AWS profile {printable(named)!r} (known: {known})",
            "Choose another with --profile, or make it: aws configure --profile NAME",
        )
    if named or os.environ.get("AWS_ACCESS_KEY_ID"):
        return None
    if len(names) < 2:
        return next((name for name in names if name != _DEFAULT), None)
    if ask is not None:
        answer = ask("Which AWS profile?", names, _DEFAULT if _DEFAULT in names else "")
        return None if answer == _DEFAULT else answer
    if _DEFAULT in names:
        return None
    raise SmProxyError(
        "no-credentials",
        f"there are several AWS profiles and none is the default: {known}",
        "Choose one with --profile.",
    )


def _region(ask: Ask | None) -> str:
    if ask is None:
        raise SmProxyError(
            "bad-setting", "no AWS region is set anywhere", "Name the jobs' one with --region."
        )
    return ask("Which AWS region do your jobs run in?", (), "")


def _asked(question: str, choices: Sequence[str], default: str) -> str:
    """Ask on the terminal: stdout belongs to the result."""
    listed = f" ({', '.join(map(printable, choices))})" if choices else ""
    shown = f" [{default}]" if default else ""
    for _ in range(_TRIES):
        sys.stderr.write(f"{question}{listed}{shown} ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        answer = line.strip() or default
        if answer and (not choices or answer in choices):
            return answer
        if not line:
            break
    raise SmProxyError("bad-setting", f"no answer to: {question}", "Give it as an option.")
