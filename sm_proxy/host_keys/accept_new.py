"""Host keys of Studio spaces: accept the first key that an app shows, and no other while it runs.

No API names the key, and no log does. It changes whenever the app starts. So we accept the key that
the first connection to an app sees. It is kept in a file named by the space's ARN and the app's
start; a restarted app gets a new file, and the old one goes. That is `accept-new` of ssh_config(5).

This is weaker than for jobs, whose log names the key: a first connection relies on TLS to AWS and
on IAM alone (sagemaker:StartSession opens sessions to this space only). ssh itself stays strict:
it reads known_hosts again once it has the server's key, and we have written the key by then.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from sm_proxy import public_key
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import known_hosts
from sm_proxy.host_keys.policy import HostKeyPolicy
from sm_proxy.jobs.container import Container
from sm_proxy.local import debug_log, file_lock, output, paths, private_files
from sm_proxy.state import pinned_key

_LOCK: Final = "app-keys"


class AcceptNewPolicy(HostKeyPolicy):
    """The host key that one connection to a space expects: the pinned one, or any if none is."""

    def judge(self, blob: bytes, through: str) -> SmProxyError | None:
        """Accept a first key; for another key, look whether the app has started again.

        The same holds for a cached app without a key: it may have ended long ago, and the space's
        new app may have shown its key under another name of the space.

        Args:
            blob: the key that was seen, in wire form.
            through: what the space is reached through.

        Returns:
            None if the key is accepted; else the error that says why it is refused.
        """
        try:
            if self._expected.host_keys or self._expected.cached:
                debug_log.write("unexpected host key, looking for a new app")
                self._expect(self._look())
            if not self._expected.host_keys:
                self._accept(blob)
        except SmProxyError as error:
            return error
        return None if self.accepts(blob) else self.refusal(blob, through)

    def _accept(self, blob: bytes) -> None:
        container = self._expected
        key = public_key.line_of(blob)
        if key is None:
            raise SmProxyError(
                "host-key-unknown",
                f"{self._where} shows a host key in an unknown format",
                f"Find out why with: sm-proxy doctor {container.host}",
            )
        if pin(container, key) == key:
            shown = public_key.describe(key)
            output.status(f"accepting the host key of {container.job}, first seen now: {shown}")
        self._expect(container)

    def _expect(self, container: Container) -> None:
        key = pinned(container)
        super()._expect(replace(container, host_keys=(key,) if key else ()))

    def _origin(self) -> str:
        return f"but since its app started ({self._expected.life}) it had"

    def _hint(self) -> str:
        now = self._expected
        return (
            "Something else may answer in the space's place, so ssh does not log in. Find out why "
            f"with: sm-proxy doctor {now.host}; or delete {pin_path(now)} to accept its next key."
        )


def pinned(container: Container) -> str | None:
    """The key `"type base64"` that the app has shown; None before its first connection.

    Raises:
        SmProxyError: `host-key-unknown`, others could have written it.
    """
    path = pin_path(container)
    key = pinned_key.read(path)
    if key is not None:
        with contextlib.suppress(OSError):
            os.utime(path)  # `sweep` needs the time of the last use
    return key


def pin(container: Container, key: str) -> str:
    """Save the key of an app, unless one is saved; remove those of the space's earlier apps.

    Returns:
        The key that is kept: of two connections at once, the first one decides.

    Raises:
        SmProxyError: `config-read-only`, `bad-permissions` or `busy`, it cannot be kept.
    """
    path = pin_path(container)
    with file_lock.locked(_LOCK, what="the host keys of spaces"):
        known = pinned_key.read(path)
        if known is not None:
            return known
        pinned_key.write(path, key)
        for other in path.parent.glob(f"{path.name.partition('.')[0]}.*"):
            if other != path:
                other.unlink(missing_ok=True)
    return key


def pin_path(container: Container) -> Path:
    """The file with the key of a space's app."""
    return _folder() / f"{_digest(container.session_target)}.{_digest(container.life)}"


def forget(arn: str) -> None:
    """Remove the keys of all apps that a space has had, once it is stopped.

    Args:
        arn: of the space.
    """
    with contextlib.suppress(OSError):
        for path in _folder().glob(f"{_digest(arn)}.*"):
            path.unlink(missing_ok=True)


def sweep() -> None:
    """Remove the keys of apps that no connection has used for long: see `known_hosts.sweep`."""
    with contextlib.suppress(OSError, SmProxyError):
        private_files.refuse_shared(_folder())
        known_hosts.sweep_folder(_folder())


def _folder() -> Path:
    return paths.state_dir() / "app-keys"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
