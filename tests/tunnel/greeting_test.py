from __future__ import annotations

import pytest

from sm_proxy.tunnel.greeting import Greeting


def fed(*parts: bytes) -> Greeting:
    greeting = Greeting()
    for part in parts:
        greeting.feed(part)
    return greeting


def test_a_greeting_is_read_in_any_portions() -> None:
    whole = b"Hello.\nSSH is good\r\nSSH-2.0-OpenSSH_9.2p1 Debian\r\n\0\0\1\2"
    for size in (1, 3, 7, len(whole)):
        greeting = fed(*(whole[i : i + size] for i in range(0, len(whole), size)))
        assert (greeting.given, greeting.impossible) == (True, False)
        assert greeting.version == "SSH-2.0-OpenSSH_9.2p1 Debian"


@pytest.mark.parametrize(
    "data", [b"a\0b", b"x" * 9000, b"hello\n" * 1030, b"HTTP/1.1 400 Bad Request\r\n"]
)
def test_bytes_that_cannot_become_a_greeting_are_impossible(data: bytes) -> None:
    assert fed(data).impossible


@pytest.mark.parametrize("data", [b"", b"S", b"SSH-2.0-x", b"hello\n" * 1000, b"SSH 2\r\n"])
def test_bytes_that_may_become_a_greeting_are_possible(data: bytes) -> None:
    greeting = fed(data)
    assert not greeting.given
    assert not greeting.impossible


def test_the_quoted_text_is_short_and_on_one_line() -> None:
    failure = fed(b"first\r\nsecond\r\n" + b"z" * 8000).failure("10.0.0.1 port 22")
    assert '"first second zzz' in failure.message
    assert len(failure.message) < 300


@pytest.mark.parametrize(
    ("through", "named"),
    [
        ("bastion i-1", "i-1"),
        ("direct", "this machine"),
        ("remote-debug sagemaker-training-job:j_algo-1", "sagemaker-training-job:j_algo-1"),
    ],
)
@pytest.mark.parametrize("text", [b"", b"Not allowed at this time\r\n"])
def test_the_machine_that_dials_is_named(text: bytes, through: str, named: str) -> None:
    failure = fed(text).failure("10.0.0.1 port 22", through)
    assert named in failure.line
    assert "the bastion" not in failure.line


@pytest.mark.parametrize(
    ("data", "ended"), [(b"", False), (b"", True), (b"HTTP/1.1 400\r\n", True), (b"hello\n", True)]
)
def test_another_place_to_look_replaces_the_jobs_log(data: bytes, ended: bool) -> None:
    greeting = Greeting()
    greeting.feed(data)
    greeting.ended = ended
    assert greeting.failure("a node", "hyperpod x", "Look there.").hint == "Look there."


def test_a_reason_with_its_own_way_out_keeps_it() -> None:
    greeting = Greeting()
    greeting.feed(b"Exceeded MaxStartups\r\n")
    assert "MaxStartups" in greeting.failure("a node", "hyperpod x", "Look there.").hint
