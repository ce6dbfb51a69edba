"""Logs whose data protection policy replaces the container's address with asterisks."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy import resolver
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.hostname import parse
from sm_proxy.resolver import Container
from sm_proxy.settings import Settings
from tests.fakes import JOB, FakeAws, container, events, marker_line, working

STARS = "*" * 8
INET = "    inet 10.0.1.5/20 brd 10.0.15.255 scope global eth0"
HELPER = "SSH Helper Log IP: 10.0.1.5"
MASKS = {
    marker_line(): marker_line(addresses=[{"name": "eth0", "address": STARS, "prefix": 20}]),
    marker_line(user="x"): marker_line().replace("2222", "****"),
    INET: INET.replace("10.0.1.5", STARS).replace("10.0.15.255", STARS),
    HELPER: HELPER.replace("10.0.1.5", STARS),
}
DENIED = SmProxyError("access-denied", "logs:GetLogEvents is denied: logs:Unmask", "ask")


def account(line: str, masked: str, unmasked: str | SmProxyError) -> FakeAws:
    """An account whose log shows one line masked, and another one unmasked."""

    def log(*, unmask: bool = False, **_: Any) -> dict[str, Any]:
        if not unmask:
            return events(line, masked)
        if isinstance(unmasked, SmProxyError):
            raise unmasked
        return events(line, unmasked)

    return working(GetLogEvents=log)


def resolved(aws: FakeAws, settings: Settings | None = None, wait: int = 0) -> Container:
    return resolver.resolve(parse("sm-my-job", "sm-"), settings or Settings(), aws, wait=wait)


@pytest.mark.parametrize(("plain", "masked"), MASKS.items())
def test_a_masked_log_is_unmasked_if_permitted(plain: str, masked: str) -> None:
    aws = account("hello", masked, plain)
    assert resolved(aws).address == "10.0.1.5"
    asked = [parameters.get("unmask") for name, parameters in aws.calls if name == "GetLogEvents"]
    assert asked[-1] is True
    assert asked[0] is None


@pytest.mark.parametrize("wait", [0, 900])
@pytest.mark.parametrize("denied", [True, False])
@pytest.mark.parametrize("masked", MASKS.values())
def test_without_the_permission_the_error_names_it(masked: str, wait: int, *, denied: bool) -> None:
    with pytest.raises(SmProxyError) as caught:
        resolved(account("hello", masked, DENIED if denied else masked), wait=wait)
    assert caught.value.code == "no-address"
    assert "asterisks" in caught.value.message
    assert "logs:Unmask" in caught.value.hint
    assert "/aws/sagemaker/TrainingJobs" in caught.value.hint


def test_a_log_without_masking_is_read_once() -> None:
    aws = working()
    resolved(aws)
    assert aws.operations().count("GetLogEvents") == 1


def test_another_error_of_the_second_reading_is_raised() -> None:
    down = SmProxyError("network", "down", "check")
    with pytest.raises(SmProxyError) as caught:
        resolved(account("hello", next(iter(MASKS.values())), down))
    assert caught.value is down


def test_a_masked_host_key_is_refused() -> None:
    masked = marker_line(host_keys=[STARS])
    with pytest.raises(SmProxyError) as caught:
        resolved(account("hello", masked, DENIED))
    assert caught.value.code == "host-key-unknown"
    assert "logs:Unmask" in caught.value.hint
    asked = Settings(hosts={"sm-my-job": {"trust_first_use": True}})
    assert resolved(account("hello", masked, DENIED), asked).host_keys == ()


def test_a_masked_user_is_not_needed() -> None:
    found = resolved(account("hello", marker_line(user="****"), DENIED))
    assert found == container(user=None)


def test_one_unmasked_address_is_enough() -> None:
    lines = [{"address": STARS}, {"address": "10.0.1.5"}]
    found = resolved(account("hello", marker_line(addresses=lines), DENIED))
    assert (found.job, found.address) == (JOB, "10.0.1.5")


def test_a_masked_log_still_shows_the_containers_problems() -> None:
    masked = marker_line(addresses=[{"address": STARS}], port=0, problems=["no sshd in the image"])
    with pytest.raises(SmProxyError, match="no sshd in the image"):
        resolved(account("hello", masked, DENIED))
