"""Rotate and revoke our keys. A kill at any point leaves ssh with a key that works.

A rotation copies the current key to the next number, lets ssh offer both, and then replaces the
current key. So ssh always offers a key that running jobs accept. A revocation lets ssh offer the
remaining keys, and then removes the key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities, key_files
from sm_proxy.identity.identities import Identity
from sm_proxy.identity.key_files import Pair
from sm_proxy.local import file_lock
from sm_proxy.settings import Settings

OFFERED_LIMIT: Final = 5
"""sshd disconnects at the sixth failure (MaxAuthTries), and each unknown key is a failure."""


MakePair = Callable[[], Pair]
Offer = Callable[[Settings, Sequence[Path]], None]
"""Writes the paths of these keys into our ssh config, if that exists."""


def rotate(
    settings: Settings, offer: Offer, make_pair: MakePair = key_files.generate
) -> tuple[Identity, Identity]:
    """Create a new key, and keep the current one as the newest previous key.

    Args:
        settings: of this run.
        offer: makes ssh offer the keys.
        make_pair: creates the new key; it runs before anything is changed.

    Returns:
        The new key, and the old one at its new path.

    Raises:
        SmProxyError: `unsupported`, the key is the user's own, or there are too many keys;
            `config-read-only`, a key cannot be written.
    """
    _refuse_users_own_key(settings)
    with _locked_keys(settings) as keys:
        current = keys[0]
        if len(keys) >= OFFERED_LIMIT:
            raise SmProxyError(
                "unsupported",
                f"ssh already offers {len(keys)} keys, and servers disconnect if it offers more",
                f"Revoke the oldest first: sm-proxy keys revoke {keys[-1].fingerprint}",
            )
        pair = make_pair()
        old = _copy_to_next_number(current)
        offer(settings, identities.offered_paths(settings))
        identities.write_identity(current.path, pair)
        return identities.read_identity(current.path), old


def revoke(
    settings: Settings,
    named: str | None,
    offer: Offer,
    before: Callable[[Sequence[Identity]], None],
    make_pair: MakePair = key_files.generate,
) -> tuple[list[Identity], list[Identity]]:
    """Remove all previous keys, or the one key that is named.

    A revoked current key is replaced by a new one at once, so there is always a key to log in with.

    Args:
        settings: of this run.
        named: a fingerprint or its unique beginning, a path, or `current`; None for all previous
            keys.
        offer: makes ssh offer the remaining keys.
        before: called with the keys to remove, while they still exist.
        make_pair: creates the new key if the current one is revoked.

    Returns:
        The removed keys, and the remaining ones.

    Raises:
        SmProxyError: `unsupported`, the key is the user's own; `bad-setting`, no key or several
            keys have that name; `config-read-only`, a key cannot be written or removed.
    """
    _refuse_users_own_key(settings)
    with _locked_keys(settings) as keys:
        current = identities.private_key_path(settings)
        gone = _select_keys(keys, named)
        pair = make_pair() if keys[0] in gone else None
        before(gone)
        lost = {key.public_key for key in gone}
        to_remove = [
            path
            for path in identities.previous_paths(current)
            if identities.read_identity(path).public_key in lost
        ]
        if pair:
            identities.write_identity(current, pair)
        offer(
            settings, [path for path in identities.offered_paths(settings) if path not in to_remove]
        )
        _remove(to_remove)
        return gone, identities.read_offered(settings)


@contextmanager
def _locked_keys(settings: Settings) -> Iterator[list[Identity]]:
    """The keys, under the lock that every writer of keys holds."""
    identities.ensure(settings)
    with file_lock.locked(identities.LOCK, what=identities.LOCKED):
        yield identities.read_offered(settings)


def _copy_to_next_number(current: Identity) -> Identity:
    """Copy the current key to the next number, unless a killed run has done so already."""
    older = identities.previous_paths(current.path)
    copies = [
        path for path in older if identities.read_identity(path).public_key == current.public_key
    ]
    if copies:
        return Identity(copies[0], current.public_key)
    number = int(older[0].suffix[1:]) + 1 if older else 1
    path = current.path.with_name(f"{current.path.name}.{number}")
    try:
        key_files.write(path, key_files.read(current.path))
    except OSError as error:
        raise identities.unwritable_key(path, error) from None
    return Identity(path, current.public_key)


def _remove(to_remove: Sequence[Path]) -> None:
    for path in to_remove:
        try:
            key_files.remove(path)
        except OSError as error:  # noqa: PERF203 - one or two
            raise identities.unwritable_key(path, error) from None


def _select_keys(keys: Sequence[Identity], named: str | None) -> list[Identity]:
    if named is None:
        if keys[1:]:
            return list(keys[1:])
        raise SmProxyError(
            "bad-setting",
            "there is no previous key",
            "To replace the current key by a new one: sm-proxy keys revoke current",
        )
    found = [key for index, key in enumerate(keys) if _matches_name(key, index, named)]
    if len(found) == 1:
        return found
    why = "more than one key matches" if found else "no key matches"
    raise SmProxyError("bad-setting", f"{why} {named!r}", "List them with: sm-proxy keys list")


def _matches_name(key: Identity, index: int, named: str) -> bool:
    if named == "current":
        return index == 0
    bare = key.fingerprint.removeprefix("SHA256:")
    wanted = named.removeprefix("SHA256:")
    return Path(named).absolute() == key.path or (len(wanted) >= 4 and bare.startswith(wanted))


def _refuse_users_own_key(settings: Settings) -> None:
    if settings.identity_file:
        raise SmProxyError(
            "unsupported",
            f"{settings.identity_file} is your own key",
            "sm-proxy changes only the keys it made: use ssh-keygen, or leave out --identity-file.",
        )
