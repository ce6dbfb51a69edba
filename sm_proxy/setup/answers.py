"""What `setup` must know before it writes: the profile and the region.

Every answer can be given as a flag. Questions are asked only on a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sm_proxy.aws import profiles
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import output, prompt, waits
from sm_proxy.settings import Settings
from sm_proxy.settings.schema import is_region


@dataclass(frozen=True)
class Question:
    """A question to the user.

    Attributes:
        words: the question itself.
        option: the flag that answers it.
        refusal: returns why an answer is invalid; ``""`` for a valid one.
        choices: answers to suggest.
        default: the answer that Return alone gives; empty for none.
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
    """The required flags that were not given.

    Args:
        settings: of this run, with what an earlier `setup` has recorded.
        ask: asks the user; None if nobody can be asked.

    Raises:
        SmProxyError: `no-credentials` or `bad-setting`: the user must choose with a flag, or the
            named profile does not exist.
    """
    found: dict[str, Any] = {}
    if (profile := _profile(settings, ask)) is not None:
        found["profile"] = profile
    named = settings.region or profiles.region_of(profile or settings.profile)
    if named is None:
        found["region"] = _region(ask)
    elif problem := _region_refusal(named):
        raise SmProxyError("bad-setting", problem, "Name the region of your jobs with --region.")
    return found


def terminal_asker() -> Ask | None:
    """A function that asks, if stdin and stderr are a terminal; else None."""
    return _ask_on_terminal if prompt.at_terminal() else None


def _profile(settings: Settings, ask: Ask | None) -> str | None:
    """The profile to record; None for botocore's own choice."""
    names, named = profiles.list_profiles(), settings.named_profile
    known = ", ".join(map(printable, names))
    if names and named and named not in names:
        # Most likely mistyped: recording it would replace a profile that works.
        raise SmProxyError(
            "no-credentials",
            f"there is no AWS profile {printable(named)!r} (known: {known})",
            "Choose another with --profile, or add that one to ~/.aws/config.",
        )
    if named or os.environ.get("AWS_ACCESS_KEY_ID"):
        return None
    if len(names) < 2:
        return next((name for name in names if name != _DEFAULT), None)
    if ask is not None:
        default = _DEFAULT if _DEFAULT in names else ""
        answer = ask(
            Question("Which AWS profile?", "--profile", _profile_refusal(names), names, default)
        )
        return None if answer == _DEFAULT else answer
    if _DEFAULT in names:
        return None
    raise SmProxyError(
        "no-credentials",
        f"there are several AWS profiles and no default: {known}",
        "Choose one with --profile.",
    )


def _profile_refusal(names: Sequence[str]) -> Callable[[str], str]:
    return lambda answer: (
        "" if answer in names else f"there is no AWS profile {printable(answer)!r}"
    )


def _region_refusal(name: str) -> str:
    if is_region(name):
        return ""
    return f"{printable(name)!r} is not an AWS region such as eu-west-1"


def _region(ask: Ask | None) -> str:
    if ask is None:
        raise SmProxyError(
            "bad-setting", "no AWS region is set", "Name the region of your jobs with --region."
        )
    return ask(Question("Which AWS region do your jobs run in?", "--region", _region_refusal))


def _ask_on_terminal(question: Question) -> str:
    """Ask on stderr, because stdout is for the result."""
    listed = f" ({', '.join(map(printable, question.choices))})" if question.choices else ""
    shown = f" [{question.default}]" if question.default else ""
    why = ""
    for _ in range(_TRIES):
        with waits.terminal_lent():
            sys.stderr.write(f"{question.words}{listed}{shown} ")
            sys.stderr.flush()
            line = sys.stdin.readline()
        answer = line.strip() or question.default
        why = question.refusal(answer) if answer else ""
        if answer and not why:
            return answer
        if not line:
            break
        output.status(why or "please answer")
    raise SmProxyError(
        "bad-setting",
        why or f"no answer to: {question.words}",
        f"Give it as an option: sm-proxy setup {question.option} ...",
    )
