"""Copying a job's data out of the lab's S3, which refuses what the job's role may not read."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from sm_proxy_lab import account
from sm_proxy_lab.errors import JobError
from sm_proxy_lab.job_data import JobData, Machine
from sm_proxy_lab.job_kinds.request import Input, Instance
from tests.lab.aws.harness import Lab

BUCKET = "sm-proxy-lab"
POLICY = {"RoleName": "sm-proxy-lab", "PolicyName": "sm-proxy-lab"}

Put = Callable[..., str]
"""Writes objects, relative key -> content, and returns the URI of their folder."""


@pytest.fixture(scope="module")
def put(lab_process: Lab) -> Put:
    client: Any = botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=lab_process.endpoint,
        aws_access_key_id=account.ACCESS_KEY,
        aws_secret_access_key=account.SECRET_KEY,
    )

    def write(objects: dict[str, str]) -> str:
        prefix = uuid.uuid4().hex
        for key, content in objects.items():
            client.put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=content.encode())
        return f"s3://{BUCKET}/{prefix}"

    return write


@pytest.fixture
def machines(tmp_path: Path) -> list[Machine]:
    return [
        Machine(Instance(f"algo-{number}", "ml.m5.large"), tmp_path / str(number))
        for number in (1, 2)
    ]


def files(machine: Machine) -> dict[str, str]:
    folder = machine.root / "in"
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in found}


def copied(lab: Lab, wanted: Input, machines: list[Machine], page: int = 1000) -> list[Any]:
    JobData(lab.endpoint, "us-east-1", page=page).copy(wanted, machines)
    return [files(machine) for machine in machines]


def test_long_lists_and_unusual_names_are_read(lab: Lab, put: Put, machines: list[Machine]) -> None:
    objects = {"a b+c": "1", "d/ü&%": "2", "\x01": "0", "d/e": "3", "f": "4", "g": "5"}
    uri = put(objects)
    assert copied(lab, Input("in", f"{uri}/"), machines, page=2) == [objects] * 2
    assert {path.stat().st_mode & 0o777 for path in machines[0].root.rglob("in/f")} == {0o644}


def test_machines_share_the_objects_of_a_sharded_input(
    lab: Lab, put: Put, machines: list[Machine]
) -> None:
    wanted = Input("in", put({name: name for name in "abc"}), sharded=True)
    assert copied(lab, wanted, machines) == [{"a": "a", "c": "c"}, {"b": "b"}]


def test_a_manifest_names_the_objects(lab: Lab, put: Put, machines: list[Machine]) -> None:
    uri = put({"x/1": "one", "x/2": "two", "x/3": "three"})
    manifest = put({"list": json.dumps([{"prefix": f"{uri}/"}, "x/1", "x/3"])})
    wanted = Input("in", f"{manifest}/list", manifest=True)
    assert copied(lab, wanted, machines) == [{"x/1": "one", "x/3": "three"}] * 2


def test_an_optional_input_may_have_no_objects(lab: Lab, put: Put, machines: list[Machine]) -> None:
    assert copied(lab, Input("in", f"{put({})}/none", optional=True), machines) == [{}, {}]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["../../x"], "Invalid object name"),
        (["."], "Invalid object name"),
        (["x", "x/y"], "Unable to write the object 'x/y' to a file: "),
        (["x" * 300], "to a file: File name too long"),
    ],
)
def test_a_key_that_can_be_no_file_in_the_folder_is_refused(
    lab: Lab, put: Put, machines: list[Machine], keys: list[str], words: str
) -> None:
    wanted = Input("in", put(dict.fromkeys(keys, "1")))
    with pytest.raises(JobError, match=f"^ClientError: Data download failed:.*{words}"):
        copied(lab, wanted, machines)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"x": 1}]', '[{"prefix": "x"}]'])
def test_a_manifest_that_cannot_be_read_is_refused(
    lab: Lab, put: Put, machines: list[Machine], content: str
) -> None:
    wanted = Input("in", f"{put({'list': content})}/list", manifest=True)
    with pytest.raises(JobError, match=r"^ClientError: Data download failed:Invalid "):
        copied(lab, wanted, machines)


@pytest.mark.parametrize("folder", ["", "../in", "opt/../../in"])
def test_a_folder_outside_the_container_is_refused(
    lab: Lab, machines: list[Machine], folder: str
) -> None:
    with pytest.raises(JobError, match="Invalid path in the container"):
        copied(lab, Input(folder, None), machines)


@pytest.fixture
def denied(lab: Lab) -> Iterator[Callable[[str], None]]:
    """Takes one action from the role of the jobs, for one test."""
    iam = lab.client("iam")
    before = json.dumps(iam.get_role_policy(**POLICY)["PolicyDocument"])

    def deny(action: str) -> None:
        document = json.loads(before)
        document["Statement"].append({"Effect": "Deny", "Action": action, "Resource": "*"})
        iam.put_role_policy(**POLICY, PolicyDocument=json.dumps(document))

    yield deny
    iam.put_role_policy(**POLICY, PolicyDocument=before)


REFUSED = {
    "s3:GetObject": "Unable to download object s3://sm-proxy-lab/.*AccessDenied: ",
    "s3:ListBucket": 'No S3 objects found under S3 URL "s3://.*AccessDenied: ',
}


@pytest.mark.parametrize("action", REFUSED)
def test_a_role_that_may_not_read_the_data_fails_the_job(
    lab: Lab,
    put: Put,
    machines: list[Machine],
    denied: Callable[[str], None],
    action: str,
) -> None:
    wanted = Input("in", put({"a": "1"}))
    denied(action)
    with pytest.raises(JobError, match=f"^ClientError: Data download failed:{REFUSED[action]}"):
        copied(lab, wanted, machines)
