"""One AWS endpoint for the whole session."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.aws.harness import REGION, Lab, job_request, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def lab_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The AWS endpoint of the whole session."""
    with running(tmp_path_factory.mktemp("aws")) as found:
        yield found


@pytest.fixture
def lab(lab_process: Lab) -> Iterator[Lab]:
    """The AWS endpoint with no faults."""
    lab_process.gateway.asked.clear()
    yield lab_process
    lab_process.control.clear_faults()


@pytest.fixture
def new_job(lab: Lab) -> Callable[..., str]:
    """Make a training job with a unique name; return the name."""

    def make(name: str | None = None, region: str = REGION, **request: Any) -> str:
        name = name or f"job-{uuid.uuid4().hex[:12]}"
        lab.client("sagemaker", region).create_training_job(**(job_request(name) | request))
        return name

    return make


@pytest.fixture(scope="session")
def bastion(lab_process: Lab) -> str:
    """The id of a running instance in a subnet of a VPC."""
    ec2 = lab_process.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    tags = [{"Key": "sm-proxy:role", "Value": "bastion"}]
    made = ec2.run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        PrivateIpAddress="10.0.1.9",
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    return str(made["Instances"][0]["InstanceId"])


@pytest.fixture
def stream(lab: Lab) -> dict[str, str]:
    """The names of a new, empty log stream."""
    names = {"logGroupName": f"/lab/{uuid.uuid4().hex}", "logStreamName": "job/algo-1-1700000000"}
    lab.control.put_logs(names["logGroupName"], names["logStreamName"], [])
    return names
