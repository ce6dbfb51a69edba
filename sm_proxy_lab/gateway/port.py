"""The interfaces between a worker and its port session."""

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
    """A port session: it connects the client's channel with the target."""

    @property
    def ready(self) -> bool:
        """Whether the port accepts input."""

    async def start(self) -> None:
        """Begin.

        Raises:
            OSError: The target does not answer.
        """

    def handle(self, message: wire.Message) -> Outcome:
        """Take one message from the client: a payload or a flag."""

    def wake(self) -> None:
        """Resume reading: the channel is active."""

    def stop(self) -> None:
        """Close all connections."""
