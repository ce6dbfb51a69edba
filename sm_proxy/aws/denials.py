"""Which policy has denied a call, according to AWS's message, and who can change that policy.

The IAM User Guide has the messages ("Troubleshoot access denied error messages"): "because no
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
_RESOURCE: Final = re.compile(r"\bon resource:? (?:\"(arn:[^\"]+)\"|(arn:[^\s\"]+))")
_PERMISSION_SET: Final = re.compile(r"assumed-role/AWSReservedSSO_([\w+=,.@-]+)_[0-9a-f]{16}/")
"""The role that IAM Identity Center makes from a permission set; it cannot be changed in IAM."""
_KMS: Final = re.compile(r"\bkms:|customer master key|KMS key")
_ENCRYPTED: Final = {"logs": "The log group is", "s3": "The bucket is", "kms": "Sessions are"}
"""What the key encrypts, by the service that was called; we call KMS for sessions only."""
_ACTIONS: Final = {
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:UploadPart": "s3:PutObject",
}
"""The action of a call that has another name (Amazon S3 User Guide, "Required permissions for
Amazon S3 API operations"). The answer to a HEAD request has no words that name it."""
WRONG_CODE: Final = "MultiFactorAuthentication failed"

_OTHERS: Final = (
    (
        "service control polic",
        (
            "A service control policy (SCP) of the AWS organization overrides IAM policies: ask"
            " the administrators of the organization to {change} there."
        ),
    ),
    (
        "resource control polic",
        (
            "A resource control policy (RCP) of the AWS organization overrides IAM policies: ask"
            " the administrators of the organization to {change} there."
        ),
    ),
    (
        "boundary",
        (
            "The permissions boundary of this user or role overrides its policies: ask the IAM"
            " administrators to {change} in the boundary."
        ),
    ),
    (
        "session polic",
        (
            "The session has its own policy, set when the role was assumed: the tool that creates"
            " these sessions must {change} in it. Or use another profile with --profile."
        ),
    ),
    (
        "endpoint polic",
        (
            "The policy of the VPC endpoint on the way denies it: ask the network's administrators"
            " to {change} in the endpoint policy, or use another network."
        ),
    ),
)
"""Policies that override the caller's IAM policies: part of AWS's name for them, and the hint."""


@dataclass(frozen=True)
class _Denial:
    """The parts of AWS's message. `action` may be another one that the call requires."""

    action: str
    resource: str
    policy: str
    explicit: bool
    words: str

    @property
    def where(self) -> str:
        """The resource, unless it is obvious; doctor calls SageMaker and logs for a dummy job."""
        guessed = self.action.startswith(("sagemaker:", "logs:")) or not self.resource
        return "" if guessed else f" on {self.resource}"

    @property
    def change(self) -> str:
        """The change to make in the policy."""
        verb = "lift the Deny of" if self.explicit else "allow"
        return f"{verb} {self.action}{self.where}"

    @property
    def own_policy(self) -> str:
        """Where the caller's own permissions are defined."""
        if found := _PERMISSION_SET.search(self.words):
            return f"the permission set {found[1]} of IAM Identity Center"
        return "the IAM policy of these credentials"


def remedy(message: str, action: str) -> str:
    """How to get a denied call allowed, and who can do it.

    Args:
        message: the service's error message.
        action: that was called, such as `sagemaker:DescribeTrainingJob`.
    """
    denial = _parsed(message, action)
    if WRONG_CODE in message:
        return "Try again with the device's next code; check that it is the device of mfa_serial."
    for piece, words in _OTHERS:
        if piece in denial.policy:
            return words.format(change=denial.change)
    if _KMS.search(message):
        return _kms(denial, _ENCRYPTED.get(action.partition(":")[0], "The data is"))
    if denial.action.startswith("sts:AssumeRole"):
        return _trust(denial)
    if denial.policy.startswith("resource"):
        return f"The resource has its own policy: ask its owner to {denial.change} there."
    return _own(denial)


def _parsed(message: str, action: str) -> _Denial:
    words = " ".join(message.split())
    denied, resource = _ACTION.search(words), _RESOURCE.search(words)
    reason = _REASON.search(words)
    return _Denial(
        denied[1] if denied else _ACTIONS.get(action, action),
        (resource[1] or resource[2]) if resource else "",
        ((reason["by"] or reason["without"] or "") if reason else "").lower(),
        bool(reason and reason["deny"]),
        words,
    )


def _kms(denial: _Denial, what: str) -> str:
    action = denial.action if denial.action.startswith("kms:") else "kms:Decrypt"
    key = denial.resource or "a KMS key of your organization"
    verb = "lift the Deny" if denial.explicit else "allow it"
    return (
        f"{what} encrypted with {key}, and that needs {action}: {verb}"
        f" in the policy of the key and in {denial.own_policy}."
    )


def _trust(denial: _Denial) -> str:
    """The hint for AssumeRole: the role's trust policy counts too, and AWS may not name it."""
    owner = "ask the role's owner to {} for this caller in the role's trust policy"
    if "trust" in denial.policy or denial.action != "sts:AssumeRole":
        return f"The role's trust policy decides: {owner.format(denial.change)}."
    if denial.policy.startswith("identity"):
        return _own(denial)
    return f"Allow it in {denial.own_policy}, and {owner.format(denial.change)}."


def _own(denial: _Denial) -> str:
    if not denial.explicit:
        return f"Allow {denial.action}{denial.where} in {denial.own_policy}."
    if denial.policy:
        return (
            f"{denial.own_policy[:1].upper()}{denial.own_policy[1:]} denies it, and another Allow"
            f" does not help: ask its administrators to {denial.change} there."
        )
    return (
        "A policy denies it (an IAM policy, a boundary, an SCP), and another Allow does not help:"
        f" ask the administrators of the account to {denial.change}."
    )
