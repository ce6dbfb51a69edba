"""Did the tests write to the home folder of the user who runs them?

Other programs write there while tests run. So a change counts only if a file or folder is new, or
if a file has more of the marks that only a test or a lab writes.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import platformdirs

from sm_proxy.editors import catalog

_BELOW_HOME = (
    *(".ssh", ".ssh/config", ".ssh/sm-proxy"),
    *(".aws", ".aws/config", ".aws/credentials", ".aws/sso", ".aws/cli", ".aws/boto", ".aws/login"),
    *(".local/share/sm-proxy", ".local/share/python_keyring", ".config/python_keyring"),
)
_CACHES = ("swept", "jobs", "bastions")  # the lab keeps its tools in the cache on purpose
_MARKS = (b">>> sm-proxy >>>", b"sm-proxy-lab-", b"/pytest-of-", b"//127.0.0.1:", b"sm-lab-")
_LARGEST = 1 << 20


class HomeWatch:
    """Looks at some places twice, and reports what was written in between."""

    def __init__(self, places: Iterable[Path] | None = None) -> None:
        """Look at these files and folders; by default at all that sm-proxy or its tests use."""
        self._places = tuple(dict.fromkeys(_places() if places is None else places))
        self._absent = [place for place in self._places if not os.path.lexists(place)]
        self._before = self._marked()

    def offences(self) -> list[str]:
        """The paths that a test must have written since then."""
        found = [str(place) for place in self._absent if os.path.lexists(place)]
        now = self._marked()
        found += [str(path) for path in now if now[path] > self._before.get(path, 0)]
        return sorted(set(found))

    def _marked(self) -> dict[Path, int]:
        """The number of marks in each file."""
        return {path: _marks(path) for place in self._places for path in _files(place)}


def _places() -> Iterator[Path]:
    homes = {Path.home()}
    if sys.platform != "win32":
        import pwd

        homes |= {Path(entry.pw_dir) for entry in pwd.getpwall() if entry.pw_uid == os.getuid()}
    yield from (home / name for home in homes for name in _BELOW_HOME)
    yield from (platformdirs.user_cache_path("sm-proxy", appauthor=False) / n for n in _CACHES)
    yield platformdirs.user_config_path("sm-proxy", appauthor=False)
    yield platformdirs.user_state_path("sm-proxy", appauthor=False)
    yield from map(catalog.user_settings, catalog.EDITORS)


def _files(place: Path) -> Iterator[Path]:
    """Regular files there, with links followed; unreadable ones are left out."""
    for path in [place, *place.rglob("*")] if place.is_dir() else [place]:
        try:
            plain = stat.S_ISREG(path.stat().st_mode)
        except OSError:
            continue
        if plain:
            yield path


def _marks(path: Path) -> int:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST)
    except OSError:
        return 0
    return sum(map(content.count, _MARKS))
