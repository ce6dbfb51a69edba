"""CloudWatch Logs: groups, streams and writing. `read.py` has the reading."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws import page_tokens
from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.logs.read import Reader, group_name
from sm_proxy_lab.aws.logs.stream import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.logs.store import LogGroup, LogStore
    from sm_proxy_lab.aws.logs.stream import LogStream

_PAGE = 50


class Logs:
    """CloudWatch Logs' operations on a store."""

    def __init__(self, store: LogStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        reader = Reader(store, faults)
        self.operations = {
            "CreateLogGroup": self._create_group,
            "CreateLogStream": self._create_stream,
            "DeleteLogGroup": self._delete,
            "DeleteLogStream": self._delete,
            "PutRetentionPolicy": self._retain,
            "DeleteRetentionPolicy": self._retain,
            "ListTagsForResource": self._tags,
            "PutLogEvents": self._put,
            "DescribeLogGroups": self._groups,
            "DescribeLogStreams": self._streams,
            "GetLogEvents": reader.get,
            "FilterLogEvents": reader.filter,
        }

    def put(self, region: str, group: str, stream: str, events: list[dict[str, Any]]) -> None:
        """Write events for the control plane; make group and stream if needed."""
        now = int(time.time() * 1000)
        taken = [Event(int(e.get("timestamp", now)), str(e["message"]), now) for e in events]
        with self._store.lock:
            found = self._store.ensure(region, group, stream)
            found.put(taken, self._faults["log_delay_ms"] / 1000)

    def fill(self, region: str, group: str, stream: str, count: int) -> None:
        """Append generated lines for the control plane (see `LogStream.fill`)."""
        with self._store.lock:
            found = self._store.ensure(region, group, stream)
            found.fill(count, self._faults["log_delay_ms"] / 1000)

    def _create_group(self, call: Call) -> dict[str, Any]:
        with self._store.lock:
            group = self._store.create_group(call.region, call.params["logGroupName"])
            group.tags = dict(call.params.get("tags", {}))
        return {}

    def _retain(self, call: Call) -> dict[str, Any]:
        """Keep the number of days; the lab never removes an event."""
        with self._store.lock:
            group = self._store.group(call.region, call.params["logGroupName"])
            group.retention_days = call.params.get("retentionInDays")
        return {}

    def _tags(self, call: Call) -> dict[str, Any]:
        name = str(call.params["resourceArn"]).partition(":log-group:")[2]
        with self._store.lock:
            return {"tags": self._store.group(call.region, name).tags}

    def _create_stream(self, call: Call) -> dict[str, Any]:
        params = call.params
        with self._store.lock:
            self._store.create_stream(call.region, params["logGroupName"], params["logStreamName"])
        return {}

    def _delete(self, call: Call) -> dict[str, Any]:
        params = call.params
        with self._store.lock:
            self._store.delete(call.region, params["logGroupName"], params.get("logStreamName"))
        return {}

    def _put(self, call: Call) -> dict[str, Any]:
        params = call.params
        times = [event["timestamp"] for event in params["logEvents"]]
        if times != sorted(times):
            message = "Log events in a single PutLogEvents request must be in chronological order."
            raise AwsError("InvalidParameterException", message)
        now = int(time.time() * 1000)
        with self._store.lock:
            stream = self._store.group(call.region, params["logGroupName"]).stream(
                params["logStreamName"]
            )
            events = [Event(e["timestamp"], e["message"], now) for e in params["logEvents"]]
            stream.put(events, self._faults["log_delay_ms"] / 1000)
        return {"nextSequenceToken": f"{time.time_ns():056d}"}

    def _groups(self, call: Call) -> dict[str, Any]:
        params = call.params
        prefix, pattern = (
            params.get("logGroupNamePrefix", ""),
            params.get("logGroupNamePattern", ""),
        )
        with self._store.lock:
            groups = [
                group
                for group in self._store.groups(call.region)
                if group.name.startswith(prefix) and pattern.lower() in group.name.lower()
            ]
        page, token = _page(groups, params)
        return {"logGroups": [_group_line(call, group) for group in page], **token}

    def _streams(self, call: Call) -> dict[str, Any]:
        params = call.params
        by_time = params.get("orderBy") == "LastEventTime"
        prefix = params.get("logStreamNamePrefix")
        if by_time and prefix is not None:
            message = "Cannot order by LastEventTime with a logStreamNamePrefix."
            raise AwsError("InvalidParameterException", message)
        with self._store.lock:
            group = self._store.group(call.region, group_name(params))
            streams = [s for s in group.streams.values() if s.name.startswith(prefix or "")]
            for stream in streams:
                stream.deliver()
            streams.sort(key=_when if by_time else _name, reverse=bool(params.get("descending")))
            page, token = _page(streams, params)
            return {"logStreams": [_stream_line(call, group, stream) for stream in page], **token}


def _name(stream: LogStream) -> str:
    return stream.name


def _when(stream: LogStream) -> int:
    last = stream.last_event()
    return last.timestamp if last else 0


def _page(found: list[Any], params: dict[str, Any]) -> tuple[Sequence[Any], dict[str, str]]:
    invalid = AwsError("InvalidParameterException", "The specified nextToken is invalid.")
    size = params.get("limit", _PAGE)
    shown, token = page_tokens.page(found, params.get("nextToken"), size, invalid)
    return shown, {"nextToken": token} if token else {}


def _group_line(call: Call, group: LogGroup) -> dict[str, Any]:
    arn = call.arn("logs", f"log-group:{group.name}")
    kept = {"retentionInDays": group.retention_days} if group.retention_days else {}
    return {
        **kept,
        "logGroupName": group.name,
        "creationTime": group.created,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "storedBytes": 0,
        "logGroupClass": "STANDARD",
        "logGroupArn": arn,
    }


def _stream_line(call: Call, group: LogGroup, stream: LogStream) -> dict[str, Any]:
    line: dict[str, Any] = {
        "logStreamName": stream.name,
        "creationTime": stream.created,
        "arn": call.arn("logs", f"log-group:{group.name}:log-stream:{stream.name}"),
        "storedBytes": 0,
    }
    last = stream.last_event()
    if last:
        line["firstEventTimestamp"] = stream[0].timestamp
        line["lastEventTimestamp"] = last.timestamp
        line["lastIngestionTime"] = last.ingested
        line["uploadSequenceToken"] = f"{last.ingested:056d}"
    return line
