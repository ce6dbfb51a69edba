"""Did the tests write to the home folder of whoever runs them?

Other programs write there too while tests run. So a file counts where nothing of its kind was
before, and else where it names more of what only a test or a lab can have written.
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
_CACHES = ("swept", "jobs", "bastions")  # the lab's tools are kept in the cache on purpose
_MARKS = (b">>> sm-proxy >>>", b"sm-proxy-lab-", b"/pytest-of-", b"//127.0.0.1:", b"sm-lab-")
_LARGEST = 1 << 20


class HomeWatch:
    """What stands in some places now; later, what has been written there."""

    def __init__(self, places: Iterable[Path] | None = None) -> None:
        """Look at these files and folders; at all that we know of where none are named."""
        self._places = tuple(dict.fromkeys(_places() if places is None else places))
        self._absent = [place for place in self._places if not os.path.lexists(place)]
        self._before = self._marked()

    def offences(self) -> list[str]:
        """What only a test can have written since."""
        found = [str(place) for place in self._absent if os.path.lexists(place)]
        now = self._marked()
        found += [str(path) for path in now if now[path] > self._before.get(path, 0)]
        return sorted(set(found))

    def _marked(self) -> dict[Path, int]:
        """How many marks each file has."""
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
    """Plain files there that can be read, also behind links."""
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
