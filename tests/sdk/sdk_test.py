"""What both SDKs send, with and without ssh, and that ssh enters the jobs they start."""

from __future__ import annotations

import base64
import json
import os
import re
from typing import Any

import pytest

from sm_proxy.launch import shapes
from tests.e2e.labs import SM_PROXY
from tests.sdk import records, toolkit
from tests.sdk.conftest import HERE, PROGRAMS, Sdks
from tests.sdk.records import Record

ANEW = os.environ.get("SM_PROXY_RECORD") == "1"
OBJECTS = """
import base64
s3 = client("s3")
pages = s3.get_paginator("list_objects_v2").paginate(Bucket={bucket!r})
keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
read = lambda key: base64.b64encode(s3.get_object(Bucket={bucket!r}, Key=key)["Body"].read())
answer = {{key: read(key).decode() for key in keys if {name!r} in key}}
"""
DOCUMENT = HERE.parents[1] / "docs" / "launching-from-python.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
WINDOWS = ("--wait", "10m", "--keep", "20m")


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    """Each program."""
    return str(request.param)


def record_of(sdks: Sdks, found: dict[str, Any]) -> Record:
    """The record of a request that has just been sent."""
    command = OBJECTS.format(bucket=records.BUCKET, name=name_of(found))
    objects = {key: base64.b64decode(text) for key, text in sdks.lab.python(command).items()}
    return records.of(found["operation"], found["request"], objects)


def name_of(found: dict[str, Any]) -> str:
    """The name of the job."""
    return str(found["request"][shapes.of(found["operation"]).NAME])


def described(sdks: Sdks, name: str, record: Record) -> dict[str, Any]:
    """What AWS tells of a job, without its name and times; only what a request can have."""
    what, field = record.operation.removeprefix("Create"), shapes.of(record.operation).NAME
    call = f"client('sagemaker')._make_api_call('Describe{what}', {{{field!r}: {name!r}}})"
    job = json.loads(sdks.lab.python(f"answer = json.dumps({call}, default=str)"))
    model = f"client('sagemaker').meta.service_model.operation_model({record.operation!r})"
    fields = sdks.lab.python(f"answer = list({model}.input_shape.members)")
    kept = {key: value for key, value in job.items() if key in fields}
    return dict(records.of(record.operation, kept, {}).request)


def test_an_sdk_sends_what_we_have_recorded(program: str, sdks: Sdks) -> None:
    found, _ = sdks.sent(program)
    now = record_of(sdks, found)
    if ANEW:
        now.save(program)
    assert now == records.load(program), "to record it anew: SM_PROXY_RECORD=1 script/test sdk"


def test_ssh_changes_what_it_must_and_enters_the_job(program: str, sdks: Sdks) -> None:
    line = f"enable_ssh({sdks.variable(program)}, wait='10m', keep='20m')"
    found, err = sdks.sent(program, "from sm_proxy.sagemaker import enable_ssh", line)
    name = name_of(found)
    host = f"sm-{name}" + (".processing" if "Processing" in found["operation"] else "")
    assert f"ssh {host}\n" in err
    before, now = records.load(program), record_of(sdks, found)
    assert now.objects == before.objects
    check_changes(before, now)
    sdks.lab.ok(host, "true", timeout=120)
    # A launcher's endpoint makes the same job of the program as it is.
    err = sdks.run(
        program, *SM_PROXY, "launch", *WINDOWS, "--", "PYTHON", sdks.path(program), timeout=180
    )
    other = err.rpartition("ssh sm-")[2].split()[0].removesuffix(".processing")
    assert other != name
    assert described(sdks, other, before) == described(sdks, name, before)
    for host in (name, other):
        done = sdks.lab.sm_proxy("stop", f"sm-{host}", "--yes")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_of_the_documentation_works(example: str, sdks: Sdks) -> None:
    theirs = {"bert:1": "theirs:1", "role/sagemaker": "role/sm-proxy-lab"}
    for ours, name in theirs.items():
        assert ours in example
        example = example.replace(ours, name)
    sdk = "sdk3" if "sagemaker.train" in example else "sdk2"
    folder = str(HERE / "programs")
    err = sdks.run(sdk, "env", "-C", folder, "PYTHON", "-c", example)
    host = err.rpartition("enter it with: ssh ")[2].split()[0]
    if "keys=" not in example:
        sdks.lab.ok(host, "true", timeout=120)
    done = sdks.lab.sm_proxy("stop", host, "--yes")
    assert done.returncode == 0, done.stderr


def check_changes(before: Record, now: Record) -> None:
    """Of the request, only what ssh needs has changed, and the same program runs."""
    shape = shapes.of(before.operation)
    words, inputs, vpc = (
        ".".join(map(str, path)) for path in (shape.CONTAINER, shape.INPUTS, shape.VPC)
    )
    allowed = (
        f"{words}.ContainerEntrypoint.",
        f"{words}.ContainerArguments.",
        f"{inputs}.",
        f"{vpc}.",
        "Environment.SM_PROXY_",
        "StoppingCondition.MaxRuntimeInSeconds",
    )
    old, new = flat(before.request), flat(now.request)
    changed = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
    assert [path for path in sorted(changed) if not path.startswith(allowed)] == []
    kept = {path: leaf for path, leaf in old.items() if path.startswith((f"{inputs}.", f"{vpc}."))}
    assert kept.items() <= new.items()
    theirs = value(before.request, shape.CONTAINER)
    command = [*theirs.get("ContainerEntrypoint", []), *theirs.get("ContainerArguments", [])]
    container = value(now.request, shape.CONTAINER)
    assert container["ContainerEntrypoint"][0] == "sh"
    assert container["ContainerEntrypoint"][1].endswith("/sm_proxy/entrypoint.sh")
    assert container["ContainerArguments"] == (command or [*toolkit.ENTRYPOINT, "train"])


def flat(node: Any, path: str = "") -> dict[str, Any]:
    """The leaves of a JSON value, by their path."""
    if isinstance(node, dict):
        pairs = [(f"{path}.{key}".lstrip("."), item) for key, item in node.items()]
    elif isinstance(node, list):
        pairs = [(f"{path}.{number}", item) for number, item in enumerate(node)]
    else:
        return {path: node}
    return {key: leaf for name, item in pairs for key, leaf in flat(item, name).items()}


def value(node: Any, path: Any) -> Any:
    """What lies at a path."""
    for part in path:
        node = node[part]
    return node
