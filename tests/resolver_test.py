from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sm_proxy import resolver
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import cache as job_cache
from sm_proxy.jobs import kinds, lookup, search, session_markers
from sm_proxy.jobs.hostname import parse
from sm_proxy.jobs.kinds import training
from sm_proxy.resolver import Container
from sm_proxy.settings import Settings
from sm_proxy.state import cache
from tests.fakes import (
    DESCRIBES,
    HOST_KEY,
    JOB,
    NODE_STREAM,
    SUBNETS,
    Answers,
    Clock,
    FakeAws,
    container,
    description,
    events,
    marker_line,
    streams,
    working,
)

ONCE = ["DescribeLogStreams", "DescribeSubnets", "DescribeTrainingJob", "GetLogEvents"]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (search, job_cache, cache):
        monkeypatch.setattr(module, "time", clock)
    return clock


def resolved(aws: FakeAws, host: str = "sm-my-job", **options: Any) -> Container:
    settings = options.pop("settings", Settings())
    return resolver.resolve(parse(host, settings.prefix), settings, aws, **options)


def refused(aws: FakeAws, host: str = "sm-my-job", **options: Any) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        resolved(aws, host, **options)
    assert caught.value.line.isprintable()
    assert caught.value.hint
    return caught.value


def test_a_running_job_takes_four_calls() -> None:
    aws = working()
    assert resolved(aws) == container()
    assert aws.operations() == ONCE


def test_as_data_has_the_fields_that_scripts_use() -> None:
    assert resolved(working()).as_data() == {
        "job": JOB,
        "kind": "training",
        "node": "algo-1",
        "address": "10.0.1.5",
        "port": 2222,
        "user": "root",
        "host_keys": [HOST_KEY],
        "status": "Training",
        "source": "marker",
        "vpc_id": "vpc-1",
        "cached": False,
    }


def test_the_log_and_the_subnets_are_read_concurrently() -> None:
    both = threading.Barrier(2, timeout=60)

    def waiting(answer: dict[str, Any]) -> Any:
        def work(**_: Any) -> dict[str, Any]:
            both.wait()
            return answer

        return work

    aws = working(
        DescribeSubnets=waiting(SUBNETS), DescribeLogStreams=waiting(streams(NODE_STREAM))
    )
    assert resolved(aws).address == "10.0.1.5"


@pytest.mark.parametrize("host", ["sm-my-job.algo-2", "sm-my-job.2", "sm-my-job.2.training"])
def test_a_node_in_the_host_name_is_resolved(host: str) -> None:
    aws = working(
        DescribeTrainingJob=description(ResourceConfig={"InstanceCount": 2}),
        DescribeLogStreams=streams("my-job/algo-2-1700000000"),
        GetLogEvents=events(marker_line(node="algo-2")),
    )
    found = resolved(aws, host)
    assert (found.node, found.host) == ("algo-2", host)
    asked = dict(aws.calls)["DescribeLogStreams"]
    assert asked["logStreamNamePrefix"] == "my-job/algo-2-"


def test_a_job_found_by_the_beginning_of_its_name_is_trusted_under_that_beginning() -> None:
    gone = ServiceError("ValidationException", "Requested resource not found.", "x")

    def describe(TrainingJobName: str) -> Any:  # noqa: N803
        if TrainingJobName != JOB:
            raise gone
        return description()

    began = datetime(2026, 11, 23, tzinfo=timezone.utc)
    listed = {"TrainingJobName": JOB, "TrainingJobStatus": "InProgress", "CreationTime": began}
    others: dict[str, Answers] = dict.fromkeys(DESCRIBES, gone)
    others |= {"DescribeTrainingJob": describe}
    aws = working(**others, ListTrainingJobs={"TrainingJobSummaries": [listed]})
    found = resolved(aws, "sm-my")
    assert (found.job, found.host) == (JOB, "sm-my")
    assert Settings(hosts={"sm-my": {"trust_first_use": True}}).trusts_first_use(found.host)


def test_the_first_valid_marker_of_the_node_wins() -> None:
    lines = (
        '{"sm_proxy_marker": 1, "torn',
        marker_line(port=True),
        "[1,1]<stdout>: " + marker_line(node="algo-2", port=1),
        "[1,0]<stdout>: " + marker_line(port=2201),
        marker_line(port=2202),
    )
    assert resolved(working(GetLogEvents=events(*lines))).port == 2201


def test_a_loopback_address_needs_the_setting() -> None:
    answers = events(marker_line(addresses=[{"address": "127.0.0.1"}]))
    assert refused(working(GetLogEvents=answers)).code == "address-refused"
    settings = Settings(allow_loopback=True)
    found = resolved(working(GetLogEvents=answers), settings=settings)
    assert found.address == "127.0.0.1"


