"""s3.sh with curl, boto3 and the AWS CLI, against a service that checks signatures."""

from __future__ import annotations

import contextlib
import functools
import http.server
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
from botocore.config import Config

from sm_proxy.local import container_files
from sm_proxy_lab import account
from sm_proxy_lab.aws.control_client import ControlClient
from sm_proxy_lab.machines import role_credentials
from tests.lab.aws.harness import running
from tests.soak import cases
from tests.waits import await_true, listens

from .conftest import SHELLS, shell_argv

TOOLS = ["curl", "python3", "aws"]
with_each_tool = pytest.mark.parametrize(
    ("store", "tool"),
    cases(
        itertools.product(SHELLS, TOOLS),
        [("sh", "curl"), ("busybox", "curl"), ("sh", "python3"), ("busybox", "aws")],
    ),
    indirect=["store"],
)
"""With curl our shell code does the work, so it runs in both shells."""
VENV = Path(sys.executable).parent
PATH = "/v2/credentials/secret-path"


class _Credentials(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path == PATH
        body = json.dumps(role_credentials.credentials_document() if known else {}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be silent."""


@dataclass
class Store:
    """A bucket, and a shell that has sourced s3.sh."""

    s3: Any
    control: ControlClient
    bucket: str
    folder: Path
    shell: list[str]
    environment: dict[str, str]
    programs: Path
    argv_seen: list[str] = field(default_factory=list)

    def sh(self, script: str) -> subprocess.CompletedProcess[str]:
        here = container_files.folder()
        text = f'here={here}; . "$here/s3.sh"; {script}'
        return subprocess.run(
            [*self.shell, "-c", text],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def pull(self, tool: str, key: str) -> subprocess.CompletedProcess[str]:
        return self.sh(f"s3_pull {tool} s3://{self.bucket}/{key} {self.folder}")

    def put(self, key: str, body: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body.encode())

    def mirrored(self) -> dict[str, str]:
        lines = (self.folder / "list").read_text().splitlines()
        pairs = [line.split() for line in lines]
        return {key: (self.folder / f"obj.{etag}").read_text() for etag, key in pairs}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("aws")) as lab:
        yield lab.endpoint


@pytest.fixture(scope="module")
def credentials() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Credentials) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{PATH}"
        server.shutdown()


@pytest.fixture(scope="module")
def client(endpoint: str) -> Iterator[Any]:
    made = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=account.ACCESS_KEY,
        aws_secret_access_key=account.SECRET_KEY,
        config=Config(proxies={}),
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `aws` and `python3`, which run the AWS CLI and s3.py in warm processes."""
    folder = tmp_path_factory.mktemp("programs")
    file = Path(__file__).with_name("warm_s3.py")
    with contextlib.ExitStack() as stack:
        for name, program in (("aws", "aws"), ("python3", f"{container_files.folder()}/s3.py")):
            where = folder / f"{name}.socket"
            words = [sys.executable, "-I", str(file), str(where), program]
            server = subprocess.Popen(words, env={"PATH": os.defpath, "HOME": str(folder)})
            stack.enter_context(server)
            stack.callback(server.kill)
            await_true(functools.partial(listens, where), 60, alive=server)
            call = f'exec "{VENV}/python3" -IS "{file}" "{where}"'
            script = f'{call} aws "$@"\n'
            if name == "python3":  # it also runs other programs
                script = f'case $1 in */s3.py) {call} "$@" ;; esac\nexec "{VENV}/python3" "$@"\n'
            (folder / name).write_text(f"#!/bin/sh\n{script}")
            (folder / name).chmod(0o755)
        yield folder


@pytest.fixture(params=SHELLS)
def store(  # noqa: PLR0917 - fixtures
    request: pytest.FixtureRequest,
    endpoint: str,
    credentials: str,
    client: Any,
    programs: Path,
    tmp_path: Path,
) -> Iterator[Store]:
    shell = shell_argv(request.param)
    own = tmp_path / "bin"
    shutil.copytree(programs, own, ignore=shutil.ignore_patterns("*.socket"))
    environment = {
        "PATH": f"{own}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": credentials,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=bucket)
    folder = tmp_path / "mirror"
    folder.mkdir()
    control = ControlClient(endpoint)
    yield Store(client, control, bucket, folder, shell, environment, own)
    control.clear_faults()


@with_each_tool
def test_a_prefix_is_mirrored_and_a_denial_changes_nothing(store: Store, tool: str) -> None:
    assert shutil.which(tool, path=store.environment["PATH"])
    store.put("keys/ann.pub", "of ann\n")
    store.put("keys/team/bob.pub", "of bob\n")
    store.put("keys-2/eve.pub", "of eve\n")
    store.put("keys/huge", "x" * 70_000)
    store.put("keys/a b;c", "a name that needs quotes is skipped\n")
    done = store.pull(tool, "keys/")
    assert done.returncode == 0, done.stderr
    assert store.mirrored() == {"keys/ann.pub": "of ann\n", "keys/team/bob.pub": "of bob\n"}

    store.put("keys/ann.pub", "of ann's new laptop\n")
    store.s3.delete_object(Bucket=store.bucket, Key="keys/team/bob.pub")
    assert store.pull(tool, "keys/").returncode == 0
    assert store.mirrored() == {"keys/ann.pub": "of ann's new laptop\n"}
    assert len(list(store.folder.glob("obj.*"))) == 1

    store.control.faults(deny=["s3:*"])
    refused = store.pull(tool, "keys/")
    assert refused.returncode != 0
    assert "AccessDenied" in refused.stderr
    assert store.mirrored() == {"keys/ann.pub": "of ann's new laptop\n"}
    store.control.clear_faults()

    store.s3.delete_object(Bucket=store.bucket, Key="keys/ann.pub")
    assert store.pull(tool, "keys/").returncode == 0
    assert store.mirrored() == {}


@with_each_tool
def test_a_single_object_is_mirrored(store: Store, tool: str) -> None:
    store.put("team.pub", "first\n")
    assert store.pull(tool, "team.pub").returncode == 0
    assert store.mirrored() == {"team.pub": "first\n"}
    assert store.pull(tool, "team.pub").returncode == 0  # unchanged
    assert store.mirrored() == {"team.pub": "first\n"}
    store.put("team.pub", "second\n")
    assert store.pull(tool, "team.pub").returncode == 0
    assert store.mirrored() == {"team.pub": "second\n"}
    store.s3.delete_object(Bucket=store.bucket, Key="team.pub")
    assert store.pull(tool, "team.pub").returncode == 0
    assert store.mirrored() == {}


@with_each_tool
def test_a_missing_bucket_is_an_error(store: Store, tool: str) -> None:
    for key in ("keys/", "team.pub"):
        done = store.sh(f"s3_pull {tool} s3://no-such-bucket-here/{key} {store.folder}")
        assert done.returncode != 0
        assert "bucket" in done.stderr.lower()


@with_each_tool
def test_a_file_is_stored(store: Store, tool: str, tmp_path: Path) -> None:
    card = tmp_path / "card"
    card.write_text("line 1\nline 2\n")
    done = store.sh(f"s3_put {tool} {card} s3://{store.bucket}/nodes/job/algo-1")
    assert done.returncode == 0, done.stderr
    answer = store.s3.get_object(Bucket=store.bucket, Key="nodes/job/algo-1")
    with answer["Body"] as body:
        assert body.read() == b"line 1\nline 2\n"


def test_the_next_tool_is_tried(store: Store) -> None:
    (store.programs / "curl").write_text("#!/bin/sh\necho 'it broke' >&2; exit 1\n")
    (store.programs / "curl").chmod(0o755)
    store.put("keys/ann.pub", "of ann\n")
    url = f"s3://{store.bucket}/keys/"
    done = store.sh(
        f's3_found="curl python3"; s3_with_any_tool pull {url} {store.folder} && echo "$s3_works"'
    )
    assert done.stdout == "python3\n", done.stderr
    done = store.sh(f"s3_found=curl; s3_with_any_tool pull {url} {store.folder}")
    assert done.returncode != 0
    assert "curl: " in done.stderr


def test_credentials_are_in_no_command_line_variable_or_file(store: Store) -> None:
    """A wrapper records the arguments and the environment of curl, then runs it."""
    log = store.programs / "seen"
    (store.programs / "curl").write_text(
        f'#!/bin/sh\necho "$*" >>{log}; env >>{log}; exec {shutil.which("curl")} "$@"\n'
    )
    (store.programs / "curl").chmod(0o755)
    store.put("keys/ann.pub", "of ann\n")
    assert store.pull("curl", "keys/").returncode == 0
    seen = log.read_text()
    assert "-K" in seen
    for secret in (
        role_credentials.ACCESS_KEY,
        role_credentials.SECRET_KEY,
        role_credentials.TOKEN,
    ):
        assert secret not in seen
    kept = [path.read_bytes() for path in store.folder.iterdir() if path.is_file()]
    assert not any(role_credentials.SECRET_KEY.encode() in content for content in kept)


def test_an_old_curl_is_not_used(store: Store) -> None:
    (store.programs / "curl").write_text("#!/bin/sh\necho 'curl 7.81.0 (x86_64)'\n")
    (store.programs / "curl").chmod(0o755)
    assert store.sh("s3_tools").stdout.split() == ["python3", "aws"]


class _Elsewhere(http.server.BaseHTTPRequestHandler):
    """S3's answers to requests in other regions for a bucket in eu-west-1."""

    status = 301
    asked: ClassVar[list[str]] = []
    region = "eu-west-1"

    def do_GET(self) -> None:
        signature = self.headers["Authorization"]
        self.asked.append(signature.split("/")[2])
        home = f"/{self.region}/s3/" in signature
        body = b"of ann\n" if home else b"<Error><Code>PermanentRedirect</Code></Error>"
        self.send_response(200 if home else self.status)
        self.send_header("x-amz-bucket-region", "eu-west-1")
        self.send_header("ETag", '"abc"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.mark.parametrize("status", [301, 307, 400])
def test_a_bucket_in_another_region_is_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(_Elsewhere, "status", status)
    monkeypatch.setattr(_Elsewhere, "asked", [])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        store.environment["AWS_ENDPOINT_URL_S3"] = f"http://127.0.0.1:{server.server_port}"
        done = store.pull("curl", "ann.pub")
        assert done.returncode == 0, done.stderr
        assert store.mirrored() == {"ann.pub": "of ann\n"}
        assert _Elsewhere.asked == ["us-east-1", "eu-west-1"]
        monkeypatch.setattr(_Elsewhere, "region", "nowhere")
        refused = store.pull("curl", "other.pub")
        server.shutdown()
    assert refused.returncode != 0
    assert f"S3 answered {status} PermanentRedirect" in refused.stderr
    # One more request, not an endless loop.
    assert _Elsewhere.asked == ["us-east-1", "eu-west-1"] * 2


@pytest.mark.parametrize(
    ("region", "bucket", "address"),
    [
        ("eu-west-1", "b", "https://b.s3.eu-west-1.amazonaws.com/k"),
        ("eu-west-1", "a.b", "https://s3.eu-west-1.amazonaws.com/a.b/k"),
        ("cn-north-1", "b", "https://b.s3.cn-north-1.amazonaws.com.cn/k"),
        ("us-iso-east-1", "b", ""),
    ],
)
def test_the_address_is_that_of_the_sdks(
    store: Store, region: str, bucket: str, address: str
) -> None:
    done = store.sh(
        f"unset AWS_ENDPOINT_URL_S3; s3_region={region}; s3_bucket={bucket}; s3_address k"
    )
    assert done.stdout.strip() == address


def test_an_invalid_url_is_refused(store: Store) -> None:
    for url in ("https://bucket/key", "s3://bucket", "s3://bu cket/x", "s3://bucket/a'b"):
        done = store.sh(f's3_pull curl "{url}" {store.folder}')
        assert done.returncode != 0
        assert "s3://bucket/name" in done.stderr
    assert os.listdir(store.folder) == []  # noqa: PTH208 - names only
