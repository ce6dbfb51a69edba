"""Passphrases of our keys: generated or asked for, and kept in the OS keyring only."""

from __future__ import annotations

import secrets
from typing import Final, Literal

from sm_proxy.errors import SmProxyError
from sm_proxy.identity import key_files
from sm_proxy.identity.identities import Identity
from sm_proxy.identity.key_files import Pair
from sm_proxy.local import output, prompt, secret_store, secret_values
from sm_proxy.local.secret_store import SecretStore

Mode = Literal["auto", "random", "ask", "none"]
MODES: Final[tuple[Mode, ...]] = ("auto", "random", "ask", "none")
_SHORTEST: Final = 5
"""Characters; ssh-keygen's own limit."""
_RANDOM_BYTES: Final = 24
ITEM_START: Final = "passphrase of "
"""The names of our passphrases in the keyring begin with this."""


def make_pair(mode: Mode) -> Pair:
    """Create a pair with an encrypted private half, and save its passphrase in the keyring.

    Args:
        mode: `random`: only the keyring knows the passphrase, so a keyring is required; `ask`: the
            user types one, which a keyring also keeps if there is one; `auto`: `random` with a
            keyring, else `ask`; `none`: no passphrase.

    Raises:
        SmProxyError: `missing-dependency`, no keyring keeps a random passphrase;
            `bad-passphrase`, there is no way to ask, it is too short, or the two answers differ.
    """
    if mode == "none":
        return key_files.generate()
    ring = secret_store.find()
    if mode == "auto":
        mode = "random" if ring else "ask"
    passphrase = secrets.token_urlsafe(_RANDOM_BYTES) if mode == "random" else _ask_twice()
    secret_values.keep(passphrase)
    pair = key_files.generate(passphrase)
    kept = ring is not None and _save_and_check(ring, _item_name(pair.public), passphrase)
    if not kept and mode == "random":
        why = f": {secret_store.trouble()}" if secret_store.trouble() else ""
        first = f"{secret_store.remedy()}, or choose" if why else "Choose"
        raise SmProxyError(
            "missing-dependency",
            f"no keyring of this system can keep a random passphrase{why}",
            f"{first} a passphrase that you type: --passphrase ask",
        )
    if not kept:
        secret_store.warn_once_without_keyring("you will be asked for the passphrase of the key")
    return pair


def _save_and_check(ring: SecretStore, name: str, passphrase: str) -> bool:
    """Save a passphrase and read it back: a random one exists nowhere else."""
    return ring.save(name, passphrase) and ring.load(name) == passphrase


def find_or_ask(key: Identity) -> str:
    """The passphrase of `key`: from the keyring, else from the user.

    Raises:
        SmProxyError: `bad-passphrase`, there is no way to ask the user.
    """
    known = find(key)
    if known is not None:
        return known
    if why := secret_store.trouble():  # of a random passphrase, only the keyring knows it
        output.status(
            f"the keyring may have the passphrase of {key.path}, but tells nothing: {why}. "
            f"{secret_store.remedy()}, then try again."
        )
    return _ask(f"Passphrase of {key.path}:")


def find(key: Identity) -> str | None:
    """The passphrase of `key` in the keyring; None if it is not there."""
    ring = secret_store.find()
    known = ring.load(_item_name(key.public_key)) if ring else None
    secret_values.keep(known)
    return known


def forget(key: Identity) -> None:
    """Remove the passphrase of a deleted key from the keyring."""
    ring = secret_store.find()
    if ring and ring.load(_item_name(key.public_key)) is not None:
        ring.forget(_item_name(key.public_key))


def _item_name(public: str) -> str:
    """The name of the keyring's item, with the public key, which is not a secret."""
    return f"{ITEM_START}{public.split()[1]}"


def _ask_twice() -> str:
    first = _ask("Passphrase for the new key:")
    if len(first) < _SHORTEST:
        raise SmProxyError(
            "bad-passphrase",
            f"a passphrase needs at least {_SHORTEST} characters",
            "Nothing was changed. Try again.",
        )
    if _ask("Enter the same passphrase again:") != first:
        raise SmProxyError(
            "bad-passphrase", "the two passphrases differ", "Nothing was changed. Try again."
        )
    return first


def _ask(question: str) -> str:
    try:
        return prompt.ask(question)
    except prompt.NobodyToAskError as error:
        raise SmProxyError(
            "bad-passphrase",
            f"the passphrase cannot be asked for: {error}",
            "Run this in a terminal, or name an SSH_ASKPASS program.",
        ) from None