def test_an_address_outside_the_subnets_is_refused() -> None:
    aws = working(GetLogEvents=events(marker_line(addresses=[{"address": "169.254.169.254"}])))
    assert refused(aws).code == "address-refused"


IP_ADDR = [
    "    inet 169.254.172.2/22 brd 169.254.175.255 scope global eth0",
    "    inet 10.0.1.7/20 brd 10.0.15.255 scope global eth1",
]


@pytest.mark.parametrize(
    ("behind", "address"),
    [(IP_ADDR[1], "10.0.1.7"), (marker_line(), "10.0.1.5"), ("epoch 1", None)],
)
def test_output_over_two_pages_is_read_as_a_whole(behind: str, address: str | None) -> None:
    pages: list[Any] = [events("start", IP_ADDR[0], token="f/1"), events(behind, token="f/2")]
    aws = working(GetLogEvents=[*pages, events(token="f/2")])
    if address is None:
        assert refused(aws).code == "address-refused"
    else:
        assert resolved(aws).address == address


def test_a_log_without_an_address_in_its_head_fails_at_once(clock: Clock) -> None:
    lines = [[f"{number}"] * 5000 for number in range(5)]
    pages: list[Any] = [events(*page, token=f"f/{number}") for number, page in enumerate(lines)]
    error = refused(working(GetLogEvents=pages), wait=900)
    assert (error.code, clock.slept) == ("no-address", [])
    assert "15,000 lines" in error.message
    pages = [events(IP_ADDR[0], *lines[0], token="f/0")]
    pages += [events(*page, token=f"f/{number}") for number, page in enumerate(lines[1:], 1)]
    error = refused(working(GetLogEvents=pages), wait=900, fresh=True)
    assert (error.code, clock.slept) == ("address-refused", [])


def test_only_the_needed_pages_are_read() -> None:
    aws = working(GetLogEvents=[events(*IP_ADDR, token="f/1")])
    assert resolved(aws).address == "10.0.1.7"
    assert aws.operations() == ONCE


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (description("Completed", "Completed"), "job-ended", "Completed"),
        (description("Stopped", "Stopped"), "job-ended", "Stopped"),
        (description("Uploading"), "job-ended", "Uploading"),
        (
            description("Failed", "Failed", FailureReason="AlgorithmError: ExitCode 1"),
            "job-failed",
            "AlgorithmError: ExitCode 1",
        ),
        (description(VpcConfig={}), "no-vpc", "VPC"),
        (description("Starting", VpcConfig={}), "no-vpc", "VPC"),
        (description("Starting"), "no-address", "Starting"),
        (SmProxyError("access-denied", "denied", "ask"), "access-denied", "denied"),
        (SmProxyError("expired-credentials", "old", "renew"), "expired-credentials", "old"),
        (SmProxyError("no-credentials", "none", "configure"), "no-credentials", "none"),
        (SmProxyError("throttled", "slow", "later"), "throttled", "slow"),
        (SmProxyError("network", "down", "check"), "network", "down"),
    ],
)
def test_an_error_of_describe_ends_it(answer: Any, code: str, words: str) -> None:
    aws = working(DescribeTrainingJob=answer)
    error = refused(aws)
    assert error.code == code
    assert words in error.line
    # For an ended job, the end of its log is read; no other call is made.
    tail = {"DescribeLogStreams", "GetLogEvents"} if code in {"job-ended", "job-failed"} else set()
    assert set(aws.operations()) == {"DescribeTrainingJob"} | tail


REMOTE_DEBUG: dict[str, Any] = {"RemoteDebugConfig": {"EnableRemoteDebug": True}}
OUTSIDE_A_VPC = description(VpcConfig={}, **REMOTE_DEBUG)


def test_a_job_outside_of_a_vpc_is_found_if_its_remote_debug_is_on() -> None:
    aws = working(DescribeTrainingJob=OUTSIDE_A_VPC)
    found = resolved(aws)
    assert found == container(address=None, vpc_id=None, remote_debug=True)
    assert found.place == "sagemaker-training-job:my-job_algo-1 port 2222"
    assert aws.operations() == ["DescribeLogStreams", "DescribeTrainingJob", "GetLogEvents"]
    assert resolved(aws) == replace(found, cached=True)
    assert "DescribeTrainingJob" not in aws.operations()[3:]


