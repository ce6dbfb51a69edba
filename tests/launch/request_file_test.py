from __future__ import annotations

import io
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml

from sm_proxy.errors import SmProxyError
from sm_proxy.launch import request_file
from sm_proxy.launch.shapes import Operation

TRAINING: dict[str, Any] = {
    "TrainingJobName": "bert",
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "RoleArn": "arn:aws:iam::123456789012:role/of-the-job",
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {
        "InstanceType": "ml.m5.large",
        "InstanceCount": 1,
        "VolumeSizeInGB": 1,
    },
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    "Environment": {"EMPTY": ""},
}
PROCESSING: dict[str, Any] = {
    "ProcessingJobName": "prepare",
    "AppSpecification": {"ImageUri": "image"},
    "RoleArn": "arn:aws:iam::123456789012:role/of-the-job",
    "ProcessingResources": {
        "ClusterConfig": {
            "InstanceCount": 1,
            "InstanceType": "ml.m5.large",
            "VolumeSizeInGB": 1,
        }
    },
}


def written(folder: Path, text: str, name: str = "job.json") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def refused(path: str) -> str:
    with pytest.raises(SmProxyError) as caught:
        request_file.read(path)
    assert caught.value.code == "usage"
    return caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "Tags: &a [*a]",
        "\n".join(
            ["a0: &a0 [x, x]"]
            + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
        ),
    ],
    ids=["without end", "very many"],
)
def test_aliases_that_multiply_are_refused(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"TrainingJobName: x\n{text}\n", "job.yaml")
    assert "too many values" in refused(path)


def test_aliases_are_read(tmp_path: Path) -> None:
    text = "TrainingJobName: &name x\nEnvironment: {NAME: *name}\n"
    _, request = request_file.read(written(tmp_path, text, "job.yaml"))
    assert request["Environment"] == {"NAME": "x"}


def problems(request: dict[str, Any], operation: Operation = "CreateTrainingJob") -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        request_file.validate(operation, request, botocore.session.Session(), "job.json")
    assert caught.value.code == "usage"
    return caught.value


@pytest.mark.parametrize(
    ("request_", "operation"),
    [(TRAINING, "CreateTrainingJob"), (PROCESSING, "CreateProcessingJob")],
    ids=["training", "processing"],
)
@pytest.mark.parametrize("name", ["job.json", "job.yaml", "job"])
def test_a_request_is_read_and_valid(
    tmp_path: Path, request_: dict[str, Any], operation: Operation, name: str
) -> None:
    text = yaml.safe_dump(request_) if name.endswith("yaml") else json.dumps(request_)
    path = written(tmp_path, text, name)
    assert request_file.read(path) == (operation, request_)
    assert request_file.read(f"file://{path}") == (operation, request_)
    request_file.validate(operation, request_, botocore.session.Session(), path)


