"""Runs the checks stage by stage, and skips the rest after the first failure."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from sm_proxy import error_handler
from sm_proxy.doctor.check import (
    Check,
    Context,
    DoubtfulCheck,
    Finding,
    SkipCheck,
    Stage,
    Verdict,
)
from sm_proxy.errors import Code, SmProxyError, printable
from sm_proxy.local import debug_log, waits
from sm_proxy.local.redaction import redact
from sm_proxy.local.threads import Background

DEADLINE_S: Final = 45.0
"""For one check, in seconds: longer than all its retries and timeouts together."""
ASKED_S: Final = 300.0
"""For a check that asks the user for a code, in seconds."""
_LATE: Final = {
    "credentials": "If the AWS profile has a credential_process, run it by hand: it may hang."
    " If the keyring is locked, unlock it."
}
"""The fix for a check that took too long, by check id; network calls have their own timeouts."""


def examine(context: Context, stages: Iterable[Stage]) -> list[Finding]:
    """Run the checks, those of a stage concurrently; none runs after a stage that failed.

    A stage is taken from `stages` after the checks of the earlier ones have ended.
    """
    findings: list[Finding] = []
    for stage in stages:
        cause = first_failure(findings)
        if cause is not None:
            why = f"not checked: {cause.id} failed"
            findings += [Finding(name, "skipped", why, not_run=True) for name, _ in stage]
        else:
            findings += _run_stage(context, stage)
    return findings


def first_failure(findings: Sequence[Finding]) -> Finding | None:
    """The cause: the first check that failed."""
    return next((item for item in findings if item.result == "failed"), None)


def broken(findings: Sequence[Finding]) -> list[Finding]:
    """The checks that a bug of ours stopped; they are the cause if no check failed."""
    return [item for item in findings if item.broken]


def _run_stage(context: Context, stage: Stage) -> Iterator[Finding]:
    started = time.monotonic()
    running = [
        (name, Background(lambda name=name, check=check: _one(name, check, context)))  # type: ignore[misc]
        for name, check in stage
    ]
    for name, work in running:
        # This check may ask the user for a code.
        limit = ASKED_S if name == "credentials" and os.isatty(0) else DEADLINE_S
        with waits.waiting(f"checking: {name}", limit, covers=True) as wait:
            wait.began = started  # all checks of a stage run at once
            found = work.settled(max(0.0, started + limit - time.monotonic()))
        late = f"no answer within {limit:.0f} s"
        fix = _LATE.get(name, "Try again.")
        yield found or Finding(name, "failed", late, int(limit * 1000), fix, "network")


def _one(name: str, check: Check, context: Context) -> Finding:
    started = time.monotonic()

    def ended(result: Verdict, reason: str, fix: str = "", code: Code | None = None) -> Finding:
        ms = round((time.monotonic() - started) * 1000)
        shown = printable(redact(reason))
        return Finding(name, result, shown, ms, printable(redact(fix)), code)

    try:
        return ended("passed", check(context))
    except SkipCheck as skipped:
        found = ended("skipped", str(skipped))
        return replace(found, doubtful=isinstance(skipped, DoubtfulCheck))
    except SmProxyError as error:
        return ended("failed", error.message, error.hint, error.code)
    except Exception as error:  # noqa: BLE001 - the other checks still run
        debug_log.write("check broke", id=name, error=repr(error))
        fix = f"Please report it with {error_handler.report(f'doctor, check {name}')}"
        what = f"a bug in sm-proxy stopped this check: {type(error).__name__}: {error}"
        return replace(ended("skipped", what, fix), broken=True)
