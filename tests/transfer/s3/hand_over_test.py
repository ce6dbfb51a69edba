"""Files that are handed over in a bucket: both ways, with each tool, and nothing is left there.

The container is a shell on this machine, and S3 is the lab's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import policies
from sm_proxy.local import secret_values
from sm_proxy.transfer import s3 as by_s3
from sm_proxy.transfer.model import Direction, Entry
from sm_proxy.transfer.s3 import hand_over, in_container
from sm_proxy.transfer.s3.choice import Plan
from sm_proxy.transfer.ssh.connection import Answer
from tests.lab.aws.harness import Lab
from tests.lab.aws.iam import identities
from tests.transfer.s3.conftest import BUCKET, MakeEntry

pytestmark = pytest.mark.xdist_group("transfer-s3")
MB = 1 << 20
PROGRAMS = (
    *("chmod", "curl", "head", "mv", "python3", "rm", "sed", "sha256sum", "tail", "touch", "tr"),
    "wc",
)


class Shell:
    """A container: the scripts run in a shell here, in which only some programs are there."""

    def __init__(self, folder: Path, *without: str) -> None:
        self.scripts: list[str] = []
        self.before: Callable[[], None] = lambda: None
        self.environment: dict[str, str] = {}
        self._path = folder / "bin"
        self._path.mkdir()
        for name in PROGRAMS:
            if name not in without:
                found = sys.executable if name == "python3" else str(shutil.which(name))
                (self._path / name).symlink_to(Path(found).resolve())

    def script(self, text: str, timeout: float) -> Answer:
        self.scripts.append(text)
        if "sm-proxy-copy" in text:
            self.before()
        done = subprocess.run(
            ["/bin/sh"],
            input=text.encode("utf-8", "surrogateescape"),
            env={"PATH": str(self._path), **self.environment},
            cwd=self._path.parent,
            stdout=subprocess.PIPE,
            check=False,
            timeout=timeout,
        )
        return Answer(done.returncode, done.stdout.decode("utf-8", "surrogateescape"))


@pytest.fixture(params=["python", "curl"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    return Shell(tmp_path, *(["python3"] if request.param == "curl" else ["curl"]))


@pytest.fixture
def python(tmp_path: Path) -> Shell:
    return Shell(tmp_path, "curl")


@pytest.fixture
def curl(tmp_path: Path) -> Shell:
    """For tests of both: it starts in a tenth of Python's time."""
    return Shell(tmp_path, "python3")


@pytest.fixture(autouse=True)
def nothing_is_left(s3: Any, tmp_path: Path, lab: Lab) -> Iterator[None]:
    yield
    lab.control.clear_faults()
    for prefix in ("hand/", "sm-proxy/copy/"):
        assert s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["KeyCount"] == 0
    assert not s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")
    assert not list(tmp_path.rglob(".sm-proxy*"))


@pytest.fixture
def one(tmp_path: Path, entry: MakeEntry) -> Entry:
    """A file of one byte in the container."""
    return there(tmp_path / "there", entry, {"a": b"x"})[0]


def plan(*entries: Entry, direction: Direction = "down") -> Plan:
    return Plan((), entries, (), "", direction, f"{BUCKET}/hand")


def there(folder: Path, entry: MakeEntry, contents: dict[str, bytes]) -> list[Entry]:
    """Writes files in one folder, to be copied to another."""
    folder.mkdir()
    entries = []
    for number, (name, content) in enumerate(contents.items()):
        file = folder / name
        file.write_bytes(content)
        known = entry(f"to-{number}", len(content))
        entries.append(replace(known, source=str(file)))
    return entries


CONTENTS = {
    "plain": b"x" * 1000,
    "-dash 'quote' \n newline": b"y",
    "\udcff{a,b}[1]*": b"z",
    "empty": b"",
}


def test_files_come_from_the_container(
    aws: Aws, shell: Shell, tmp_path: Path, entry: MakeEntry
) -> None:
    entries = there(tmp_path / "there", entry, CONTENTS)
    moved: list[int] = []
    result = by_s3.run(plan(*entries), aws, shell, moved.append)
    assert result == by_s3.Result(done=tuple(entries))
    assert sum(moved) == sum(map(len, CONTENTS.values()))
    for one, content in zip(entries, CONTENTS.values(), strict=True):
        about = Path(one.target).stat()
        assert (about.st_mtime, stat.S_IMODE(about.st_mode)) == (one.modified, one.mode)
        assert Path(one.target).read_bytes() == content


def test_files_go_to_the_container(
    aws: Aws, shell: Shell, tmp_path: Path, entry: MakeEntry
) -> None:
    (tmp_path / "here").mkdir()
    entries = there(tmp_path / "there", entry, CONTENTS)
    entries[1] = replace(entries[1], target=str(tmp_path / "here" / "-dash 'q' \n \udcfe"))
    result = by_s3.run(plan(*entries, direction="up"), aws, shell)
    assert result == by_s3.Result(done=tuple(entries))
    for one, content in zip(entries, CONTENTS.values(), strict=True):
        about = Path(one.target).stat()
        assert (about.st_mtime, stat.S_IMODE(about.st_mode)) == (one.modified, one.mode)
        assert about.st_atime == one.accessed
        assert Path(one.target).read_bytes() == content


