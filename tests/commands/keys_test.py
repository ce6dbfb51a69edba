from __future__ import annotations

import json
from pathlib import Path

import pytest

from sm_proxy import cli


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(tmp_path / "keys"))
    return tmp_path / "keys"


def test_show_makes_the_key_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", "show"]) == 0
    first = capsys.readouterr().out
    assert first == (folder / "id_ed25519.pub").read_text()
    assert cli.main(["keys", "show"]) == 0
    assert capsys.readouterr().out == first


def test_show_env_is_what_a_job_request_takes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["keys", "show", "--env"]) == 0
    shown = capsys.readouterr().out
    public = (folder / "id_ed25519.pub").read_text().strip()
    assert shown == f"SM_PROXY_AUTHORIZED_KEY={public}\n"
    assert cli.main(["keys", "show", "--env", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] == {
        "path": str(folder / "id_ed25519"),
        "public_key": public,
        "environment": {"SM_PROXY_AUTHORIZED_KEY": public},
    }


def test_beside_another_ssh_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", "show", "--ssh-config", str(tmp_path / "a" / "config")]) == 0
    public = tmp_path / "a" / "sm-proxy" / "id_ed25519.pub"
    assert capsys.readouterr().out == public.read_text()


def test_the_users_own_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", "show", "--identity-file", str(tmp_path / "key")]) == 1
    assert capsys.readouterr().err.startswith("sm-proxy: bad-setting: ")
    assert not (tmp_path / "key").exists()
