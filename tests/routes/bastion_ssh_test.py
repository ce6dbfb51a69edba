"""The route through the bastion's own sshd; a real SSH server plays it."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.routes import bastion_host_key, bastion_ssh
from sm_proxy.routes.session_api import SessionRequest
from sm_proxy.settings import Settings
from sm_proxy.tunnel.channel_stream import ChannelStream
from tests.fakes import HOST_KEY, FakeAws, container
from tests.routes.helpers import account, agents, instances
from tests.tunnel.forwarding_sshd import Below, ForwardingSshd, paramiko

OLD = agents(("i-1", "Online", "2.3.1000.0"))
LOST = SmProxyError("session-lost", "the cable broke", "again")


@dataclass
class Play:
    """Sessions to a bastion's sshd.

    Attributes:
        answer: of sshd to a request for a channel.
        accepts: whether sshd accepts a key.
        greeting: what comes instead of sshd's bytes, then the end.
        requests: of each session.
        sshds: one for each session.
    """

    answer: int = paramiko.OPEN_SUCCEEDED
    accepts: bool = True
    greeting: bytes | None = None
    cut: bool = False
    requests: list[SessionRequest] = field(default_factory=list)
    sshds: list[ForwardingSshd] = field(default_factory=list)
    ends: list[socket.socket] = field(default_factory=list)
    below: list[Below] = field(default_factory=list)

    def open(self, _aws: Any, request: SessionRequest, _words: Any) -> Below:
        near, far = socket.socketpair()
        self.requests.append(request)
        self.ends.append(far)
        self.below.append(Below(near, request.target))
        if self.cut:
            self.below[-1].cut, self.below[-1].failure = True, LOST
        elif self.greeting is not None:
            far.sendall(self.greeting)
            far.shutdown(socket.SHUT_WR)
        else:
            sshd = ForwardingSshd(far, self.answer)
            sshd.accepts = self.accepts
            self.sshds.append(sshd)
        return self.below[-1]

    def end(self) -> None:
        for sshd in self.sshds:
            sshd.transport.close()
        for far in self.ends:
            far.close()


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    made = Play()
    monkeypatch.setattr(bastion_ssh, "open_session", made.open)
    yield made
    made.end()


def ready(**changes: Any) -> FakeAws:
    return account(**{"SendSSHPublicKey": {"Success": True}, "GetConsoleOutput": {}, **changes})


def refused(aws: FakeAws, settings: Settings | None = None) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        bastion_ssh.connect(container(), settings or Settings(), aws)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("changes", "settings", "usable", "word"),
    [
        ({}, Settings(), True, "i-1"),
        ({}, Settings(bastion="i-9"), True, "i-9"),
        ({}, Settings(bastion="mi-9"), False, "not an EC2 instance"),
        ({"DescribeInstanceInformation": OLD}, Settings(), True, "i-1"),
        ({"DescribeInstances": instances()}, Settings(), False, "no running instance"),
        (
            {"DescribeInstanceInformation": agents(("i-1", "Inactive", "3.3.0.0"))},
            Settings(),
            False,
            "Inactive",
        ),
    ],
)
def test_the_verdict_asks_for_a_bastion(
    changes: dict[str, Any], settings: Settings, word: str, *, usable: bool
) -> None:
    found = bastion_ssh.verdict(container(), settings, ready(**changes))
    assert (found.usable, word in found.reason) == (usable, True)


def test_without_an_address_it_cannot_serve() -> None:
    found = bastion_ssh.verdict(container(address=None), Settings(bastion="i-1"), ready())
    assert (found.usable, found.error) == (False, None)


def test_sshd_connects_to_the_container_with_a_fresh_key(play: Play) -> None:
    aws = ready()
    stream = bastion_ssh.connect(container(), Settings(bastion_user="admin"), aws)
    assert isinstance(stream, ChannelStream)
    [request], [sshd] = play.requests, play.sshds
    parameters = {"portNumber": ["22"]}
    assert request == SessionRequest("i-1", "AWS-StartSSHSession", parameters, "sm-proxy my-job")
    assert sshd.asked == [("10.0.1.5", 2222)]
    pushed = dict(aws.calls)["SendSSHPublicKey"]
    assert (pushed["InstanceId"], pushed["InstanceOSUser"]) == ("i-1", "admin")
    assert sshd.logins[-1] == ("admin", pushed["SSHPublicKey"])
    assert bastion_host_key.console_keys(aws, "i-1") == (sshd.public_key,)
    sshd.channel().sendall(b"SSH-2.0-container\r\n")
    assert stream.through == "i-1"
    stream.close()


def test_each_connection_has_a_key_of_its_own(play: Play) -> None:
    aws = ready()
    for number in range(2):
        if number:  # another server with the same host key is not needed here
            bastion_host_key.pin_file("i-1").unlink()
        bastion_ssh.connect(container(), Settings(), aws).close()
    keys = [asked["SSHPublicKey"] for name, asked in aws.calls if name == "SendSSHPublicKey"]
    assert len(set(keys)) == 2
    for key in keys:
        assert len(base64.b64decode(key.split()[1])) == 51
        assert len(key) >= 80  # the service refuses a shorter one


def test_a_changed_host_key_is_refused_before_the_login(play: Play) -> None:
    bastion_host_key.accept("i-1", HOST_KEY, ())
    error = refused(ready())
    assert (error.code, error.mendable) == ("host-key-changed", False)
    assert "host-key-changed" not in bastion_ssh.MENDABLE
    assert play.sshds[0].logins == []
    assert play.below[0].fileno() == -1


@pytest.mark.parametrize(
    ("change", "code", "words", "mendable"),
    [
        ({"accepts": False}, "key-refused", "does not accept the key", True),
        (
            {"answer": paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED},
            "unsupported",
            "refuses to forward",
            True,
        ),
        (
            {"answer": paramiko.OPEN_FAILED_CONNECT_FAILED},
            "connect-refused",
            "i-1 cannot connect to 10.0.1.5 port 2222",
            False,
        ),
        ({"greeting": b""}, "sshd-silent", "i-1 port 22", True),
        ({"greeting": b"HTTP/1.0 400\r\n\r\n"}, "sshd-silent", "i-1 port 22", True),
        ({"greeting": b"SSH-2.0-x\r\n"}, "session-lost", "the sshd of the bastion i-1", True),
        ({"cut": True}, "session-lost", "the cable broke", False),
    ],
)
def test_errors_of_the_bastions_sshd_have_a_code_and_end_the_session(
    play: Play, change: dict[str, Any], code: str, words: str, *, mendable: bool
) -> None:
    for name, value in change.items():
        setattr(play, name, value)
    error = refused(ready())
    assert (error.code, words in error.message) == (code, True), error.message
    assert (error.mendable or code in bastion_ssh.MENDABLE) == mendable
    assert play.below[0].fileno() == -1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (ServiceError("EC2InstanceNotFoundException", "no", "x:y"), "no-bastion"),
        (ServiceError("EC2InstanceStateInvalidException", "no", "x:y"), "bastion-offline"),
        (ServiceError("ServiceException", "no", "x:y"), "aws-error"),
        (SmProxyError("access-denied", "no", "ask"), "access-denied"),
    ],
)
def test_a_key_that_cannot_be_pushed_ends_the_session(
    play: Play, answer: Exception, code: str
) -> None:
    assert refused(ready(SendSSHPublicKey=answer)).code == code
    assert play.sshds[0].logins == []
    assert play.below[0].fileno() == -1


def test_a_cached_bastion_that_is_gone_is_replaced(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = ready(DescribeInstances=[instances(("i-1", "running")), instances(("i-2", "running"))])
    aws_agents = agents(("i-1", "Online", "3.3.0.0"), ("i-2", "Online", "3.3.0.0"))
    aws._answers["DescribeInstanceInformation"] = aws_agents
    bastion_ssh.verdict(container(), Settings(), aws)  # fills the cache
    later = ready(DescribeInstances=instances(("i-2", "running")))
    later._answers["DescribeInstanceInformation"] = aws_agents
    opened: Callable[..., Below] = play.open

    def open_session(given: Any, request: SessionRequest, words: Any) -> Below:
        if request.target == "i-1":
            raise SmProxyError("bastion-offline", "gone", "look")
        return opened(given, request, words)

    monkeypatch.setattr(bastion_ssh, "open_session", open_session)
    stream = bastion_ssh.connect(container(), Settings(), later)
    assert stream.through == "i-2"
    stream.close()