def test_a_marker_without_an_address_is_enough_for_remote_debug() -> None:
    aws = working(DescribeTrainingJob=OUTSIDE_A_VPC, GetLogEvents=events(marker_line(addresses=[])))
    assert resolved(aws).address is None


@pytest.mark.parametrize(
    ("answers", "vpc_id"),
    [
        ({"GetLogEvents": events(marker_line(addresses=[{"address": "192.168.0.9"}]))}, "vpc-1"),
        ({"DescribeSubnets": SmProxyError("access-denied", "denied", "ask")}, None),
        ({"DescribeSubnets": {"Subnets": []}}, None),
    ],
)
def test_remote_debug_serves_where_no_address_is_allowed(
    answers: dict[str, Any], vpc_id: str | None
) -> None:
    in_vpc = description(**REMOTE_DEBUG)
    found = resolved(working(DescribeTrainingJob=in_vpc, **answers))
    assert (found.address, found.vpc_id, found.remote_debug) == (None, vpc_id, True)


def test_remote_debug_changes_nothing_else_of_a_container_with_an_address() -> None:
    found = resolved(working(DescribeTrainingJob=description(**REMOTE_DEBUG)))
    assert found == container(remote_debug=True)


@pytest.mark.parametrize("line", [IP_ADDR[1], "SSH Helper Log IP: 10.0.1.7"])
def test_an_address_alone_is_not_enough_for_remote_debug(line: str) -> None:
    aws = working(DescribeTrainingJob=OUTSIDE_A_VPC, GetLogEvents=events(line))
    error = refused(aws)
    assert error.code == "no-address"
    assert "sm-proxy bootstrap sm-my-job" in error.hint


def test_a_marker_after_an_address_is_found_for_remote_debug() -> None:
    pages: list[Any] = [events(IP_ADDR[1], token="f/1"), events(marker_line(), token="f/2")]
    aws = working(DescribeTrainingJob=OUTSIDE_A_VPC, GetLogEvents=pages)
    assert resolved(aws).source == "marker"


def test_without_a_marker_bootstrap_is_named_if_remote_debug_is_on() -> None:
    aws = working(DescribeTrainingJob=OUTSIDE_A_VPC, GetLogEvents=events("epoch 1"))
    error = refused(aws)
    assert error.code == "no-address"
    assert "sm-proxy bootstrap sm-my-job" in error.hint


def bootstrapped(aws: FakeAws, stream: str = NODE_STREAM) -> None:
    job = lookup.find(aws, parse("sm-my-job", "sm-"), print)
    assert session_markers.keep(aws, job, "algo-1", stream, marker_line(port=20022))


def test_a_bootstrapped_container_is_found_without_its_log() -> None:
    aws = working(
        DescribeTrainingJob=OUTSIDE_A_VPC, GetLogEvents=SmProxyError("network", "not read")
    )
    bootstrapped(aws)
    found = resolved(aws)
    assert (found.source, found.port, found.address) == ("session", 20022, None)
    assert found.host_keys == container().host_keys
    assert "sm-proxy bootstrap sm-my-job" in found.key_advice


def test_a_bootstrapped_container_that_has_restarted_is_reported_at_once(clock: Clock) -> None:
    newer = f"{JOB}/algo-1-1700009999"
    aws = working(
        DescribeTrainingJob=OUTSIDE_A_VPC,
        DescribeLogStreams=streams(newer, NODE_STREAM),
        GetLogEvents=events("epoch 1"),
    )
    bootstrapped(aws)
    error = refused(aws, wait=900)
    assert error.code == "no-address"
    assert "sm-proxy bootstrap sm-my-job" in error.hint
    assert clock.slept == []


def test_a_bootstrapped_container_is_not_used_once_remote_debug_is_off() -> None:
    bootstrapped(working())
    assert resolved(working()).source == "marker"


def test_a_long_log_without_a_marker_names_bootstrap_if_remote_debug_is_on() -> None:
    page = iter(range(10**6))

    def training(**parameters: Any) -> dict[str, Any]:
        return events(*["epoch 1"] * parameters["limit"], token=f"f/{next(page)}")

    error = refused(working(DescribeTrainingJob=OUTSIDE_A_VPC, GetLogEvents=training))
    assert error.code == "no-address"
    assert "sm-proxy bootstrap sm-my-job" in error.hint


@pytest.mark.parametrize("status", ["Completed", "Failed"])
def test_a_job_that_has_ended_fails_at_once(status: str, clock: Clock) -> None:
    aws = working(DescribeTrainingJob=description(status, status))
    assert refused(aws, wait=900).code in {"job-ended", "job-failed"}
    assert clock.slept == []


