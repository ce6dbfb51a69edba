"""Whether the files that this process was started from, and the settings, are still the same."""

from __future__ import annotations

import os
import sys
from typing import Final

from sm_proxy.local import paths, python_environment
from sm_proxy.settings import sources

_OURS: Final = "sm_proxy"


class Installed:
    """The installed files, as they are now, and `config.toml`: it may switch the daemon off.

    A daemon whose files have changed would import a new module beside old ones. Of another package
    one file is enough: an update replaces it.
    """

    def __init__(self) -> None:
        self._paths = sorted({*_files(), str(paths.config_dir() / sources.FILE_NAME)})
        self._states = [_state(path) for path in self._paths]

    def has_changed(self) -> bool:
        """Whether a file was replaced, changed, removed or created."""
        return any(_state(path) != old for path, old in zip(self._paths, self._states, strict=True))


def _files() -> set[str]:
    """The files of our loaded modules, and one of each other package that is installed."""
    found = set()
    for name, module in list(sys.modules.items()):
        package, _, rest = name.partition(".")
        path = getattr(module, "__file__", None)
        if path and package not in sys.stdlib_module_names and (package == _OURS or not rest):
            found.add(path)
    if archive := python_environment.archive():
        found.add(archive)  # the next version unpacks its files elsewhere
    return found


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - 150 of them, for each connection
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
