"""`sm-proxy infra` and its actions."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys

import pytest

from sm_proxy import cli
from sm_proxy.commands import infra
from sm_proxy.commands.infra import ACTIONS
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings

LOADED = """
import sys
from sm_proxy import cli
assert cli.main(["infra", "policy", "bastion"]) == 0
found = [name for name in sys.modules if name.startswith("sm_proxy.commands.infra_")]
print(*sorted(found), file=sys.stderr)
"""


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_is_a_module(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"sm_proxy.commands.infra_{action}")
    assert callable(module.run)
    with pytest.raises(SystemExit) as ended:
        cli.main(["infra", action, "--help"])
    assert ended.value.code == 0
    words = " ".join(capsys.readouterr().out.split())
    assert f"usage: sm-proxy infra {action} " in words
    assert module.DESCRIPTION in words


def test_an_action_can_be_run_again_in_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for _ in range(2):
        assert cli.main(["infra", "policy", "bastion"]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]


def test_only_the_action_in_use_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=60
    )
    names = ("infra_options", "infra_policy")
    assert done.stderr.split() == [f"sm_proxy.commands.{name}" for name in names]


@pytest.mark.parametrize("words", [(), ("moon",)])
def test_no_action_is_a_usage_error(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["infra", *words])
    assert ended.value.code == 2
    assert "sm-proxy: usage: " in capsys.readouterr().err


def test_a_denied_action_names_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise SmProxyError("access-denied", "cloudformation:DescribeStacks is denied", "Allow it.")

    monkeypatch.setattr("sm_proxy.commands.infra_status.run", denied)
    with pytest.raises(SmProxyError) as caught:
        infra.run(argparse.Namespace(action="status"), Settings())
    assert caught.value.hint == "Allow it. `sm-proxy infra policy admin` prints all that it needs."
