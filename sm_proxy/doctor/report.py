"""The text of an examination, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from sm_proxy.doctor import last_failure, runner
from sm_proxy.doctor.check import Finding
from sm_proxy.local import layout
from sm_proxy.local.layout import Cell
from sm_proxy.local.screen import Screen, Style

_STYLES: Final[dict[str, Style]] = {
    "passed": "good",
    "failed": "bad",
    "doubtful": "doubtful",
    "skipped": "faint",
    "not run": "faint",
}
"""The words for how a check ends."""
_EARLIER: Final = "earlier"
_WIDTH: Final = max(map(len, _STYLES))


def text(findings: Sequence[Finding], command: str, screen: Screen, *, verbose: bool) -> str:
    """The checks, how many of them ended how, and a conclusion.

    Args:
        findings: of all checks, in order.
        command: the command line of this examination.
        screen: where it is shown.
        verbose: whether to show every check with its time, not only what a user must look at.
    """
    shown = list(findings) if verbose else _important(findings)
    names = max((len(item.id) for item in shown), default=0)
    lines = layout.pairs(
        ((_label(item, names, verbose=verbose), _reason(item)) for item in shown), screen
    )
    lines += [""] if lines else []
    counts = _counts(findings) + ("." if verbose else f". To see every check: {command} -v")
    lines += layout.paragraph(counts, screen)
    style: Style = "bad" if runner.first_failure(findings) else "good"
    last = layout.paragraph(_conclusion(findings, command), screen)
    lines += [screen.styled(line, style) for line in last]
    return "\n".join(lines)


def _important(findings: Sequence[Finding]) -> list[Finding]:
    """The checks that need the user's attention, without repetitions of an earlier failure."""
    reasons = [item.reason for item in findings if _word(item) == "failed"]
    return [
        item
        for item in findings
        if _word(item) in {"failed", "doubtful"}
        or (_word(item) == _EARLIER and not any(words in item.reason for words in reasons))
    ]


def _word(item: Finding) -> str:
    if item.id == last_failure.NAME and item.result == "passed":
        return _EARLIER
    if item.not_run:
        return "not run"
    return "doubtful" if item.doubtful or item.broken else item.result


def _label(item: Finding, names: int, *, verbose: bool) -> Cell:
    word = _word(item)
    took = f"  {item.ms:6} ms" if verbose else ""
    return Cell(f"{word:{_WIDTH}}  {item.id:{names}}{took}", _STYLES.get(word), len(word))


def _reason(item: Finding) -> str:
    return f"{item.reason}\n{item.fix}" if item.fix else item.reason


def _counts(findings: Sequence[Finding]) -> str:
    """`1 failed, 17 passed, 3 skipped, 12 not run`."""
    ended = Counter(map(_word, findings))
    ended["passed"] += ended.pop(_EARLIER, 0)
    words = ("failed", "doubtful", "passed", "skipped", "not run")
    return ", ".join(f"{ended[word]} {word}" for word in words if ended[word])


def _conclusion(findings: Sequence[Finding], command: str) -> str:
    cause = runner.first_failure(findings)
    if cause is not None:
        return f"The first cause is {cause.id}. Fix it, then check again: {command}"
    if broken := ", ".join(item.id for item in runner.broken(findings)):
        return f"No problem found, but a bug in sm-proxy stopped these checks: {broken}."
    return "No problem found."
