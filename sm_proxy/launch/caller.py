"""Who makes the calls to AWS: our own client, or one for a program that uses us as a library."""

from __future__ import annotations

from typing import TypeAlias

from botocore.session import Session

from sm_proxy.aws.clients import Aws

Caller: TypeAlias = Aws
"""The calls to AWS that launching needs."""


def of_session(session: Session) -> Caller:
    """Calls with the credentials, the region and the profile of another botocore session.

    A boto3 session has one as `_session`. Nothing of it is changed, and credentials that it renews
    are renewed here too.

    Raises:
        SmProxyError: the session's configuration is broken.
    """
    region = session.get_config_variable("region")
    return Aws(session.profile, region, credentials=session.get_credentials())
