from __future__ import annotations

import os
from pathlib import Path

import pytest

from sm_proxy import cli
from sm_proxy.local import container_files
from tests.setup.helpers import init, states

RUNTIME = {"entrypoint.sh", "serve.sh", "sshd_config"}


def test_every_file_of_a_new_context_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = init(capsys, tmp_path)
    assert set(states(data).values()) == {"new"}
    assert set(states(data)) >= RUNTIME
    entrypoint = tmp_path / "sm-proxy" / "entrypoint.sh"
    assert entrypoint.read_bytes() == container_files.read()["entrypoint.sh"]
    assert os.name == "nt" or entrypoint.stat().st_mode & 0o777 == 0o755
    assert os.name == "nt" or (tmp_path / "sm-proxy" / "sshd_config").stat().st_mode & 0o044 == 0o44
    example = (tmp_path / "Dockerfile.sm-proxy").read_text()
    assert all(line in example for line in data["dockerfile"])
    assert "openssh-server" in example
    assert set(states(init(capsys, tmp_path)).values()) == {"same"}


def test_a_users_dockerfile_is_not_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert cli.main(["container", "init", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "    COPY sm-proxy/ /opt/sm-proxy/\n" in shown
    assert (tmp_path / "Dockerfile").read_text() == "FROM scratch\n"
    assert not (tmp_path / "Dockerfile.sm-proxy").exists()


def test_the_python_server_is_started_by_its_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = init(capsys, tmp_path, "--python-server")["dockerfile"]
    assert any("pip install" in line and "asyncssh" in line for line in lines)


def test_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = init(capsys, tmp_path, "--dry-run")
    assert not any(file["written"] for file in data["files"])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["container", "init", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("sm-proxy: bad-setting: ")


def test_a_bad_settings_file_does_not_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SM_PROXY_CONFIG_DIR", str(tmp_path))
    (tmp_path / "config.toml").write_text("not TOML")
    assert cli.main(["list"]) == 1
    assert "bad-setting" in capsys.readouterr().err
    assert init(capsys, tmp_path)["files"]
