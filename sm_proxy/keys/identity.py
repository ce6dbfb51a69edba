"""The identity: an ed25519 key of our own, made once, or the user's own key."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass
from pathlib import Path

from sm_proxy import file_lock, paths
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.marker import is_public_key
from sm_proxy.settings import Settings

FILE_NAME = "id_ed25519"
ENVIRONMENT_NAME = "SM_PROXY_AUTHORIZED_KEY"
ENVIRONMENT_LIMIT = 512
"""Characters that CreateTrainingJob allows for the value of an Environment entry."""


@dataclass(frozen=True)
class Identity:
    """A key pair on disk: the private key's path and the public key's line."""

    path: Path
    public_key: str

    def environment(self) -> dict[str, str]:
        """The entries of a job's `Environment` that let this key in.

        Raises:
            SmProxyError: `unsupported`, the key is too long for the service's limit.
        """
        if len(self.public_key) > ENVIRONMENT_LIMIT:
            raise SmProxyError(
                "unsupported",
                f"the public key of {self.path} has {len(self.public_key)} characters and a job's "
                f"environment takes {ENVIRONMENT_LIMIT} per value",
                "Use an ed25519 or ecdsa key, or put the key into the image.",
            )
        return {ENVIRONMENT_NAME: self.public_key}


def identity_path(settings: Settings) -> Path:
    """Where the private key is: the setting `identity_file`, else our own."""
    if settings.identity_file:
        return Path(settings.identity_file).expanduser()
    return settings.ssh_folder / FILE_NAME


def ensure(settings: Settings) -> Identity:
    """The identity, made now if it is ours and does not exist.

    Raises:
        SmProxyError: `bad-setting`, the user's own key has no readable public half;
            `config-read-only`, ours cannot be written.
    """
    path = identity_path(settings)
    if not settings.identity_file and not paths.exists(path):
        with file_lock.locked("identity"):
            if not paths.exists(path):
                _make(path)
    return Identity(path, _public_key(path))


def _public_key(path: Path) -> str:
    public = path.with_name(path.name + ".pub")
    try:
        words = public.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, public, str(error)) from None
    # One line of one key: what is not, sshd would pass over without a word.
    if not is_public_key(" ".join(words[:2])) or not all(map(str.isprintable, words)):
        raise _unreadable(path, public, "it holds no OpenSSH public key")
    return " ".join(words)


def _unreadable(path: Path, public: Path, why: str) -> SmProxyError:
    return SmProxyError(
        "bad-setting",
        f"no public key can be read from {public}: {why}",
        f"Write it with: ssh-keygen -y -f {shlex.quote(str(path))} > {shlex.quote(str(public))}",
    )


def _make(path: Path) -> None:
    try:
        _generate(path)
    except OSError as error:
        raise SmProxyError(
            "config-read-only",
            f"the key {path} cannot be written: {error.strerror or error}",
            "Make its folder writable, or name a key of your own with --identity-file.",
        ) from None


def _generate(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - made once
        Ed25519PrivateKey,
    )
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    with contextlib.suppress(OSError):
        path.parent.parent.mkdir(mode=0o700, exist_ok=True)
    # The public half first: a private key on disk always has its public half beside it.
    paths.write_private(path.with_name(path.name + ".pub"), public + b" sm-proxy\n", 0o644)
    paths.write_private(path, private)
