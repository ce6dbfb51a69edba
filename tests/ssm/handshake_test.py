from __future__ import annotations

import pytest

from sm_proxy.ssm.handshake import HandshakeError, read_complete, read_request
from tests.ssm import agent_wire as wire

MUX = {"portNumber": "22", "type": "LocalPortForwarding"}


@pytest.mark.parametrize(
    ("version", "properties", "multiplexed"),
    [
        ("3.3.1230.0", MUX, True),
        ("3.3.1230.0", {"portNumber": "22"}, False),
        ("3.0.196.0", MUX, False),
        ("3.0.197.0", MUX, True),
        ("2.9.999.0", MUX, False),
        ("nonsense", MUX, False),
        ("9" * 5000, MUX, False),
    ],
)
def test_both_sides_agree_on_smux(
    version: str, properties: dict[str, str], *, multiplexed: bool
) -> None:
    request = read_request(wire.handshake_request(properties=properties, version=version))
    assert request.multiplexed is multiplexed


def test_the_terminate_flag_needs_an_agent_that_knows_it() -> None:
    assert read_request(wire.handshake_request(version="2.3.756.0")).knows_terminate_flag
    assert not read_request(wire.handshake_request(version="2.3.722.0")).knows_terminate_flag


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"RequestedClientActions": 3}',
        b'{"RequestedClientActions": [1]}',
        b"[" * 100_000,
        b'{"RequestedClientActions":[' + b"{}," * 100_000 + b"{}]}",
    ],
)
def test_a_malformed_request_is_refused(payload: bytes) -> None:
    with pytest.raises(HandshakeError):
        read_request(payload)


def test_the_customer_message_is_read_from_any_document() -> None:
    assert read_complete(b'{"CustomerMessage":"hi"}').customer_message == "hi"
    assert read_complete(b'{"CustomerMessage":null}').customer_message == ""
    assert read_complete(b"nonsense").customer_message == ""
