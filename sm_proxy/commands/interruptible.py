"""What a command leaves behind in AWS if the user ends it."""

from __future__ import annotations

from sm_proxy.local import output
from sm_proxy.local.signals import Hangup


class Interruptible:
    """While entered, tells a user who ends us what is left behind.

    Attributes:
        words: what is left behind now.
    """

    def __init__(self, words: str) -> None:
        self.words = words

    def __enter__(self) -> Interruptible:  # noqa: PYI034 - Self is 3.11
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Say what is left behind, if a signal or ^C is the reason."""
        if kind in {KeyboardInterrupt, Hangup}:
            output.status(self.words)
