"""`sm-proxy completion query SHELL ...`: the question that the shells' scripts ask at TAB.

It imports none of the commands: `__main__` comes here before it imports `cli`. The first line of
the answer has marks, each further line has a candidate:

    nospace file                    marks, see `_marks`
    sm-myjob:<TAB>training          the word to insert, and what it is

bash passes its line and its word breaks, zsh and fish their words. bash gets words that are quoted,
the others quote them. Whatever fails, nothing is completed, and nothing is printed on stderr.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sm_proxy import __version__
from sm_proxy.completion import answer, bash_line, table
from sm_proxy.completion.answer import Answer
from sm_proxy.completion.table import Level, Record
from sm_proxy.errors import SmProxyError
from sm_proxy.local import output
from sm_proxy.state.cache import Cache

_KEEP_S: Final = 30 * 24 * 3600.0
_LONGEST: Final = 80
"""Characters of a description: a terminal's line."""


def run(words: Sequence[str], make_table: Callable[[], Record]) -> int:
    """Print what may stand at the cursor; the exit status is 1 if that is unknown.

    Args:
        words: what follows `completion query` on our command line.
        make_table: makes the table of arguments, which is kept in the cache.
    """
    # Whatever goes wrong: a message would stand in the middle of what the user types.
    with contextlib.suppress(Exception):
        shell, *rest = words
        output.write_part(_reply(shell, rest, make_table))
        return 0
    return 1


def _reply(shell: str, rest: Sequence[str], make_table: Callable[[], Record]) -> str:
    line = bash_line.split(rest[0], rest[1]) if shell == "bash" else None
    words = line.words if line else list(rest)
    try:
        found = answer.find(_top(make_table), words)
    except ValueError:  # something else has written the cached table
        found = answer.find(_top(make_table, cached=False), words)
    rows = []
    for item in found.candidates:
        # fish replaces the whole word; zsh and bash what follows `--option=`.
        word = found.stem + item.word if shell in {"bash", "fish"} else item.word
        shown = line.insertion(word) if line else word
        if shown is not None and shown.isprintable():
            text = item.text[:_LONGEST] if item.text.isprintable() else ""
            rows.append(shown if line else f"{shown}\t{text}")
    return "\n".join([_marks(found), *rows]) + "\n"


def _marks(found: Answer) -> str:
    """`nospace`: no space after a candidate. `file`, `folder`: paths may stand there, too.

    `program=N`: word N begins the command line of another program.
    """
    marks = [found.files] if found.files else []
    if found.program:
        marks.append(f"program={found.program}")
    if any(item.open for item in found.candidates):
        marks.append("nospace")
    return " ".join(marks)


def _top(make_table: Callable[[], Record], *, cached: bool = True) -> Level:
    """The table from the cache, made first if it is missing or of other files than ours.

    Args:
        make_table: as for `run`.
        cached: False makes it in any case.

    Raises:
        ValueError: it is damaged.
    """
    try:
        cache, key = Cache("completion"), _installed()
    except SmProxyError:  # there is no home folder
        return table.read(make_table())
    record = cache.load(key) if cached else None
    if record is None:
        record = make_table()
        cache.save(key, record=record, expires=time.time() + _KEEP_S)
    return table.read(record)


def _installed() -> str:
    """Changes when another version is installed, or a file that declares options is edited."""
    package = Path(__file__).parents[1]
    states = []
    with contextlib.suppress(OSError):  # in a zip archive
        # Not the folder of compiled files, which changes as modules are imported.
        found = (
            path for name in ("commands", "settings") for path in (package / name).glob("*.py")
        )
        for path in sorted((package / "cli.py", *found)):
            state = path.stat()
            states.append((path.name, state.st_mtime_ns, state.st_size))
    return hashlib.sha256(repr((__version__, str(package), states)).encode()).hexdigest()
