"""What AWS signs an address for is downloaded as botocore reaches AWS: same proxy, same CAs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.launch import download
from tests.aws.local_service import LocalService
from tests.fakes import FakeAws

CONTENT = b"the content"
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Proxy(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Proxy]]:
    for name in ("NO_PROXY", "no_proxy", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    service = LocalService(Proxy)
    monkeypatch.setenv("http_proxy", service.url)
    Proxy.asked.clear()
    yield Proxy
    service.close()


def fetch(limit: int = 100, digest: str = DIGEST) -> bytes:
    return download.fetch(FakeAws(), "http://blobs.test/a?signature", limit=limit, digest=digest)


def test_the_proxy_of_the_environment_is_used(proxy: type[Proxy]) -> None:
    assert fetch() == CONTENT
    assert proxy.asked == ["http://blobs.test/a?signature"]


def test_content_at_the_limit_is_whole(proxy: type[Proxy]) -> None:
    assert fetch(len(CONTENT)) == CONTENT
    with pytest.raises(ValueError, match="more than 10 bytes"):
        fetch(len(CONTENT) - 1)


def test_content_of_another_digest_is_refused(proxy: type[Proxy]) -> None:
    with pytest.raises(ValueError, match="another digest"):
        fetch(digest="sha256:00")


def test_certificates_that_cannot_be_read_are_named(
    proxy: type[Proxy], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    with pytest.raises(SmProxyError) as caught:
        fetch()
    assert caught.value.code == "network"
    assert "missing.pem" in caught.value.message
    assert proxy.asked == []
