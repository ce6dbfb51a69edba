from __future__ import annotations

from datetime import datetime, timezone

import pytest

from sm_proxy.infra import events
from sm_proxy.infra.events import Event
from tests.infra.fake_cloudformation import FakeCloudFormation, begin, with_stack

NOW = datetime(2026, 11, 29, tzinfo=timezone.utc)


def failed(name: str, reason: str) -> Event:
    return Event(f"{name}-1", NOW, name, "AWS::EC2::VPC", "CREATE_FAILED", reason, of_stack=False)


def test_all_pages_of_the_operation_come_in_order() -> None:
    cloud = with_stack()
    found = events.of_operation(cloud.aws(), cloud.id)
    assert len(found) == len(cloud.events) > 10
    assert [event.at for event in found] == sorted(event.at for event in found)
    assert (found[0].status, found[-1].status) == ("CREATE_IN_PROGRESS", "CREATE_COMPLETE")
    assert found[0].of_stack
    assert not found[1].of_stack


def test_events_of_an_earlier_operation_are_left_out() -> None:
    cloud = with_stack()
    cloud.delete(StackName="sm-proxy")
    cloud.run()
    found = events.of_operation(cloud.aws(), cloud.id)
    assert {event.status for event in found} == {"DELETE_IN_PROGRESS", "DELETE_COMPLETE"}


def test_a_rollback_belongs_to_the_operation_that_failed() -> None:
    cloud = FakeCloudFormation()
    cloud.faults = {"JobGroup": "no"}
    begin(cloud)
    cloud.run()
    found = events.of_operation(cloud.aws(), cloud.id)
    assert (found[0].status, found[-1].status) == ("CREATE_IN_PROGRESS", "ROLLBACK_COMPLETE")


def test_only_what_is_newer_than_a_known_event_is_read() -> None:
    cloud = with_stack()
    known = events.newest(cloud.aws(), cloud.id)
    assert events.of_operation(cloud.aws(), cloud.id, known) == []
    cloud.delete(StackName="sm-proxy")
    assert [e.status for e in events.of_operation(cloud.aws(), cloud.id, known)] == [
        "DELETE_IN_PROGRESS"
    ]


def test_hostile_words_are_made_printable() -> None:
    cloud = FakeCloudFormation()
    cloud.faults = {"Vpc": "a\x1b[31m\nb"}
    begin(cloud)
    cloud.run()
    found = events.first_failure(events.of_operation(cloud.aws(), cloud.id))
    assert found is not None
    assert found.reason == "a\N{REPLACEMENT CHARACTER}[31m b"


def test_the_first_failure_is_the_one_that_others_follow_from() -> None:
    cancelled = failed("Vpc", "Resource creation cancelled")
    real = failed("NatGateway", "The maximum number of addresses has been reached.")
    assert events.first_failure([cancelled, real, failed("Bucket", "later")]) == real
    assert events.first_failure([cancelled]) == cancelled
    assert events.first_failure([]) is None


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        (
            (
                "User: arn:aws:iam::1:user/a is not authorized to perform: ec2:CreateVpc on"
                " resource: arn:aws:ec2:*:1:vpc/* because no identity-based policy allows the"
                " ec2:CreateVpc action"
            ),
            "Allow ec2:CreateVpc",
        ),
        ("The maximum number of addresses has been reached. (AddressLimitExceeded)", "quota"),
        ("You are not authorized to use launch template: lt-1 (AccessDenied)", "ec2:RunInstances,"),
        ("sm-proxy-1-eu-west-1 already exists", "--stack NAME"),
        (
            (
                "Your requested instance type (t4g.nano) is not supported in your requested"
                " Availability Zone (us-east-1e)."
            ),
            "--bastion-type t3.nano",
        ),
        ("Something else", "run the same command again"),
    ],
)
def test_the_error_names_the_resource_the_reason_and_what_to_do(reason: str, remedy: str) -> None:
    error = events.failure("sm-proxy", "ROLLBACK_COMPLETE", [failed("Thing", reason)])
    assert error.code == "stack-failed"
    assert "Thing (AWS::EC2::VPC) of the stack sm-proxy failed" in error.message
    assert reason in error.message
    assert remedy in error.hint


def test_without_a_failed_resource_the_stacks_own_reason_is_reported() -> None:
    error = events.failure("sm-proxy", "ROLLBACK_COMPLETE", [], "the user cancelled it")
    assert "ROLLBACK_COMPLETE: the user cancelled it" in error.message
