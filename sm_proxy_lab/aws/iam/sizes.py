"""The sizes of policies, which moto does not check.

Source: IAM User Guide, "IAM and AWS STS quotas"; white space does not count.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.iam.roles import Roles

_MANAGED: Final = 6144
_TRUST: Final = 2048
_INLINE: Final = 10_240
"""Of all inline policies of a role together."""


def check(call: Call, roles: Roles) -> None:
    """Refuse a document that is too long.

    Raises:
        AwsError: LimitExceeded.
    """
    text, quota = str(call.params.get("PolicyDocument", "")), ""
    if call.operation in {"CreatePolicy", "CreatePolicyVersion"}:
        quota, most, size = f"PolicySize: {_MANAGED}", _MANAGED, _size(text)
    elif call.operation in {"CreateRole", "UpdateAssumeRolePolicy"}:
        trust = str(call.params.get("AssumeRolePolicyDocument", text))
        quota, most, size = f"ACLSizePerRole: {_TRUST}", _TRUST, _size(trust)
    elif call.operation == "PutRolePolicy":
        role = str(call.params.get("RoleName", ""))
        texts = {**roles.inline(call.partition, role), str(call.params.get("PolicyName")): text}
        if sum(map(_size, texts.values())) > _INLINE:
            words = f"Maximum policy size of {_INLINE} bytes exceeded for role {role}"
            raise AwsError("LimitExceeded", words, 409)
    if quota and size > most:
        raise AwsError("LimitExceeded", f"Cannot exceed quota for {quota}", 409)


def _size(document: str) -> int:
    return len(re.sub(r"\s", "", document))
