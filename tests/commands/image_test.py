"""`image build` builds what the user has, or says why not before anything is sent."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sm_proxy import cli
from sm_proxy.aws.errors import ServiceError
from sm_proxy.commands import image as command
from sm_proxy.errors import SmProxyError
from sm_proxy.image import build as builds
from sm_proxy.image import build_log
from sm_proxy.local import signals
from tests.commands.helpers import answer
from tests.fakes import Answers, FakeAws
from tests.image.account import DIGEST, HOST, NAME, account, build, log

OURS = (
    'FROM python:3.12\nCOPY sm-proxy/ /opt/sm-proxy/\nENTRYPOINT ["/opt/sm-proxy/entrypoint.sh"]\n'
)
PLAIN = 'FROM python:3.12\nENTRYPOINT ["python", "train.py"]\n'


class Laptop:
    """Runs `image build` for one folder against an account."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "train.py").write_text("print(1)")
        self.dockerfile(PLAIN)
        self.aws = FakeAws()
        self.sent: list[bytes] = []
        monkeypatch.setattr(command, "Aws", lambda *_: self.aws)
        monkeypatch.setattr(signals, "raise_on_hangup", lambda: None)
        monkeypatch.setattr(builds, "_FIRST_PAUSE_S", 0.0)
        monkeypatch.setattr(builds, "_LONGEST_PAUSE_S", 0.0)
        monkeypatch.setattr(build_log, "_LAG_S", 0.0)

    def dockerfile(self, text: str) -> None:
        (self.folder / "Dockerfile").write_text(text)

    def build(self, *words: str, **changes: Answers) -> int:
        self.aws = account(**{"PutObject": self._put, **changes})
        return cli.main(["image", "build", str(self.folder), "--repository", "byoc:1", *words])

    def _put(self, **given: Any) -> dict[str, Any]:
        self.sent.append(given["Body"].read())
        return {}

    def started(self) -> dict[str, Any]:
        """The parameters of StartBuild."""
        return next(given for name, given in self.aws.calls if name == "StartBuild")


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Laptop:
    return Laptop(tmp_path / "context", monkeypatch)


