"""Where the daemon of this user, this code and this place listens.

The socket's name has a fingerprint of the identity: another version, another Python, another
network namespace each have a daemon of their own. A daemon compares the identity itself, too.

The launcher imports this module: import nothing here that is not built in (see peers.py).
"""

from __future__ import annotations

import os
import sys

import sm_proxy
from sm_proxy.daemon import peers

LONGEST = 103
"""Bytes of a socket's path that every system accepts (macOS has 104 with the NUL)."""
PRELOADED = ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES")
"""With these, a connection may be another one than ours (proxychains): there is no daemon then."""
AT_START = (
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "OPENSSL_CONF", "OPENSSL_MODULES"),
    *("SM_PROXY_STATE_DIR", "__PYVENV_LAUNCHER__"),
)
"""What a process reads only once, when it starts: a daemon serves only those who have the same."""
_PRIME = (1 << 64) - 59


def identity() -> str:
    """What a launcher and its daemon have in common, as text.

    The first start of a PEX made with `--venv` names its environment by another path than later
    ones, which take a short link to it.

    Raises:
        OSError: this system does not tell where we are.
    """
    parts = (
        *(sm_proxy.__version__, os.path.realpath(sm_proxy.__file__)),
        *(sys.version, os.path.realpath(sys.executable), os.path.realpath(sys.prefix)),
        sys.getfilesystemencoding(),
        *(str(os.geteuid()), peers.place()),
        *(os.environ.get(name, "") for name in AT_START),
    )
    return "\n".join(parts)


def sockets(whose: str) -> list[str]:
    """The paths at which a daemon may listen, the best first; none of them need exist.

    Args:
        whose: its identity.
    """
    name = f"{fingerprint(whose)}.sock"
    paths = [os.path.join(folder, name) for folder in _folders()]
    return [path for path in paths if len(os.fsencode(path)) <= LONGEST]


def fingerprint(text: str) -> str:
    """Sixteen characters that differ for different texts, but for an accident.

    Nothing relies on it for safety, and hashlib would cost more than all of this module.
    """
    return f"{int.from_bytes(b'1' + os.fsencode(text), 'big') % _PRIME:016x}"


def _folders() -> list[str]:
    """Folders that may be ours alone, the best first: in memory, on this machine, with short names.

    A state folder that the user has set comes first: removing it removes the socket, too.
    """
    found = []
    if own := os.environ.get("SM_PROXY_STATE_DIR"):
        found.append(os.path.join(os.path.abspath(own), "daemon"))
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        found.append(os.path.join(runtime, "sm-proxy"))
    if (home := os.environ.get("HOME")) and not own:
        found.append(os.path.join(_state_home(home), "sm-proxy", "daemon"))
    found.append(f"/tmp/sm-proxy-{os.geteuid()}")  # noqa: S108 - checked, as any of them
    return [folder for folder in found if os.path.isabs(folder)]


def _state_home(home: str) -> str:
    """As platformdirs has it, which takes 15 ms to import."""
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Application Support")
    return os.environ.get("XDG_STATE_HOME") or os.path.join(home, ".local", "state")
