"""What setup reports about the ssh config that it has written."""

from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from sm_proxy.setup import steps
from tests.config_command import run


def test_the_ssh_step_passes_if_our_block_is_in_effect(dot_ssh: Path) -> None:
    run(dot_ssh, "write")
    settings = Settings(ssh_dir=str(dot_ssh / "sm-proxy"))
    assert steps.ssh(settings, dot_ssh / "config").result == "passed"


@pytest.mark.parametrize("line", ["Ciphers 3des-cbc", "KexAlgorithms diffie-hellman-group1-sha1"])
def test_a_host_star_that_keeps_ssh_out_is_named(line: str, dot_ssh: Path) -> None:
    run(dot_ssh, "write")
    with (dot_ssh / "config").open("a") as config:
        config.write(f"Host *\n  {line}\n")
    with pytest.raises(SmProxyError) as caught:
        steps.ssh(Settings(ssh_dir=str(dot_ssh / "sm-proxy")), dot_ssh / "config")
    assert line.split(maxsplit=1)[0].lower() in caught.value.message
    assert "Host * !sm-*" in caught.value.hint
