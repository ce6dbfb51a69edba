"""May this request to S3 be served?"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sm_proxy_lab.aws.http import s3_names
from sm_proxy_lab.aws.s3 import bucket_policy, buckets, signature

if TYPE_CHECKING:
    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.http.identity import Keys
    from sm_proxy_lab.aws.iam.authorization import Authorization


def check(call: Call, keys: Keys | None, authorization: Authorization, faults: Faults) -> None:
    """Check signature, permissions and region of a request.

    Args:
        call: the request.
        keys: the credentials with its access key; None if the key is unknown.
        authorization: judges by the policies of the caller.
        faults: may deny an action to all callers.

    Raises:
        AwsError: The refusal.
    """
    if not call.via:  # a service of the lab acts for its caller without the caller's secret
        signature.check(call, keys)
    for needed in _needed(call):
        faults.check_action(needed)
        authorization.check(needed)
    bucket_policy.check(call, buckets.check(call), authorization)


def _needed(call: Call) -> list[Call]:
    """The call, and for a copy the reading of its source."""
    source = call.headers.get("x-amz-copy-source")
    if not source:
        return [call]
    path = "/" + unquote(source.partition("?")[0]).lstrip("/")
    operation = s3_names.action("GET", path) or call.operation
    return [call, dataclasses.replace(call, method="GET", path=path, operation=operation)]
