"""The identity: our own ed25519 key, made once, or a key that the user names.

A container accepts the public keys that its job was created with. So after a rotation the previous
key stays beside the new one, as `id_ed25519.1`, and ssh offers both.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.identity import key_files
from sm_proxy.identity.key_files import Pair
from sm_proxy.local import file_lock, permissions, private_files
from sm_proxy.public_key import fingerprint, is_public_key, wire_form
from sm_proxy.settings import Settings

FILE_NAME = "id_ed25519"
LOCK: Final = "identity"
LOCKED: Final = "our keys"
ENVIRONMENT_NAME = "SM_PROXY_AUTHORIZED_KEY"
ENVIRONMENT_LIMIT = 512
"""Characters that CreateTrainingJob allows for the value of an Environment entry."""


@dataclass(frozen=True)
class Identity:
    """A key pair on disk.

    Attributes:
        path: of the private key.
        public_key: the line `"type base64 comment"`.
    """

    path: Path
    public_key: str

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen -l shows it: `SHA256:...`."""
        return fingerprint(wire_form(self.public_key))

    @property
    def fits_environment(self) -> bool:
        """Whether a job's `Environment` takes it: RSA keys of 3072 bits are too long."""
        return len(self.public_key) <= ENVIRONMENT_LIMIT

    def environment(self) -> dict[str, str]:
        """The entries of a job's `Environment` that let this key in.

        Raises:
            SmProxyError: `unsupported`, the key is too long for the service's limit.
        """
        return environment([self])


def environment(keys: Sequence[Identity]) -> dict[str, str]:
    """The entries of a job's `Environment` that let these keys in.

    The first is `SM_PROXY_AUTHORIZED_KEY`, the next ones end in `_2`, `_3` and so on.

    Raises:
        SmProxyError: `unsupported`, a key is too long for the service's limit.
    """
    found = {}
    for number, key in enumerate(keys, 1):
        if not key.fits_environment:
            raise SmProxyError(
                "unsupported",
                f"the public key of {key.path} has {len(key.public_key)} characters and a job's "
                f"environment takes {ENVIRONMENT_LIMIT} per value",
                "Use an ed25519 or ecdsa key, or put the key into the image.",
            )
        name = ENVIRONMENT_NAME if number == 1 else f"{ENVIRONMENT_NAME}_{number}"
        found[name] = key.public_key
    return found


def private_key_path(settings: Settings) -> Path:
    """The path of the private key: the setting `identity_file`, else our own key.

    If an agent or hardware holds the private key, `identity_file` may name the public key: ssh then
    uses that one key of the agent.
    """
    if settings.identity_file:
        return Path(settings.identity_file).expanduser()
    return settings.ssh_folder / FILE_NAME


def offered_paths(settings: Settings) -> list[Path]:
    """The private keys that ssh offers: the current one, then the previous ones, newest first."""
    current = private_key_path(settings)
    return [current] if settings.identity_file else [current, *previous_paths(current)]


def previous_paths(current: Path) -> list[Path]:
    """The previous keys that ssh still offers, newest first."""
    pattern = re.compile(rf"{re.escape(current.name)}\.(\d{{1,9}})")
    try:
        found = [(pattern.fullmatch(path.name), path) for path in current.parent.iterdir()]
    except OSError:
        return []
    numbered = [(int(match[1]), path) for match, path in found if match]
    return [path for _, path in sorted(numbered, reverse=True)]


def ensure(settings: Settings, make_pair: Callable[[], Pair] = key_files.generate) -> Identity:
    """The identity. Our own key is created if it does not exist.

    Args:
        settings: of this run.
        make_pair: creates the key pair.

    Raises:
        SmProxyError: `bad-setting`, the user's key has no readable public half, or our file is
            not a key; `config-read-only`, our key cannot be written; `bad-permissions`, others
            could read the key or put something into our folder.
    """
    path = private_key_path(settings)
    permissions.check_folder(settings.ssh_folder)
    if settings.identity_file:
        permissions.check_users_key(path)
        return Identity(path, _public_key(path))
    for found in offered_paths(settings):
        permissions.secure_own_key(found)
    if not private_files.exists(path):
        with file_lock.locked(LOCK, what=LOCKED):
            if not private_files.exists(path):
                write_identity(path, make_pair())
    key = read_identity(path)
    if not key_files.is_whole(path, key_files.read(path)):
        with file_lock.locked(LOCK, what=LOCKED):
            key = read_identity(path)
            with contextlib.suppress(OSError):  # ssh can log in without the public half
                key_files.restore_public_half(path, key_files.read(path))
    return key


def offered(settings: Settings) -> list[Identity]:
    """Every key that ssh offers, each once. Our own key is created if it does not exist.

    Raises:
        SmProxyError: as `ensure`.
    """
    ensure(settings)
    return read_offered(settings)


def read_offered(settings: Settings) -> list[Identity]:
    """Every key that ssh offers, each once. The caller holds the lock, and nothing is created.

    Raises:
        SmProxyError: as `ensure`.
    """
    if settings.identity_file:
        return [ensure(settings)]
    found: dict[str, Identity] = {}
    for path in offered_paths(settings):
        key = read_identity(path)
        # A rotation that was killed half-way leaves one key under two names.
        found.setdefault(key.public_key, key)
    return list(found.values())


def read_identity(path: Path) -> Identity:
    """Read one of our own keys.

    Raises:
        SmProxyError: `bad-setting`, the file is not a key, or others may write to it.
    """
    try:
        return Identity(path, key_files.read(path).public)
    except OSError as error:
        raise SmProxyError(
            "bad-setting",
            f"the key {path} cannot be used: {error.strerror or error}",
            "Delete it to get a new key; jobs that are running do not accept the new one.",
        ) from None


def write_identity(path: Path, pair: Pair) -> None:
    """Write a new key to `path`, replacing what is there.

    Raises:
        SmProxyError: `config-read-only`, the file cannot be written.
    """
    try:
        key_files.write(path, pair)
    except OSError as error:
        raise unwritable_key(path, error) from None


def unwritable_key(path: Path, error: OSError) -> SmProxyError:
    """The error for a key of ours that cannot be written or removed."""
    return SmProxyError(
        "config-read-only",
        f"the key {path} cannot be written: {error.strerror or error}",
        "Make its folder writable, or name your own key with --identity-file.",
    )


def _public_key(path: Path) -> str:
    public = path if path.suffix == ".pub" else key_files.public_path(path)
    try:
        lines = [line for line in public.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise _unreadable(path, public, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise _unreadable(path, public, "it is not text") from None
    if len(lines) > 1:
        raise _unreadable(path, public, "it has more than one line")
    words = " ".join(lines).split()
    # sshd silently ignores a line that is not exactly one key, so refuse it here.
    if not is_public_key(" ".join(words[:2])) or not all(map(str.isprintable, words)):
        raise _unreadable(path, public, "it is not an OpenSSH public key")
    return " ".join(words)


def _unreadable(path: Path, public: Path, why: str) -> SmProxyError:
    if public == path:
        hint = f"If an agent holds the key: ssh-add -L | grep NAME > {shlex.quote(str(public))}"
    else:
        words = (shlex.quote(str(path)), shlex.quote(str(public)))
        hint = "Write it with: ssh-keygen -y -f {} > {}".format(*words)
    return SmProxyError("bad-setting", f"no public key can be read from {public}: {why}", hint)
