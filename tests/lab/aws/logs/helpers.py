"""Writes events and reads their messages."""

from __future__ import annotations

from typing import Any

from tests.lab.aws.harness import Lab


def events(*messages: str, at: int = 1_700_000_000_000) -> list[dict[str, Any]]:
    return [{"timestamp": at + n, "message": text} for n, text in enumerate(messages)]


def put(lab: Lab, stream: dict[str, str], *messages: str, at: int = 1_700_000_000_000) -> None:
    lab.control.put_logs(stream["logGroupName"], stream["logStreamName"], events(*messages, at=at))


def texts(page: dict[str, Any]) -> list[str]:
    return [event["message"] for event in page["events"]]
