"""The role of jobs, and the policies for people."""

from __future__ import annotations

from typing import Any, Final

from sm_proxy.infra import policies
from sm_proxy.infra.parts.resource import Resources, ref, resource, substituted
from sm_proxy.infra.plan import Plan

_PEOPLE: Final = {
    "UserPolicy": ("user", "sm-proxy: ssh into jobs"),
    "LauncherPolicy": ("launcher", "sm-proxy: start jobs and build images"),
}


def resources(plan: Plan) -> Resources:
    """The role that jobs may have; policies to attach to users, groups or permission sets."""
    scope = policies.Scope.of_template(plan.data_buckets)
    found: Resources = {
        "JobRole": role(
            {"Service": "sagemaker.amazonaws.com"}, substituted(policies.document("job", scope))
        )
    }
    for name, (piece, text) in _PEOPLE.items():
        found[name] = resource(
            "IAM::ManagedPolicy",
            {
                "Description": text,
                "PolicyDocument": substituted(policies.document_of_stack(piece, scope)),
            },
        )
    return found


def role(
    principal: dict[str, str], document: dict[str, Any], *, guarded: bool = True
) -> dict[str, Any]:
    """A role for one service, with one policy.

    Args:
        principal: the service.
        document: the policy.
        guarded: whether the service must act for this account (the confused deputy problem).
    """
    trust: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": principal,
        "Action": "sts:AssumeRole",
    }
    if guarded:
        trust["Condition"] = {"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}}
    return resource(
        "IAM::Role",
        {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": [{"PolicyName": "sm-proxy", "PolicyDocument": document}],
        },
    )
