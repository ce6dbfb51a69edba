from __future__ import annotations

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.routes.bastion_host_key import accept, console_keys, in_console, pin_file
from tests.fakes import ECDSA_KEY, HOST_KEY, Answers, FakeAws

BOOT = "[    0.000000] Linux version 6.1\r\n"
BEGIN, END = "-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----"
DENIED = SmProxyError("access-denied", "ec2:GetConsoleOutput is denied", "ask")


def console(text: str) -> FakeAws:
    return FakeAws(GetConsoleOutput={"Output": text})


def block(*keys: str) -> str:
    return "\r\n".join([BEGIN, *(f"{key} root@ip-10-0-0-9" for key in keys), END, ""])


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (BOOT + block(HOST_KEY, ECDSA_KEY), (HOST_KEY, ECDSA_KEY)),
        (BOOT + block(ECDSA_KEY) + block(HOST_KEY), (HOST_KEY,)),
        (block(HOST_KEY).replace("ssh-", "[ 9.1] cloud-init[812]: ssh-"), (HOST_KEY,)),
        (block("ssh-ed25519 AAAAnot-a-key"), ()),
        (block(HOST_KEY.replace("ed25519", "rsa", 1)), ()),
        (BOOT + BEGIN + "\r\n" + HOST_KEY, ()),
        (HOST_KEY + "\r\n" + BEGIN + END, ()),
        (BOOT, ()),
        ("", ()),
    ],
)
def test_the_console_names_keys_in_the_last_whole_block(text: str, keys: tuple[str, ...]) -> None:
    assert in_console(console(text), "i-1") == keys


@pytest.mark.parametrize(
    "answer",
    [DENIED, ServiceError("InvalidInstanceID.NotFound", "no", "ec2:x"), {}, {"Output": ""}],
)
def test_a_console_that_cannot_be_read_names_no_key(answer: Answers) -> None:
    assert in_console(FakeAws(GetConsoleOutput=answer), "i-1") == ()


def test_a_network_failure_does_not_stop_the_first_use() -> None:
    down = SmProxyError("network", "no route", "wait")
    assert in_console(FakeAws(GetConsoleOutput=down), "i-1") == ()


def test_the_first_key_is_pinned_and_the_console_not_read_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    aws = console(BOOT)
    expected = console_keys(aws, "i-1")
    accept("i-1", HOST_KEY, expected)
    assert "trusting the host key of the bastion i-1, at its first use" in capsys.readouterr().err
    assert console_keys(aws, "i-1") == (HOST_KEY,)
    accept("i-1", HOST_KEY, (HOST_KEY,))
    assert (aws.operations(), capsys.readouterr().err) == (["GetConsoleOutput"], "")
    assert pin_file("i-1").stat().st_mode & 0o077 == 0


def test_a_key_on_the_console_is_pinned_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    accept("i-1", ECDSA_KEY, console_keys(console(block(HOST_KEY, ECDSA_KEY)), "i-1"))
    assert "its console output names it" in capsys.readouterr().err
    assert console_keys(FakeAws(), "i-1") == (ECDSA_KEY,)


def test_a_key_that_is_not_on_the_console_is_refused_and_not_pinned() -> None:
    with pytest.raises(SmProxyError) as caught:
        accept("i-1", ECDSA_KEY, console_keys(console(block(HOST_KEY)), "i-1"))
    assert (caught.value.code, caught.value.mendable) == ("host-key-changed", False)
    assert not pin_file("i-1").exists()


def test_another_key_than_the_pinned_one_is_refused_although_the_console_names_it() -> None:
    accept("i-1", HOST_KEY, ())
    for expected in ((), (HOST_KEY,), (ECDSA_KEY,)):
        with pytest.raises(SmProxyError) as caught:
            accept("i-1", ECDSA_KEY, expected)
        assert caught.value.code == "host-key-changed"
        assert str(pin_file("i-1")) in caught.value.hint
    accept("i-2", ECDSA_KEY, ())
    assert console_keys(FakeAws(), "i-1") == (HOST_KEY,)


def test_a_key_that_others_could_have_pinned_is_not_used() -> None:
    accept("i-1", HOST_KEY, ())
    pin_file("i-1").chmod(0o666)
    with pytest.raises(SmProxyError) as caught:
        console_keys(FakeAws(), "i-1")
    assert caught.value.code == "host-key-unknown"
