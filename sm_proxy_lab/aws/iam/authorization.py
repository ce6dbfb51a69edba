"""May the caller make this call? The administrator may; others, what their policies allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sm_proxy_lab.aws import denial
from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.aws.iam import needs, policies, request_tags

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.http.identity import Identity
    from sm_proxy_lab.aws.iam.needs import Need
    from sm_proxy_lab.aws.iam.roles import Roles

TagsOf = Callable[["Call", str], dict[str, str]]
"""The tags of the resource with an ARN."""
_SESSION: Final = "session policy"


class Authorization:
    """Judges calls by the policies of who makes them.

    Args:
        roles: the account's roles and users.
        tags: finds a resource's tags.
    """

    def __init__(self, roles: Roles, tags: TagsOf) -> None:
        self._roles = roles
        self._tags = tags

    def check(self, call: Call) -> None:
        """Refuse a call that needs a permission which its caller does not have.

        The permissions that it needs are noted in `call.needed`.

        Raises:
            AwsError: IAM's error.
        """
        if call.identity and call.identity.entity:
            for need in needs.of(call):
                self.require(call, need)

    def require(self, call: Call, need: Need) -> None:
        """Refuse a call whose caller does not have one permission.

        Raises:
            AwsError: IAM's error.
        """
        if call.identity and call.identity.entity:
            call.needed.append(need.action)
            self._check(call, call.identity, need)

    def _check(self, call: Call, identity: Identity, need: Need) -> None:
        context = self._context(call, identity, need)
        own = self._roles.documents(identity.entity)
        sets = {denial.IDENTITY: own}
        if identity.policies:
            given = enumerate(identity.policies)
            sets[_SESSION] = {str(number): policies.parsed(text) for number, text in given}
        for name, documents in sets.items():
            decided = policies.decide(documents, need.action, need.resource, context)
            if decided.outcome != policies.ALLOWED:
                explicit = ": Deny" if decided.outcome == policies.EXPLICIT_DENY else ""
                raise denial.refusal(call, name + explicit, need.resource, need.action)

    def _context(self, call: Call, identity: Identity, need: Need) -> dict[str, tuple[str, ...]]:
        context = self.about(call, identity) | dict(need.context)
        if need.new:
            tags = request_tags.of(call)
            context |= {f"aws:requesttag/{key}".lower(): (value,) for key, value in tags.items()}
            if tags:
                context["aws:tagkeys"] = tuple(tags)
        service = need.action.partition(":")[0]
        for key, value in self._tags(call, need.resource).items():
            for prefix in ("aws", service):
                context[f"{prefix}:resourcetag/{key}".lower()] = (value,)
        return context

    def about(self, call: Call, identity: Identity) -> dict[str, tuple[str, ...]]:
        """What the context says about the caller and the request, whatever is asked for."""
        context: dict[str, tuple[str, ...]] = {
            "aws:userid": (self._roles.user_id(identity),),
            "aws:principalarn": (self._entity(call, identity),),
            "aws:principalaccount": (ACCOUNT,),
            "aws:requestedregion": (call.region,),
            "aws:viaawsservice": (str(bool(call.via)).lower(),),
        }
        if identity.is_user:
            context["aws:username"] = (identity.name,)
        if call.via:
            services = call.via.split(",")
            context["aws:calledvia"] = tuple(f"{name}.amazonaws.com" for name in services)
        if "InstanceOSUser" in call.params:
            context["ec2:osuser"] = (str(call.params["InstanceOSUser"]),)
        return context

    def names(self, call: Call) -> set[str]:
        """The names by which a resource's policy may mean the caller, or the caller's account."""
        root = f"arn:{call.partition}:iam::{ACCOUNT}:root"
        identity = call.identity
        own = {identity.arn, self._entity(call, identity)} if identity else set()
        return {ACCOUNT, root} | own

    def _entity(self, call: Call, identity: Identity) -> str:
        """The ARN of the caller's role or user."""
        return identity.entity or self._roles.caller_arn(call.partition)
