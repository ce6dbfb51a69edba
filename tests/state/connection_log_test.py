from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths
from sm_proxy.local.signals import Hangup
from sm_proxy.state import connection_log
from sm_proxy.state.connection_log import ConnectionRecord, append, recent

BEGAN = 1_700_000_000.0
TOKEN = "IQoJb3JpZ2luX2VjEJr" + "Ab3dEf9/+" * 40


@pytest.fixture(autouse=True)
def state() -> Path:
    """The state folder, which a connection has made before its end."""
    paths.state_dir().mkdir(parents=True)
    return paths.state_dir()


def files() -> list[Path]:
    return sorted((paths.state_dir() / "connections").iterdir())


def test_a_clean_connection_is_recorded() -> None:
    record = ConnectionRecord(
        host="sm-j", job="j", node="algo-1", address="10.0.1.5", port=22, up=3, down=7,
        through="i-1", session="s-1", resumes=2,
    )  # fmt: skip
    append(record, BEGAN, None)
    (found,) = recent("sm-j")
    assert found.seconds > 0
    assert found == replace(record, time="2023-11-14T22:13:20Z", seconds=found.seconds)
    assert not found.failed
    assert files()[0].stat().st_mode & 0o777 == 0o600


def test_a_connection_that_outlives_an_uninstall_leaves_nothing(state: Path) -> None:
    state.rmdir()
    append(ConnectionRecord("sm-j", session="s-1"), BEGAN, None)
    assert not state.exists()
    append(ConnectionRecord("sm-j"), BEGAN, None)  # the first connection may have no session
    assert recent("sm-j")


def test_a_record_of_an_earlier_version_keeps_its_bastion() -> None:
    append(ConnectionRecord("sm-j", session="s-1", through="i-1"), BEGAN, None)
    (path,) = files()
    path.write_text(path.read_text().replace('"through"', '"bastion"'))
    assert [record.through for record in recent("sm-j")] == ["i-1"]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SmProxyError("no-vpc", "none\x1b"), "no-vpc", "sm-proxy: no-vpc: none\ufffd"),
        (KeyError("secret"), "bug", "KeyError"),
        (Hangup(), "interrupted", ""),
        (KeyboardInterrupt(), "interrupted", ""),
    ],
)
def test_the_record_tells_how_it_ended(error: BaseException, code: str, line: str) -> None:
    append(ConnectionRecord("sm-j"), BEGAN, error)
    (found,) = recent("sm-j")
    assert (found.code, found.line) == (code, line)
    assert found.failed == (code != "interrupted")


def test_records_of_the_host_come_newest_first() -> None:
    append(ConnectionRecord("sm-j"), BEGAN, SmProxyError("no-vpc", "first"))
    append(ConnectionRecord("sm-j"), BEGAN, SmProxyError("network", "second"))
    append(ConnectionRecord("sm-j"), BEGAN, None)
    append(ConnectionRecord("sm-other"), BEGAN, SmProxyError("throttled", "other"))
    assert [record.code for record in recent("sm-j")] == ["ok", "network", "no-vpc"]
    assert recent("sm-none") == []


def test_no_token_is_written() -> None:
    append(
        ConnectionRecord("sm-j"),
        BEGAN,
        SmProxyError("network", f"x-amz-security-token:{TOKEN} refused"),
    )
    assert TOKEN[20:60] not in files()[0].read_text()
    assert "[redacted]" in recent("sm-j")[0].line


@pytest.mark.parametrize("host", ["../../../x", "a/b", "-oProxyCommand=id", "\udcff", "x" * 9_000])
def test_a_hostile_host_name_stays_in_the_folder(host: str) -> None:
    append(ConnectionRecord(host), BEGAN, SmProxyError("bad-name", "no"))
    assert [path.parent.name for path in files()] == ["connections"]
    assert len(files()[0].name) < 60


def test_logs_are_limited_in_number_and_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_log, "HOSTS", 5)
    for number in range(9):
        append(ConnectionRecord(f"sm-{number}"), BEGAN, None)
        moment = time.time() - 1000 + number
        for path in files():
            if f'"sm-{number}"' in path.read_text():
                os.utime(path, (moment, moment))
    assert [bool(recent(f"sm-{number}")) for number in range(9)] == [False] * 4 + [True] * 5
    for path in files():
        os.utime(path, (1, 1))
    append(ConnectionRecord("sm-new"), BEGAN, None)
    assert len(files()) == 1


@pytest.mark.parametrize(
    "change",
    [{"host": 1}, {"host": "sm-other"}, {"up": "x"}, {"seconds": None}, {"code": []}],
)
def test_a_record_of_the_wrong_shape_is_skipped(change: dict[str, object]) -> None:
    append(ConnectionRecord("sm-j"), BEGAN, None)
    record = json.loads(files()[0].read_text())
    files()[0].write_text(json.dumps({**record, **change}) + "\n")
    append(ConnectionRecord("sm-j"), BEGAN, None)
    assert len(recent("sm-j")) == 1


def test_unknown_fields_of_a_later_version_are_ignored() -> None:
    append(ConnectionRecord("sm-j"), BEGAN, None)
    record = json.loads(files()[0].read_text())
    files()[0].write_text(json.dumps({**record, "weather": "fine"}) + "\n")
    assert len(recent("sm-j")) == 1


def test_an_unwritable_folder_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SM_PROXY_STATE_DIR", str(tmp_path / "file" / "state"))
    append(ConnectionRecord("sm-j"), BEGAN, None)
    assert recent("sm-j") == []
