"""Which policy AWS says has denied a call, and who can mend that.

The texts are those of the IAM User Guide ("Troubleshoot access denied error messages"): "because no
<policy> allows the <action> action", or "with an explicit deny in a <policy>".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_REASON: Final = re.compile(
    r"(?P<deny>explicit deny)(?: in (?:an?|the) (?P<by>[\w -]*?(?:polic(?:y|ies)|boundary)))?"
    r"|\bno (?P<without>[\w -]*?(?:polic(?:y|ies)|boundary)) allows?\b"
)
_ACTION: Final = re.compile(r"not authorized to perform:? ([a-z0-9-]+:\w+)")
_RESOURCE: Final = re.compile(r"\bon resource:? \"?(arn:[^\s\"]+)")
_PERMISSION_SET: Final = re.compile(r"assumed-role/AWSReservedSSO_([\w+=,.@-]+)_[0-9a-f]{16}/")
"""The role that IAM Identity Center makes of a permission set: IAM refuses to change it."""
_KMS: Final = re.compile(r"\bkms:|customer master key|KMS key")
_ENCRYPTED: Final = {"logs": "The log group is", "s3": "The bucket is", "kms": "Sessions are"}
"""What a key keeps from us, by the service that was called; of KMS itself we ask for sessions."""
_WRONG_CODE: Final = "MultiFactorAuthentication failed"

_OTHERS: Final = (
    (
        "service control polic",
        (
            "A service control policy (SCP) of the AWS organization decides, whatever IAM policies"
            " say: ask those who administer the organization to {change} there."
        ),
    ),
    (
        "resource control polic",
        (
            "A resource control policy (RCP) of the AWS organization decides, whatever IAM policies"
            " say: ask those who administer the organization to {change} there."
        ),
    ),
    (
        "boundary",
        (
            "The permissions boundary of this user or role decides, whatever its policies say: ask"
            " those who administer IAM to {change} in the boundary."
        ),
    ),
    (
        "session polic",
        (
            "The session has a policy of its own, given when the role was assumed: have whatever"
            " makes these sessions {change} in it, or take another profile with --profile."
        ),
    ),
    (
        "endpoint polic",
        (
            "The policy of the VPC endpoint that the call goes through decides: ask those who run"
            " that network to {change} in the endpoint policy, or call from another network."
        ),
    ),
)
"""Policies that no IAM policy of the caller's can outdo, by a piece of AWS's name for them."""


@dataclass(frozen=True)
class _Denial:
    """What AWS's words tell; the action may be another than the call's, one that it takes."""

    action: str
    resource: str
    policy: str
    explicit: bool
    words: str

    @property
    def where(self) -> str:
        """The resource, where a caller could not guess it: doctor asks for a job that is none."""
        guessed = self.action.startswith(("sagemaker:", "logs:")) or not self.resource
        return "" if guessed else f" on {self.resource}"

    @property
    def change(self) -> str:
        """What has to be done to the policy."""
        verb = "lift the Deny of" if self.explicit else "allow"
        return f"{verb} {self.action}{self.where}"

    @property
    def own_policy(self) -> str:
        """Where the caller's own permissions are written."""
        if found := _PERMISSION_SET.search(self.words):
            return f"the permission set {found[1]} of IAM Identity Center"
        return "the IAM policy of these credentials"


def remedy(message: str, action: str) -> str:
    """What mends a denial, and who can do it.

    Args:
        message: of the service.
        action: that was called, such as `sagemaker:DescribeTrainingJob`.
    """
    denial = _parsed(message, action)
    if _WRONG_CODE in message:
        return "Try again with the device's next code; check that it is the device of mfa_serial."
    for piece, words in _OTHERS:
        if piece in denial.policy:
            return words.format(change=denial.change)
    if _KMS.search(message):
        return _kms(denial, _ENCRYPTED.get(action.partition(":")[0], "What is asked for is"))
    if denial.action.startswith("sts:AssumeRole"):
        return _trust(denial)
    if denial.policy.startswith("resource"):
        return f"The resource has a policy of its own: ask its owner to {denial.change} there."
    return _own(denial)


def _parsed(message: str, action: str) -> _Denial:
    words = " ".join(message.split())
    denied, resource = _ACTION.search(words), _RESOURCE.search(words)
    reason = _REASON.search(words)
    return _Denial(
        denied[1] if denied else action,
        resource[1] if resource else "",
        ((reason["by"] or reason["without"] or "") if reason else "").lower(),
        bool(reason and reason["deny"]),
        words,
    )


def _kms(denial: _Denial, what: str) -> str:
    action = denial.action if denial.action.startswith("kms:") else "kms:Decrypt"
    key = denial.resource or "a KMS key of your organization's"
    verb = "the Deny of it lifted" if denial.explicit else "it allowed"
    return (
        f"{what} encrypted with {key}, and that takes {action}: have {verb}"
        f" in the policy of the key and in {denial.own_policy}."
    )


def _trust(denial: _Denial) -> str:
    """A role's trust policy has to agree as well; AWS does not always say which does not."""
    owner = "ask the role's owner to {} for this caller in the role's trust policy"
    if "trust" in denial.policy or denial.action != "sts:AssumeRole":
        return f"The role decides who may assume it: {owner.format(denial.change)}."
    if denial.policy.startswith("identity"):
        return _own(denial)
    return f"Have it allowed in {denial.own_policy}, and {owner.format(denial.change)}."


def _own(denial: _Denial) -> str:
    if not denial.explicit:
        return f"Have {denial.action} allowed{denial.where} in {denial.own_policy}."
    if denial.policy:
        return (
            f"{denial.own_policy[:1].upper()}{denial.own_policy[1:]} denies it, and another Allow"
            f" does not help: ask those who administer it to {denial.change} there."
        )
    return (
        "Some policy denies it (an IAM policy, a boundary, an SCP), and another Allow does not"
        f" help: ask those who administer the account to {denial.change}."
    )
