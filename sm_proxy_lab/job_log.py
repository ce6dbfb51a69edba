"""Copies a container's output to its log stream."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sm_proxy_lab.aws.control_client import ControlClient

_BATCH_S = 0.02
_EVENT_LIMIT = 256 * 1024 - 26  # bytes of one CloudWatch event
_MARKER = '{"sm_proxy_marker"'


class ControlQueue:
    """Calls the AWS endpoint's control plane in a thread: one call at a time, in order."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="control")

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of `ControlClient`; return its result."""
        loop = asyncio.get_running_loop()
        function = getattr(self._control, method)
        return await loop.run_in_executor(self._pool, lambda: function(*args, **options))


class JobLog:
    """One container's log stream."""

    def __init__(
        self, control: ControlQueue, group: str, stream: str, *, region: str, filler: int = 0
    ) -> None:
        """Prepare; nothing is written yet.

        Args:
            control: calls the AWS endpoint.
            group: the log group of this kind of job.
            stream: the stream's name.
            region: the job's region.
            filler: number of generated training lines to add right after the marker.
        """
        self._control = control
        self._group = group
        self._stream = stream
        self._region = region
        self._filler = filler
        self._pending: list[dict[str, Any]] = []
        self._rest = b""
        self.marker: dict[str, Any] | None = None
        self.readable = asyncio.Event()
        self.written = asyncio.Event()

    async def fill(self, count: int) -> None:
        """Append `count` generated lines of training output."""
        await self._control.call("filler", self._group, self._stream, count, region=self._region)

    async def copy(self, output: AsyncIterator[bytes]) -> None:
        """Send output to the log until it ends."""
        more = asyncio.Event()
        sender = asyncio.create_task(self._send(more))
        async for data in output:
            self._cut(data)
            more.set()
        if self._rest:
            self._cut(b"\n")
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        await self._flush()

    def _cut(self, data: bytes) -> None:
        *complete, self._rest = (self._rest + data).split(b"\n")
        now = int(time.time() * 1000)
        for line in complete:
            text = line[:_EVENT_LIMIT].decode("utf-8", "replace")
            self._pending.append({"timestamp": now, "message": text})

    async def _send(self, more: asyncio.Event) -> None:
        while True:
            await more.wait()
            more.clear()
            await asyncio.shield(self._flush())
            await asyncio.sleep(_BATCH_S)

    async def _flush(self) -> None:
        events, self._pending = self._pending, []
        if not events:
            return
        at = self._find_marker(events)
        if at is None or not self._filler:
            await self._put(events)
        else:
            await self._put(events[: at + 1])
            count, self._filler = self._filler, 0
            await self.fill(count)
            await self._put(events[at + 1 :])
        self.written.set()
        if self.marker is not None:
            self.readable.set()

    async def _put(self, events: list[dict[str, Any]]) -> None:
        if events:
            where = self._group, self._stream
            await self._control.call("put_logs", *where, events, region=self._region)

    def _find_marker(self, events: list[dict[str, Any]]) -> int | None:
        if self.marker is not None:
            return None
        for index, event in enumerate(events):
            start = event["message"].find(_MARKER)
            if start >= 0:
                try:
                    self.marker = json.loads(event["message"][start:])
                except ValueError:
                    continue
                return index
        return None
