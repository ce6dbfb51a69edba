from __future__ import annotations

from typing import Any

from sm_proxy.settings import Settings
from sm_proxy.ssh_config import blocks, carried

KNOWN: dict[str, dict[str, Any]] = {
    "sm-": {"region": "eu-west-1", "bastion_user": "admin"},
    "sm-eu-": {"profile": "it's 100% mine", "user": "ubuntu", "wait": 60, "route": "direct"},
}


def test_the_options_of_each_block_are_found() -> None:
    text = blocks.render(Settings(), KNOWN, ["/opt/sm proxy", "-I"])
    passed = {"region": "eu-west-1", "bastion_user": "admin", "user": "root"}
    assert carried.options(text, "sm-") == passed
    assert carried.options(text, "sm-eu-") == {
        "profile": "it's 100% mine",
        "user": "ubuntu",
        "wait": "60",
        "route": "direct",
        "prefix": "sm-eu-",
    }
    assert carried.options(text, "sm-us-") == {}


def test_an_edited_command_passes_no_options() -> None:
    assert carried.options("Host sm-*\n    ProxyCommand 'x\n", "sm-") == {}
    assert carried.options("", "sm-") == {}
