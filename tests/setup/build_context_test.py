from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy import cli
from sm_proxy.local import container_files
from sm_proxy.setup import build_context
from tests.setup.helpers import init, states


def test_an_older_version_is_replaced_but_not_an_edited_file(
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
    # No file is written: files of two versions do not work together.
    assert (tmp_path / "sm-proxy" / "serve.sh").read_bytes() == older["serve.sh"]

    init(capsys, tmp_path, "--force")
    assert mine.read_bytes() == now["sshd_config"]
    assert set(states(init(capsys, tmp_path)).values()) == {"same"}


def test_files_that_we_did_not_write_are_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "sm-proxy" / "entrypoint.sh"
    target.parent.mkdir()
    target.write_text("theirs")
    (target.parent / build_context.NOTE).write_text('{"sha256": 7}')
    assert cli.main(["container", "init", str(tmp_path)]) == 1
    assert "file-edited" in capsys.readouterr().err
    assert target.read_text() == "theirs"


def test_other_line_ends_do_not_count_as_an_edit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init(capsys, tmp_path)
    file = tmp_path / "sm-proxy" / "serve.sh"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert states(init(capsys, tmp_path))["serve.sh"] == "older"
    assert b"\r" not in file.read_bytes()
