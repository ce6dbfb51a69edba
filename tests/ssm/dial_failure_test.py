from __future__ import annotations

import pytest

from sm_proxy.ssm.dial_failure import dial_failure

OWN = "Unable to connect to specified port: "
DIAL = "dial tcp 10.0.0.7:22: "
DNS = "dial tcp: lookup x on 10.0.0.2:53: "
TEXTS = {
    "refused": [
        OWN,
        OWN + DIAL + "connect: connection refused",
        OWN + "dial tcp [::1]:22: connect: connection refused",
        OWN + "dial tcp: address 99999: invalid port",
        "Connection to destination port failed, check SSM Agent logs.",
        "connection refused",
        DIAL
        + "connectex: No connection could be made because the target machine actively refused.",
        DIAL + "connect: connection reset by peer",
        DIAL + "connect: cannot assign requested address",
        DIAL + "socket: too many open files",
    ],
    "unresolved": [
        "lookup trainer.internal: no such host",
        OWN + DNS + "no such host",
        "lookup x on 10.0.0.2:53: server misbehaving",
        DNS + "read udp 10.0.0.3:1->10.0.0.2:53: i/o timeout",
        "lookup x: Temporary failure in name resolution",
        OWN + "missing address",
        DNS + "No such host is known.",
    ],
    "unanswered": [
        DIAL + "connect: no route to host",
        "No route to host",
        DIAL + "connect: network is unreachable",
        DIAL + "connect: host is down",
        OWN + DIAL + "i/o timeout",
        DIAL + "connect: connection timed out",
        "i/o timeout",
        DIAL + "connectex: the connected party did not properly respond after a period of time",
        DIAL + "connectex: A socket operation was attempted to an unreachable network.",
    ],
    "barred": [
        DIAL + "connect: permission denied",
        DIAL + "connect: operation not permitted",
        "Permission denied",
        DIAL + "connectex: access a socket in a way forbidden by its access permissions.",
    ],
    "forbidden": ["Forwarding to IP address 169.254.169.254 is forbidden."],
}
S3 = "RequestError: send request failed caused by: Head https://b.s3.amazonaws.com/: "
OTHERS = [
    "",
    "idle for too long",
    "Your session timed out due to inactivity.",
    "Handshake timed out. Please ensure that you have the latest version of the plugin.",
    "read tcp 10.0.0.3:40000->10.0.0.7:22: i/o timeout",
    "write: broken pipe",
    "we are unable to validate encryption on Amazon S3 bucket. Error: " + S3 + DIAL + "i/o timeout",
    "document process failed unexpectedly: ipc messaging received timeout signal",
    "User: arn:aws:iam::1:user/x is not authorized: explicit deny, permission denied by policy",
]


@pytest.mark.parametrize(
    ("kind", "text"), [(k, text) for k, all_ in TEXTS.items() for text in all_]
)
def test_a_text_about_the_dial_has_its_kind(kind: str, text: str) -> None:
    assert dial_failure(text) == kind


@pytest.mark.parametrize("text", OTHERS)
def test_a_text_about_something_else_has_no_kind(text: str) -> None:
    assert dial_failure(text) is None
