"""Keep secrets in the operating system's keyring; without one, keep nothing.

Backends with a priority below 1 may write plain-text files. We use one only if the user has chosen
it (with PYTHON_KEYRING_BACKEND or keyring's keyringrc.cfg). If the keyring is locked, has no D-Bus
or does not answer, or if the user dismisses its window, nothing is kept, and the connection goes on
without it. `trouble` tells what went wrong.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import debug_log, footprint, output, paths, private_files
from sm_proxy.local.threads import Background

T = TypeVar("T")

SERVICE: Final = "sm-proxy"
_REPORT_AFTER_S: Final = 2.0
_PATIENCE_S: Final = 10.0
"""A locked keyring opens a window, which the user may not see."""
_PIECE: Final = 1000 if sys.platform == "win32" else 1 << 20
"""Characters per item: Windows takes 2,560 bytes of UTF-16, and session tokens are longer."""
_PIECES_LIMIT: Final = 64
_WARNED_FILE: Final = "no-keyring-said"
_hanging: Final[list[Background[Any]]] = []
"""The call that the keyring did not answer in time."""
_trouble: Final[list[str]] = []
_LOCKED: Final = "it is locked"
_LOCKED_ERRORS: Final = frozenset({"KeyringLocked", "LockedException", "PromptDismissedException"})
"""Exceptions of keyring, and of the Secret Service behind it."""
_MACOS_LOCKED: Final = "-25308"
"""errSecInteractionNotAllowed: it cannot open a window, for example over ssh."""
_SILENT: Final = f"it did not answer within {_PATIENCE_S:.0f} s"
_UNLOCK: Final = {
    "darwin": "security unlock-keychain",
    "linux": "log in to your desktop; over ssh, for GNOME's: read -rs P; "
    'printf %s "$P" | gnome-keyring-daemon --replace --unlock',
}


class SecretStore:
    """Values by name in one backend of `keyring`.

    Args:
        backend: a `keyring.backend.KeyringBackend`.
        piece: characters per item.
    """

    def __init__(self, backend: Any, piece: int = _PIECE) -> None:
        self._backend = backend
        self._piece = piece

    def load(self, name: str) -> str | None:
        """The value of `name`; None if it is missing or incomplete."""
        return _patiently(lambda: self._load(name))

    def save(self, name: str, value: str) -> bool:
        """Keep `value` and return whether that worked."""
        footprint.note("keyring", name=name)
        return _patiently(lambda: self._save(name, value)) or False

    def forget(self, name: str) -> None:
        """Remove the value of `name`."""
        _patiently(lambda: self._remove(name, 0))

    def _load(self, name: str) -> str | None:
        count, tag, first = _opened(self._backend.get_password(SERVICE, name))
        pieces = [first]
        for number in range(1, count):
            _, other, text = _opened(self._backend.get_password(SERVICE, f"{name}#{number}"))
            if other != tag:  # two writers at once, or a killed one
                return None
            pieces.append(text)
        return "".join(pieces) if count else None

    def _save(self, name: str, value: str) -> bool:
        pieces = [value[at : at + self._piece] for at in range(0, len(value), self._piece)] or [""]
        if len(pieces) > _PIECES_LIMIT:
            return False
        tag = secrets.token_hex(4)
        # Write the first piece last: `_load` starts with it.
        for number, piece in reversed(list(enumerate(pieces))):
            item = f"{name}#{number}" if number else name
            self._backend.set_password(SERVICE, item, f"{len(pieces)} {tag} {piece}")
        self._remove(name, len(pieces))
        return self._load(name) == value  # some backends accept everything and keep nothing

    def _remove(self, name: str, first: int) -> bool:
        """Remove the pieces of `name` from number `first` on, until one is missing."""
        for number in range(first, _PIECES_LIMIT):
            item = f"{name}#{number}" if number else name
            if self._backend.get_password(SERVICE, item) is None:
                break
            self._backend.delete_password(SERVICE, item)
        return True


def find() -> SecretStore | None:
    """The user's keyring; None if there is none that keeps secrets safely."""
    backend = _patiently(_backend)
    debug_log.write("keyring", backend=backend and type(backend).__module__)
    return None if backend is None else SecretStore(backend)


def trouble() -> str:
    """Why the keyring's last call failed; empty if it did not."""
    return _trouble[0] if _trouble else ""


def is_locked() -> bool:
    """Whether the keyring's last call failed because it is locked.

    Another call would open its window again.
    """
    return trouble() in {_LOCKED, _SILENT}


def remedy() -> str:
    """How to fix the problem that `trouble` names: the beginning of a sentence."""
    if is_locked():
        return f"Unlock the keyring ({_UNLOCK.get(sys.platform, 'log in to your desktop')})"
    return f"Repair the keyring ({trouble() or 'it keeps nothing'})"


def warn_once_without_keyring(consequence: str) -> None:
    """Tell the user what happens without a keyring; only once, not in each run."""
    path = paths.state_dir() / _WARNED_FILE
    if private_files.exists(path):
        return
    with contextlib.suppress(OSError, SmProxyError):
        private_files.write_private(path, b"")
    why = f" ({trouble()})" if trouble() else ""
    output.status(
        f"this system has no usable keyring{why}: {consequence}. Nothing is written to disk "
        "instead. (This message appears once.)"
    )


def _backend() -> Any | None:
    from keyring import core  # noqa: PLC0415 - 20 ms, and 80 ms for its backends

    named = core.load_env() or core.load_config()
    found: Any = named if named is not None else _recommended(core.get_keyring())
    # A user who chooses the null backend wants to keep nothing.
    return None if found is None or type(found).__module__ == "keyring.backends.null" else found


def _recommended(backend: Any) -> Any | None:
    """`backend`, or the best one in its chain, if the priority is 1 or more."""
    chained = [one for one in getattr(backend, "backends", []) if one.priority >= 1]
    if hasattr(backend, "backends"):
        return max(chained, key=lambda one: one.priority, default=None)
    return backend if backend.priority >= 1 else None


def _patiently(action: Callable[[], T]) -> T | None:
    """The result of `action`; None if it fails or takes too long.

    We wait only once for a keyring that hangs: until that call ends, all others return None.
    """
    _hanging[:] = [work for work in _hanging if not work.done]
    if _hanging:
        return None
    work = Background(action)
    work.settled(_REPORT_AFTER_S)
    if not work.done:
        output.status("waiting for this system's keyring; it may have opened a window to unlock it")
    found = work.settled(_PATIENCE_S - _REPORT_AFTER_S)
    if not work.done:
        _hanging.append(work)
        output.status(f"going on without the keyring: {_SILENT}")
    _trouble[:] = [_why(work)] if work.error or not work.done else []
    debug_log.write("keyring", has=found is not None, trouble=trouble())
    return found


def _why(work: Background[Any]) -> str:
    if not work.done:
        return _SILENT
    if type(work.error).__name__ in _LOCKED_ERRORS or _MACOS_LOCKED in str(work.error):
        return _LOCKED
    return printable(f"{type(work.error).__name__}: {work.error}", 200)


def _opened(item: str | None) -> tuple[int, str, str]:
    """An item's number of pieces, tag and text; 0 pieces if the item is not ours."""
    if item is None:
        return 0, "", ""
    count, _, rest = item.partition(" ")
    tag, _, text = rest.partition(" ")
    good = count.isdecimal() and 0 < int(count) <= _PIECES_LIMIT
    return (int(count), tag, text) if good else (0, "", "")
