"""Which space a host name means: the exact name first, and the own one on a clash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import lookup
from sm_proxy.jobs.hostname import parse
from sm_proxy.jobs.kinds import _space_choice
from sm_proxy.local import paths
from tests.fakes import FakeAws
from tests.jobs.studio_account import DENIED, Space, Studio

LISTS = ["ListSpaces"]
DESCRIBED = ["DescribeSpace", "DescribeApp"]


@pytest.fixture(autouse=True)
def _outside_of_studio(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(paths, "SAGEMAKER_METADATA", str(tmp_path / "metadata.json"))


def found(aws: FakeAws, host: str) -> tuple[str, str, list[str]]:
    messages: list[str] = []
    job = lookup.find(aws, parse(host, "sm-"), messages.append)
    return job.name, job.place, messages


def refused(aws: FakeAws, host: str) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        found(aws, host)
    assert caught.value.line.isprintable()
    return caught.value


def test_an_exact_name_needs_one_list_and_two_descriptions() -> None:
    aws = Studio(Space("lab"), Space("lab-2"), Space("Lab"))
    assert found(aws, "sm-lab.space") == ("lab", "d-one", [])
    assert aws.asked == [*LISTS, *DESCRIBED]
    assert found(Studio(*aws.spaces), "sm-Lab.space") == ("Lab", "d-one", [])


def test_a_name_with_its_domain_needs_no_list() -> None:
    aws = Studio(Space("lab"), Space("lab", "d-two", "bob"), ListSpaces=DENIED)
    assert found(aws, "sm-lab.d-two.space") == ("lab", "d-two", [])
    assert aws.asked == DESCRIBED


def test_a_name_is_found_on_any_page() -> None:
    aws = Studio(*(Space(f"lab-{number}") for number in range(250)), Space("lab", age_h=9))
    assert found(aws, "sm-lab.space")[:2] == ("lab", "d-one")
    assert aws.asked == [*LISTS * 3, *DESCRIBED]


def test_the_own_space_wins_a_clash_whether_it_runs_or_not() -> None:
    aws = Studio(Space("lab", "d-two", "bob"), Space("lab", "d-one", "Jane", app=""))
    name, domain, messages = found(aws, "sm-lab.space")
    assert (name, domain) == ("lab", "d-one")
    expected = "the one of user profile Jane; there is also sm-lab.d-two.space"
    assert messages == [f"sm-lab.space is sm-lab.d-one.space, {expected}"]
    assert aws.asked == [*LISTS, "GetCallerIdentity", *DESCRIBED]


def test_a_clash_of_others_is_ambiguous() -> None:
    spaces = Space("lab", "d-two", "bob"), Space("lab", "d-one", "eve\x1b[2J")
    error = refused(Studio(*spaces), "sm-lab.space")
    assert error.code == "job-ambiguous"
    assert "sm-lab.d-two.space (bob)" in error.message
    assert "sm-lab.d-one.space (eve" in error.message


def test_two_own_spaces_of_one_name_are_ambiguous() -> None:
    error = refused(Studio(Space("lab"), Space("lab", "d-two")), "sm-lab.space")
    assert error.code == "job-ambiguous"


def test_without_sts_a_clash_is_ambiguous() -> None:
    spaces = Space("lab"), Space("lab", "d-two", "bob")
    assert refused(Studio(*spaces, GetCallerIdentity=DENIED), "sm-lab.space").code == (
        "job-ambiguous"
    )


def test_in_studio_the_terminals_own_domain_wins() -> None:
    Path(paths.SAGEMAKER_METADATA).write_text(json.dumps({"DomainId": "d-two"}))
    aws = Studio(Space("lab"), Space("lab", "d-two", "bob"))
    assert found(aws, "sm-lab.space")[:2] == ("lab", "d-two")
    assert "GetCallerIdentity" not in aws.asked


@pytest.mark.parametrize(
    ("caller", "owner"),
    [
        ("user/team/jane", "jane"),
        ("assumed-role/SageMaker/jane.doe@example.com", "jane-doe"),
        ("assumed-role/Admin/Jane.Doe@example.com", "jane-doe-example-com"),
    ],
)
def test_the_callers_name_leads_to_the_profile(caller: str, owner: str) -> None:
    aws = Studio(Space("lab", "d-two", "bob"), Space("lab", "d-one", owner), caller=caller)
    assert found(aws, "sm-lab.space")[1] == "d-one"


@pytest.mark.parametrize("name", ["", "root", "jane", "-"])
def test_no_name_leads_to_a_space_without_owner(name: str) -> None:
    assert "" not in _space_choice.profile_names(name)


def test_a_name_in_another_case_means_the_only_space() -> None:
    aws = Studio(Space("My-Lab"))
    name, domain, messages = found(aws, "sm-my-lab.space")
    assert (name, domain) == ("My-Lab", "d-one")
    assert messages == ["sm-my-lab.space is sm-My-Lab.d-one.space"]
    assert aws.asked == [*LISTS * 2, *DESCRIBED]


def test_a_beginning_means_the_newest_that_runs() -> None:
    aws = Studio(
        Space("lab-new", app="", age_h=1),
        Space("lab-old", age_h=3),
        Space("lab-mid", age_h=2),
        Space("a-lab"),
        Space("lab-closed", remote="DISABLED", age_h=1),
        Space("lab-starts", app="Pending", age_h=0),
    )
    name, _, messages = found(aws, "sm-lab.space")
    assert name == "lab-mid"
    assert messages == ["sm-lab.space is sm-lab-mid.d-one.space, the newest of 5"]
    assert aws.asked == [*LISTS, "ListApps", *DESCRIBED]


def test_a_beginning_means_a_starting_space_if_no_space_runs() -> None:
    aws = Studio(Space("lab-a", app=""), Space("lab-b", app="Pending"))
    assert found(aws, "sm-la.space")[0] == "lab-b"


def test_stopped_spaces_of_a_beginning_are_ambiguous() -> None:
    error = refused(Studio(Space("lab-a", app=""), Space("lab-b", app="")), "sm-la.space")
    assert error.code == "job-ambiguous"
    assert "sm-lab-a.d-one.space (jane), sm-lab-b.d-one.space (jane)" in error.message


def test_a_beginning_never_means_another_users_space() -> None:
    own, other = Space("lab-mine", app=""), Space("lab-bobs", owner="bob")
    assert found(Studio(own, other), "sm-lab.space")[0] == "lab-mine"
    error = refused(Studio(own, other, caller="user/eve"), "sm-lab.space")
    assert error.code == "job-ambiguous"


def test_without_the_list_of_apps_a_beginning_is_ambiguous() -> None:
    error = refused(Studio(Space("lab-a"), Space("lab-b"), ListApps=DENIED), "sm-lab.space")
    assert error.code == "job-ambiguous"
    assert DENIED.message in error.message


def test_a_beginning_within_a_domain_stays_there() -> None:
    aws = Studio(Space("lab-a", "d-two"), Space("lab-b"))
    assert found(aws, "sm-lab.d-two.space")[:2] == ("lab-a", "d-two")
    assert aws.asked == ["DescribeSpace", *LISTS, *DESCRIBED]


def test_latest_is_the_own_space_that_started_last() -> None:
    aws = Studio(
        Space("bobs", owner="bob", age_h=0),
        Space("closed", remote="DISABLED", age_h=0),
        Space("old", age_h=5),
        Space("new", "d-two", age_h=2),
        Space("stopped", app="", age_h=1),
    )
    assert found(aws, "sm-latest.space")[:2] == ("new", "d-two")
    assert found(aws, "sm-latest.d-one.space")[:2] == ("old", "d-one")


def test_a_space_may_be_called_latest() -> None:
    assert found(Studio(Space("latest", owner="bob")), "sm-latest.space")[0] == "latest"


def test_latest_names_what_is_missing() -> None:
    error = refused(Studio(Space("lab", app="")), "sm-latest.space")
    assert (error.code, "sm-proxy start sm-lab.d-one.space" in error.hint) == (
        "job-not-found",
        True,
    )
    error = refused(Studio(Space("lab"), caller="user/eve"), "sm-latest.space")
    assert (error.code, "belongs to a profile named like you: eve" in error.message) == (
        "job-not-found",
        True,
    )
    error = refused(Studio(Space("lab"), GetCallerIdentity=DENIED), "sm-latest.space")
    assert (error.code, "STS" in error.message) == ("job-not-found", True)


def test_a_name_that_is_wrong_suggests_near_ones() -> None:
    error = refused(Studio(Space("data-lab"), Space("other")), "sm-date-lab.space")
    assert error.code == "job-not-found"
    assert "Did you mean `sm-data-lab.space`?" in error.hint
    assert "there is no Studio space date-lab in eu-west-1" in error.message


def test_a_domain_without_that_space_is_named() -> None:
    for aws in (Studio(), Studio(ListSpaces=DENIED)):
        error = refused(aws, "sm-lab.d-two.space")
        assert error.code == "job-not-found"
        assert "in domain d-two, eu-west-1" in error.message
        assert ("sagemaker:ListSpaces) is denied" in error.message) is (
            aws._answers["ListSpaces"] is DENIED
        )


def test_a_denied_list_names_the_way_without_it() -> None:
    error = refused(Studio(Space("lab"), ListSpaces=DENIED), "sm-lab.space")
    assert error.code == "access-denied"
    assert "sagemaker:ListSpaces" in error.message
    assert "host name, no list is needed: sm-lab.<domain-id>.space" in error.hint