def test_a_byte_order_mark_does_not_count(tmp_path: Path) -> None:
    path = written(tmp_path, "\N{ZERO WIDTH NO-BREAK SPACE}" + json.dumps(TRAINING))
    assert request_file.read(path)[1] == TRAINING


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_a_file_of_windows_powershell_is_read(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "job.json"
    path.write_bytes(f"\N{ZERO WIDTH NO-BREAK SPACE}{json.dumps(TRAINING)}\r\n".encode(codec))
    assert request_file.read(str(path))[1] == TRAINING


def test_members_that_yaml_merges_are_not_there_twice(tmp_path: Path) -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y {a: 2}\nTrainingJobName: {<<: *x, <<: *y, b: 3}\n"
    found = request_file.read(written(tmp_path, text, "job.yaml"))[1]
    assert found["TrainingJobName"]["b"] == 3


def test_a_closed_stdin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert "stdin cannot be launched: it is closed" in refused("-")


def test_stdin_is_a_file_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(TRAINING).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert request_file.read("-")[1] == TRAINING


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("{", "job.json", "not valid JSON"),
        ("{", "job.yaml", "not valid YAML"),
        ("a: b: c", "job", "not valid YAML"),
        ("[" * 2_000, "job.yaml", "not valid YAML"),
        ("[" * 100_000, "job.json", "not valid JSON"),
        ("!!python/object/apply:os.system [true]", "job.yaml", "not valid YAML"),
        ("", "job.yaml", "not an object"),
        ("[]", "job.json", "not an object"),
        ("{}", "job.json", "neither TrainingJobName nor ProcessingJobName"),
        ('{"ModelName": "x"}', "job.json", "neither"),
        ('{"a": {"b": 1, "b": 1}}', "job.json", "b stands twice"),
        ('{"a": {"b": 1, "b": 1}}', "job", "b stands twice"),
        ("a:\n  b: 1\n  b: 1\n", "job.yaml", "b stands twice"),
    ],
    ids=[
        *("open brace", "open brace in YAML", "neither JSON nor YAML", "deep YAML", "deep JSON"),
        *("a YAML tag", "empty", "a list", "no members", "another operation"),
        *("a member twice", "twice in JSON without a name", "twice in YAML"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, name: str, words: str) -> None:
    assert words in refused(written(tmp_path, text, name))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(str(tmp_path / "none.json"))
    assert "directory" in refused(str(tmp_path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in refused(str(tmp_path / "binary"))


def test_a_huge_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_file, "_LIMIT", 8)
    assert "too large" in refused(written(tmp_path, json.dumps(TRAINING)))


def test_a_description_names_relaunch(tmp_path: Path) -> None:
    described = {**TRAINING, "TrainingJobArn": "arn", "TrainingJobStatus": "Failed"}
    with pytest.raises(SmProxyError) as caught:
        request_file.read(written(tmp_path, json.dumps(described)))
    assert "sm-proxy relaunch bert" in caught.value.hint


def test_a_misspelled_member_names_the_right_one() -> None:
    found = problems({**TRAINING, "Enviroment": {}})
    assert "unknown member Enviroment (Did you mean `Environment`?)" in found.message
    nested = {**TRAINING, "ResourceConfig": {**TRAINING["ResourceConfig"], "InstanceTyp": "x"}}
    assert "InstanceTyp in ResourceConfig (Did you mean `InstanceType`" in problems(nested).message


def test_a_missing_member_is_named() -> None:
    request = {name: value for name, value in TRAINING.items() if name != "RoleArn"}
    assert "RoleArn" in problems(request).message


def test_a_number_where_yaml_needs_quotes_is_explained() -> None:
    found = problems({**TRAINING, "Environment": {"EPOCHS": 3, "FAST": True}})
    assert "Environment.EPOCHS must be a string: put it into quotes" in found.message
    assert "Environment.FAST must be a string" in found.message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Environment": "A=secret-1\nB=secret-2"}, "Environment must be an object"),
        ({"Environment": {"A B": ["secret-1"]}}, "Environment.A B must be a string"),
        ({"Tags": {"Key": "secret-1"}}, "Tags must be a list"),
        ({"EnableNetworkIsolation": "secret-1"}, "EnableNetworkIsolation must be true or false"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": "secret-1"}}, "must be a whole number"),
    ],
)
def test_a_value_of_another_type_is_not_shown(changes: dict[str, Any], expected: str) -> None:
    found = problems({**TRAINING, **changes})
    assert expected in found.message
    assert "secret" not in found.message


def test_a_date_or_nothing_where_a_string_belongs_is_explained() -> None:
    found = problems({**TRAINING, "Environment": {"DAY": date(2026, 1, 1), "NONE": None}})
    assert "Environment.DAY must be a string: put it into quotes" in found.message
    assert "Environment.NONE has no value" in found.message


def test_a_skeleton_that_is_not_filled_in_names_the_empty_members() -> None:
    request = {
        **TRAINING,
        "RoleArn": "",
        "HyperParameters": {"KeyName": ""},
        "VpcConfig": {"SecurityGroupIds": [""], "Subnets": ["subnet-1"]},
    }
    found = problems(request)
    for name in ("RoleArn", "HyperParameters.KeyName", "VpcConfig.SecurityGroupIds[0]"):
        assert name in found.message
    assert "Environment" not in found.message
    assert "skeleton" in found.hint


def test_a_processing_request_is_checked_with_its_own_shape() -> None:
    assert "TrainingJobName" in problems(TRAINING, "CreateProcessingJob").message
