"""The log groups of all regions and the streams in them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.logs.stream import LogStream


@dataclass
class LogGroup:
    """A group and its streams by name."""

    name: str
    created: int
    streams: dict[str, LogStream] = field(default_factory=dict)
    retention_days: int | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def stream(self, name: str) -> LogStream:
        """The stream of that name.

        Raises:
            AwsError: There is no such stream.
        """
        try:
            found = self.streams[name]
        except KeyError:
            message = "The specified log stream does not exist."
            raise AwsError("ResourceNotFoundException", message) from None
        found.deliver()
        return found


class LogStore:
    """All groups and streams. A caller holds `lock` while it uses them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._groups: dict[tuple[str, str], LogGroup] = {}

    def groups(self, region: str) -> list[LogGroup]:
        """The groups of a region, sorted by name."""
        return [self._groups[key] for key in sorted(self._groups) if key[0] == region]

    def group(self, region: str, name: str) -> LogGroup:
        """The group of that name.

        Raises:
            AwsError: There is no such group.
        """
        try:
            return self._groups[region, name]
        except KeyError:
            message = "The specified log group does not exist."
            raise AwsError("ResourceNotFoundException", message) from None

    def create_group(self, region: str, name: str) -> LogGroup:
        """Make a group.

        Raises:
            AwsError: It exists already.
        """
        if (region, name) in self._groups:
            message = "The specified log group already exists"
            raise AwsError("ResourceAlreadyExistsException", message)
        return self._groups.setdefault((region, name), LogGroup(name, _now_ms()))

    def create_stream(self, region: str, group: str, name: str) -> LogStream:
        """Make a stream in an existing group.

        Raises:
            AwsError: The stream exists already, or the group does not.
        """
        streams = self.group(region, group).streams
        if name in streams:
            message = "The specified log stream already exists"
            raise AwsError("ResourceAlreadyExistsException", message)
        return streams.setdefault(name, LogStream(name, _now_ms()))

    def delete(self, region: str, group: str, stream: str | None) -> None:
        """Remove a stream, or the whole group if `stream` is None.

        Raises:
            AwsError: There is no such stream or group.
        """
        found = self.group(region, group)
        if stream is None:
            del self._groups[region, group]
        else:
            found.stream(stream)
            del found.streams[stream]

    def ensure(self, region: str, group: str, stream: str) -> LogStream:
        """The stream; make it and its group if needed."""
        found = self._groups.setdefault((region, group), LogGroup(group, _now_ms()))
        return found.streams.setdefault(stream, LogStream(stream, _now_ms()))


def _now_ms() -> int:
    return int(time.time() * 1000)
