"""Zones are the first usable ones by name, or those that the user names."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import zones
from tests.fakes import FakeAws


def zone(name: str, **changes: Any) -> dict[str, Any]:
    usual = {"State": "available", "ZoneType": "availability-zone", "OptInStatus": "opted-in"}
    return {"ZoneName": name, **usual, **changes}


def region(*names: str, others: tuple[dict[str, Any], ...] = ()) -> FakeAws:
    found = [*others, *map(zone, names)]
    return FakeAws(DescribeAvailabilityZones={"AvailabilityZones": found})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2", 2),
        ("6", 6),
        ("eu-west-1a,eu-west-1c", ("eu-west-1a", "eu-west-1c")),
        ("us-gov-west-1a, us-gov-west-1b", ("us-gov-west-1a", "us-gov-west-1b")),
        ("a,b,c", ("a", "b", "c")),
    ],
)
def test_zones_are_a_number_or_names(text: str, found: object) -> None:
    assert zones.parse(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1", "from 2 to 6"),
        ("7", "from 2 to 6"),
        ("", "from 2 to 6"),
        ("a", "from 2 to 6"),
        ("a,b,c,d,e,f,g", "from 2 to 6"),
        ("a,a", "differ"),
        ("use1-az1,a", "'use1-az1'"),
        ("3,4", "'3'"),
        ("²,a", "'²'"),
        ("\x1b[2J,a", "not"),
    ],
)
def test_anything_else_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        zones.parse(text)
    assert str(caught.value).isprintable()


def test_the_first_zones_by_name_are_taken() -> None:
    aws = region("eu-west-1c", "eu-west-1a", "eu-west-1b")
    assert zones.choose(aws, 2) == ("eu-west-1a", "eu-west-1b")


def test_zones_that_cannot_be_used_are_left_out() -> None:
    others = (
        zone("eu-west-1a", State="impaired"),
        zone("eu-west-1-lax-1a", ZoneType="local-zone"),
        zone("eu-west-1b", OptInStatus="not-opted-in"),
    )
    assert zones.choose(region("eu-west-1c", "eu-west-1d", others=others), 2) == (
        "eu-west-1c",
        "eu-west-1d",
    )


def test_an_answer_without_states_is_believed() -> None:
    bare = ({"ZoneName": "eu-west-1a"}, {"ZoneName": "eu-west-1b", "OptInStatus": None})
    assert zones.choose(region(others=bare), 2) == ("eu-west-1a", "eu-west-1b")


def test_named_zones_are_checked_and_sorted() -> None:
    aws = region("eu-west-1a", "eu-west-1b", "eu-west-1c")
    assert zones.choose(aws, ("eu-west-1c", "eu-west-1a")) == ("eu-west-1a", "eu-west-1c")
    assert zones.choose(aws, ("c", "a")) == ("eu-west-1a", "eu-west-1c")


@pytest.mark.parametrize(
    ("wanted", "message", "hint"),
    [
        (3, "no 3 availability zones: eu-west-1 has eu-west-1a, eu-west-1b", "--zones 2"),
        (("a", "e"), "is called eu-west-1e: eu-west-1 has eu-west-1a, eu-west-1b", "--zones"),
        (("us-east-1a", "a"), "us-east-1a is not in the region eu-west-1", "--region"),
        (("a", "eu-west-1a"), "named twice", "once"),
    ],
)
def test_zones_that_the_region_lacks_are_an_error(wanted: Any, message: str, hint: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        zones.choose(region("eu-west-1a", "eu-west-1b"), wanted)
    assert caught.value.code == "usage"
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_region_with_one_zone_is_no_place() -> None:
    with pytest.raises(SmProxyError) as caught:
        zones.choose(region("eu-west-1a"), 2)
    assert caught.value.hint == "Use another region."


def test_a_call_that_the_service_refuses_is_an_error_for_users() -> None:
    refused = ServiceError("Nonsense", "no", "ec2:DescribeAvailabilityZones")
    with pytest.raises(SmProxyError, match="Nonsense"):
        zones.choose(FakeAws(DescribeAvailabilityZones=refused), 2)


def test_zones_of_the_stack_come_first() -> None:
    aws = region("eu-west-1a", "eu-west-1b", "eu-west-1c", "eu-west-1d")
    before = ("eu-west-1a", "eu-west-1b", "eu-west-1d")
    assert zones.choose(aws, 4, before) == (*before, "eu-west-1c")
    assert zones.choose(aws, ("a", "b", "c", "d"), before) == (*before, "eu-west-1c")
    assert zones.choose(aws, 2, before) == zones.choose(aws, ("b", "a"), before) == before[:2]
    for exchanged in (("a", "b", "c"), ("a", "d"), ("b", "d")):
        with pytest.raises(SmProxyError, match="a zone cannot get the addresses of another"):
            zones.choose(aws, exchanged, before)
