"""The folders of our files.

Settings, cache and state are in the platform's usual folders (platformdirs). The ssh files are in
`~/.ssh/sm-proxy`, because ssh itself reads them. Like ssh, we take the home folder from the passwd
database and not from $HOME (measured on OpenSSH 9.2).
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Final, Literal

from sm_proxy.errors import SmProxyError

APP = "sm-proxy"
SAGEMAKER_METADATA: Final = "/opt/ml/metadata/resource-metadata.json"
"""What names the Studio domain or the notebook instance that this machine is (`aws/studio.py`)."""


def ssh_home() -> Path:
    """The home folder as OpenSSH sees it."""
    if sys.platform != "win32":
        import pwd  # noqa: PLC0415 - Windows has none

        # A container may run as a user id without an entry; OpenSSH does not work there.
        with contextlib.suppress(KeyError):
            return Path(pwd.getpwuid(os.getuid()).pw_dir)
    return Path.home()


def named_ssh_config() -> Path | None:
    """The ssh config that SM_PROXY_SSH_CONFIG names, for `ssh -F`; None if it is not set."""
    named = os.environ.get("SM_PROXY_SSH_CONFIG")
    # Path.expanduser raises if the home folder does not exist.
    return Path(os.path.expanduser(named)).absolute() if named else None  # noqa: PTH111


def user_ssh_config() -> Path:
    """The user's ssh config, which includes ours; it need not exist."""
    return named_ssh_config() or default_ssh_config()


def default_ssh_config() -> Path:
    """`~/.ssh/config`, which ssh reads by default."""
    return ssh_home() / ".ssh" / "config"


def default_ssh_dir() -> Path:
    """`~/.ssh/sm-proxy`, with our own ssh files."""
    return ssh_home() / ".ssh" / APP


def config_dir() -> Path:
    """The folder of config.toml (SM_PROXY_CONFIG_DIR)."""
    return _folder("config")


def cache_dir() -> Path:
    """The folder of files that may be deleted at any time (SM_PROXY_CACHE_DIR)."""
    return _folder("cache")


def state_dir() -> Path:
    """The folder of last errors, open sessions and logs (SM_PROXY_STATE_DIR)."""
    return _folder("state")


def private_dirs() -> list[Path]:
    """The folders that only this user may write to; empty without a home folder."""
    with contextlib.suppress(SmProxyError):
        return [cache_dir(), state_dir()]
    return []


def _folder(kind: Literal["config", "cache", "state"]) -> Path:
    if override := os.environ.get(f"SM_PROXY_{kind.upper()}_DIR"):
        return Path(override)
    import platformdirs  # noqa: PLC0415 - takes 15 ms, which an override saves

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
