from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.kinds import JobKind, endpoint, processing, training, transform
from tests.fakes import FakeAws, description

ALL: tuple[JobKind, ...] = (training, processing, transform, endpoint)


def test_each_row_has_its_module_in_the_same_order() -> None:
    assert tuple(map(kinds.of, kinds.ORDER)) == ALL


TOY = """
from sm_proxy.jobs.job import Job, Summary
from sm_proxy.jobs.kinds import _calls

NOUN, NODES_ARE_NAMED, CAN_BE_KEPT, ONE_STATUS_IS_LIVE = "hub", True, True, True
CAN_BE_RELAUNCHED = False

def describe_call(name):
    return "DescribeHub", {"HubName": name}

def stop_call(name):
    return "StopHub", {"HubName": name}

def describe(aws, name, known=None):
    answer = _calls.describe_if_there(aws, *describe_call(name))
    return answer and Job(
        name=name, kind="hub", status="InService", phase="running", created=answer["CreationTime"],
        noun=NOUN, log_group="/hubs", status_since=answer["CreationTime"],
    )

def recent(aws, contains="", *, live=False):
    return _calls.list_page(aws, "ListHubs", "HubSummaries", lambda item: Summary(
        name=item["HubName"], kind="hub", status="InService", phase="running",
        created=item["CreationTime"]), contains=contains)

def streams(job, node):
    return _calls.streams_of_named_nodes(job.log_group, job.name, node)

def vpc_config(aws, job):
    return {"SecurityGroupIds": ["sg-hub"]}
"""
USE_OF_TOY = """
import sys
from datetime import datetime, timezone
from pathlib import Path

from sm_proxy.aws import job_kinds

row = '    "hub": ("DescribeHub", "ListHubs", "StopHub"),'
lines = Path(job_kinds.__file__).read_text().replace("\\n}", f"\\n{row}\\n}}", 1)
exec(lines, vars(job_kinds))
import sm_proxy.jobs.kinds

sm_proxy.jobs.kinds.__path__.append(sys.argv[1])
from sm_proxy.aws import models
from sm_proxy.doctor import account
from sm_proxy.jobs import hostname, kinds, listing, lookup
from sm_proxy.jobs.job import Job
from sm_proxy.ssh_config import host_patterns
from sm_proxy.state import json_records
from tests.fakes import LISTS, FakeAws

made = {"CreationTime": datetime.now(timezone.utc), "HubName": "x"}
answers = {**dict.fromkeys(LISTS, {}), "ListHubs": {"HubSummaries": [made]}, "DescribeHub": made}
aws = FakeAws(**answers)
target = hostname.parse("sm-x.algo-1.hub", "sm-")
found = lookup.find(aws, target)
assert (target.kind, found.noun) == ("hub", "hub")
assert [item.kind for item in listing.list_all(aws, print)] == ["hub"]
assert {"DescribeHub", "ListHubs"} <= set(models.OPERATIONS["sagemaker"])
assert [name for name, _ in account.describe_call_stage(target)] == ["sagemaker:DescribeHub"]
assert kinds.of("hub").stop_call("x") == ("StopHub", {"HubName": "x"})
assert "StopHub" in models.OPERATIONS["sagemaker"]
assert kinds.of("hub").streams(found, "algo-1").group == "/hubs"
assert "hub" in host_patterns._LABELS
assert json_records.from_record(Job, json_records.to_record(found)) == found
print("every user of the kinds knows the new one")
"""


def test_a_kind_is_one_module_and_one_row(tmp_path: Path) -> None:
    (tmp_path / "hub.py").write_text(TOY, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", USE_OF_TOY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "every user of the kinds knows the new one\n", done.stderr


def test_the_nouns_are_unique() -> None:
    others = tuple(map(kinds.of_session, SESSION_KINDS))
    assert len({kind.NOUN for kind in (*ALL, *others)}) == len(ALL) + len(others)


def test_connections_to_jobs_import_nothing_about_clusters() -> None:
    program = (
        "import sys, sm_proxy.jobs.search; print('sm_proxy.jobs.cluster_nodes' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"False\n"


def test_a_job_is_described_again() -> None:
    aws = FakeAws(DescribeTrainingJob=[description("Starting"), description()])
    first = training.describe(aws, "my-job")
    assert first is not None
    assert (first.running, kinds.describe_again(aws, first).running) == (False, True)


def test_a_deleted_job_is_reported() -> None:
    now = datetime.now(timezone.utc)
    job = Job(
        name="x",
        kind="endpoint",
        status="Creating",
        phase="starting",
        created=now,
        noun="endpoint",
        log_group="g",
        status_since=now,
    )
    aws = FakeAws(DescribeEndpoint=ServiceError("ValidationException", "Could not find", "x"))
    with pytest.raises(SmProxyError, match="endpoint x is gone") as caught:
        kinds.describe_again(aws, job)
    assert caught.value.code == "job-not-found"
