"""The log of a build: what its commands print, and what CodeBuild says about them."""

from __future__ import annotations

import time
from typing import Any, Final

from sm_proxy_lab.aws.codebuild.inside import RoleClient
from sm_proxy_lab.aws.http.errors import AwsError

_EVENT_LIMIT: Final = 256 * 1024 - 26  # bytes of one CloudWatch event
_BATCH: Final = 1000


class BuildLog:
    """A log stream, written with the permissions of the build's role.

    Args:
        client: calls as the role.
        group: name of the log group.
        stream: name of the log stream.
    """

    def __init__(self, client: RoleClient, group: str, stream: str) -> None:
        self._client = client
        self._where = {"logGroupName": group, "logStreamName": stream}
        self._pending: list[dict[str, Any]] = []
        self._rest = b""
        self._opened = False

    def open(self) -> None:
        """Make the stream, and the group if there is none.

        Raises:
            AwsError: the role may not.
        """
        try:
            self._client.logs("CreateLogStream", **self._where)
        except AwsError as error:
            if error.code != "ResourceNotFoundException":
                raise
            self._client.logs("CreateLogGroup", logGroupName=self._where["logGroupName"])
            self._client.logs("CreateLogStream", **self._where)
        self._opened = True

    def say(self, text: str) -> None:
        """Write a line of CodeBuild's own, behind what the commands have printed."""
        if self._rest:
            self._take([self._rest])
            self._rest = b""
        now = time.time()
        stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime(now))
        self._add(f"[Container] {stamp}.{int(now * 1e6) % 1_000_000:06d} {text}")
        self.flush()

    def output(self, data: bytes) -> None:
        """Take output of the commands; without any, send what has gathered."""
        if not data:
            self.flush()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._take(lines)
        if len(self._pending) >= _BATCH:
            self.flush()

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            self._add(line[:_EVENT_LIMIT].decode("utf-8", "replace"))

    def _add(self, text: str) -> None:
        self._pending.append({"timestamp": int(time.time() * 1000), "message": text + "\n"})

    def flush(self) -> None:
        """Send what has gathered. A build goes on if its log cannot be written any more."""
        events, self._pending = self._pending, []
        while events and self._opened:
            batch, events = events[:_BATCH], events[_BATCH:]
            try:
                self._client.logs("PutLogEvents", **self._where, logEvents=batch)
            except AwsError:
                return
