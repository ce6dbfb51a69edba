"""doctor reads a job's security groups from the place that its kind has for them."""

from __future__ import annotations

from sm_proxy.doctor import job
from sm_proxy.doctor.check import Context
from sm_proxy.settings import Settings
from tests.doctor.helpers import job_of
from tests.fakes import FakeAws


def test_an_endpoint_has_the_security_groups_of_its_model() -> None:
    aws = FakeAws(
        DescribeEndpointConfig={"ProductionVariants": [{}, {"ModelName": "m"}]},
        DescribeModel={"VpcConfig": {"SecurityGroupIds": ["sg-1"]}},
    )
    context = Context(Settings(), "sm-x", aws, job=job_of("endpoint"))
    assert job.security_groups(context) == ("sg-1",)
    assert aws.calls[-1] == ("DescribeModel", {"ModelName": "m"})