def test_a_large_file_goes_in_parts(
    aws: Aws, shell: Shell, tmp_path: Path, entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_over, "PART", 5 * MB)
    monkeypatch.setattr(hand_over, "_SCRIPT", 2)
    content = os.urandom(11 * MB + 1)
    (one,) = there(tmp_path / "there", entry, {"big": content})
    assert by_s3.run(plan(one), aws, shell).done == (one,)
    digest = hashlib.sha256(Path(one.target).read_bytes()).digest()
    assert digest == hashlib.sha256(content).digest()
    assert len([text for text in shell.scripts if "partNumber" in text]) == 2


def test_urls_are_secrets(aws: Aws, curl: Shell, one: Entry) -> None:
    by_s3.run(plan(one), aws, curl)
    (text,) = [text for text in curl.scripts if "X-Amz-Signature=" in text]
    signature = text.split("X-Amz-Signature=")[1][:64]
    assert "redacted" in secret_values.strike(f"GET {signature}")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in text


def test_no_command_line_in_the_container_shows_a_url(aws: Aws, tmp_path: Path, one: Entry) -> None:
    shell = Shell(tmp_path, "python3")
    curl, seen = tmp_path / "bin" / "curl", tmp_path / "seen"
    real = curl.resolve()
    curl.unlink()
    curl.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{seen}\nexec {real} "$@"\n')
    curl.chmod(0o755)
    assert by_s3.run(plan(one), aws, shell).done == (one,)
    words = seen.read_text()
    assert "/dev/fd/3" in words
    assert "X-Amz" not in words
    assert "://" not in words


def test_a_file_that_changes_meanwhile_does_not_arrive(
    aws: Aws, curl: Shell, tmp_path: Path, entry: MakeEntry
) -> None:
    one, other = there(tmp_path / "there", entry, {"a": b"old", "b": b"same"})
    asked = curl.script

    def script(text: str, timeout: float) -> Answer:
        if "sha256sum" in text and "sm-proxy-copy" not in text:
            Path(one.source).write_bytes(b"new")
        return asked(text, timeout)

    curl.script = script  # type: ignore[method-assign]
    result = by_s3.run(plan(one, other), aws, curl)
    assert result.done == (other,)
    assert [problem.error.code for problem in result.problems] == ["source-changed"]
    assert not Path(one.target).exists()


def test_a_file_that_became_shorter_is_a_problem(
    aws: Aws, python: Shell, tmp_path: Path, entry: MakeEntry
) -> None:
    one, other = there(tmp_path / "there", entry, {"a": b"old", "b": b"same"})
    python.before = lambda: os.truncate(one.source, 1)
    result = by_s3.run(plan(one, other), aws, python)
    assert result.done == (other,)
    assert [problem.error.code for problem in result.problems] == ["source-changed"]


def test_a_file_that_cannot_be_read_is_a_problem(
    aws: Aws, shell: Shell, tmp_path: Path, entry: MakeEntry
) -> None:
    one, other = there(tmp_path / "there", entry, {"a": b"x", "b": b"same"})
    Path(one.source).unlink()
    Path(one.source).mkdir()
    result = by_s3.run(plan(one, other), aws, shell)
    assert result.done == (other,)
    assert [problem.path for problem in result.problems] == [one.source]


@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_refusal_says_what_is_needed(
    aws: Aws, curl: Shell, one: Entry, lab: Lab, direction: Direction
) -> None:
    lab.control.faults(deny=["s3:PutObject"])
    try:
        (problem,) = by_s3.run(plan(one, direction=direction), aws, curl).problems
        error = problem.error
    except SmProxyError as raised:
        error = raised
    assert error.code == "access-denied"
    assert "kms:GenerateDataKey" in error.hint


@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_refusal_of_the_containers_request_is_reported(
    aws: Aws, shell: Shell, one: Entry, lab: Lab, direction: Direction
) -> None:
    Path(one.target).parent.mkdir()

    def deny() -> None:
        lab.control.faults(deny=["s3:PutObject", "s3:GetObject"])

    shell.before = deny
    (problem,) = by_s3.run(plan(one, direction=direction), aws, shell).problems
    assert problem.error.code == "access-denied"
    assert "S3 refuses the container's request" in problem.error.message


