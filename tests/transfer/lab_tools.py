"""Programs that the lab unpacks from Debian's packages, in the user's cache."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

import pytest

from sm_proxy_lab.machines import sshd_binary

_CACHE: Final = str(sshd_binary.cache_folder())
"""A test has a home of its own: there, each worker would download the packages again."""
_SFTP_SERVER: Final = Path("/usr/lib/openssh/sftp-server")


@functools.cache
def sshd() -> str:
    """The path of an sshd; unpacked on the first call where there is none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SM_PROXY_LAB_TOOLS", _CACHE)
        return sshd_binary.find_sshd()


@functools.cache
def sftp_server() -> Path:
    """Debian's sftp-server; unpacked on the first call where it is not installed."""
    if _SFTP_SERVER.exists():
        return _SFTP_SERVER
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SM_PROXY_LAB_TOOLS", _CACHE)
        folder = sshd_binary.unpacked("sftp-server", ["openssh-sftp-server"])
    return folder / "usr/lib/openssh/sftp-server"
