from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sm_proxy import cli
from sm_proxy.commands import keys
from sm_proxy.errors import SmProxyError
from tests.fakes import FakeAws, tree


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(tmp_path / "keys"))
    return tmp_path / "keys"


def test_show_makes_a_key_only_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", "show"]) == 0
    first = capsys.readouterr().out
    assert first == (folder / "id_ed25519.pub").read_text()
    assert cli.main(["keys", "show"]) == 0
    assert capsys.readouterr().out == first


def test_show_env_prints_the_environment_of_a_job(
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


def test_the_key_is_beside_another_ssh_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["keys", "show", "--ssh-config", str(tmp_path / "a" / "config")]) == 0
    public = tmp_path / "a" / "sm-proxy" / "id_ed25519.pub"
    assert capsys.readouterr().out == public.read_text()


def test_the_users_own_key_can_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", "show", "--identity-file", str(tmp_path / "key")]) == 1
    assert capsys.readouterr().err.startswith("sm-proxy: bad-setting: ")
    assert not (tmp_path / "key").exists()


def ran(*words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert cli.main(["keys", *words, "--json"]) == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)["data"]
    return data


def test_rotate_keeps_both_keys_and_revoke_removes_the_old_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = ran("show", capsys=capsys)["public_key"]
    data = ran("rotate", capsys=capsys)
    new = data["keys"][0]["public_key"]
    environment = {"SM_PROXY_AUTHORIZED_KEY": new, "SM_PROXY_AUTHORIZED_KEY_2": first}
    assert data["environment"] == environment
    assert ran("show", "--env", capsys=capsys)["environment"] == environment
    assert [key["public_key"] for key in ran("list", capsys=capsys)["keys"]] == [new, first]
    data = ran("revoke", capsys=capsys)
    assert [key["public_key"] for key in data["revoked"]] == [first]
    assert data["environment"] == {"SM_PROXY_AUTHORIZED_KEY": new}
    assert {path.name for path in folder.iterdir()} == {"id_ed25519", "id_ed25519.pub"}


def test_revoke_prints_what_is_left_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["keys", "rotate"])
    assert "sm-proxy keys revoke SHA256:" in capsys.readouterr().out
    assert cli.main(["keys", "revoke", "current"]) == 0
    printed = capsys.readouterr().out
    assert "new key in its place: SHA256:" in printed
    assert "Environment" in printed
    assert "SM_PROXY_KEYS_S3" in printed


def test_public_keys_are_written_to_and_deleted_from_s3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    aws = FakeAws(PutObject={}, DeleteObject={})
    monkeypatch.setattr(keys, "_aws", lambda _: aws)
    monkeypatch.setenv("SM_PROXY_KEYS_S3", "s3://team/keys/")
    (first,) = ran("push", capsys=capsys)["s3"]
    (second,) = ran("rotate", capsys=capsys)["s3"]
    assert aws.operations() == ["PutObject", "PutObject"]
    assert ran("revoke", capsys=capsys)["s3"] == [first]
    (_, deleted) = aws.calls[-1]
    assert first == f"s3://{deleted['Bucket']}/{deleted['Key']}" != second


def test_a_key_is_kept_if_s3_refuses(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["keys", "rotate"])
    before = tree(folder)
    aws = FakeAws(DeleteObject=SmProxyError("access-denied", "no"))
    monkeypatch.setattr(keys, "_aws", lambda _: aws)
    assert cli.main(["keys", "revoke", "--keys-s3", "s3://team/keys/"]) == 1
    assert capsys.readouterr().err.startswith("sm-proxy: access-denied: ")
    assert tree(folder) == before
    assert cli.main(["keys", "push"]) == 1
    assert "--keys-s3" in capsys.readouterr().err
