"""What `setup` has to know before it writes: the profile and the region.

Every answer is a flag as well; a question is asked only where somebody sits at a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sm_proxy.aws import profiles
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.settings import Settings
from sm_proxy.settings.schema import is_region


@dataclass(frozen=True)
class Question:
    """What is to be answered.

    Attributes:
        words: for the user.
        option: that answers it without being asked.
        refusal: why an answer is none; empty where it is one.
        choices: the answers to name.
        default: what Return alone means; empty for none.
    """

    words: str
    option: str
    refusal: Callable[[str], str]
    choices: Sequence[str] = ()
    default: str = ""


Ask = Callable[[Question], str]

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
    named = settings.region or profiles.region_of(profile or settings.profile)
    if named is None:
        found["region"] = _region(ask)
    elif problem := _no_region(named):
        raise SmProxyError("bad-setting", problem, "Name the jobs' one with --region.")
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
            "Choose another with --profile, or write that one into ~/.aws/config.",
        )
    if named or os.environ.get("AWS_ACCESS_KEY_ID"):
        return None
    if len(names) < 2:
        return next((name for name in names if name != _DEFAULT), None)
    if ask is not None:
        default = _DEFAULT if _DEFAULT in names else ""
        answer = ask(
            Question("Which AWS profile?", "--profile", _no_profile(names), names, default)
        )
        return None if answer == _DEFAULT else answer
    if _DEFAULT in names:
        return None
    raise SmProxyError(
        "no-credentials",
        f"there are several AWS profiles and none is the default: {known}",
        "Choose one with --profile.",
    )


def _no_profile(names: Sequence[str]) -> Callable[[str], str]:
    return lambda answer: (
        "" if answer in names else f"there is no AWS profile {printable(answer)!r}"
    )


def _no_region(name: str) -> str:
    return "" if is_region(name) else f"{printable(name)!r} is no AWS region such as eu-west-1"


def _region(ask: Ask | None) -> str:
    if ask is None:
        raise SmProxyError(
            "bad-setting", "no AWS region is set anywhere", "Name the jobs' one with --region."
        )
    return ask(Question("Which AWS region do your jobs run in?", "--region", _no_region))


def _asked(question: Question) -> str:
    """Ask on the terminal: stdout belongs to the result."""
    listed = f" ({', '.join(map(printable, question.choices))})" if question.choices else ""
    shown = f" [{question.default}]" if question.default else ""
    why = ""
    for _ in range(_TRIES):
        sys.stderr.write(f"{question.words}{listed}{shown} ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        answer = line.strip() or question.default
        why = question.refusal(answer) if answer else ""
        if answer and not why:
            return answer
        if not line:
            break
        sys.stderr.write(f"sm-proxy: {why or 'that is no answer'}\n")
    raise SmProxyError(
        "bad-setting",
        why or f"no answer to: {question.words}",
        f"Give it as an option: sm-proxy setup {question.option} ...",
    )
