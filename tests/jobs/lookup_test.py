from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds, lookup
from sm_proxy.jobs.hostname import parse
from sm_proxy.jobs.job import Job
from tests.fakes import DESCRIBES, Answers, FakeAws, description

ACTION = "sagemaker:DescribeTrainingJob"
GONE = ServiceError("ValidationException", "Requested resource not found.", "x")
DENIED = SmProxyError("access-denied", "sagemaker:X is denied", "ask")
BEGAN = datetime(2026, 11, 23, tzinfo=timezone.utc)


class Account(FakeAws):
    """An account with training jobs, by name and SecondaryStatus, the newest first."""

    def __init__(self, jobs: dict[str, str] | None = None, **answers: Answers) -> None:
        self.jobs = jobs or {}
        nothing: dict[str, Answers] = dict.fromkeys(DESCRIBES, GONE)
        known: dict[str, Answers] = {
            "DescribeTrainingJob": self._describe,
            "ListTrainingJobs": self._list,
        }
        super().__init__(**{**nothing, **known, **answers})

    def _describe(self, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        if TrainingJobName not in self.jobs:
            raise GONE
        status = self.jobs[TrainingJobName]
        answer = description(status, overall(status), TrainingJobName=TrainingJobName)
        assert isinstance(answer, dict)
        return answer

    def _list(
        self,
        NameContains: str = "",  # noqa: N803
        StatusEquals: str = "",  # noqa: N803
        **order: Any,
    ) -> dict[str, Any]:
        assert order == {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 100}
        lines = [
            {
                "TrainingJobName": name,
                "SecondaryStatus": status,
                "TrainingJobStatus": overall(status),
                "CreationTime": BEGAN - timedelta(hours=number),
            }
            for number, (name, status) in enumerate(self.jobs.items())
            if NameContains in name and StatusEquals in {"", overall(status)}
        ]
        return {"TrainingJobSummaries": lines[:100]}

    @property
    def asked(self) -> list[str]:
        return [operation for operation, _ in self.calls]


def overall(status: str) -> str:
    return status if status in {"Completed", "Failed", "Stopped"} else "InProgress"


def found(aws: FakeAws, host: str) -> tuple[Job, list[str]]:
    messages: list[str] = []
    return lookup.find(aws, parse(host, "sm-"), messages.append), messages


def refused(aws: FakeAws, host: str) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        found(aws, host)
    assert caught.value.line.isprintable()
    return caught.value


def test_an_exact_name_takes_one_call_and_prints_nothing() -> None:
    aws = Account({"bert-2": "Training", "bert": "Completed"})
    job, messages = found(aws, "sm-bert")
    assert (job.name, messages, aws.asked) == ("bert", [], DESCRIBES[:1])


@pytest.mark.parametrize(
    ("operation", "answer", "kind", "calls"),
    [
        (
            "DescribeProcessingJob",
            {"ProcessingJobName": "bert", "ProcessingJobStatus": "InProgress"},
            "processing",
            2,
        ),
        (
            "DescribeTransformJob",
            {"TransformJobName": "bert", "TransformJobStatus": "InProgress"},
            "transform",
            3,
        ),
        (
            "DescribeEndpoint",
            {"EndpointName": "bert", "EndpointStatus": "InService"},
            "endpoint",
            4,
        ),
    ],
)
def test_another_kind_is_found_by_its_exact_name(
    operation: str, answer: dict[str, Any], kind: str, calls: int
) -> None:
    # An exact name wins over the beginning of another, whatever the kind.
    aws = Account({"bert-1": "Training"}, **{operation: answer})
    job, messages = found(aws, "sm-bert")
    assert (job.kind, messages, aws.asked) == (kind, [], DESCRIBES[:calls])
    forced = Account({"bert": "Training"}, **{operation: answer})
    assert found(forced, f"sm-bert.{kind}")[0].kind == kind
    assert forced.asked == [operation]


def test_the_beginning_of_one_name_finds_it() -> None:
    aws = Account({"other": "Training", "bert-2026-11-23": "Training", "albert": "Training"})
    job, messages = found(aws, "sm-bert")
    assert job.name == "bert-2026-11-23"
    assert messages == ["sm-bert is bert-2026-11-23"]
    assert aws.asked == [*DESCRIBES, "ListTrainingJobs", "DescribeTrainingJob"]
    assert aws.calls[len(DESCRIBES)][1]["NameContains"] == "bert"


def test_the_newest_running_job_wins() -> None:
    aws = Account(
        {
            "bert-5": "Starting",
            "bert-4": "Completed",
            "bert-3": "Training",
            "bert-2": "Training",
            "bert-1": "Failed",
        }
    )
    job, messages = found(aws, "sm-bert.2")
    assert job.name == "bert-3"
    assert messages == ["sm-bert.2 is bert-3, the newest of 2 running"]


@pytest.mark.parametrize("typed", ["bert", "BERT"])
def test_a_running_job_behind_a_full_page_of_ended_ones_is_found(typed: str) -> None:
    over = {f"bert-{number}": "Completed" for number in range(150)}
    aws = Account({**over, "bert-old": "Training", "bert-older": "Training"})
    job, messages = found(aws, f"sm-{typed}")
    expected = f"sm-{typed} is bert-old, the newest of 2 running"
    assert (job.name, messages) == ("bert-old", [expected])


def test_a_full_page_counts_no_job_twice() -> None:
    aws = Account({f"bert-{number}": "Training" for number in range(100)})
    assert found(aws, "sm-bert")[1] == ["sm-bert is bert-0, the newest of 100 running"]


def test_without_a_running_job_the_newest_starting_one_is_found() -> None:
    aws = Account({"bert-3": "Failed", "bert-2": "Pending", "bert-1": "Starting"})
    job, messages = found(aws, "sm-bert")
    assert (job.name, messages) == ("bert-2", ["sm-bert is bert-2, the newest of 2 starting"])


def test_the_only_match_is_found_although_it_has_ended() -> None:
    aws = Account({"bert-1": "Failed", "gpt": "Training"})
    assert found(aws, "sm-bert")[0].name == "bert-1"


def test_several_ended_matches_are_ambiguous() -> None:
    aws = Account({f"bert-{number}": "Completed" for number in range(5)})
    error = refused(aws, "sm-bert")
    assert error.code == "job-ambiguous"
    assert "any of 5 jobs" in error.message
    assert "bert-0, bert-1, bert-2, ..." in error.message


def test_a_name_in_another_case_is_found() -> None:
    aws = Account({"bert-large-2": "Training", "BERT-Large": "Training"})
    job, messages = found(aws, "sm-Bert-large")
    assert (job.name, messages) == ("BERT-Large", ["sm-Bert-large is BERT-Large"])
    # The first list found nothing: its filter is case-sensitive.
    lists = [asked for operation, asked in aws.calls if operation == "ListTrainingJobs"]
    assert [asked.get("NameContains") for asked in lists] == ["Bert-large", None]


def test_another_case_wins_over_the_beginning_of_a_name() -> None:
    listed = [
        {"TrainingJobName": "bert-2", "TrainingJobStatus": "InProgress"},
        {"TrainingJobName": "BERT", "TrainingJobStatus": "InProgress"},
    ]
    # If the service's filter ignores case, one list is enough.
    aws = Account({"BERT": "Training"}, ListTrainingJobs={"TrainingJobSummaries": listed})
    assert found(aws, "sm-bert")[0].name == "BERT"
    assert aws.asked.count("ListTrainingJobs") == 1


def test_latest_is_the_newest_running_training_job() -> None:
    aws = Account({"c": "Starting", "b": "Training", "a": "Training"})
    job, messages = found(aws, "sm-latest")
    assert (job.name, messages) == ("b", ["sm-latest is b, the newest of 2 running"])
    assert aws.asked == ["DescribeTrainingJob", "ListTrainingJobs", "DescribeTrainingJob"]
    assert aws.calls[1][1]["StatusEquals"] == "InProgress"
    assert found(Account({"a": "Starting"}), "sm-latest.training")[0].name == "a"


@pytest.mark.parametrize("host", ["sm-latest", "sm-bert"])
@pytest.mark.parametrize(
    ("jobs", "expected", "words"),
    [
        (("Completed", "Failed"), "bert-0", ", the newest of 2"),
        (("Completed", "Failed", "Training"), "bert-2", ""),
        (("Stopped",), "bert-0", ""),
    ],
)
def test_the_newest_ended_job_is_found_if_no_job_runs(
    host: str, jobs: tuple[str, ...], expected: str, words: str
) -> None:
    aws = Account({f"bert-{number}": status for number, status in enumerate(jobs)})
    messages: list[str] = []
    job = lookup.find(aws, parse(host, "sm-"), messages.append, else_newest=True)
    assert (job.name, messages) == (expected, [f"{host} is {expected}{words}"])


def test_a_job_named_latest_wins() -> None:
    aws = Account({"new": "Training", "latest": "Completed"})
    assert found(aws, "sm-latest")[0].name == "latest"


def test_latest_without_a_running_job_is_an_error() -> None:
    error = refused(Account({"a": "Completed"}), "sm-latest")
    assert error.code == "job-not-found"
    assert "no running training job in eu-west-1" in error.message


def test_an_unknown_name_suggests_similar_ones() -> None:
    aws = Account({"bret-1": "Training", "bart-1": "Training", "gpt": "Training"})
    error = refused(aws, "sm-bert-1")
    assert error.code == "job-not-found"
    *nouns, last = [kinds.of(kind).NOUN for kind in kinds.ORDER]
    assert f"no {', '.join(nouns)} or {last} bert-1" in error.message
    assert "eu-west-1" in error.message
    assert error.hint == "Did you mean `sm-bret-1` or `sm-bart-1`?"
    assert aws.asked == [*DESCRIBES, "ListTrainingJobs", "ListTrainingJobs"]
    assert "--profile" in refused(Account(), "sm-bert").hint


def test_only_the_kind_in_the_name_is_searched() -> None:
    aws = Account({"bert-1": "Training"}, ListProcessingJobs={"ProcessingJobSummaries": []})
    error = refused(aws, "sm-bert.processing")
    assert error.message == "there is no processing job bert in eu-west-1"
    assert aws.asked == ["DescribeProcessingJob", "ListProcessingJobs", "ListProcessingJobs"]


def test_a_denied_kind_does_not_hide_jobs_of_other_kinds() -> None:
    endpoint = {"EndpointName": "chat", "EndpointStatus": "InService"}
    aws = Account(DescribeProcessingJob=DENIED, DescribeEndpoint=endpoint)
    assert found(aws, "sm-chat")[0].kind == "endpoint"
    aws = Account({"bert-1": "Training"}, DescribeProcessingJob=DENIED, DescribeEndpoint=DENIED)
    assert found(aws, "sm-bert")[0].name == "bert-1"


def test_the_error_names_the_calls_that_were_denied() -> None:
    aws = Account(DescribeEndpoint=DENIED, ListTrainingJobs=DENIED)
    error = refused(aws, "sm-bert")
    assert error.code == "job-not-found"
    assert (
        "access to endpoints (sagemaker:DescribeEndpoint) and the list of training jobs"
        " (sagemaker:ListTrainingJobs) is denied" in error.message
    )
    assert aws.asked.count("ListTrainingJobs") == 1


def test_a_denial_for_the_first_kind_is_an_error() -> None:
    assert refused(Account(DescribeTrainingJob=DENIED), "sm-bert").code == "access-denied"
    forced = refused(Account(DescribeEndpoint=DENIED), "sm-bert.endpoint")
    assert (forced.code, forced.message) == (DENIED.code, DENIED.message)


@pytest.mark.parametrize("operation", ["DescribeProcessingJob", "ListTrainingJobs"])
def test_other_failures_are_passed_on(operation: str) -> None:
    broken = SmProxyError("throttled", "slow", "later")
    assert refused(Account({}, **{operation: broken}), "sm-bert") is broken


def test_an_invalid_name_in_a_list_is_ignored() -> None:
    listed = [
        {"TrainingJobName": "bert-\x1b[2J", "TrainingJobStatus": "InProgress"},
        {"TrainingJobName": "bert/../../x", "TrainingJobStatus": "InProgress"},
    ]
    aws = Account(ListTrainingJobs={"TrainingJobSummaries": listed})
    assert refused(aws, "sm-bert").code == "job-not-found"


def test_a_job_deleted_after_its_list_is_not_found() -> None:
    listed = [{"TrainingJobName": "bert-1", "TrainingJobStatus": "InProgress"}]
    aws = Account(ListTrainingJobs={"TrainingJobSummaries": listed})
    assert refused(aws, "sm-bert").code == "job-not-found"


def test_an_unknown_job_is_an_error() -> None:
    gone = ServiceError("ValidationException", "Requested resource not found.", ACTION)
    aws = FakeAws(DescribeTrainingJob=gone, ListTrainingJobs={"TrainingJobSummaries": []})
    target = parse("sm-my-job.training", "sm-")
    with pytest.raises(SmProxyError, match="my-job in eu-west-1") as caught:
        lookup.find(aws, target, lambda _: None)
    assert caught.value.code == "job-not-found"
    assert "--region" in caught.value.hint


def test_a_failed_job_is_preferred_where_one_is_wanted() -> None:
    aws = Account({"bert-3": "Training", "bert-2": "Failed", "bert-1": "Failed"})
    messages: list[str] = []
    for typed in ("sm-bert", "sm-latest"):
        job = lookup.find(aws, parse(typed, "sm-"), messages.append, ("failed",))
        assert (job.name, messages.pop()) == (
            "bert-2",
            f"{typed} is bert-2, the newest of 2 failed",
        )
    assert found(aws, "sm-bert")[0].name == "bert-3"
