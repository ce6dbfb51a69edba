from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import known_hosts
from sm_proxy.local import private_files
from sm_proxy.settings import Settings
from tests.fakes import HOST_KEY

OTHER = HOST_KEY.replace("JkD", "JkE")
KEYGEN = shutil.which("ssh-keygen")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(ssh_dir=str(tmp_path / "ssh"))


def test_each_host_name_has_a_private_file(settings: Settings) -> None:
    known_hosts.pin(settings, "sm-x.algo-2", [HOST_KEY, OTHER])
    known_hosts.pin(settings, "sm-x", [OTHER])
    path = known_hosts.path_of(settings, "sm-x.algo-2")
    assert path.read_text() == f"* {HOST_KEY}\n* {OTHER}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert known_hosts.path_of(settings, "sm-x").read_text() == f"* {OTHER}\n"


def test_a_new_container_replaces_the_old_key(settings: Settings) -> None:
    known_hosts.pin(settings, "sm-x", [HOST_KEY])
    known_hosts.pin(settings, "sm-x", [OTHER])
    assert known_hosts.path_of(settings, "sm-x").read_text() == f"* {OTHER}\n"


def test_the_same_key_is_not_written_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    known_hosts.pin(settings, "sm-x", [HOST_KEY])

    def fail(*_: object) -> None:
        raise AssertionError("it was written")

    monkeypatch.setattr(private_files, "write_private", fail)
    known_hosts.pin(settings, "sm-x", iter([HOST_KEY]))


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SmProxyError, match="host key of sm-x") as caught:
        known_hosts.pin(Settings(ssh_dir=str(tmp_path / "file")), "sm-x", [HOST_KEY])
    assert caught.value.code == "config-read-only"


@pytest.mark.skipif(KEYGEN is None, reason="needs ssh-keygen")
@pytest.mark.parametrize("looked_up", ["sm-x", "[sm-x]:2222", "10.0.1.5"])
def test_openssh_finds_the_key_under_any_name(looked_up: str, settings: Settings) -> None:
    known_hosts.pin(settings, "sm-x", [HOST_KEY])
    path = known_hosts.path_of(settings, "sm-x")
    assert KEYGEN is not None
    done = subprocess.run(
        [KEYGEN, "-F", looked_up, "-f", str(path)], capture_output=True, text=True, check=False
    )
    assert HOST_KEY in done.stdout


def test_unused_files_are_removed(settings: Settings, tmp_path: Path) -> None:
    for host in ("sm-old", "sm-new", "sm-again"):
        known_hosts.pin(settings, host, [HOST_KEY])
        if host != "sm-new":
            os.utime(known_hosts.path_of(settings, host), (1, 1))
    other = tmp_path / "other"
    other.touch()
    known_hosts.path_of(settings, "sm-link").symlink_to(other)
    known_hosts.pin(settings, "sm-again", [HOST_KEY])
    known_hosts.sweep(settings)
    left = {path.name for path in known_hosts.path_of(settings, "x").parent.iterdir()}
    assert left == {"sm-new", "sm-again", "sm-link"}
    known_hosts.forget(settings, "sm-new")
    known_hosts.forget(settings, "sm-new")
    assert not known_hosts.path_of(settings, "sm-new").exists()
    known_hosts.sweep(Settings(ssh_dir=str(tmp_path / "none")))
