"""What a command leaves behind in AWS if the user ends it."""

from __future__ import annotations

from sm_proxy.local import output, signals


class Interruptible:
    """While entered: if the user ends us, print what is left behind.

    Attributes:
        words: what is left behind now.
    """

    def __init__(self, words: str) -> None:
        self.words = words

    def __enter__(self) -> Interruptible:  # noqa: PYI034 - Self is 3.11
        """From now on SIGHUP, SIGTERM and SIGINT raise `Hangup`."""
        signals.raise_on_hangup()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Say what is left behind, if a signal or ^C is the reason."""
        if kind in {KeyboardInterrupt, signals.Hangup}:
            output.status(self.words)
