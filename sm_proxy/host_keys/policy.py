"""Which host keys the container of one connection may have, and why another key is refused.

The job's log decides, and it lags by seconds behind the container that writes it. A container that
restarted prints its new keys there. So before a key is refused, the log is read again for a bounded
time. An impostor gains nothing from the wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from sm_proxy import public_key
from sm_proxy.aws.job_kinds import has_nodes
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import known_hosts
from sm_proxy.jobs.container import Container
from sm_proxy.local import debug_log, output
from sm_proxy.settings import Settings

_MORE_PRECISE: Final = frozenset({"job-ended", "job-failed", "wrong-user", "config-read-only"})
"""Errors of reading the log again that explain more than the wrong key does."""
_PAUSES_S: Final = (0.0, 1.0, 2.0, 3.0)
"""Seconds before each look at the log; the first look is for a container from the cache only."""


class HostKeyPolicy:
    """The host keys that one connection expects. ssh gets the same keys.

    Args:
        settings: of this run.
        container: as it was resolved.
        look: resolves the container again, reading the log afresh.
    """

    def __init__(
        self, settings: Settings, container: Container, look: Callable[[], Container]
    ) -> None:
        self._settings = settings
        self._look = look
        self._cached = container.cached
        self._wait_reported = False
        self._dialled = container
        self._on_first_use = False
        self._expected = container

    def pin(self, container: Container, *, on_first_use: bool) -> None:
        """Expect the keys of a container that is about to be dialled, and make ssh accept them.

        Args:
            container: with its host keys and the port that is dialled.
            on_first_use: True if the keys were pinned on first use; False if the log names them.

        Raises:
            SmProxyError: `config-read-only`, the keys cannot be written for ssh.
        """
        self._dialled, self._on_first_use = container, on_first_use
        self._expect(container)

    @property
    def expected(self) -> tuple[str, ...]:
        """The keys that are accepted now, each `"type base64"`."""
        return self._expected.host_keys

    def accepts(self, blob: bytes) -> bool:
        """Whether the key (in wire form) is expected."""
        return blob in map(public_key.wire_form, self._expected.host_keys)

    def judge(self, blob: bytes, through: str) -> SmProxyError | None:
        """Read the log until it names the key. Blocks for up to the sum of the pauses.

        Args:
            blob: the key that was seen, in wire form.
            through: what the container is reached through, such as `bastion i-0abc`.

        Returns:
            None if the log names the key; else the error that says why it is refused.
        """
        unread = ""
        for pause in _PAUSES_S if self._cached else _PAUSES_S[1:]:
            if pause and not self._log_may_lag():
                break
            self._wait(pause)
            try:
                self._look_again()
            except SmProxyError as error:
                if error.code in _MORE_PRECISE:
                    return error
                unread = error.message
                if error.code != "no-address":  # `no-address`: a new stream without a marker yet
                    break
            else:
                unread = ""
            if self.accepts(blob):
                return None
        return self.refusal(blob, through, unread)

    def refusal(self, blob: bytes, through: str, unread_because: str = "") -> SmProxyError:
        """The error for a refused key; `unread_because` is empty if the log was read again."""
        by_way = f" (through {through})" if through else ""
        seen = f"{self._where}{by_way} has the host key {public_key.describe_blob(blob)}"
        names = ", ".join(map(public_key.describe, self._expected.host_keys))
        lag = f" (it could not be read again: {unread_because})" if unread_because else ""
        return SmProxyError(
            "host-key-changed", f"{seen}, {self._origin()} {names}{lag}", self._hint()
        )

    @property
    def _where(self) -> str:
        return self._dialled.place

    def _log_may_lag(self) -> bool:
        """May the log still be lagging behind the container's new key?"""
        now = self._expected
        if self._on_first_use and now is self._dialled:  # this log has never named a key
            return False
        if now.source == "session":  # no log names its keys
            return False
        return (now.address, now.port) == (self._dialled.address, self._dialled.port)

    def _wait(self, pause: float) -> None:
        time.sleep(pause)
        if pause and not self._wait_reported:
            self._wait_reported = True
            output.status(
                f"{self._where} has another host key than the log of {self._expected.host} names; "
                "the container may have restarted: waiting up to "
                f"{sum(_PAUSES_S):.0f} s for its log"
            )

    def _look_again(self) -> None:
        debug_log.write("unexpected host key, reading the log again")
        found = self._look()
        if found.host_keys:
            self._expect(found)

    def _expect(self, container: Container) -> None:
        self._expected = container
        known_hosts.pin(self._settings, container.host, container.host_keys)

    def _origin(self) -> str:
        now = self._expected
        whose = f"{'cluster' if has_nodes(now.kind) else 'job'} {now.job}, node {now.node}"
        if self._on_first_use and now is self._dialled:
            return f"but another was pinned on first use of {whose}:"
        if now.source == "session":
            return f"but bootstrap has seen in {whose}:"
        stream = f", stream {now.stream}" if now.stream else ""
        return f"but the log of {whose}{stream} names"

    def _hint(self) -> str:
        then, now = self._dialled, self._expected
        if (then.address, then.port) != (now.address, now.port):
            return f"The container is at {now.place} now: connect again."
        return (
            "Something else may answer in the container's place, so ssh does not log in. "
            f"Find out why with: sm-proxy doctor {now.host}"
        )
