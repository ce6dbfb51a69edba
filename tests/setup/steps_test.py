"""What setup reports about the ssh config that it has written."""

from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.routes import inside_vpc
from sm_proxy.routes.inside_vpc import Finding
from sm_proxy.settings import Settings
from sm_proxy.setup import steps
from tests.config_command import run
from tests.fakes import FakeAws


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


def test_inside_a_vpc_no_bastion_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Finding(frozenset({"vpc-1"}), "instance metadata")
    monkeypatch.setattr(inside_vpc, "own_vpcs", lambda _: found)
    step = steps.bastion(FakeAws(), Settings())
    assert (step.result, step.fix) == ("passed", "")
    assert step.reason == (
        "not needed for jobs in vpc-1: this machine is in vpc-1 (instance metadata)"
    )
    assert steps.bastion(FakeAws(), Settings(bastion="i-1")).reason == "i-1, as configured"


def test_a_laptop_without_a_bastion_is_warned() -> None:
    step = steps.bastion(FakeAws(DescribeInstances={"Reservations": []}), Settings())
    assert step.result == "warning"
    assert "sm-proxy infra deploy" in step.fix
    assert step.fix.startswith("Studio spaces and HyperPod nodes need none.")
