"""Security Token Service: sessions of roles, and who the caller is."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from sm_proxy_lab.aws import denial
from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.aws.http.errors import NAMESPACES, AwsError, Reply
from sm_proxy_lab.aws.http.identity import Identity
from sm_proxy_lab.aws.iam import policies
from sm_proxy_lab.aws.iam.needs import Need

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.iam.authorization import Authorization
    from sm_proxy_lab.aws.iam.principals import Principals
    from sm_proxy_lab.aws.iam.roles import Roles

_TRUST: Final = "role trust policy"
_LIFE_S: Final = "3600"
_ROLE: Final = re.compile(r"arn:[\w-]+:iam::\d{12}:role/.+")


class Sts:
    """The operations of STS that the lab has itself; moto has the others.

    A role that the account does not have can be assumed too, by any caller with the permission: the
    session is an administrator's. So a profile with a role needs no role.
    """

    def __init__(self, roles: Roles, principals: Principals, authorization: Authorization) -> None:
        self._roles = roles
        self._principals = principals
        self._authorization = authorization
        self.operations = {"AssumeRole": self._assume, "GetCallerIdentity": self._identify}

    def _assume(self, call: Call) -> Reply:
        arn, name = (str(call.params.get(key, "")) for key in ("RoleArn", "RoleSessionName"))
        if not _ROLE.fullmatch(arn):
            raise AwsError("ValidationError", f"{arn} is invalid")
        role = self._roles.find(call.partition, arn)
        if role is None:
            self._authorization.require(call, Need(call.action, arn))
        else:
            self._check_trust(call, policies.parsed(role.assume_role_policy_document), name)
        narrowed = (str(call.params["Policy"]),) if "Policy" in call.params else ()
        keys = self._principals.assume(arn, name, narrowed, may_all=role is None)
        lasts = int(call.params.get("DurationSeconds", _LIFE_S))
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lasts))
        identity = self._principals.of(replace(call, access_key=keys.access_key))
        user_id = self._roles.user_id(identity)
        return _reply(
            call,
            f"<Credentials><AccessKeyId>{keys.access_key}</AccessKeyId>"
            f"<SecretAccessKey>{keys.secret_key}</SecretAccessKey>"
            f"<SessionToken>{keys.token}</SessionToken>"
            f"<Expiration>{until}</Expiration></Credentials>"
            f"<AssumedRoleUser><AssumedRoleId>{escape(user_id)}</AssumedRoleId>"
            f"<Arn>{escape(identity.arn)}</Arn></AssumedRoleUser>",
        )

    def _check_trust(self, call: Call, trust: dict[str, Any], session: str) -> None:
        """Refuse a caller whom the role does not trust.

        A role that trusts the caller's ARN needs no policy of the caller's; one that trusts the
        account needs one.

        Raises:
            AwsError: AccessDenied.
        """
        identity = call.identity or Identity(call.caller)
        context = {**self._authorization.about(call, identity), "sts:rolesessionname": (session,)}
        if "ExternalId" in call.params:
            context["sts:externalid"] = (str(call.params["ExternalId"]),)
        own = {identity.arn, identity.entity or self._roles.caller_arn(call.partition)}
        whole = {ACCOUNT, f"arn:{call.partition}:iam::{ACCOUNT}:root"}
        by_name = policies.trusts(trust, "AWS", own, context)
        by_account = policies.trusts(trust, "AWS", whole, context)
        if policies.EXPLICIT_DENY in {by_name, by_account}:
            raise denial.refusal(call, f"{_TRUST}: Deny")
        if by_account == policies.ALLOWED and by_name != policies.ALLOWED:
            self._authorization.require(call, Need(call.action, str(call.params["RoleArn"])))
        elif by_name != policies.ALLOWED:
            raise denial.refusal(call, _TRUST)

    def _identify(self, call: Call) -> Reply:
        identity = call.identity or Identity(call.caller)
        return _reply(
            call,
            f"<Arn>{escape(identity.arn)}</Arn>"
            f"<UserId>{escape(self._roles.user_id(identity))}</UserId>"
            f"<Account>{ACCOUNT}</Account>",
        )


def _reply(call: Call, content: str) -> Reply:
    name = call.operation
    text = (
        f'<{name}Response xmlns="{NAMESPACES["sts"]}"><{name}Result>{content}</{name}Result>'
        f"<ResponseMetadata><RequestId>{call.request_id}</RequestId></ResponseMetadata>"
        f"</{name}Response>"
    )
    return Reply(200, text.encode(), {"Content-Type": "text/xml"})
