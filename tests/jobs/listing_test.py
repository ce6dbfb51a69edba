from __future__ import annotations

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import listing
from tests.fakes import LISTS, Answers, FakeAws

DENIED = SmProxyError("access-denied", "denied", "ask")


def account(**changes: Answers) -> FakeAws:
    return FakeAws(**{**{name: {} for name in LISTS}, **changes})


def test_live_lists_only_jobs_that_have_not_ended() -> None:
    aws = account()
    assert listing.list_all(aws, print, live=True) == []
    asked = dict(aws.calls)
    found = {name: asked[name].get("StatusEquals") for name in LISTS}
    # An endpoint that is being updated goes on serving.
    assert found == {**dict.fromkeys(LISTS, "InProgress"), "ListEndpoints": None}
    aws = account()
    assert listing.list_all(aws, print) == []
    assert not any("StatusEquals" in parameters for _, parameters in aws.calls)


def test_a_denied_kind_is_reported_and_left_out() -> None:
    messages: list[str] = []
    assert listing.list_all(account(ListEndpoints=DENIED), messages.append) == []
    assert messages == ["left out: denied"]


def test_kinds_that_are_left_out_share_one_line() -> None:
    def denied(action: str) -> SmProxyError:
        return SmProxyError("access-denied", f"sagemaker:{action} is denied: it is: so", "ask")

    messages: list[str] = []
    unknown = ServiceError("UnknownOperation", "what?", "sagemaker:ListClusters").as_failure()
    aws = account(
        ListEndpoints=denied("ListEndpoints"), ListSpaces=denied("ListSpaces"), ListClusters=unknown
    )
    assert listing.list_all(aws, messages.append, asked=listing.EVERY) == []
    short = [f"sagemaker:List{name} is denied" for name in ("Endpoints", "Spaces")]
    long = "sagemaker:ListClusters: UnknownOperation: what?"
    assert messages == [f"left out: {'; '.join([*short, long])}"]


def test_an_error_that_may_pass_leaves_no_live_ones_out() -> None:
    """A round of `sync` must not remove hosts because of it; `list` still shows the jobs."""
    down = SmProxyError("aws-error", "down", "again", passing=True)
    aws = account(ListSpaces=down, ListClusters={})
    with pytest.raises(SmProxyError) as caught:
        listing.list_all(aws, print, live=True, asked=listing.EVERY)
    assert caught.value is down
    messages: list[str] = []
    assert listing.list_all(aws, messages.append, asked=listing.EVERY) == []
    assert messages == ["left out: down"]


def test_kinds_that_an_old_botocore_lacks_are_named() -> None:
    old = SmProxyError("unsupported", "botocore does not know sagemaker:ListSpaces", "update")
    messages: list[str] = []
    aws = account(ListSpaces=old, ListClusters={})
    assert listing.list_all(aws, messages.append, asked=listing.EVERY) == []
    assert messages == [
        "left out: Studio spaces, because botocore does not know sagemaker:ListSpaces"
    ]


@pytest.mark.parametrize("error", [DENIED, SmProxyError("network", "down")])
def test_without_any_list_the_denial_is_raised(error: SmProxyError) -> None:
    messages: list[str] = []
    with pytest.raises(SmProxyError) as caught:
        listing.list_all(account(**dict.fromkeys(LISTS, error)), messages.append)
    assert caught.value is error
    assert messages == []
