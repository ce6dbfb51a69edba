from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sm_proxy import cli, proxy
from sm_proxy.settings import Settings


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []

    def connect(*arguments: Any, when_up: Callable[[], None]) -> int:
        calls.append(arguments)
        return 130

    monkeypatch.setattr(proxy, "connect", connect)
    return calls


def test_the_words_of_the_proxy_command_are_passed_on(connected: list[tuple[Any, ...]]) -> None:
    assert cli.main(["connect", "--user", "root", "sm-x", "22"]) == 130
    assert connected == [("sm-x", 22, "root", Settings())]


def test_only_the_host_is_needed(connected: list[tuple[Any, ...]]) -> None:
    cli.main(["connect", "sm-x"])
    assert connected == [("sm-x", 22, None, Settings())]


def test_all_options_are_passed_on(connected: list[tuple[Any, ...]]) -> None:
    cli.main(["--prefix", "eu-", "connect", "--wait", "5", "--bastion", "i-1", "eu-x", "2222"])
    assert connected == [("eu-x", 2222, None, Settings(prefix="eu-", wait=5, bastion="i-1"))]


def test_the_user_of_ssh_is_not_checked_as_a_setting(
    connected: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM_PROXY_USER", "ubuntu")
    cli.main(["connect", "--user", "DOMAIN\\me", "sm-x"])
    assert connected == [("sm-x", 22, "DOMAIN\\me", Settings(user="ubuntu"))]


@pytest.mark.parametrize(
    "words",
    [("%n",), ("%h", "22"), ("--user", "%r", "sm-x", "22"), ("sm-x", "%p"), ("--user", "%u", "x")],
)
def test_a_token_that_the_client_did_not_expand_is_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["connect", *words]) == 1
    shown = capsys.readouterr().err
    code = "bad-name" if words[0] in {"%n", "%h"} else "unsupported"
    assert shown.startswith(f"sm-proxy: {code}: this ssh client does not expand")
    assert next(word for word in words if word.startswith("%")) in shown
    assert "sm-proxy sync" in shown
