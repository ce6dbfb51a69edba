"""Where the daemon listens."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sm_proxy
from sm_proxy.daemon import place
from tests.waits import await_true

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")

LAST = f"/tmp/sm-proxy-{os.geteuid() if os.name != 'nt' else 0}"


def folders() -> list[str]:
    return [str(Path(path).parent) for path in place.sockets("i")]


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("SM_PROXY_STATE_DIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    return monkeypatch


def test_the_runtime_folder_comes_before_the_state_folder(usual: pytest.MonkeyPatch) -> None:
    usual.setattr(sys, "platform", "linux")
    state = "/home/me/.local/state/sm-proxy/daemon"
    assert folders() == [state, LAST]
    usual.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert folders() == ["/run/user/7/sm-proxy", state, LAST]
    usual.setenv("XDG_STATE_HOME", "/state")
    assert folders() == ["/run/user/7/sm-proxy", "/state/sm-proxy/daemon", LAST]


def test_macos_has_a_state_folder_too(usual: pytest.MonkeyPatch) -> None:
    usual.setattr(sys, "platform", "darwin")
    assert folders() == ["/home/me/Library/Application Support/sm-proxy/daemon", LAST]


def test_the_state_folder_is_the_one_that_platformdirs_finds(usual: pytest.MonkeyPatch) -> None:
    import platformdirs

    expected = platformdirs.user_state_dir("sm-proxy", appauthor=False)
    assert folders()[0] == f"{expected}/daemon"


def test_a_state_folder_that_the_user_has_set_comes_first(usual: pytest.MonkeyPatch) -> None:
    usual.setenv("SM_PROXY_STATE_DIR", "/own")
    usual.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert folders() == ["/own/daemon", "/run/user/7/sm-proxy", LAST]


def test_a_path_that_is_too_long_for_a_socket_is_left_out(
    usual: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usual.setattr(place, "_folders", lambda: [str(tmp_path)])
    room = place.LONGEST - len(os.fsencode(place.sockets("i")[0]))
    for name, number in (
        ("x" * (room - 1), 1),
        ("x" * room, 0),
        ("\N{EURO SIGN}" * (room // 2), 0),
    ):
        usual.setattr(place, "_folders", lambda name=name: [str(tmp_path / name)])
        found = place.sockets("i")
        assert len(found) == number
        for path in found:
            Path(path).parent.mkdir()
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)


def test_a_relative_folder_is_left_out(usual: pytest.MonkeyPatch) -> None:
    """The daemon has another working folder."""
    usual.setenv("XDG_RUNTIME_DIR", "run")
    usual.setenv("HOME", "home")
    assert folders() == [LAST]


def test_without_a_home_there_is_a_place_still(usual: pytest.MonkeyPatch) -> None:
    usual.delenv("HOME")
    assert folders() == [LAST]


@pytest.mark.parametrize("name", place.AT_START)
def test_another_start_environment_has_another_daemon(name: str, usual: pytest.MonkeyPatch) -> None:
    usual.setenv(name, "1")
    one = place.identity()
    usual.setenv(name, "2")
    assert place.identity() != one


def test_other_code_has_another_daemon(usual: pytest.MonkeyPatch) -> None:
    found = {place.identity()}
    usual.setattr(sm_proxy, "__version__", "0.0.0")
    found.add(place.identity())
    usual.setattr(sys, "executable", "/other/python")
    found.add(place.identity())
    usual.setattr(sm_proxy, "__file__", "/other/__init__.py")
    found.add(place.identity())
    assert len(found) == len({place.sockets(whose)[0] for whose in found}) == 4


def test_a_link_to_the_environment_is_no_other_environment(
    usual: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A PEX made with `--venv` starts the first time from the folder, then from a link to it."""
    (tmp_path / "venv").mkdir()
    (tmp_path / "short").symlink_to("venv")
    found = set()
    for prefix in ("venv", "short", "other"):
        usual.setattr(sys, "prefix", str(tmp_path / prefix))
        found.add(place.identity())
    assert len(found) == 2


def started_by(form: str, folder: Path) -> list[str]:
    """How a user, an editor or ssh starts the program."""
    if form == "script":
        return [str(Path(sys.executable).with_name("sm-proxy"))]
    if form == "path":  # a folder that is not installed, or the user's site-packages
        copy = folder / "sm_proxy"
        if not copy.exists():
            shutil.copytree(Path(sm_proxy.__file__).parent, copy)
        return [sys.executable, "-I", str(copy / "__main__.py")]
    return [str(Path(sys.executable).with_name(form)), "-I", "-m", "sm_proxy"]


@pytest.mark.parametrize(
    ("served", "forms", "others"),
    [("python", ["python", "python3", "script"], ["path"]), ("path", ["path"], ["python"])],
)
def test_a_daemon_serves_every_start_of_the_same_program(
    served: str, forms: list[str], others: list[str], tmp_path: Path, usual: pytest.MonkeyPatch
) -> None:
    usual.setenv("SM_PROXY_STATE_DIR", str(tmp_path / "s"))
    usual.setenv("SM_PROXY_LOG", "debug")
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "text": True, "cwd": tmp_path}
    daemon = subprocess.Popen([*started_by(served, tmp_path), "daemon", "serve"], **options)
    try:
        listens = (tmp_path / "s" / "daemon").glob
        await_true(lambda: bool(list(listens("*.sock"))), 60, alive=daemon)
        for form in (*forms, *others):
            command = [*started_by(form, tmp_path), "connect", "no-name-of-ours"]

            def by_daemon(command: list[str] = command) -> bool:
                done = subprocess.run(
                    command, capture_output=True, check=False, timeout=60, **options
                )
                assert done.returncode == 1, done
                assert "sm-proxy: bad-name: " in done.stderr
                return "no daemon" not in done.stderr

            if form in forms:
                await_true(by_daemon, 60)  # a very busy machine may do without the daemon
            else:
                assert not by_daemon()
    finally:
        daemon.terminate()
        daemon.wait(60)
    assert not list((tmp_path / "s" / "daemon").iterdir())


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True))
def test_fingerprints_differ(texts: list[str]) -> None:
    found = {place.fingerprint(text) for text in texts}
    assert len(found) == len(texts)
    assert all(len(each) == 16 for each in found)
