"""Child processes of the supervisor. It waits for them through process descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.machines import namespaces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Child:
    """A running program."""

    def __init__(
        self,
        command: list[str],
        *,
        netns: int | None = None,
        prepare: Callable[[], None] | None = None,
        **options: Any,
    ) -> None:
        """Start a program.

        Args:
            command: the program and its arguments.
            netns: descriptor of the network namespace to start it in, or None for our own.
            prepare: called in the new process before it becomes the program.
            **options: for `subprocess.Popen`.

        Raises:
            OSError: the program cannot be run.
        """

        def in_child() -> None:
            if prepare is not None:
                prepare()
            # The supervisor blocks signals; its children must not.
            signal.pthread_sigmask(signal.SIG_SETMASK, [])

        scope = namespaces.entered(netns) if netns is not None else contextlib.nullcontext()
        with scope:
            self.process = subprocess.Popen(command, preexec_fn=in_child, **options)  # noqa: PLW1509
        self._ended = asyncio.get_running_loop().create_future()
        self._pidfd = os.pidfd_open(self.process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._end)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        status = self.process.wait()
        if not self._ended.done():
            self._ended.set_result(status if status >= 0 else 128 - status)

    async def wait(self) -> int:
        """Return the exit status, or 128+n if the signal n ended it."""
        return await asyncio.shield(self._ended)

    @property
    def running(self) -> bool:
        """Whether the program still runs."""
        return not self._ended.done()

    def send(self, number: int) -> None:
        """Send a signal if the program still runs."""
        if self.running:
            self.process.send_signal(number)


async def lines(pipe: Any) -> AsyncIterator[str]:
    """Yield the lines of a child's binary pipe."""
    reader = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    async for line in reader:
        yield line.decode("utf-8", "replace")


async def chunks(pipe: Any) -> AsyncIterator[bytes]:
    """Yield the data from a child's binary pipe as it comes."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    while data := await reader.read(1 << 16):
        yield data
