from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.doctor import bastion, bastion_sshd
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.routes import bastion_host_key
from sm_proxy.settings import Settings
from tests.doctor.bastions import DENIED, context, information
from tests.doctor.helpers import failure
from tests.fakes import ECDSA_KEY, HOST_KEY, FakeAws


def found(settings: Settings | None = None, **answers: Any) -> Context:
    given = {"SendSSHPublicKey": {"Success": True}, "GetConsoleOutput": {}, **answers}
    examined = context(settings, **given)
    bastion.running(examined)
    return examined


def console(*keys: str) -> dict[str, Any]:
    lines = "\n".join(keys)
    begin, end = "-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----"
    return {"Output": f"{begin}\n{lines}\n{end}\n"}


@pytest.mark.parametrize("version", ["3.3.1230.0", "3.1.501.0"])
def test_an_online_agent_is_new_enough(version: str) -> None:
    examined = found(DescribeInstanceInformation=information(version=version))
    assert bastion_sshd.agent(examined).startswith("Online")


def test_an_agent_that_is_away_fails() -> None:
    examined = found(DescribeInstanceInformation=information("ConnectionLost"))
    assert failure(bastion_sshd.agent, examined).code == "bastion-offline"


def test_a_key_without_a_private_half_is_pushed() -> None:
    examined = found(Settings(bastion_user="admin"))
    assert bastion_sshd.instance_connect(examined) == "pushes keys for admin to i-1"
    assert isinstance(examined.aws, FakeAws)
    first = dict(examined.aws.calls)["SendSSHPublicKey"]["SSHPublicKey"]
    assert len(first) == len(HOST_KEY)
    bastion_sshd.instance_connect(examined)
    assert dict(examined.aws.calls)["SendSSHPublicKey"]["SSHPublicKey"] != first


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (DENIED, "access-denied"),
        (ServiceError("EC2InstanceNotFoundException", "no", "x:y"), "aws-error"),
    ],
)
def test_a_push_that_is_refused_fails(answer: Exception, code: str) -> None:
    assert failure(bastion_sshd.instance_connect, found(SendSSHPublicKey=answer)).code == code


def test_a_key_that_is_not_pinned_is_not_judged() -> None:
    with pytest.raises(SkipCheck):
        bastion_sshd.host_key(found(GetConsoleOutput=console(HOST_KEY)))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (console(HOST_KEY), "the console output names it"),
        (DENIED, "the console output shows none"),
        ({}, "the console output shows none"),
    ],
)
def test_the_pinned_key_is_compared_with_the_console(answer: Any, words: str) -> None:
    bastion_host_key.accept("i-1", HOST_KEY, ())
    assert words in bastion_sshd.host_key(found(GetConsoleOutput=answer))


def test_a_pinned_key_that_the_console_does_not_name_fails() -> None:
    bastion_host_key.accept("i-1", HOST_KEY, ())
    error = failure(bastion_sshd.host_key, found(GetConsoleOutput=console(ECDSA_KEY)))
    assert error.code == "host-key-changed"
    assert str(bastion_host_key.pin_file("i-1")) in error.hint
