"""Ask STS who owns the credentials. Connecting to a container does not need this."""

from __future__ import annotations

from dataclasses import dataclass

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError


@dataclass(frozen=True)
class Caller:
    """The owner of the credentials.

    Attributes:
        arn: None if STS did not answer.
        account: the account's id; None if STS did not answer.
        unknown: why STS did not answer; else empty.
    """

    arn: str | None
    account: str | None
    unknown: str = ""


def identify(aws: Aws) -> Caller:
    """Get the credentials, and ask STS who owns them.

    A failure of STS itself (no route, a policy) is reported in `unknown`: ssh works without STS.

    Raises:
        SmProxyError: there are no credentials, or AWS does not accept them.
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