def test_a_container_without_a_route_to_s3_is_reported(aws: Aws, shell: Shell, one: Entry) -> None:
    shell.environment["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:9"
    with pytest.raises(SmProxyError, match="does not reach S3") as caught:
        by_s3.run(plan(one), aws, shell)
    assert caught.value.code == "copy-failed"
    assert "--via ssh" in caught.value.hint


def test_a_container_without_python_and_curl_is_reported(
    aws: Aws, tmp_path: Path, one: Entry
) -> None:
    with pytest.raises(SmProxyError, match="neither Python 3 nor curl"):
        by_s3.run(plan(one), aws, Shell(tmp_path, "python3", "curl"))


def test_an_interrupted_copy_leaves_nothing(
    aws: Aws, curl: Shell, tmp_path: Path, entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_over, "PART", 5 * MB)
    monkeypatch.setattr(hand_over, "_SCRIPT", 1)
    (one,) = there(tmp_path / "there", entry, {"a": bytes(6 * MB)})

    def interrupt() -> None:
        if len(curl.scripts) == 3:
            raise KeyboardInterrupt

    curl.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        by_s3.run(plan(one), aws, curl)


def test_an_interrupt_leaves_no_part_here(aws: Aws, curl: Shell, one: Entry) -> None:
    asked = curl.script

    def script(text: str, timeout: float) -> Answer:
        if "sm-proxy-copy" not in text and "sha256sum" in text:
            raise KeyboardInterrupt
        return asked(text, timeout)

    curl.script = script  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        by_s3.run(plan(one), aws, curl)


def test_there_must_be_such_a_bucket(aws: Aws, curl: Shell, entry: MakeEntry) -> None:
    missing = replace(plan(entry("a", 1)), bucket="no-such-bucket-of-ours")
    with pytest.raises(SmProxyError, match="there is no bucket"):
        by_s3.run(missing, aws, curl)


@pytest.mark.parametrize(
    ("named", "accepted"),
    [
        ("http://169.254.170.2:8000", True),
        ("https://10.0.1.2/", True),
        ("https://bucket.vpce-0a1b-2c.s3.us-east-1.vpce.amazonaws.com", True),
        ("https://victim.bucket.vpce-0a1b-2c.s3.us-east-1.vpce.amazonaws.com", False),
        ("https://victim.s3.amazonaws.com", False),
        ("https://victim.example.com", False),
        ("http://8.8.8.8", False),
        ("http://10.0.1.2/path", False),
        ("", False),
    ],
)
def test_only_a_private_endpoint_of_the_container_counts(
    curl: Shell, named: str, accepted: bool
) -> None:
    curl.environment["AWS_ENDPOINT_URL_S3"] = named
    assert in_container.endpoint(curl) == (named.rstrip("/") if accepted else None)


def test_a_lost_session_is_opened_again(aws: Aws, curl: Shell, one: Entry) -> None:
    asked, urls = curl.script, list[str]()

    def script(text: str, timeout: float) -> Answer:
        answer = asked(text, timeout)
        if "X-Amz-Signature=" in text:
            urls.append(text)
            if len(urls) == 1:
                raise SmProxyError("session-lost", "ssh has ended")
        return answer

    curl.script = script  # type: ignore[method-assign]
    assert by_s3.run(plan(one), aws, curl).done == (one,)
    assert len(urls) == 2


def test_a_request_that_arrives_after_an_interrupt_leaves_nothing(
    aws: Aws, curl: Shell, one: Entry
) -> None:
    asked, late = curl.script, list[str]()

    def script(text: str, timeout: float) -> Answer:
        if "sm-proxy-copy" in text:
            late.append(text)
            raise KeyboardInterrupt
        return asked(text, timeout)

    curl.script = script  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        by_s3.run(plan(one), aws, curl)
    assert "NoSuchUpload" in asked(late[0], 60).output


@pytest.mark.parametrize("direction", ["down", "up"])
def test_objects_that_stay_in_the_bucket_are_reported(
    aws: Aws, curl: Shell, one: Entry, s3: Any, lab: Lab, *, direction: Direction
) -> None:
    lab.control.faults(deny=["s3:DeleteObject"])
    told: list[str] = []
    Path(one.target).parent.mkdir()
    result = by_s3.run(plan(one, direction=direction), aws, curl, on_status=told.append)
    assert result.done == (one,)
    lab.control.clear_faults()
    (item,) = s3.list_objects_v2(Bucket=BUCKET, Prefix="hand/")["Contents"]
    s3.delete_object(Bucket=BUCKET, Key=item["Key"])
    (line,) = told
    assert f"s3://{BUCKET}/{item['Key'].removesuffix('0')}: " in line
    assert "s3:DeleteObject" in line


@pytest.fixture
def allowed(lab: Lab, monkeypatch: pytest.MonkeyPatch, aws: Aws) -> Aws:
    """Calls of somebody with the user's permissions for hand-overs only."""
    scope = policies.Scope("aws", "us-east-1", "123456789012", buckets=(BUCKET,))
    rows = [
        row.as_json()
        for row in policies.statements("user", scope)
        if row.sid in {"HandFilesOver", "ReadCheckpoints"}
    ]
    for name, value in identities.session(lab, identities.make_role(lab, *rows)).items():
        monkeypatch.setenv(name.upper(), value)
    return Aws(region=aws.region)


@pytest.mark.parametrize(("bucket", "direction"), [(BUCKET, "up"), (f"{BUCKET}/hand", "down")])
def test_the_policy_of_users_allows_it(
    allowed: Aws, curl: Shell, one: Entry, bucket: str, *, direction: Direction
) -> None:
    Path(one.target).parent.mkdir()
    told: list[str] = []
    chosen = replace(plan(one, direction=direction), bucket=bucket)
    assert by_s3.run(chosen, allowed, curl, on_status=told.append).done == (one,)
    assert told == []
