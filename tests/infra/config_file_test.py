"""Only the table [launch] of config.toml changes; every other byte of the user's file stays."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from sm_proxy import settings
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import config_file
from sm_proxy.local import atomic_write
from sm_proxy.settings import file_edit, sources
from sm_proxy.settings.schema import LaunchNetwork

NETWORK = LaunchNetwork("eu-west-1", ("subnet-0a", "subnet-0b"), ("sg-0a",))
OLD = '[launch]\nregion = "us-east-1"\nsubnets = ["subnet-0c"]\nsecurity_groups = ["sg-0c"]\n'
NEW = (
    '[launch] # written by sm-proxy infra deploy\nregion = "eu-west-1"\n'
    'subnets = ["subnet-0a", "subnet-0b"]\nsecurity_groups = ["sg-0a"]\n'
)


def write() -> Path:
    return config_file.write_launch(NETWORK.region, NETWORK.subnets, NETWORK.security_groups)


def given(content: str | bytes) -> Path:
    path = sources.config_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_without_a_file_one_is_made() -> None:
    path = write()
    assert path == sources.config_file()
    assert path.read_text() == NEW
    assert settings.load().launch == NETWORK


@pytest.mark.parametrize(
    "rest",
    [
        'prefix = "sm-"  # ours\n',
        'prefix = "sm-"',
        "# only a comment",
        "# mine\nwait   =  '5m'\n\n[hosts.sm-x] # one\ntrust_first_use = true\n\n# the end\n",
        'hosts.sm-x.trust_first_use = true\nuser = """root"""\n',
        'hosts = { sm-x = { trust_first_use = true, why = """\n[launch]\n""" } }\n',
    ],
)
def test_a_new_table_leaves_the_rest_as_it_is_and_can_be_removed(rest: str) -> None:
    path = given(rest)
    write()
    text = path.read_text()
    assert text.startswith(rest)
    assert text.endswith("\n\n" + NEW)
    assert settings.load().launch == NETWORK
    assert config_file.remove_launch(NETWORK.security_groups)
    assert path.read_text().rstrip("\n") == rest.rstrip("\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            (
                '# first\n[launch] # net\n# of\nregion = "us-east-1" # far\nsubnets=["subnet-0c"]\n'
                'security_groups = ["sg-0c"]\n\n# hosts\n[hosts.sm-x]\ntrust_first_use = true\n'
            ),
            (
                '# first\n[launch] # net\n# of\nregion = "eu-west-1" # far\n'
                'subnets=["subnet-0a", "subnet-0b"]\nsecurity_groups = ["sg-0a"]\n\n# hosts\n'
                "[hosts.sm-x]\ntrust_first_use = true\n"
            ),
        ),
        (
            (
                'launch = {region = "us-east-1", subnets = ["subnet-0c"],'
                ' security_groups = ["sg-0c"]}\nwait = 5\n'
            ),
            (
                'launch = {region = "eu-west-1", subnets = ["subnet-0a", "subnet-0b"],'
                ' security_groups = ["sg-0a"]}\nwait = 5\n'
            ),
        ),
        (
            (
                'launch.region = "us-east-1"\nlaunch.subnets = ["subnet-0c"]\n'
                'launch.security_groups = ["sg-0c"]\nwait = 5\n'
            ),
            (
                'launch.region = "eu-west-1"\nlaunch.subnets = ["subnet-0a", "subnet-0b"]\n'
                'launch.security_groups = ["sg-0a"]\nwait = 5\n'
            ),
        ),
    ],
)
def test_a_table_that_is_there_is_changed_in_place(old: str, new: str) -> None:
    path = given(old)
    write()
    assert path.read_text() == new
    assert settings.load().launch == NETWORK
    assert config_file.remove_launch(["sg-0a"])
    assert settings.load().launch is None
    assert "launch" not in path.read_text()


def test_the_comments_of_others_stay_when_the_table_goes() -> None:
    path = given(f"# first\nwait = 5\n\n{OLD}\n# my hosts\n[hosts.sm-x]\ntrust_first_use = true\n")
    assert config_file.remove_launch(["sg-0c", "sg-0d"])
    expected = "# first\nwait = 5\n\n# my hosts\n[hosts.sm-x]\ntrust_first_use = true\n"
    assert path.read_text() == expected


@pytest.mark.parametrize("content", ["wait = 5\n", OLD, ""])
def test_the_table_of_another_network_stays(content: str) -> None:
    path = given(content)
    assert not config_file.remove_launch(["sg-0a"])
    assert path.read_text() == content


def test_nothing_is_written_where_nothing_changes() -> None:
    path = write()
    before = path.stat().st_mtime_ns, path.stat().st_ino
    write()
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert not config_file.remove_launch(["sg-other"])


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    path = given(b"\xef\xbb\xbfwait = 5\r\n# x\r\n")
    write()
    content = path.read_bytes()
    assert content == b"\xef\xbb\xbfwait = 5\r\n# x\r\n\r\n" + NEW.replace("\n", "\r\n").encode()
    assert settings.load().launch == NETWORK


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"wait = 5\nregion =\n", "line 2"),
        (b"wait = 5\nwait = 6\n", "wait"),
        (b"wait = " + b"[" * 100_000, "not valid TOML"),
        (b"user = '\xff'\n", "not UTF-8"),
    ],
)
def test_a_damaged_file_is_refused_and_stays(content: bytes, words: str) -> None:
    path = given(content)
    with pytest.raises(SmProxyError) as caught:
        write()
    assert caught.value.code == "config-malformed"
    assert words in caught.value.message
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_read_is_refused_with_the_line_to_add() -> None:
    sources.config_file().mkdir(parents=True)
    with pytest.raises(SmProxyError) as caught:
        write()
    assert caught.value.code == "config-read-only"
    assert 'launch = {region = "eu-west-1", subnets = ["subnet-0a"' in caught.value.hint


def test_a_read_only_file_is_refused_with_the_line_to_add() -> None:
    path = given("wait = 5\n")
    path.chmod(0o400)
    with pytest.raises(SmProxyError, match="read-only") as caught:
        write()
    assert caught.value.code == "config-read-only"
    line = caught.value.hint.removeprefix("Add by hand: ")
    path.chmod(0o600)
    path.write_text(f"{line}\n")  # what the user is told to add works
    assert settings.load().launch == NETWORK


@pytest.mark.skipif(sys.platform == "win32", reason="symlinks need a privilege there")
def test_the_file_behind_a_symlink_is_changed(tmp_path: Path) -> None:
    behind = tmp_path / "dotfiles.toml"
    behind.write_text("wait = 5\n")
    sources.config_file().parent.mkdir(parents=True)
    sources.config_file().symlink_to(behind)
    assert write() == behind.resolve()
    assert sources.config_file().is_symlink()
    assert behind.read_text() == f"wait = 5\n\n{NEW}"


@pytest.mark.skipif(not hasattr(os, "link"), reason="no hard links")
def test_a_file_with_other_hard_links_is_refused(tmp_path: Path) -> None:
    os.link(given("wait = 5\n"), tmp_path / "other")
    with pytest.raises(SmProxyError, match="hard links"):
        write()


def test_the_users_file_is_backed_up() -> None:
    path = given("wait = 5\n")
    write()
    assert atomic_write.backup_path(path, "original").read_text() == "wait = 5\n"


def test_a_save_of_another_program_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    path = given("wait = 5\n")
    real = atomic_write.exchange_users
    saves = ["wait = 6\n", "wait = 7\n"]

    def saved_meanwhile(target: Path, before: bytes | None, content: bytes) -> None:
        if saves:
            path.write_text(saves.pop(0))
        real(target, before, content)

    monkeypatch.setattr(atomic_write, "exchange_users", saved_meanwhile)
    write()
    assert path.read_text() == f"wait = 7\n\n{NEW}"


def test_a_program_that_keeps_saving_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    path = given("wait = 5\n")

    def changed(*_: object) -> None:
        raise atomic_write.ChangedError(path)

    monkeypatch.setattr(atomic_write, "exchange_users", changed)
    monkeypatch.setattr(file_edit, "_RACE_S", 0.0)
    with pytest.raises(SmProxyError) as caught:
        write()
    assert caught.value.code == "busy"


def test_concurrent_writers_all_end_with_a_whole_file() -> None:
    path = given("wait = 5\n")
    threads = [
        threading.Thread(target=config_file.write_launch, args=("eu-west-1", [f"s-{n}"], ["sg-0a"]))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = path.read_text()
    assert text.startswith("wait = 5\n\n[launch]")
    assert text.count("[launch]") == 1
