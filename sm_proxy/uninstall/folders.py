"""Our folders for settings, cache and state.

A variable may have put one of these folders where the user has other files, and a name such as
`models` may be the user's. So in such a folder we remove something only if we know everything that
is there, and if all folders have the mode that we give them. Its name says nothing: a clone of this
project has the name `sm-proxy`, too.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import footprint, paths
from sm_proxy.state.cache import PURPOSES
from sm_proxy.uninstall.part import Part

_VARIABLES: Final = ("SM_PROXY_CONFIG_DIR", "SM_PROXY_CACHE_DIR", "SM_PROXY_STATE_DIR")
SETTINGS: Final = ("config.toml", "prices.json", "completion.*")
CACHE: Final = (
    *PURPOSES,
    *("models", "small-messages", "no-resume", "uploads", "wheels", "lab-tools", "swept", "*.lock"),
)
STATE: Final = (
    *("errors.jsonl", "last-error.json", "reports", "debug.log*", "connections", "open-sessions"),
    *("first-use", "app-keys", "bastion-keys", "session-markers", "backups", "daemon"),
    *("no-keyring-said", "transfer-hint-*", footprint.FILE_NAME, "*.lock"),
)
"""The names, or patterns of names, that we give to files and folders there."""


def settings() -> list[Part]:
    """The settings folder."""
    return part("the settings", paths.config_dir(), SETTINGS)


def cache() -> list[Part]:
    """The cache folder."""
    return part("the cache", paths.cache_dir(), CACHE)


def state() -> list[Part]:
    """The state folder: logs, backups, and what other parts know about what we have written."""
    return part("logs, backups and other state", paths.state_dir(), STATE)


def part(what: str, folder: Path, names: Sequence[str]) -> list[Part]:
    """What is ours in a folder, and the folder if nothing else is in it; none if there is nothing.

    Args:
        what: for people.
        folder: it need not exist.
        names: patterns of our names.
    """
    there, known = entries(folder), _all_names(folder, names)
    if not folder.is_dir() or is_shared(folder, names):
        return []
    if there and not any(is_ours(path.name, names) for path in there):
        return []
    others = [path.name for path in there if not is_ours(path.name, known)]
    stays = f" (not {_listed(others)})" if others else ""
    return [Part(f"{what} in {folder}{stays}", folder, lambda: clear(folder, names))]


def shared() -> list[str]:
    """What stays in folders that we share with the user, for people."""
    kinds = {folder: _all_names(folder, names) for folder, names in _kinds()}
    return [
        f"{folder}, which has files of yours, too: ours are {_listed(found)}"
        for folder, names in kinds.items()
        if is_shared(folder, names)
        and (found := [path.name for path in entries(folder) if is_surely_ours(path, names)])
    ]


def _kinds() -> list[tuple[Path, Sequence[str]]]:
    return [
        (paths.config_dir(), SETTINGS),
        (paths.cache_dir(), CACHE),
        (paths.state_dir(), STATE),
    ]


def _all_names(folder: Path, names: Sequence[str]) -> list[str]:
    """`names`, and our other names in a folder: one may serve as several, or be in another."""
    kinds = _kinds()
    same = [name for other, more in kinds if other == folder for name in more]
    return [*names, *same, *(glob.escape(x.name) for x, _ in kinds if x.parent == folder)]


def is_shared(folder: Path, names: Sequence[str]) -> bool:
    """Whether the user may have files of their own in a folder that a variable names."""
    if folder not in {Path(os.environ.get(name, "")) for name in _VARIABLES}:
        return False
    known = _all_names(folder, names)
    return not all(is_surely_ours(path, known) for path in entries(folder))


def is_surely_ours(path: Path, names: Sequence[str]) -> bool:
    """Whether it is no link, has one of our names, and if it is a folder, also the mode of ours."""
    try:
        mode = path.lstat().st_mode
    except OSError:  # a daemon has removed it since
        return True
    if not is_ours(path.name, names) or stat.S_ISLNK(mode):
        return False
    return footprint.has_our_mode(mode) or not stat.S_ISDIR(mode)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + ", ..." * bool(names[3:])


def clear(folder: Path, names: Sequence[str]) -> None:
    """Remove what is ours in a folder, and the folder if it is empty then.

    Raises:
        SmProxyError: `config-read-only`.
    """
    try:
        for path in entries(folder):
            if is_ours(path.name, names):
                remove(path)
    except OSError as error:
        raise unremovable(folder, error) from None
    with contextlib.suppress(OSError):  # the user has put something into it, or links to it
        folder.rmdir()


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; a symlink itself.

    Raises:
        OSError: it cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_ours(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of ours, or of a temporary file that a killed process has left."""
    return any(
        fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f".{pattern}.*")
        for pattern in patterns
    )


def unremovable(path: Path, error: OSError) -> SmProxyError:
    """The error for something that cannot be removed."""
    where = error.filename or path
    return SmProxyError(
        "config-read-only",
        f"{where} cannot be removed: {error.strerror or error}",
        "Make its folder writable, then run `sm-proxy uninstall` again.",
    )


def entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted; nothing if it cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