@pytest.mark.parametrize("node", ["algo-2", "i-0123456789abcdef0"])
def test_a_node_that_the_job_lacks_is_refused(node: str) -> None:
    aws = working()
    error = refused(aws, f"sm-my-job.{node}", wait=900)
    assert error.code == "bad-name"
    assert f"there is no {node}" in error.message
    assert aws.operations() == ["DescribeTrainingJob"]


@pytest.mark.parametrize(
    "changes",
    [
        {"DescribeLogStreams": streams()},
        {"DescribeLogStreams": streams("my-job/algo-10-1700000000")},
        {"GetLogEvents": events()},
        {"GetLogEvents": events("epoch 1", marker_line()[:-1])},
        {"GetLogEvents": events(marker_line(node="algo-2"))},
    ],
)
def test_without_an_address_it_fails_with_no_address(changes: dict[str, Any]) -> None:
    error = refused(working(**changes))
    assert error.code == "no-address"
    assert "my-job/algo-1" in error.message


@pytest.mark.parametrize("changes", [{"port": 0}, {"addresses": []}])
def test_the_problems_that_a_marker_names_are_shown(changes: dict[str, Any]) -> None:
    line = marker_line(**changes, problems=["no sshd in the image", "and \x07 no key"])
    error = refused(working(GetLogEvents=events(line)))
    assert error.code == "no-address"
    assert "no sshd in the image; and \ufffd no key" in error.message
    plain = refused(working(GetLogEvents=events(marker_line(**changes))), fresh=True)
    assert plain.code == ("no-address" if "port" in changes else "address-refused")


def test_a_later_different_marker_is_ignored_and_reported() -> None:
    other = marker_line(addresses=[{"name": "eth0", "address": "10.0.1.6", "prefix": 20}])
    reported: list[str] = []
    lines = (marker_line(), "epoch 1", other, marker_line(), other)
    found = resolved(working(GetLogEvents=events(*lines)), on_status=reported.append)
    assert found.address == "10.0.1.5"
    assert reported == [
        "the log of my-job/algo-1 has 2 more marker(s) that differ from the first; they are ignored"
    ]


@pytest.mark.parametrize("operation", ["DescribeLogStreams", "GetLogEvents", "DescribeSubnets"])
def test_a_denied_call_is_reported(operation: str) -> None:
    denied = SmProxyError("access-denied", f"{operation} is denied", "ask")
    assert refused(working(**{operation: denied})) is denied


def test_a_starting_job_is_waited_for(clock: Clock) -> None:
    states = [
        description("Starting"),
        description("Starting"),
        description("Downloading"),
        description(),
    ]
    reported: list[str] = []
    aws = working(
        DescribeTrainingJob=states,
        GetLogEvents=[events(), events(), events("x"), events(marker_line())],
    )
    assert resolved(aws, wait=900, on_status=reported.append).address == "10.0.1.5"
    assert reported == [
        "waiting for my-job: Starting",
        "waiting for my-job: Downloading",
        "waiting for my-job: Training",
    ]
    assert all(2 <= pause <= 4 for pause in clock.slept)
    assert aws.operations().count("DescribeSubnets") == 1
    assert len(set(clock.slept)) > 1  # jitter


def test_the_wait_ends_at_its_deadline(clock: Clock) -> None:
    aws = working(DescribeTrainingJob=description("Pending"))
    error = refused(aws, wait=60)
    assert error.code == "wait-timeout"
    assert "Pending" in error.message
    assert sum(clock.slept) == pytest.approx(60)


@pytest.mark.parametrize("wait", [0.5, 1, 3.5])
def test_a_short_wait_lasts_to_its_end(wait: float, clock: Clock) -> None:
    aws = working(DescribeTrainingJob=[description("Pending"), description()])
    assert resolved(aws, wait=wait).address == "10.0.1.5"
    assert 0 < sum(clock.slept) <= wait


def test_a_job_that_ends_ends_the_wait_at_once(clock: Clock) -> None:
    aws = working(
        DescribeTrainingJob=[
            description("Starting"),
            description("Failed", "Failed", FailureReason="no image"),
        ]
    )
    error = refused(aws, wait=900)
    assert (error.code, "no image" in error.message) == ("job-failed", True)
    assert len(clock.slept) == 1


LONG_AGO = {"Status": "Training", "StartTime": datetime.now(timezone.utc) - timedelta(hours=3)}
AHEAD = {"Status": "Training", "StartTime": datetime.now(timezone.utc) + timedelta(minutes=9)}
SILENT = "the log of my-job/algo-1 names no address yet"
PULLING = {"StatusMessage": "Downloading the training image."}


