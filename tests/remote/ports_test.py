from __future__ import annotations

import socket

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.remote import ports
from sm_proxy.remote.ports import Forward


@pytest.mark.parametrize(
    ("word", "local", "port"),
    [
        ("6006", 6006, 6006),
        ("16006:6006", 16006, 6006),
        ("0:8888", 0, 8888),
        ("65535", 65535, 65535),
    ],
)
def test_a_port_is_the_local_one_too_unless_another_is_named(
    word: str, local: int, port: int
) -> None:
    assert Forward.parse(word) == Forward(local, port)


@pytest.mark.parametrize(
    "word", ["", "0", "1:0", "65536", "70000:1", "x", "1:2:3", "-1", ":1", "٣"]
)
def test_an_invalid_port_argument_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)port"):
        Forward.parse(word)


def test_the_local_port_is_free_and_only_this_machine_reaches_it() -> None:
    said: list[str] = []
    with ports.listen(Forward(0, 6006), said.append) as first:
        host, port = first.getsockname()
        assert host == "127.0.0.1"
        with ports.listen(Forward(port, 6006), said.append) as second:
            got = second.getsockname()[1]
            assert got != port
        assert len(said) == 1
        assert said[0].startswith(f"local port {port} cannot be used (Address already in use)")
        assert said[0].endswith(f"taking {got}")


def test_a_port_that_this_user_may_not_open_gets_another_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = socket.create_server

    def denied(address: tuple[str, int], **options: int) -> socket.socket:
        if 0 < address[1] < 1024:
            raise PermissionError(13, "Permission denied")
        return made((address[0], 0), backlog=options["backlog"])

    monkeypatch.setattr(socket, "create_server", denied)
    said: list[str] = []
    ports.listen(Forward(80, 80), said.append).close()
    assert said[0].startswith("local port 80 cannot be used (Permission denied)")
    assert Forward(80, 80).choices[:3] == [80, 8080, 81]
    assert Forward(65535, 1).choices == [65535, 0]


def test_a_machine_without_a_port_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: int) -> socket.socket:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "create_server", denied)
    with pytest.raises(SmProxyError, match="Too many open files") as caught:
        ports.listen(Forward(6006, 6006), print)
    assert caught.value.code == "unsupported"
