from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths, private_files
from sm_proxy.local.file_lock import locked

HOLDER = (
    "import sys\n"
    "from sm_proxy.local.file_lock import locked\n"
    "with locked('x'):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


def holder() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process


def test_one_at_a_time_and_a_killed_holder_frees_it() -> None:
    first = holder()
    assert first.stdout is not None
    assert first.stdout.readline() == "held\n"
    second = holder()
    assert second.stdout is not None
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(0.3)
    first.send_signal(signal.SIGKILL)
    assert second.stdout.readline() == "held\n"
    second.communicate("")
    first.communicate()
    assert second.returncode == 0


def test_other_names_are_other_locks() -> None:
    with locked("a"), locked("b"):
        assert {path.name for path in paths.state_dir().iterdir()} == {"a.lock", "b.lock"}


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SM_PROXY_STATE_DIR", str(tmp_path / "file"))
    with pytest.raises(SmProxyError, match=r"x\.lock cannot be taken") as caught, locked("x"):
        pytest.fail("it was taken")
    assert caught.value.code == "config-read-only"


def test_one_that_is_held_is_not_waited_for_where_that_is_not_wanted() -> None:
    with locked("x"), pytest.raises(SmProxyError, match="cannot be taken"), locked("x", wait=False):
        pass
    with locked("x", wait=False):
        pass


def test_a_symlink_in_its_place_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    path = private_files.ensure_private_dir(paths.state_dir()) / "x.lock"
    path.symlink_to(elsewhere)
    with pytest.raises(SmProxyError, match="cannot be taken") as caught, locked("x"):
        pytest.fail("it was taken")
    assert caught.value.code == "config-read-only"
    assert not elsewhere.exists()
