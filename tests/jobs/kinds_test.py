from __future__ import annotations

from datetime import datetime, timezone

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds
from sm_proxy.jobs.hostname import KINDS
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.kinds import JobKind, endpoint, processing, training, transform
from tests.fakes import FakeAws, description

ALL: tuple[JobKind, ...] = (training, processing, transform, endpoint)


def test_the_table_has_every_kind_of_the_grammar_in_the_order_of_trial() -> None:
    assert kinds.ORDER == KINDS
    assert tuple(map(kinds.of, kinds.ORDER)) == ALL


def test_the_nouns_are_unlike() -> None:
    assert len({kind.NOUN for kind in ALL}) == len(ALL)


def test_a_job_once_more() -> None:
    aws = FakeAws(DescribeTrainingJob=[description("Starting"), description()])
    first = training.describe(aws, "my-job")
    assert first is not None
    assert (first.running, kinds.describe_again(aws, first).running) == (False, True)


def test_a_job_that_was_deleted() -> None:
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
