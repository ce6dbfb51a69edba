from __future__ import annotations

import os
from pathlib import Path

import pytest

from sm_proxy.local import paths
from tests.home_watch import HomeWatch, _places

_REAL_HOME = paths.ssh_home()
"""Read before the first test: each test has a home of its own."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host mine\n")
    return tmp_path


def test_files_of_other_programs_are_no_offence(home: Path) -> None:
    watch = HomeWatch([home / ".ssh", home / ".ssh" / "config", home / ".aws"])
    assert watch.offences() == []
    (home / ".ssh" / "config").write_text("Host mine\nHost other\n")
    (home / ".ssh" / "known_hosts").write_text("host ssh-ed25519 AAAA\n")
    (home / ".ssh" / "loop").symlink_to("loop")
    assert watch.offences() == []


@pytest.mark.parametrize(
    "text",
    [
        "# >>> sm-proxy >>>\n",
        'Include "/tmp/sm-proxy-lab-x1/ssh/sm-proxy/config"\n',
        "IdentityFile /tmp/pytest-of-me/pytest-1/key\n",
        "x = http://127.0.0.1:4711\n",
    ],
)
@pytest.mark.parametrize("name", ["config", "new"])
def test_content_that_only_a_test_writes_is_an_offence(home: Path, name: str, text: str) -> None:
    watch = HomeWatch([home / ".ssh"])
    file = home / ".ssh" / name
    file.write_text(text + (file.read_text() if file.exists() else ""))
    assert watch.offences() == [str(file)]


def test_a_new_file_in_our_places_is_an_offence(home: Path) -> None:
    watch = HomeWatch([home / ".ssh", home / ".ssh" / "sm-proxy", home / ".local"])
    (home / ".local").mkdir()
    (home / ".ssh" / "sm-proxy").symlink_to("nowhere")
    assert watch.offences() == [str(home / ".local"), str(home / ".ssh" / "sm-proxy")]


def test_a_file_from_before_is_no_offence(home: Path) -> None:
    config = home / ".ssh" / "config"
    config.write_text("# >>> sm-proxy >>>\n")
    watch = HomeWatch([home / ".ssh"])
    config.write_text(config.read_text() + "Host other\n")
    assert watch.offences() == []
    config.write_text(config.read_text() * 2)
    assert watch.offences() == [str(config)]


def test_the_places_are_those_of_our_own_files() -> None:
    places = set(_places())
    assert {_REAL_HOME / ".ssh" / "config", _REAL_HOME / ".ssh" / "sm-proxy"} <= places
    assert Path(os.environ["HOME"], ".ssh") in places
