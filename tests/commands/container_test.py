from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sm_proxy import cli
from sm_proxy.local import container_files
from sm_proxy.setup import build_context

RUNTIME = {"entrypoint.sh", "serve.sh", "sshd_config"}


def init(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> dict[str, Any]:
    assert cli.main(["container", "init", str(folder), *words, "--json"]) == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)["data"]
    return data


def states(data: dict[str, Any]) -> dict[str, str]:
    return {Path(file["path"]).name: file["state"] for file in data["files"]}


def test_a_fresh_context(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_a_users_dockerfile_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert cli.main(["container", "init", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "    COPY sm-proxy/ /opt/sm-proxy/\n" in shown
    assert (tmp_path / "Dockerfile").read_text() == "FROM scratch\n"
    assert not (tmp_path / "Dockerfile.sm-proxy").exists()


def test_the_python_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = init(capsys, tmp_path, "--python-server")["dockerfile"]
    assert any("pip install" in line and "asyncssh" in line for line in lines)


def test_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = init(capsys, tmp_path, "--dry-run")
    assert not any(file["written"] for file in data["files"])
    assert list(tmp_path.iterdir()) == []


def test_an_older_version_is_replaced_and_an_edit_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = container_files.read()
    older = {name: b"# older\n" + content for name, content in now.items()}
    monkeypatch.setattr(container_files, "read", lambda: older)
    init(capsys, tmp_path)
    monkeypatch.setattr(container_files, "read", lambda: now)
    mine = tmp_path / "sm-proxy" / "sshd_config"
    mine.write_bytes(mine.read_bytes() + b"X11Forwarding yes\n")

    seen = states(init(capsys, tmp_path, "--dry-run"))
    assert (seen["sshd_config"], seen["serve.sh"]) == ("edited", "older")
    assert cli.main(["container", "init", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("sm-proxy: file-edited: ")
    assert "sshd_config" in error
    # Not one of them: files of two versions do not go together.
    assert (tmp_path / "sm-proxy" / "serve.sh").read_bytes() == older["serve.sh"]

    init(capsys, tmp_path, "--force")
    assert mine.read_bytes() == now["sshd_config"]
    assert set(states(init(capsys, tmp_path)).values()) == {"same"}


def test_files_that_somebody_else_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "sm-proxy" / "entrypoint.sh"
    target.parent.mkdir()
    target.write_text("theirs")
    (target.parent / build_context.NOTE).write_text('{"sha256": 7}')
    assert cli.main(["container", "init", str(tmp_path)]) == 1
    assert "file-edited" in capsys.readouterr().err
    assert target.read_text() == "theirs"


def test_other_line_ends_are_no_edit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(capsys, tmp_path)
    file = tmp_path / "sm-proxy" / "serve.sh"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert states(init(capsys, tmp_path))["serve.sh"] == "older"
    assert b"\r" not in file.read_bytes()


def test_no_such_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["container", "init", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("sm-proxy: bad-setting: ")
