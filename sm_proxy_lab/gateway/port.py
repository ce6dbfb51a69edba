"""The interfaces of a worker and its port session to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.gateway import wire
    from sm_proxy_lab.gateway.channel import AgentChannel, Outcome
    from sm_proxy_lab.gateway.faults import Faults


class PortWorker(Protocol):
    """The worker, as its port session sees it."""

    channel: AgentChannel
    faults: Callable[[], Faults]

    def finish(self) -> None:
        """End the session from within: the target is gone."""

    def terminate(self) -> None:
        """End the session because the client asked for it."""


class Port(Protocol):
    """A port session: what the client sends reaches the target, and back."""

    @property
    def ready(self) -> bool:
        """Whether input is taken."""

    async def start(self) -> None:
        """Begin.

        Raises:
            OSError: the target does not answer.
        """

    def handle(self, message: wire.Message) -> Outcome:
        """Take a message of the client's: a payload or a flag."""

    def wake(self) -> None:
        """Read on: the channel is active."""

    def stop(self) -> None:
        """Close all connections."""
