"""Proxies, certificates and endpoints apply to the API and the data channel, as in botocore."""

from __future__ import annotations

import gc
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection

from sm_proxy.aws import network
from sm_proxy.aws.clients import Aws
from sm_proxy.doctor import account
from sm_proxy.doctor.check import Context
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from sm_proxy.ssm import transport
from sm_proxy.ssm.dial import UnreachableError
from tests.ssm.service import ConnectProxy, certificate, service

STREAM = "wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/s-1?role=x&cell-number=AB%2F"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests: cutting the models down takes most of a test's time."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def keys(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_PROXY_CACHE_DIR", str(cache))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


class Api(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        data = json.dumps({"TrainingJobName": "x"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(context: ssl.SSLContext) -> Iterator[int]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    http.socket = context.wrap_socket(http.socket, server_side=True)
    thread = threading.Thread(target=http.serve_forever, args=(0.002,))
    thread.start()
    try:
        yield http.server_port
    finally:
        http.shutdown()
        http.server_close()
        thread.join(10)


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


class World:
    """The API and the data channel, both behind TLS on this machine."""

    def __init__(self, ca: str, api: int, stream: int) -> None:
        self.ca = ca
        self.api = f"https://127.0.0.1:{api}"
        self.stream = f"wss://127.0.0.1:{stream}/v1/data-channel/s?role=x"
        self.ports = {f"127.0.0.1:{api}", f"127.0.0.1:{stream}"}

    def outcomes(self) -> list[str]:
        """The outcome for the API, the data channel and doctor: `ok` or an error code."""
        return [outcome(part, self) for part in (call, channel, doctor)]


def call(_: World) -> None:
    Aws(region="eu-west-1").call("sagemaker", "DescribeTrainingJob", TrainingJobName="x")


def channel(world: World) -> None:
    transport.connect(world.stream, Aws(region="eu-west-1").network).close()


def doctor(_: World) -> None:
    account.endpoint(Context(Settings(), None, Aws(region="eu-west-1")))


def outcome(part: object, world: World) -> str:
    assert callable(part)
    try:
        part(world)
    except SmProxyError as error:
        return error.code
    except UnreachableError:
        return "network"
    return "ok"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    context, ca = certificate(tmp_path)
    with served(context) as api, service(echo, context) as stream:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{api}")
        yield World(ca, api, stream)


def profile(tmp_path: Path, text: str) -> None:
    (tmp_path / "aws").mkdir(exist_ok=True)
    (tmp_path / "aws" / "config").write_text(text)


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "ca_bundle"])
@pytest.mark.parametrize("tilde", [False, True])
def test_configured_certificates_count_for_both(
    world: World, name: str, tilde: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.outcomes() == ["network"] * 3
    path = "~/ca.pem" if tilde else world.ca
    if name.isupper():
        monkeypatch.setenv(name, path)
    else:
        profile(tmp_path, f"[default]\nca_bundle = {path}\n")
    assert world.outcomes() == ["ok"] * 3


def test_certificates_of_openssls_variables_count_for_neither(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", world.ca)
    assert world.outcomes() == ["network"] * 3


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/nonexistent/ca.pem", "network"),
        ("/", "network"),
        ("/dev/null", "network"),
        ("", "bad-setting"),
        (" ", "bad-setting"),
    ],
)
@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_an_unreadable_certificate_file_is_an_error_for_both(
    world: World, name: str, path: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, path)
    assert world.outcomes() == [code] * 3


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_a_configured_proxy_is_used_by_both(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", world.ca)
    proxy = ConnectProxy()
    monkeypatch.setenv(name, f"http://me:p%40ss@127.0.0.1:{proxy.port}")
    assert world.outcomes() == ["ok"] * 3
    proxy.close()
    heads = [head.splitlines() for head in proxy.requests]
    assert {head[0].split()[1] for head in heads} == world.ports
    for head in heads:
        assert "Proxy-Authorization: Basic bWU6cEBzcw==".lower() in [line.lower() for line in head]


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"])
def test_a_variable_that_botocore_ignores_is_ignored_by_both(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", world.ca)
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert world.outcomes() == ["ok"] * 3


@pytest.mark.parametrize(
    ("exception", "outcome"),
    [
        ("*", "ok"),
        ("127.0.0.1", "ok"),
        ("example.com, 127.0.0.1", "ok"),
        ("0.0.1", "ok"),
        (".0.1", "ok"),
        ("127.0.0.0/8", "network"),
        ("127.0.0.1:443", "network"),
        ("example.com", "network"),
        ("", "network"),
    ],
)
def test_a_host_in_no_proxy_is_reached_directly(
    world: World, exception: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", world.ca)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", exception)
    assert world.outcomes() == [outcome] * 3


def test_a_port_in_no_proxy_counts_only_if_the_url_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    host = "ssmmessages.eu-west-1.amazonaws.com"
    for exception, direct in ((f"{host}:443", False), ("amazonaws.com", True)):
        monkeypatch.setenv("NO_PROXY", exception)
        for url in (STREAM, STREAM.replace("wss:", "https:")):
            assert (network.proxy_for(url) is None) == direct


@pytest.mark.parametrize(
    "proxy",
    [
        *("https://127.0.0.1:9", "socks5://127.0.0.1:9", "socks4a://127.0.0.1:9"),
        *("socks5h://127.0.0.1:9", "ftp://127.0.0.1:9", "http://", "http://127.0.0.1:99999"),
        "http://127.0.0.1:port",
    ],
)
def test_an_unsupported_proxy_is_refused_by_both(
    world: World, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", world.ca)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    for part in (call, channel, doctor):
        with pytest.raises(SmProxyError, match="proxy") as caught:
            part(world)
        assert caught.value.code == "network"
        assert "HTTPS_PROXY" in caught.value.hint


def test_a_proxy_without_a_scheme_is_an_http_proxy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", world.ca)
    proxy = ConnectProxy()
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
    assert world.outcomes() == ["ok"] * 3
    proxy.close()
    assert len(proxy.requests) == 3


# http.client of Python 3.10 does not close the response of a proxy that refuses.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_proxy_that_asks_for_a_password_is_reported_by_both(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", world.ca)
    proxy = ConnectProxy(refuse=True)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(SmProxyError, match="407") as caught:
        call(world)
    assert (caught.value.code, "HTTPS_PROXY" in caught.value.hint) == ("network", True)
    with pytest.raises(UnreachableError, match="407"):
        channel(world)
    proxy.close()
    del caught
    gc.collect()


SERVICES = """
[default]
services = own
[services own]
ssmmessages =
  endpoint_url = https://vpce-2.example.com
"""


@pytest.mark.parametrize(
    ("endpoint", "start"),
    [
        ("https://vpce-1.example.com", "wss://vpce-1.example.com/"),
        ("https://vpce-1.example.com:8443/", "wss://vpce-1.example.com:8443/"),
        ("https://vpce-1.example.com/ssm", "wss://vpce-1.example.com/ssm/"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/"),
    ],
)
def test_a_private_endpoint_replaces_the_streams_host(
    endpoint: str, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = Aws(region="eu-west-1")
    assert aws.stream_url(STREAM) == STREAM
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSMMESSAGES", endpoint)
    kept = STREAM.partition(".com/")[2]
    assert aws.stream_url(STREAM) == start + kept
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert Aws(region="eu-west-1").stream_url(STREAM) == STREAM


def test_a_private_endpoint_in_the_profile_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile(tmp_path, SERVICES)
    placed = STREAM.replace("ssmmessages.eu-west-1.amazonaws.com", "vpce-2.example.com")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://everything.example.com")
    assert Aws().stream_url(STREAM) == placed
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSMMESSAGES", "https://vpce-1.example.com")
    assert Aws().stream_url(STREAM) == placed.replace("vpce-2", "vpce-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL_SSMMESSAGES")
    profile(tmp_path, SERVICES.replace("services = own", "ignore_configured_endpoint_urls = true"))
    assert Aws().stream_url(STREAM) == STREAM


@pytest.mark.parametrize("endpoint", ["vpce-1.example.com", "ftp://x", "https://", "https://x:y"])
def test_a_stream_endpoint_that_is_not_a_url_is_an_error(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSMMESSAGES", endpoint)
    with pytest.raises(SmProxyError) as caught:
        Aws().stream_url(STREAM)
    assert caught.value.code == "bad-setting"
    assert "AWS_ENDPOINT_URL_SSMMESSAGES" in caught.value.hint
