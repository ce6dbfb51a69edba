"""Which files come from S3: those whose copy there is current, and no others."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.kinds import training
from sm_proxy.transfer import s3 as by_s3
from sm_proxy.transfer.s3 import choice
from tests.fakes import FakeAws, container, description
from tests.lab.aws.harness import Lab
from tests.transfer.s3.conftest import BUCKET, Account, MakeEntry, config

BIG = choice.WORTH_IT

pytestmark = pytest.mark.xdist_group("transfer-s3")


@pytest.fixture
def prefix(s3: Any) -> str:
    """A prefix with the objects a (4 MiB), b/c (1 byte) and b/d (2 bytes)."""
    prefix = uuid.uuid4().hex
    for key, size in {"a": BIG, "b/c": 1, "b/d": 2}.items():
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=bytes(size))
    return prefix


def test_current_copies_come_from_s3(aws: Aws, prefix: str, entry: MakeEntry) -> None:
    account = Account(aws, **config(prefix))
    entries = [entry("a", BIG), entry("b/c", 1), entry("b", 0, kind="folder")]
    found = by_s3.plan(account, container(), None, entries, "auto")
    assert [item.key for _, item in found.from_s3] == [f"{prefix}/a", f"{prefix}/b/c"]
    assert found.by_s3 == tuple(entries[:2])
    assert found.by_ssh == tuple(entries[2:])
    assert f"from s3://{BUCKET}/{prefix}" in found.reason


@pytest.mark.parametrize(
    "asked",
    [
        ("a", BIG + 1, {}),
        ("a", BIG, {"age_s": -60}),
        ("not-there", BIG, {}),
        ("a", BIG, {"source": "/opt/ml/model/a"}),
        ("a", BIG, {"source": "/opt/ml/checkpoints/b/../a"}),
        ("a", BIG, {"source": "opt/ml/checkpoints/a"}),
    ],
    ids=["size", "changed later", "missing", "elsewhere", "dots", "relative"],
)
def test_other_files_come_by_ssh(
    aws: Aws, prefix: str, entry: MakeEntry, asked: tuple[str, int, dict[str, Any]]
) -> None:
    name, size, changes = asked
    entries = [entry(name, size, **changes)]
    found = by_s3.plan(Account(aws, **config(prefix)), container(), None, entries, "auto")
    assert found.by_s3 == ()
    assert found.by_ssh == tuple(entries)


def test_changed_files_among_many_come_by_ssh(aws: Aws, prefix: str, entry: MakeEntry) -> None:
    entries = [entry("a", BIG), entry("b/d", 3), *(entry(f"n{i}", 1) for i in range(20))]
    found = by_s3.plan(Account(aws, **config(prefix)), container(), None, entries, "auto")
    assert found.by_s3 == (entries[0],)
    assert "21 of 22 files" in found.reason


def test_the_folder_of_checkpoints_may_be_another(aws: Aws, prefix: str, entry: MakeEntry) -> None:
    account = Account(aws, **config(prefix, LocalPath="/mnt/ckpt/"))
    entries = [entry("a", BIG, source="/mnt/ckpt/a"), entry("a", BIG)]
    found = by_s3.plan(account, container(), None, entries, "auto")
    assert found.by_s3 == (entries[0],)


def test_a_copy_that_may_be_another_nodes_is_not_certain(
    aws: Aws, prefix: str, entry: MakeEntry
) -> None:
    two = {"ResourceConfig": {"InstanceGroups": [{"InstanceCount": 1}, {"InstanceCount": 1}]}}
    entries = [entry("a", BIG)]
    found = by_s3.plan(Account(aws, **config(prefix), **two), container(), None, entries, "auto")
    assert (found.by_s3, found.unsure) == (tuple(entries), frozenset(entries))


def test_a_copy_of_about_the_same_time_is_not_certain(
    aws: Aws, prefix: str, entry: MakeEntry
) -> None:
    entries = [entry("a", BIG, age_s=0), entry("b/c", 1)]
    found = by_s3.plan(Account(aws, **config(prefix)), container(), None, entries, "auto")
    assert (found.by_s3, found.unsure) == (tuple(entries), frozenset(entries[:1]))


def test_without_an_answer_of_aws_ssh_does_it(entry: MakeEntry) -> None:
    aws = FakeAws(DescribeTrainingJob=SmProxyError("network", "no way to AWS"))
    entries = [entry("a", BIG)]
    found = by_s3.plan(aws, container(), None, entries, "auto")
    assert found.by_ssh == tuple(entries)
    assert "no way to AWS" in found.reason
    with pytest.raises(SmProxyError, match="no way to AWS"):
        by_s3.plan(aws, container(), None, entries, "s3", bucket="buc")


def test_small_copies_do_not_ask(entry: MakeEntry) -> None:
    entries = [entry("a", BIG - 1)]
    found = by_s3.plan(FakeAws(), container(), None, entries, "auto")
    assert (found.by_ssh, found.reason) == (tuple(entries), "")


def test_uploads_and_ssh_do_not_ask(entry: MakeEntry) -> None:
    entries = [entry("a", BIG)]
    up = by_s3.plan(FakeAws(), container(), None, entries, "auto", direction="up")
    ssh = by_s3.plan(FakeAws(), container(), None, entries, "ssh", bucket="b")
    assert up.by_ssh == ssh.by_ssh == tuple(entries)


@pytest.mark.parametrize("count", [1, 20])
def test_without_permission_to_read_the_copy_ssh_is_used(
    lab: Lab, aws: Aws, prefix: str, entry: MakeEntry, count: int
) -> None:
    lab.control.faults(deny=["s3:GetObject", "s3:ListBucket"])
    entries = [entry(f"n{number}", BIG) for number in range(count)]
    found = by_s3.plan(Account(aws, **config(prefix)), container(), None, entries, "auto")
    assert found.by_s3 == ()
    assert "you cannot read" in found.reason


def test_other_files_are_handed_over_in_the_users_bucket(
    aws: Aws, prefix: str, entry: MakeEntry
) -> None:
    entries = [entry("a", BIG), entry("x", 1, source="/tmp/x"), entry("x", 0, kind="folder")]
    account = Account(aws, **config(prefix))
    found = by_s3.plan(account, container(), None, entries, "s3", bucket="s3://mine/tmp/")
    assert found.by_s3 == tuple(entries[:2])
    assert (found.handed_over, found.bucket) == ((entries[1],), "mine/tmp")
    assert "1 file by s3://mine/tmp, as you asked" in found.reason


@pytest.mark.parametrize("bucket", [None, "", "s3://", "Not_A_Bucket", "a b"])
def test_a_hand_over_needs_a_bucket(entry: MakeEntry, bucket: str | None) -> None:
    aws = FakeAws(DescribeTrainingJob=description())
    with pytest.raises(SmProxyError) as caught:
        by_s3.plan(aws, container(), None, [entry("a", 1)], "s3", bucket=bucket)
    assert caught.value.code == "bad-setting"


def ended(aws: Aws) -> Job:
    job = training.describe(aws, "my-job")
    assert job is not None
    return job


def test_an_ended_job_is_read_from_s3_alone(aws: Aws, prefix: str, entry: MakeEntry) -> None:
    two = {"ResourceConfig": {"InstanceCount": 2}}
    account = Account(aws, status="Completed", overall="Completed", **config(prefix), **two)
    entries = [entry("b/c", 1, age_s=-60)]
    found = by_s3.plan(account, None, ended(account), entries, "auto")
    assert found.by_s3 == tuple(entries)
    with pytest.raises(SmProxyError, match="not in S3"):
        by_s3.plan(account, None, ended(account), [entry("gone", 1)], "auto")
