from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import session_markers
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.marker import Marker
from sm_proxy.local import paths
from tests.fakes import HOST_KEY, FakeAws, marker_line

from .job_test import a_job

JOB = a_job(created=datetime.now(timezone.utc))
LINE = marker_line(port=2222)
STARTED = int(time.time()) - 60
LATER = STARTED + 24 * 3600
"""After any test of this run has kept its marker."""
STREAM = f"{JOB.name}/algo-1-{STARTED}"


def loaded(stream: str = STREAM, node: str = "algo-1", job: Job = JOB) -> Marker | None:
    return session_markers.load(FakeAws(), job, node, stream, "sm-host")


def kept(stream: str = STREAM) -> Marker | None:
    assert session_markers.keep(FakeAws(), JOB, "algo-1", stream, LINE)
    return loaded(stream)


def restarted(stream: str) -> None:
    """The user is told so, each time."""
    for _ in range(2):
        with pytest.raises(SmProxyError, match="has started again") as caught:
            loaded(stream)
        assert caught.value.code == "no-address"
        assert "sm-proxy bootstrap sm-host" in caught.value.hint


def test_a_kept_marker_is_loaded_for_its_node_only() -> None:
    found = kept()
    assert found is not None
    assert (found.port, found.host_keys) == (2222, (HOST_KEY,))
    assert loaded(node="algo-2") is None


def test_another_account_or_region_does_not_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kept()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOTHER")
    assert loaded() is None


def test_a_newer_stream_means_a_container_without_our_server() -> None:
    kept()
    restarted(f"{JOB.name}/algo-1-{STARTED + 90}")


@pytest.mark.parametrize("factor", [1, 1000], ids=["seconds", "milliseconds"])
def test_the_first_output_of_a_silent_container_does_not_remove_it(factor: int) -> None:
    kept(stream="")
    first = f"{JOB.name}/algo-1-{STARTED * factor}"
    assert loaded(first) is not None


@pytest.mark.parametrize(
    "end", [f"algo-1-{LATER}", "algo-1", "algo-1-12"], ids=["later", "no time", "early"]
)
def test_a_silent_container_may_have_restarted_too(end: str) -> None:
    kept(stream="")
    restarted(f"{JOB.name}/{end}")


@pytest.mark.parametrize(
    "line", ["", "no marker", marker_line(node="algo-2"), marker_line(port=-1)]
)
def test_an_invalid_marker_of_the_node_is_not_kept(line: str) -> None:
    assert session_markers.keep(FakeAws(), JOB, "algo-1", STREAM, line) is None
    assert loaded() is None


def test_a_marker_is_kept_as_long_as_the_job_may_run() -> None:
    old = datetime.now(timezone.utc) - timedelta(days=2)
    job = a_job(created=old, max_runtime_s=3600)
    session_markers.keep(FakeAws(), job, "algo-1", STREAM, LINE)
    assert loaded(job=job)
    (file,) = _files()
    assert time.time() + 3500 < json.loads(file.read_text())["expires"] < time.time() + 3700


@pytest.mark.parametrize("record", [{}, {"line": 7, "stream": STREAM}])
def test_a_record_that_was_changed_is_ignored_and_removed(record: dict[str, object]) -> None:
    kept()
    (file,) = _files()
    file.write_text(json.dumps({**json.loads(file.read_text()), "record": record}))
    assert loaded() is None
    assert not _files()


def test_the_sweep_removes_expired_markers_only() -> None:
    kept()
    (file,) = _files()
    session_markers.sweep()
    assert _files() == [file]
    file.write_text(json.dumps({**json.loads(file.read_text()), "expires": 1.0}))
    session_markers.sweep()
    assert not _files()


def _files() -> list[Path]:
    return list((paths.state_dir() / "session-markers").glob("*.json"))


def test_a_folder_that_keeps_nothing_is_an_error() -> None:
    paths.state_dir().mkdir(parents=True, exist_ok=True)
    (paths.state_dir() / "session-markers").write_text("a file")
    with pytest.raises(SmProxyError) as caught:
        session_markers.keep(FakeAws(), JOB, "algo-1", STREAM, LINE)
    assert caught.value.code == "config-read-only"
    assert str(paths.state_dir()) in caught.value.message
