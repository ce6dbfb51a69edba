"""A service of the lab acts for its caller, without a socket."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from sm_proxy_lab.account import ACCESS_KEY
from sm_proxy_lab.aws import inside
from sm_proxy_lab.aws.http.call import Call
from sm_proxy_lab.aws.http.errors import AwsError, Reply, json_reply, render


@dataclasses.dataclass
class App:
    """Keeps the calls, and gives all of them one answer."""

    reply: Reply | AwsError
    calls: list[Call] = dataclasses.field(default_factory=list)

    def answer(self, call: Call) -> Reply:
        self.calls.append(call)
        return render(call, self.reply) if isinstance(self.reply, AwsError) else self.reply


def test_a_call_comes_from_the_caller_through_the_service() -> None:
    call = Call("POST", "/", "", {}, b"")
    app = App(json_reply(call, {"repositories": []}))
    ecr = inside.client(app, "ecr", "eu-west-1", ACCESS_KEY, "cloudformation")
    assert ecr.describe_repositories()["repositories"] == []
    (made,) = app.calls
    assert (made.action, made.via) == ("ecr:DescribeRepositories", "cloudformation")
    assert (made.access_key, made.region) == (ACCESS_KEY, "eu-west-1")


def test_a_refusal_is_the_services() -> None:
    app = App(AwsError("ValidationError", "no such stack"))
    stacks = inside.client(app, "cloudformation", "us-east-1", ACCESS_KEY, "codebuild")
    with pytest.raises(ClientError, match="no such stack"):
        stacks.describe_stacks(StackName="x")
    assert app.calls[0].params == {"StackName": "x"}


def test_a_file_is_sent_to_s3(tmp_path: Path) -> None:
    app = App(Reply(200, b"", {}))
    (tmp_path / "x").write_bytes(b"content")
    s3 = inside.client(app, "s3", "us-east-1", ACCESS_KEY, "cloudformation")
    with (tmp_path / "x").open("rb") as body:
        s3.put_object(Bucket="bucket", Key="a/b", Body=body)
    (made,) = app.calls
    assert (made.action, made.path, made.body) == ("s3:PutObject", "/bucket/a/b", b"content")
