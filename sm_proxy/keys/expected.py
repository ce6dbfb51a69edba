"""Which host keys the container of one connection may have, and what is said of any other.

The log is the judge. Where the container was only remembered, its log is read once more before a
key is refused: a container that restarted has printed its new keys there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sm_proxy import trace
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.keys import fingerprint, known_hosts
from sm_proxy.settings import Settings

_SAY_MORE: Final = frozenset({"job-ended", "job-failed", "wrong-user", "config-read-only"})
"""Failures of the second look that explain more than the key does."""


class ExpectedKeys:
    """The host keys of one connection; ssh is told of the same ones.

    Args:
        settings: of this run.
        container: as it was found.
        look: reads the log afresh; None where it was read for this connection.
    """

    def __init__(
        self, settings: Settings, container: Container, look: Callable[[], Container] | None
    ) -> None:
        self._settings = settings
        self._look = look
        self._dialled = container
        self._port = container.port
        self._on_first_use = False
        self._expected = container

    def pin(self, container: Container, port: int, *, on_first_use: bool) -> None:
        """Expect the keys of a container that is about to be dialled, and let ssh accept them.

        Args:
            container: with the keys.
            port: where it is dialled.
            on_first_use: whether they were seen at the first use; otherwise the log names them.

        Raises:
            SmProxyError: `config-read-only`.
        """
        self._dialled, self._port, self._on_first_use = container, port, on_first_use
        self._expect(container)

    def accepts(self, blob: bytes) -> bool:
        """Whether the key is among those that are expected."""
        return blob in map(fingerprint.wire_form, self._expected.host_keys)

    def judge(self, blob: bytes, through: str) -> SmProxyError | None:
        """Ask the log where it was not asked yet; why the key is refused, or None. Blocks.

        Args:
            blob: the key that was seen, as on the wire.
            through: what the container is reached through, such as the bastion's instance id.
        """
        try:
            if self._look is not None:
                self._look_again(self._look)
        except SmProxyError as error:
            return error if error.code in _SAY_MORE else self.refusal(blob, through, error.message)
        return None if self.accepts(blob) else self.refusal(blob, through)

    def refusal(self, blob: bytes, through: str, unasked: str = "") -> SmProxyError:
        """Why the key is refused; `unasked` says why the log could not be read again."""
        where = f"{self._dialled.address} port {self._port}"
        by_way = f" (through {through})" if through else ""
        seen = f"{where}{by_way} has the host key {fingerprint.of(blob)}"
        names = ", ".join(map(fingerprint.of_key, self._expected.host_keys))
        lag = f" (it could not be read again: {unasked})" if unasked else ""
        return SmProxyError(
            "host-key-changed", f"{seen}, {self._origin()} {names}{lag}", self._hint()
        )

    def _look_again(self, look: Callable[[], Container]) -> None:
        trace.step("a host key that is not remembered, looking afresh")
        found = look()
        if found.host_keys:
            self._expect(found)

    def _expect(self, container: Container) -> None:
        self._expected = container
        known_hosts.pin(self._settings, container.host, container.host_keys)

    def _origin(self) -> str:
        now = self._expected
        whose = f"job {now.job}, node {now.node}"
        if self._on_first_use and now is self._dialled:
            return f"but another was pinned on first use of {whose}:"
        stream = f", stream {now.stream}" if now.stream else ""
        return f"but the log of {whose}{stream} names"

    def _hint(self) -> str:
        then, now = self._dialled, self._expected
        if (then.address, then.port) != (now.address, now.port):
            return f"The container is at {now.address} port {now.port} by now: connect again."
        return (
            "Something else may answer in its place, so ssh does not log in there. "
            f"Find out why with: sm-proxy doctor {now.host}"
        )
