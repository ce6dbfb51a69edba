"""The instance metadata tells the VPCs, or nothing, within a bounded time."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

import pytest

from sm_proxy.aws import instance_metadata
from tests.aws.local_service import LocalService

MAC = "0e:49:61:0f:c3:11"
OTHER = "0e:49:61:0f:c3:12"
MACS = "/latest/meta-data/network/interfaces/macs/"
USUAL = {
    MACS: f"{MAC}/\n{OTHER}/",
    f"{MACS}{MAC}/vpc-id": "vpc-1",
    f"{MACS}{OTHER}/vpc-id": "vpc-2",
}


class Metadata(BaseHTTPRequestHandler):
    """IMDSv2: answers only with a token."""

    protocol_version = "HTTP/1.1"
    pages: ClassVar[dict[str, str]] = {}
    asked: ClassVar[list[str]] = []

    def do_PUT(self) -> None:
        self.asked.append(self.path)
        ttl = self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self._answer("a-token" if self.path == "/latest/api/token" and ttl == "60" else None)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        signed = self.headers["X-aws-ec2-metadata-token"] == "a-token"
        self._answer(self.pages.get(self.path) if signed else None)

    def _answer(self, text: str | None) -> None:
        body = (text or "").encode()
        self.send_response(404 if text is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalService]:
    monkeypatch.setattr(instance_metadata, "_STEP_S", 60.0)
    monkeypatch.setattr(Metadata, "pages", dict(USUAL))
    monkeypatch.setattr(Metadata, "asked", [])
    service = LocalService(Metadata)
    yield service
    service.close()


def test_each_interface_tells_its_vpc(service: LocalService) -> None:
    assert instance_metadata.own_vpcs(service.url) == {"vpc-1", "vpc-2"}
    assert instance_metadata.own_vpcs(f"{service.url}/") == {"vpc-1", "vpc-2"}


@pytest.mark.parametrize(
    ("page", "text", "found"),
    [
        (f"{MACS}{OTHER}/vpc-id", "not a vpc", {"vpc-1"}),
        (MACS, f"../../user-data\n{MAC}/", {"vpc-1"}),
        (MACS, "", set()),
        (MACS, f"{MAC}/\n" * 3000, set()),
        (f"{MACS}{MAC}/vpc-id", "vpc-é", set()),
    ],
)
def test_other_answers_prove_nothing(
    service: LocalService, page: str, text: str, found: set[str]
) -> None:
    Metadata.pages[page] = text
    assert instance_metadata.own_vpcs(service.url) == found


def test_a_missing_page_proves_nothing(service: LocalService) -> None:
    del Metadata.pages[MACS]
    assert instance_metadata.own_vpcs(service.url) == frozenset()


def test_no_proxy_is_asked(service: LocalService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert instance_metadata.own_vpcs(service.url) == {"vpc-1", "vpc-2"}


def test_a_token_that_never_comes_costs_a_moment() -> None:
    """In a container, the hop limit of 1 lets the connection through, but not the token."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert instance_metadata.own_vpcs(f"http://127.0.0.1:{port}") == frozenset()


@pytest.mark.parametrize("endpoint", ["nonsense", "http://127.0.0.1:99999", "http://[", ""])
def test_a_wrong_endpoint_proves_nothing(endpoint: str) -> None:
    assert instance_metadata.own_vpcs(endpoint) == frozenset()


def test_a_service_that_is_no_http_proves_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert instance_metadata.own_vpcs(f"http://127.0.0.1:{port}") == frozenset()
