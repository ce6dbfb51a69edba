"""Where things live: one place for every folder and file of ours.

Settings, cache and state follow the platform's custom (platformdirs); the ssh files stand in
`~/.ssh/sm-proxy`, because ssh itself reads them. ssh takes the home folder from the passwd
database, not from $HOME, and so do we (measured on OpenSSH 9.2).
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Literal

from sm_proxy.errors import SmProxyError

APP = "sm-proxy"


def ssh_home() -> Path:
    """The home folder as OpenSSH sees it."""
    if sys.platform != "win32":
        import pwd  # noqa: PLC0415 - there is none on Windows

        # No entry: a container that runs as some number; OpenSSH itself does not work there.
        with contextlib.suppress(KeyError):
            return Path(pwd.getpwuid(os.getuid()).pw_dir)
    return Path.home()


def named_ssh_config() -> Path | None:
    """The ssh config that SM_PROXY_SSH_CONFIG names: what ssh is given by -F; None for its own."""
    named = os.environ.get("SM_PROXY_SSH_CONFIG")
    # Not Path's own: it raises where nobody has that home.
    return Path(os.path.expanduser(named)).absolute() if named else None  # noqa: PTH111


def user_ssh_config() -> Path:
    """The ssh config of the user's that includes ours, whether it exists or not."""
    return named_ssh_config() or default_ssh_config()


def default_ssh_config() -> Path:
    """`~/.ssh/config`: what ssh reads where it is given no other."""
    return ssh_home() / ".ssh" / "config"


def default_ssh_dir() -> Path:
    """`~/.ssh/sm-proxy`: our own ssh files."""
    return ssh_home() / ".ssh" / APP


def config_dir() -> Path:
    """Settings (SM_PROXY_CONFIG_DIR)."""
    return _folder("config")


def cache_dir() -> Path:
    """What may be deleted at any time (SM_PROXY_CACHE_DIR)."""
    return _folder("cache")


def state_dir() -> Path:
    """Last errors, open sessions, logs (SM_PROXY_STATE_DIR)."""
    return _folder("state")


def private_dirs() -> list[Path]:
    """The folders that only this user may write into; none where there is no home folder."""
    with contextlib.suppress(SmProxyError):
        return [cache_dir(), state_dir()]
    return []


def _folder(kind: Literal["config", "cache", "state"]) -> Path:
    if override := os.environ.get(f"SM_PROXY_{kind.upper()}_DIR"):
        return Path(override)
    import platformdirs  # noqa: PLC0415 - 15 ms that an override saves

    finder = {
        "config": platformdirs.user_config_dir,
        "cache": platformdirs.user_cache_dir,
        "state": platformdirs.user_state_dir,
    }[kind]
    try:
        return Path(finder(APP, appauthor=False))
    except RuntimeError as error:  # neither $HOME nor an entry in the passwd database
        variable = f"SM_PROXY_{kind.upper()}_DIR"
        raise SmProxyError(
            "bad-setting", f"there is no home folder: {error}", f"Set HOME, or {variable}."
        ) from None
