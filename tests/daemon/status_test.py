"""A daemon's status is the same at the other end of its socket."""

from __future__ import annotations

import json

import pytest

from sm_proxy.daemon.status import Connection, KeptSession, Status

STATUS = Status(
    pid=10,
    version="1.0",
    since=1.5,
    idle=600,
    ends_in=None,
    connections=(Connection(11, "sm-job", 2.5),),
    sessions=(KeptSession(12, "me-0abc", "i-0abc to 10.0.0.5:22", 3.5, 0, 120.0),),
)


def test_a_status_survives_json() -> None:
    assert Status.from_json(STATUS.to_json()) == STATUS


def test_fields_of_a_newer_daemon_are_ignored() -> None:
    told = json.loads(STATUS.to_json())
    told["more"] = told["connections"][0]["more"] = told["sessions"][0]["more"] = 1
    assert Status.from_json(json.dumps(told).encode()) == STATUS


@pytest.mark.parametrize(
    "told", [b"", b"[]", b"1", b"{}", b'{"connections": [1], "sessions": []}', b"[" * 5000, b"\xff"]
)
def test_anything_else_is_a_value_error(told: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever its text
        Status.from_json(told)
