"""Edit `config.toml`; every byte that an edit is not about stays.

tomlkit keeps comments, order and spaces; its result is parsed again, and refused if anything else
has changed.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import tomlkit
from tomlkit.exceptions import TOMLKitError

from sm_proxy.errors import SmProxyError
from sm_proxy.local import atomic_write, file_lock
from sm_proxy.settings import sources

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Edit: TypeAlias = Callable[[str, Path], str]
"""Makes the new text of the old one; its second argument is the file, for error messages."""
_BOM: Final = b"\xef\xbb\xbf"
_RACE_S: Final = 10.0
"""Seconds after which we give up if another program keeps saving the file."""
_PAUSE_S: Final = (0.05, 0.2)


def change(edit: Edit, by_hand: str) -> tuple[Path, bool]:
    """Edit the file under the writers' lock; again if another program saves it meanwhile.

    Args:
        edit: what to do; an unchanged text is not written.
        by_hand: what the user can do if we cannot.

    Returns:
        The file, with symlinks resolved, and whether it was changed.

    Raises:
        SmProxyError: what `edit` raises; `config-malformed`, the file is not UTF-8;
            `config-read-only`, it cannot be written; `busy`, other programs keep changing it.
    """
    with file_lock.locked("config-file", what="config.toml"):
        until = time.monotonic() + _RACE_S
        while True:
            try:
                return _change_once(edit, by_hand)
            except atomic_write.ChangedError as error:
                if time.monotonic() >= until:
                    raise SmProxyError(
                        "busy",
                        f"another program keeps changing {error.filename}",
                        "Wait until that program has saved it, then run this again.",
                    ) from None
            time.sleep(random.uniform(*_PAUSE_S))  # noqa: S311 - jitter


def parsed(text: str, where: Path) -> tuple[tomlkit.TOMLDocument, dict[str, Any]]:
    """The document, to be edited, and its values.

    Raises:
        SmProxyError: `config-malformed`, the text is not TOML, with the line.
    """
    try:
        return tomlkit.parse(text), tomllib.loads(text)
    except (tomllib.TOMLDecodeError, TOMLKitError, RecursionError) as error:
        what = f"{where} is not valid TOML: {error}"
        raise SmProxyError("config-malformed", what, "Correct it, then run this again.") from None


def holds(text: str, expected: dict[str, Any]) -> bool:
    """Whether the text is TOML with exactly these values."""
    try:
        return bool(tomllib.loads(text) == expected)
    except (tomllib.TOMLDecodeError, RecursionError):
        return False


def _change_once(edit: Edit, by_hand: str) -> tuple[Path, bool]:
    try:
        path = atomic_write.follow_symlinks(sources.config_file())
        before = atomic_write.read(path)
    except SmProxyError as error:
        raise SmProxyError(error.code, error.message, by_hand) from None
    after = _edited(before or b"", edit, path)
    if after == (before or b""):
        return path, False
    try:
        atomic_write.exchange_users(path, before, after)
    except atomic_write.ChangedError:
        raise
    except OSError as error:
        what = f"{path} cannot be written: {error.strerror or error}"
        raise SmProxyError("config-read-only", what, by_hand) from None
    return path, True


def _edited(content: bytes, edit: Edit, path: Path) -> bytes:
    """The content after an edit of its text, with the same byte order mark and line ends."""
    bom = _BOM if content.startswith(_BOM) else b""
    try:
        text = content[len(bom) :].decode()
    except UnicodeDecodeError as error:
        what = f"{path} is not UTF-8: {error.reason} at byte {error.start}"
        raise SmProxyError(
            "config-malformed", what, "Save it as UTF-8, then run this again."
        ) from None
    crlf = "\r\n" in text and text.count("\r\n") == text.count("\n")
    plain = text.replace("\r\n", "\n") if crlf else text
    after = edit(plain, path)
    return bom + (after.replace("\n", "\r\n") if crlf else after).encode()