def test_the_last_line_of_stdout_is_the_image(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert laptop.build() == 0
    shown = capsys.readouterr()
    assert shown.out == f"{HOST}/byoc@{DIGEST}\n"
    assert "Step 1" in shown.err
    (content,) = laptop.sent
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        assert found.read("Dockerfile").decode() == PLAIN
    started = laptop.started()
    assert started["sourceLocationOverride"].startswith("the-bucket/build/")
    assert "timeoutInMinutesOverride" in started


def test_the_json_tells_the_same(laptop: Laptop, capsys: pytest.CaptureFixture[str]) -> None:
    assert laptop.build("--json") == 0
    assert answer(capsys)["data"] == {
        "image": f"{HOST}/byoc@{DIGEST}",
        "repository": f"{HOST}/byoc",
        "tag": "1",
        "digest": DIGEST,
        "build": NAME,
        "uploaded": True,
        "ssh": False,
    }


def test_an_image_without_our_entry_point_is_built_with_a_warning(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert laptop.build() == 0
    assert "does not start our entry point" in capsys.readouterr().err


def test_init_writes_our_files_and_builds_what_uses_them(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    laptop.dockerfile(OURS)
    assert laptop.build() == 1
    assert "Add --init, which writes it." in capsys.readouterr().err
    assert laptop.aws.calls == []
    assert laptop.build("--init", "--json") == 0
    assert answer(capsys)["data"]["ssh"] is True
    assert (laptop.folder / "sm-proxy/entrypoint.sh").is_file()
    (laptop.folder / ".dockerignore").write_text("*\n!train.py\n")
    assert laptop.build() == 1
    assert "!sm-proxy" in capsys.readouterr().err


def test_init_insists_on_our_lines(laptop: Laptop, capsys: pytest.CaptureFixture[str]) -> None:
    assert laptop.build("--init") == 1
    shown = capsys.readouterr().err
    assert "    COPY sm-proxy/ /opt/sm-proxy/\n" in shown
    assert shown.splitlines()[-1].startswith("sm-proxy: bad-setting: the Dockerfile does not")
    assert laptop.aws.calls == []


def test_init_in_a_folder_without_a_dockerfile_says_what_to_do_with_the_example(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    (laptop.folder / "Dockerfile").unlink()
    assert laptop.build("--init", "--dry-run") == 1
    assert "Without --dry-run" in capsys.readouterr().err.splitlines()[-1]
    for _ in range(2):
        assert laptop.build("--init") == 1
        told = capsys.readouterr().err
        assert "add to" not in told
        assert "Dockerfile.sm-proxy to Dockerfile" in told.splitlines()[-1]


def test_dry_run_lists_what_would_be_sent_and_calls_nothing(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    (laptop.folder / ".dockerignore").write_text(".dockerignore")
    assert laptop.build("--dry-run", "--init") == 1  # it would insist, too
    capsys.readouterr()
    assert not (laptop.folder / "sm-proxy").exists()
    assert laptop.build("--dry-run") == 0
    assert capsys.readouterr().out == "Dockerfile\ntrain.py\n"
    assert laptop.build("--dry-run", "--json") == 0
    found = answer(capsys)["data"]
    assert found["files"] == ["Dockerfile", "train.py"]
    assert found["images"] == ["python:3.12"]
    assert laptop.aws.calls == []


def test_surprises_of_the_context_are_reported(
    laptop: Laptop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sm_proxy.commands.image_source._LARGE", 10)
    (laptop.folder / ".env").write_text("A=1")
    assert laptop.build() == 0
    shown = capsys.readouterr().err
    assert "has .env, which may hold secrets" in shown
    assert "the build context has 62 B: Dockerfile 51 B" in shown


def test_an_uploaded_context_is_not_sent_again(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    def head(**given: Any) -> dict[str, Any]:
        digest = bytes.fromhex(given["Key"].removeprefix("build/").removesuffix(".zip"))
        return {"ChecksumSHA256": base64.b64encode(digest).decode()}

    assert laptop.build("--json", HeadObject=head) == 0
    assert answer(capsys)["data"]["uploaded"] is False
    assert laptop.sent == []


def test_arguments_go_to_the_build_and_secrets_nowhere_else(
    laptop: Laptop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hunter2-hunter2-hunter2"
    monkeypatch.setenv("FROM_HERE", "1")
    words = (f"API_TOKEN={secret}", "FROM_HERE", "NOT_HERE", "EMPTY=", "A=b=c\nd")
    pages = log([f"#1 echo {secret}"], [f"ERROR: {secret}"])
    done = laptop.build(
        *(word for text in words for word in ("--build-arg", text)),
        GetLogEvents=pages,
        BatchGetBuilds=build("FAILED"),
    )
    assert done == 1
    shown = capsys.readouterr()
    assert secret not in shown.err + shown.out
    given = {
        item["name"]: item["value"] for item in laptop.started()["environmentVariablesOverride"]
    }
    assert [given[f"SM_PROXY_BUILD_ARG_{n}"] for n in range(1, 5)] == [
        f"API_TOKEN={secret}",
        "FROM_HERE=1",
        "EMPTY=",
        "A=b=c\nd",
    ]
    assert laptop.build("--build-arg", f"a-b={secret}") == 2
    assert secret not in capsys.readouterr().err


def test_a_failed_build_is_a_failure(laptop: Laptop, capsys: pytest.CaptureFixture[str]) -> None:
    contexts = [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": "exit status 1"}]
    phases = [{"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": contexts}]
    assert laptop.build(BatchGetBuilds=build("FAILED", phases=phases)) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[-1].startswith("sm-proxy: build-failed: the build ")


def test_a_moved_tag_is_reported_and_the_builds_own_image_printed(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "sha256:" + "e" * 64
    assert laptop.build(DescribeImages={"imageDetails": [{"imageDigest": other}]}) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{HOST}/byoc@{DIGEST}\n"
    assert f"given to another image, {other}" in shown.err


def test_trouble_after_the_push_does_not_hide_the_image(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    expired = SmProxyError("expired-credentials", "expired", "Log in.")
    assert laptop.build(DescribeImages=expired) == 0
    assert capsys.readouterr().out == f"{HOST}/byoc@{DIGEST}\n"


@pytest.mark.parametrize("exported", [[], [{"name": "SM_PROXY_DIGEST", "value": "nonsense"}]])
def test_a_build_that_does_not_tell_its_digest_has_the_tags(
    laptop: Laptop, capsys: pytest.CaptureFixture[str], exported: list[dict[str, str]]
) -> None:
    done = build("SUCCEEDED", exportedEnvironmentVariables=exported)
    assert laptop.build(BatchGetBuilds=done) == 0
    assert capsys.readouterr().out == f"{HOST}/byoc@{DIGEST}\n"
    absent = ServiceError("ImageNotFoundException", "none", "ecr:DescribeImages")
    assert laptop.build(BatchGetBuilds=done, DescribeImages=absent) == 1
    assert "infra policy launcher" in capsys.readouterr().err


def test_a_missing_permission_names_the_policy(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    denied = SmProxyError("access-denied", "codebuild:StartBuild is denied", "Allow it.")
    assert laptop.build(StartBuild=denied) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "codebuild:StartBuild is denied. Allow it. `sm-proxy infra policy launcher`" in line


def test_a_missing_stack_is_reported_before_anything_is_created(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert laptop.build("--stack", "mine", BatchGetProjects={"projects": []}) == 1
    assert "infra deploy --stack mine" in capsys.readouterr().err
    assert laptop.aws.operations() == ["BatchGetProjects"]


@pytest.mark.parametrize(
    "words",
    [
        ("--timeout", "4m"),
        ("--timeout", "129601s"),
        ("--compute", "tiny"),
        ("--stack", "a", "--project", "b"),
        ("--target", "nonsense"),
        ("--repository", "byoc"),
    ],
)
def test_wrong_usage_is_refused_at_once(laptop: Laptop, words: tuple[str, ...]) -> None:
    try:
        status = laptop.build(*words)
    except SystemExit as error:
        status = int(error.code or 0)
    assert status == 2
    assert laptop.aws.calls == []


def test_the_json_of_a_failure_is_one_envelope(
    laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert laptop.build("--json", BatchGetBuilds=build("STOPPED")) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["error"]["code"] == "build-failed"
    assert found["data"] is None
