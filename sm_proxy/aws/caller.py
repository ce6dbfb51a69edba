"""Whose the credentials are: STS says so, and nothing on the way to a container needs to know."""

from __future__ import annotations

from dataclasses import dataclass

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError


@dataclass(frozen=True)
class Caller:
    """Who AWS takes us for.

    Attributes:
        arn: None where STS does not say.
        account: likewise.
        unknown: why it does not say.
    """

    arn: str | None
    account: str | None
    unknown: str = ""


def identify(aws: Aws) -> Caller:
    """Get the credentials, and ask STS whose they are.

    A network without a way to STS, or a policy against it, keeps nobody from a container.

    Raises:
        SmProxyError: there are no credentials, or AWS does not take them.
    """
    aws.ensure_credentials()
    try:
        answer = aws.call("sts", "GetCallerIdentity")
        return Caller(str(answer["Arn"]), str(answer["Account"]))
    except ServiceError as error:
        return Caller(None, None, str(error))
    except SmProxyError as error:
        if error.code in {"no-credentials", "expired-credentials"}:
            raise
        return Caller(None, None, error.message)
