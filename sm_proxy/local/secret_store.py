"""Secrets in the operating system's keyring; where there is none, nothing is kept at all.

A backend whose priority is below 1 counts as none unless the user has named it (with
PYTHON_KEYRING_BACKEND or keyring's own keyringrc.cfg): such backends write plain files. Everything
that can go wrong in a keyring (locked, no D-Bus, a dialogue that was dismissed, no answer) means
that nothing is kept, never that a connection fails; `trouble` says why.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import debug_log, output, paths, private_files
from sm_proxy.local.threads import Background

T = TypeVar("T")

SERVICE: Final = "sm-proxy"
_SAY_AFTER_S: Final = 2.0
_PATIENCE_S: Final = 10.0
"""A locked keyring asks its owner in a window; nobody may be there to see it."""
_PIECE: Final = 1000 if sys.platform == "win32" else 1 << 20
"""Characters per item: Windows takes 2,560 bytes of UTF-16, and session tokens are longer."""
_PIECES_LIMIT: Final = 64
_SAID: Final = "no-keyring-said"
_hanging: Final[list[Background[Any]]] = []
"""The call that the keyring has not answered in time."""
_trouble: Final[list[str]] = []
_LOCKED: Final = "it is locked"
_LOCKED_ERRORS: Final = frozenset({"KeyringLocked", "LockedException", "PromptDismissedException"})
"""Of keyring, and of the Secret Service below it."""
_MACOS_LOCKED: Final = "-25308"
"""errSecInteractionNotAllowed: no window may ask, over ssh for instance."""
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
        """The value of `name`; None if there is none, or only a torn one."""
        return _patiently(lambda: self._load(name))

    def save(self, name: str, value: str) -> bool:
        """Keep `value`; whether that worked."""
        return _patiently(lambda: self._save(name, value)) or False

    def forget(self, name: str) -> None:
        """Remove the value of `name`."""
        _patiently(lambda: self._remove(name, 0))

    def _load(self, name: str) -> str | None:
        count, tag, first = _opened(self._backend.get_password(SERVICE, name))
        pieces = [first]
        for number in range(1, count):
            _, other, text = _opened(self._backend.get_password(SERVICE, f"{name}#{number}"))
            if other != tag:  # two writers at once, or one that was killed half-way
                return None
            pieces.append(text)
        return "".join(pieces) if count else None

    def _save(self, name: str, value: str) -> bool:
        pieces = [value[at : at + self._piece] for at in range(0, len(value), self._piece)] or [""]
        if len(pieces) > _PIECES_LIMIT:
            return False
        tag = secrets.token_hex(4)
        # The first piece last: it is the one that makes the others count.
        for number, piece in reversed(list(enumerate(pieces))):
            item = f"{name}#{number}" if number else name
            self._backend.set_password(SERVICE, item, f"{len(pieces)} {tag} {piece}")
        self._remove(name, len(pieces))
        return self._load(name) == value  # some take everything, and keep nothing

    def _remove(self, name: str, first: int) -> bool:
        """Remove the pieces of `name` from number `first` on, up to the first that is not there."""
        for number in range(first, _PIECES_LIMIT):
            item = f"{name}#{number}" if number else name
            if self._backend.get_password(SERVICE, item) is None:
                break
            self._backend.delete_password(SERVICE, item)
        return True


def find() -> SecretStore | None:
    """The user's keyring, if there is one that may be trusted with a secret."""
    backend = _patiently(_backend)
    debug_log.write("keyring", backend=backend and type(backend).__module__)
    return None if backend is None else SecretStore(backend)


def trouble() -> str:
    """Why the keyring's last call has brought nothing; empty where nothing was wrong."""
    return _trouble[0] if _trouble else ""


def remedy() -> str:
    """What mends the keyring that `trouble` speaks of: the beginning of a sentence."""
    if trouble() in {_LOCKED, _SILENT}:
        return f"Unlock the keyring ({_UNLOCK.get(sys.platform, 'log in to your desktop')})"
    return f"Mend the keyring ({trouble() or 'it keeps nothing'})"


def say_once_that_none_is_there(consequence: str) -> None:
    """Tell the user, once for all runs, what it means that nothing can be kept."""
    path = paths.state_dir() / _SAID
    if private_files.exists(path):
        return
    with contextlib.suppress(OSError, SmProxyError):
        private_files.write_private(path, b"")
    why = f" ({trouble()})" if trouble() else ""
    output.status(
        f"no keyring of this system can be used{why}: {consequence}. Nothing is written to disk "
        "instead. (This is said once.)"
    )


def _backend() -> Any | None:
    from keyring import core  # noqa: PLC0415 - 20 ms, and 80 ms for its backends

    named = core.load_env() or core.load_config()
    found: Any = named if named is not None else _recommended(core.get_keyring())
    # Somebody who names the null backend wants nothing kept.
    return None if found is None or type(found).__module__ == "keyring.backends.null" else found


def _recommended(backend: Any) -> Any | None:
    """`backend`, or the best of those that it chains, if its priority is 1 or more."""
    chained = [one for one in getattr(backend, "backends", []) if one.priority >= 1]
    if hasattr(backend, "backends"):
        return max(chained, key=lambda one: one.priority, default=None)
    return backend if backend.priority >= 1 else None


def _patiently(action: Callable[[], T]) -> T | None:
    """What `action` returns; None if it fails or somebody has to be waited for too long.

    A keyring that hangs is waited for once: while that call hangs, all others have nothing.
    """
    _hanging[:] = [work for work in _hanging if not work.done]
    if _hanging:
        return None
    work = Background(action)
    work.settled(_SAY_AFTER_S)
    if not work.done:
        output.status("waiting for this system's keyring; it may ask in a window to be unlocked")
    found = work.settled(_PATIENCE_S - _SAY_AFTER_S)
    if not work.done:
        _hanging.append(work)
        output.status(f"the keyring is left alone: {_SILENT}")
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
    """An item's number of pieces, its tag and its text; 0 where there is no item of ours."""
    if item is None:
        return 0, "", ""
    count, _, rest = item.partition(" ")
    tag, _, text = rest.partition(" ")
    good = count.isdecimal() and 0 < int(count) <= _PIECES_LIMIT
    return (int(count), tag, text) if good else (0, "", "")
