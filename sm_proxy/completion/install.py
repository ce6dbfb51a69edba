"""Installs the shells' scripts where the shells find them, and removes them.

A start-up file gets one line with a mark. The mark also tells what else was added, so that the file
has the same bytes as before when the line is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sm_proxy.completion import scripts
from sm_proxy.completion.scripts import Place, Shell
from sm_proxy.errors import SmProxyError
from sm_proxy.local import atomic_write, footprint, private_files

_MARK: Final = b"  # sm-proxy completion"
_ENDED_LINE: Final = _MARK + b", after an added line end"
_MADE: Final = _MARK + b", in a new file"


def is_current(shell: Shell) -> bool:
    """Whether the script of this version is in its place, and the shell reads it.

    Raises:
        SmProxyError: `config-read-only`, a file cannot be read; `bad-setting`, as `scripts.place`.
    """
    content, read = _found(shell)
    return read and content == scripts.text(shell).encode()


def is_there(shell: Shell) -> bool:
    """Whether a script of ours, of any version, is in its place, and the shell reads it.

    Raises:
        SmProxyError: as `is_current`.
    """
    content, read = _found(shell)
    return read and content is not None and scripts.is_ours(content)


def install(shell: Shell) -> list[Path]:
    """Write the script, and the line that reads it if one is needed; returns what was written.

    Raises:
        SmProxyError: `config-read-only`, a file cannot be written, or another script is in the
            place of ours; `bad-setting`, as `scripts.place`.
    """
    place, content = scripts.place(shell), scripts.text(shell).encode()
    written = []
    with _explained(place.script):
        before = atomic_write.read(place.script)
        if before is not None and not scripts.is_ours(before):
            raise SmProxyError(
                "config-read-only",
                f"{place.script} is not from sm-proxy",
                f"Move it away, or add to it what `sm-proxy completion {shell}` prints.",
            )
        if before != content:
            private_files.ensure_private_dir(place.script.parent)
            atomic_write.exchange(place.script, before, content)
            written.append(place.script)
    if place.startup is not None and _add_line(place, place.startup):
        written.append(place.startup)
    return written


def installed(shell: Shell) -> list[Path]:
    """The files that `uninstall` would remove or change.

    Raises:
        SmProxyError: as `uninstall`.
    """
    found = []
    for place in scripts.places(shell):
        if place.startup and _MARK in (atomic_write.read(place.startup) or b""):
            found.append(place.startup)
        content = atomic_write.read(place.script)
        if content is not None and scripts.is_ours(content):
            found.append(place.script)
    return found


def uninstall(shell: Shell) -> list[Path]:
    """Remove what `install` wrote, wherever it was; returns what was changed.

    Raises:
        SmProxyError: `config-read-only`, a file cannot be changed; `bad-setting`, as
            `scripts.place`.
    """
    changed = []
    for place in scripts.places(shell):
        if place.startup is not None and _drop_line(place.startup):
            changed.append(place.startup)
        with _explained(place.script):
            content = atomic_write.read(place.script)
            if content is not None and scripts.is_ours(content):
                atomic_write.remove(place.script, content)
                changed.append(place.script)
                footprint.remove_empty_parents(place.script)
    return changed


def _found(shell: Shell) -> tuple[bytes | None, bool]:
    """What is in the place of the script, None if nothing; and whether the shell reads it."""
    place = scripts.place(shell)
    with _explained(place.script):
        content = atomic_write.read(place.script)
        startup = place.startup and atomic_write.read(place.startup)
    return content, place.startup is None or _MARK in (startup or b"")


def _add_line(place: Place, startup: Path) -> bool:
    path = atomic_write.follow_symlinks(startup)
    with _explained(path):
        before = atomic_write.read(path)
        if _MARK in (before or b""):
            return False
        mark = _MADE if before is None else _MARK
        if before and not before.endswith(b"\n"):
            before_line, mark = b"\n", _ENDED_LINE
        else:
            before_line = b""
        line = place.line.encode() + mark + b"\n"
        atomic_write.exchange_users(path, before, (before or b"") + before_line + line)
    return True


def _drop_line(startup: Path) -> bool:
    path = atomic_write.follow_symlinks(startup)
    with _explained(path):
        before = atomic_write.read(path)
        if before is None or _MARK not in before:
            return False
        lines = before.splitlines(keepends=True)
        ours = next(number for number, line in enumerate(lines) if _MARK in line)
        mark = lines.pop(ours).rstrip()
        if mark.endswith(_ENDED_LINE) and ours == len(lines):
            lines[-1] = lines[-1].removesuffix(b"\n")
        if mark.endswith(_MADE) and not lines:
            atomic_write.remove(path, before)
        else:
            atomic_write.exchange_users(path, before, b"".join(lines))
    return True


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SmProxyError(
            "config-read-only",
            f"{path} cannot be changed: {error.strerror or error}",
            "Make it writable, or add the script yourself: docs/terminal.md tells where.",
        ) from None
