"""Calls whose errors are all for the user, and answers in pages."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws import asking
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from tests.fakes import FakeAws

GONE = ServiceError("Gone", "it is gone", "ec2:DescribeVpcs")


def test_an_error_of_the_service_is_for_the_user() -> None:
    with pytest.raises(SmProxyError, match="it is gone") as caught:
        asking.ask(FakeAws(DescribeVpcs=GONE), "ec2", "DescribeVpcs")
    assert caught.value.code == "aws-error"


@pytest.mark.parametrize("token", ["NextToken", "nextToken"])
def test_pages_are_followed_to_the_last(token: str) -> None:
    def answer(**parameters: Any) -> dict[str, Any]:
        number = int(parameters.get(token, 0))
        assert parameters["Name"] == "x"
        return {"at": number, token: str(number + 1) if number < 2 else None}

    pages = asking.pages(FakeAws(ListTags=answer), "sagemaker", "ListTags", Name="x")
    assert [page["at"] for page in pages] == [0, 1, 2]


def test_a_page_that_leads_to_itself_is_the_last() -> None:
    aws = FakeAws(ListTags={"NextToken": "again"})
    assert len(list(asking.pages(aws, "sagemaker", "ListTags"))) == 2
