"""Prefixes that launchers and loggers add to log lines, and the node that they name.

    [1,mpirank:0,algo-1]<stdout>:    mpirun --tag-output, as SageMaker's toolkits call it
    [1,0]<stderr>:                   the same, without a name: job and rank
    algo-2:                          pdsh, DeepSpeed
    algo-1-8yfk2  |                  docker compose
    [default0]:                      torchrun
    (RayTrainWorker pid=7, ip=...)   Ray
    INFO:root:                       Python's logging, and others with a time, a level, a name
    2026-11-28 10:00:00,123 sagemaker-training-toolkit INFO

We accept only known prefixes, and no other text: a program may print what others have written.
"""

from __future__ import annotations

import re
from typing import Final

_LENGTH_LIMIT: Final = 300
_PARTS_LIMIT: Final = 24
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-9;:?]{0,40}[@-~]|[()][0-9A-Za-z])")
_BREAKS: Final = re.compile(r"[\r\n]+")
_NODE: Final = re.compile(r"(?<![\w-])algo-\d{1,4}(?!\d)")
_LAUNCHER: Final = re.compile(r"\[(?:prterun|mpirun)-[^\]@]{0,100}@")
"""The host of mpirun, before the rank; it is not the node of the line."""
_RANK: Final = re.compile(
    r"\[(?:\d{1,9},)?(?:mpirank:)?(?P<tagged>\d{1,6})(?:,[^\[\]]{0,80})?\]<std"
    r"|^\s*\[(?:\d{1,9},)?(?P<plain>\d{1,6})\]"
    r"|^\s*(?P<labelled>\d{1,5}): "
)
_ELSEWHERE: Final = re.compile(r"\([^()]*\bip=")
"""Ray prints the address of a process that is not on the driver's node."""
_LEVEL: Final = r"(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERR(?:OR)?|CRITICAL|FATAL)"
_NAME: Final = r"[A-Za-z_][\w./-]{0,63}(?::[\w<>.]{1,40}){0,2}"
_APART: Final = r"(?: *[:|-] *| +)"
_TIME: Final = r"\d\d:\d\d(?::\d\d)?(?:[.,]\d{1,9})?"
_PROCESS: Final = r"[\w./-]{1,64}\[\d{1,9}\]:"
_WORD: Final = r"[\w.,:@/+-]"
_PARTS: Final = re.compile(
    "|".join(
        (
            rf"\[{_LEVEL} *\] *{_NAME} *[:|-]",
            rf"\[{_WORD}{{0,64}}(?: {_WORD}{{1,32}}){{0,2}} *\]",
            r"\{[\w.-]{1,64}:\d{1,6}\}",
            r"\((?:\w{1,64} )?(?:pid|ip)=[^()]{1,80}\)",
            r"\([\w-]{1,40}\)",
            r"<std(?:out|err)>",
            r"std(?:out|err) [FP](?= )",
            rf"[IWEF]\d{{4}} {_TIME} +\d{{1,9}} {_NAME}:\d{{1,6}}\]",
            rf"\d{{4}}[-/]\d\d[-/]\d\d(?:[T ]{_TIME})?(?:Z| ?[+-]\d\d:?\d\d| UTC| GMT)?",
            rf"(?:\d\d/\d\d/\d{{2,4}} )?{_TIME}",
            rf"[A-Z][a-z]{{2}} [ \d]\d {_TIME} [\w.-]{{1,64}} {_PROCESS}",
            rf"(?:[A-Z][a-z]{{2}} )?[A-Z][a-z]{{2}} [ \d]\d {_TIME}(?: [A-Z]{{3,5}})?(?: \d{{4}})?",
            r"\d{1,13}(?:\.\d{1,9})?",
            r"algo-\d{1,4}(?:-[\w.-]{1,64})? *[:|]",
            r"[\w.-]{1,64}[-_.]\d{1,4} *\|",
            _PROCESS,
            rf"{_LEVEL}{_APART}{_NAME} *[:|-]",
            rf"{_NAME}{_APART}{_LEVEL}\b",
            rf"{_LEVEL}\b",
            r"(?i:trace|debug|info|notice|warn(?:ing)?) *[:|-]",
        )
    )
)
_BETWEEN: Final = re.compile(r"[\s:|-]*")


def lines(event: str) -> list[str]:
    """The lines of one event; a progress bar joins several with carriage returns."""
    if "\r" not in event and "\n" not in event:
        return [event]
    return [line for line in _BREAKS.split(event) if line]


def without_colours(line: str) -> str:
    """The line without escape sequences for colours."""
    return _ESCAPES.sub("", line) if "\x1b" in line else line


def is_known(prefix: str) -> bool:
    """Whether the prefix consists of known parts only, or is empty."""
    if len(prefix) > _LENGTH_LIMIT:
        return False
    at = len(prefix) - len(prefix.lstrip())
    for _ in range(_PARTS_LIMIT):
        if at == len(prefix):
            return True
        part = _PARTS.match(prefix, at)
        gap = _BETWEEN.match(prefix, part.end()) if part else None
        if gap is None:
            return False
        at = gap.end()
    return False


def is_of(prefix: str, node: str | None, *, alone: bool) -> bool:
    """Whether the line may come from `node`: its prefix does not name another one.

    Args:
        prefix: the text before it.
        node: such as `algo-1`; None if containers do not know their node's name.
        alone: whether the job has no other node, so that all ranks run on this one.
    """
    if node is None:
        return True
    text = _LAUNCHER.sub("[", prefix[:_LENGTH_LIMIT])
    if named := _NODE.findall(text):
        return set(named) == {node}
    if alone:
        return True
    rank = _RANK.search(text)
    # Without a node's name, only rank 0 surely runs on mpirun's node, which is this one.
    return not _ELSEWHERE.search(text) and (rank is None or int(rank[rank.lastgroup or 0]) == 0)