@pytest.mark.parametrize("began", [LONG_AGO, AHEAD], ids=["long-ago", "by-another-clock"])
@pytest.mark.parametrize("silence", [events(), events("epoch 1")], ids=["empty", "other-lines"])
def test_a_log_without_an_address_is_waited_for(
    began: dict[str, Any], silence: Any, clock: Clock
) -> None:
    job = description(SecondaryStatusTransitions=[{**began, **PULLING}])
    begun = clock.now

    def log(**_: Any) -> Any:
        return events(marker_line()) if clock.now - begun > 600 else silence

    reported: list[str] = []
    aws = working(DescribeTrainingJob=job, GetLogEvents=log)
    assert resolved(aws, wait=900, on_status=reported.append).port == 2222
    way = "If its image has no sm-proxy entrypoint: sm-proxy enable-remote-debug sm-my-job"
    assert reported == [
        "waiting for my-job: Training",
        f"{SILENT}; waiting, because the job is Training (Downloading the training image). {way}",
    ]


@pytest.mark.parametrize("wait", [5, 300, 900])
def test_a_log_that_never_has_an_address_ends_with_wait_timeout(wait: int, clock: Clock) -> None:
    aws = working(
        DescribeTrainingJob=description(SecondaryStatusTransitions=[{**LONG_AGO, **PULLING}]),
        DescribeLogStreams=streams(),
    )
    error = refused(aws, wait=wait)
    assert error.code == "wait-timeout"
    assert sum(clock.slept) == pytest.approx(wait)
    assert "Training (Downloading the training image)" in error.message
    assert "entrypoint" in error.hint
    assert len(clock.slept) < 110  # each look reads the log again


def test_without_a_wait_a_log_without_an_address_fails_at_once(clock: Clock) -> None:
    for began in (LONG_AGO, AHEAD):
        job = description(SecondaryStatusTransitions=[{**began, **PULLING}])
        error = refused(working(DescribeTrainingJob=job, GetLogEvents=events("x")), fresh=True)
        assert (error.code, clock.slept) == ("no-address", [])
        assert "Downloading the training image" in error.message


def test_a_job_that_ends_without_an_address_ends_the_wait(clock: Clock) -> None:
    alive = description(SecondaryStatusTransitions=[LONG_AGO])
    over = description("Failed", "Failed", FailureReason="no image")
    aws = working(DescribeTrainingJob=[alive] * 9 + [over], GetLogEvents=events("x"))
    assert refused(aws, wait=900).code == "job-failed"
    assert len(clock.slept) == 9


@pytest.mark.parametrize(("behind", "source"), [(IP_ADDR[1], "ip-addr"), (marker_line(), "marker")])
def test_the_rest_of_partial_output_is_waited_for(behind: str, source: str, clock: Clock) -> None:
    begun = clock.now

    def log(**_: Any) -> Any:
        return events(IP_ADDR[0], *[behind] * (clock.now - begun > 30))

    assert resolved(working(GetLogEvents=log), wait=60).source == source
    aws = working(GetLogEvents=events(IP_ADDR[0]))
    assert refused(aws, wait=60, fresh=True).code == "address-refused"


@pytest.mark.parametrize("kind", ["processing", "transform", "endpoint"])
def test_other_kinds_of_jobs_are_waited_for_too(
    kind: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = description(SecondaryStatusTransitions=[LONG_AGO])
    job = training.describe(FakeAws(DescribeTrainingJob=answer), JOB)
    monkeypatch.setattr(kinds.of(kind), "describe", lambda *_: replace(job, kind=kind))  # type: ignore[type-var]
    aws = working(DescribeLogStreams=streams())
    assert refused(aws, f"sm-my-job.{kind}").code == "no-address"
    assert refused(aws, f"sm-my-job.{kind}", wait=300).code == "wait-timeout"
    assert sum(clock.slept) == pytest.approx(300)


def test_after_a_wait_the_hint_names_a_longer_one() -> None:
    for job in (description("Pending"), description()):
        aws = working(DescribeTrainingJob=job, GetLogEvents=events())
        hint = refused(aws, wait=60, fresh=True).hint
        assert "sm-proxy wait sm-my-job --timeout 2m (ssh: SM_PROXY_WAIT=2m)" in hint
        assert "--wait" not in hint
        assert "sm-proxy wait sm-my-job" in refused(aws, fresh=True).hint


def test_an_error_during_the_wait_is_raised() -> None:
    aws = working(
        DescribeTrainingJob=[description("Starting"), SmProxyError("network", "down", "check")]
    )
    assert refused(aws, wait=900).code == "network"
