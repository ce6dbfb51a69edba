"""`sm-proxy infra policy`."""

from __future__ import annotations

import json

import pytest

from sm_proxy import cli
from sm_proxy.infra import policies


@pytest.mark.parametrize("name", policies.PIECES)
def test_stdout_is_the_document(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["infra", "policy", name]) == 0
    scope = policies.Scope("aws", "*", "111122223333")
    assert json.loads(capsys.readouterr().out) == policies.document(name, scope)


def test_account_region_and_names_are_those_given(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "launcher",
        "--account",
        "444455556666",
        "--region",
        "cn-north-1",
        "--stack",
        "research",
    )
    more = ("--data-bucket", "our-data", "--job-role", "OldRole")
    assert cli.main(["infra", "policy", *words, *more]) == 0
    text = capsys.readouterr().out
    assert "arn:aws-cn:codebuild:cn-north-1:444455556666:project/research-image" in text
    assert "arn:aws-cn:s3:::our-data/*" in text
    assert "arn:aws-cn:iam::444455556666:role/OldRole" in text
    assert "arn:aws:" not in text


def test_the_partition_is_that_of_the_region_in_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-gov-west-1")
    assert cli.main(["infra", "policy", "user"]) == 0
    assert "arn:aws-us-gov:sagemaker:*:111122223333:" in capsys.readouterr().out


def test_optional_statements_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["infra", "policy", "user", "--minimal"]) == 0
    text = capsys.readouterr().out
    assert "FindTheContainer" in text
    assert "RemoteDebug" not in text


def test_the_page_that_limits_wide_statements_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["infra", "policy", "user"]) == 0
    told = capsys.readouterr().err
    assert all(words in told for words in ("HyperPodNodes", "docs/spaces.md", "docs/hyperpod.md"))


def test_each_statement_is_explained_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["infra", "policy", "user", "--explain"]) == 0
    printed = capsys.readouterr()
    sids = [item["Sid"] for item in json.loads(printed.out)["Statement"]]
    assert [line.partition(":")[0] for line in printed.err.splitlines()] == sids
    assert "RemoteDebugTarget: optional, for " in printed.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--account", "1234"), "12 digits"),
        (("--data-bucket", "s3://data/"), "not the name of a bucket"),
        (("--job-role", "arn:aws:iam::111122223333:role/x"), "not the name of a role"),
        (("--region", "mars"), "not an AWS region"),
    ],
)
def test_a_wrong_option_is_named(
    words: tuple[str, str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status: object
    try:
        status = cli.main(["infra", "policy", "user", *words])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert says in capsys.readouterr().err


def test_statements_that_open_others_work_are_warned_about(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["infra", "policy", "user"]) == 0
    printed = capsys.readouterr()
    assert "StudioSpaces" in printed.out
    assert "StudioSpaces, StartAndStopSpaces, TagTheirApps, HyperPodNodes: for the" in printed.err
    for words in (("user", "--minimal"), ("job",)):
        assert cli.main(["infra", "policy", *words]) == 0
        assert capsys.readouterr().err == ""
