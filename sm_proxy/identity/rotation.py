"""A new key in place of the current one, and the end of a key: both whole wherever they are killed.

A rotation first copies the current key to its next number, then has ssh offer both, then replaces
it: ssh never goes without a key that running jobs know. A revocation first has ssh offer the
others, then removes the key.
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
"""sshd hangs up at the sixth failure (MaxAuthTries), and every key it does not know is one."""


MakePair = Callable[[], Pair]
Offer = Callable[[Settings, Sequence[Path]], None]
"""Lets our ssh config, where it has been written, name these keys."""


def rotate(
    settings: Settings, offer: Offer, make_pair: MakePair = key_files.generate
) -> tuple[Identity, Identity]:
    """Make a new key and keep the current one as the first of those before it.

    Args:
        settings: of this run.
        offer: has ssh offer the keys.
        make_pair: makes the new one, before anything is changed.

    Returns:
        The new key, and the old one where it stands now.

    Raises:
        SmProxyError: `unsupported`, the key is the user's own, or there are too many;
            `config-read-only`.
    """
    _refuse_the_users(settings)
    with _alone(settings) as keys:
        current = keys[0]
        if len(keys) >= OFFERED_LIMIT:
            raise SmProxyError(
                "unsupported",
                f"{len(keys)} keys are offered already, and a server hangs up on more",
                f"Take the oldest away first: sm-proxy keys revoke {keys[-1].fingerprint}",
            )
        pair = make_pair()
        old = _set_aside(current)
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
    """End keys: those before the current one, or the one that is named.

    The current one is replaced by a new one at once: there is always one to log in with.

    Args:
        settings: of this run.
        named: fingerprint, or a unique beginning of one, path, or `current`.
        offer: has ssh offer the keys that are left.
        before: what is to be done first, with the keys that go: afterwards nobody knows them.
        make_pair: makes a new one where the current one goes.

    Returns:
        The keys that are gone, and those that are left.

    Raises:
        SmProxyError: `unsupported`, the key is the user's own; `bad-setting`, none is so named;
            `config-read-only`.
    """
    _refuse_the_users(settings)
    with _alone(settings) as keys:
        current = identities.private_key_path(settings)
        gone = _chosen(keys, named)
        pair = make_pair() if keys[0] in gone else None
        before(gone)
        lost = {key.public_key for key in gone}
        doomed = [
            path
            for path in identities.previous_paths(current)
            if identities.read_identity(path).public_key in lost
        ]
        if pair:
            identities.write_identity(current, pair)
        offer(settings, [path for path in identities.offered_paths(settings) if path not in doomed])
        _remove(doomed)
        return gone, identities.read_offered(settings)


@contextmanager
def _alone(settings: Settings) -> Iterator[list[Identity]]:
    """The keys as they are, while nobody else changes them."""
    identities.ensure(settings)
    with file_lock.locked(identities.LOCK, what=identities.LOCKED):
        yield identities.read_offered(settings)


def _set_aside(current: Identity) -> Identity:
    """A copy of the current key under the next number, unless a killed run has made it."""
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


def _remove(doomed: Sequence[Path]) -> None:
    for path in doomed:
        try:
            key_files.remove(path)
        except OSError as error:  # noqa: PERF203 - one or two
            raise identities.unwritable_key(path, error) from None


def _chosen(keys: Sequence[Identity], named: str | None) -> list[Identity]:
    if named is None:
        if keys[1:]:
            return list(keys[1:])
        raise SmProxyError(
            "bad-setting",
            "there is no key before the current one",
            "To have a new key at once and end the current one: sm-proxy keys revoke current",
        )
    found = [key for index, key in enumerate(keys) if _is_named(key, index, named)]
    if len(found) == 1:
        return found
    why = "more than one key is" if found else "no key is"
    raise SmProxyError("bad-setting", f"{why} {named!r}", "`sm-proxy keys list` shows them.")


def _is_named(key: Identity, index: int, named: str) -> bool:
    if named == "current":
        return index == 0
    bare = key.fingerprint.removeprefix("SHA256:")
    wanted = named.removeprefix("SHA256:")
    return Path(named).absolute() == key.path or (len(wanted) >= 4 and bare.startswith(wanted))


def _refuse_the_users(settings: Settings) -> None:
    if settings.identity_file:
        raise SmProxyError(
            "unsupported",
            f"{settings.identity_file} is your own key",
            "We make and remove our own only: change it with ssh-keygen, or leave --identity-file.",
        )
