"""Sign a URL with SigV4 in its query, for a websocket: browsers' way to sign, by botocore."""

from __future__ import annotations

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest

from sm_proxy.aws.clients import Aws


def sign(aws: Aws, service: str, url: str, valid_s: int) -> str:
    """The URL of a GET with its signature, which is a secret while it is valid.

    Args:
        aws: has the credentials and the region.
        service: the signing name, such as `ec2-instance-connect`.
        url: with its query.
        valid_s: how many seconds the signature is valid.

    Raises:
        SmProxyError: as `Aws.call`, for credentials.
    """
    request = AWSRequest(method="GET", url=url)
    SigV4QueryAuth(aws.keys(), service, aws.region, expires=valid_s).add_auth(request)
    return str(request.url)
