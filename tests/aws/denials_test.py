"""AWS's message for a denial by each kind of policy, and the hint: who can change it."""

from __future__ import annotations

import pytest

from sm_proxy.aws import denials, errors
from sm_proxy.errors import SmProxyError

ACTION = "sagemaker:DescribeTrainingJob"
WHO = "User: arn:aws:sts::123456789012:assumed-role/Research/me"
JOB = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/j"
SAYS = f"{WHO} is not authorized to perform: {ACTION} on resource: {JOB} "
POLICY_ARN = "arn:aws:organizations::111122223333:policy/o-abc/service_control_policy/p-abc"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1"
ROLE = "arn:aws:iam::123456789012:role/r"
ASSUME = f"{WHO} is not authorized to perform: sts:AssumeRole on resource: {ROLE}"
IAM = f"Allow {ACTION} in the IAM policy of these credentials."


@pytest.mark.parametrize(
    ("reason", "part"),
    [
        (f"because no identity-based policy allows the {ACTION} action", IAM),
        ("", IAM),
        ("with an explicit deny in an identity-based policy", "The IAM policy of these"),
        ("with an explicit deny", "A policy denies it"),
        (f"because no service control policy allows the {ACTION} action", "(SCP)"),
        ("with an explicit deny in a service control policy", "(SCP)"),
        (f"with an explicit deny in a service control policy: {POLICY_ARN}", "(SCP)"),
        (f"because no resource control policy allows the {ACTION} action", "(RCP)"),
        ("with an explicit deny in a resource control policy", "(RCP)"),
        (f"because no permissions boundary allows the {ACTION} action", "boundary of this user"),
        ("with an explicit deny in a permissions boundary", "boundary of this user"),
        (f"because no session policy allows the {ACTION} action", "The session has its own policy"),
        ("with an explicit deny in a session policy", "The session has its own policy"),
        (f"because no VPC endpoint policy allows the {ACTION} action", "VPC endpoint"),
        ("with an explicit deny in a VPC endpoint policy", "VPC endpoint"),
        (
            f"because no resource-based policy allows the {ACTION} action",
            "The resource has its own policy",
        ),
        ("with an explicit deny in a resource-based policy", "The resource has its own policy"),
        ("with an\n  explicit deny in a service\n  control policy", "(SCP)"),
    ],
)
def test_each_kind_of_policy_has_its_hint(reason: str, part: str) -> None:
    hint = denials.remedy(SAYS + reason, ACTION)
    assert part in hint
    assert ACTION in hint
    assert ("lift the Deny of" in hint) is ("explicit" in reason)
    assert hint.endswith(".")
    assert (hint == IAM) is (part == IAM)


def test_a_permission_set_is_named_instead_of_iam() -> None:
    role = "assumed-role/AWSReservedSSO_Data-Scientist_0123456789abcdef/me@example.com"
    says = SAYS.replace("assumed-role/Research/me", role)
    for reason in (f"because no identity-based policy allows the {ACTION} action", ""):
        hint = denials.remedy(says + reason, ACTION)
        assert "the permission set Data-Scientist of IAM Identity Center" in hint
        assert "IAM policy" not in hint


@pytest.mark.parametrize(
    "words",
    [
        (
            f"{WHO} is not authorized to perform: kms:Decrypt on resource: {KEY} because no "
            "identity-based policy allows the kms:Decrypt action"
        ),
        (
            f"{WHO} is not authorized to perform: kms:Decrypt on resource: {KEY} because no "
            "resource-based policy allows the kms:Decrypt action"
        ),
        (
            f"{WHO} is not authorized to perform: kms:Decrypt on resource: {KEY} with an explicit "
            "deny in a resource-based policy"
        ),
        (
            f"{WHO} is not authorized to perform: kms:Decrypt on the resource associated with this "
            "ciphertext because the resource does not exist in this Region, no resource-based "
            "policies allow access, or a resource-based policy explicitly denies access"
        ),
        (
            "The ciphertext refers to a customer master key that does not exist, does not exist in "
            "this region, or you are not allowed to access."
        ),
    ],
)
def test_a_denied_kms_key_is_named(words: str) -> None:
    """Allowing the called action, logs:GetLogEvents, would not help."""
    hint = denials.remedy(words, "logs:GetLogEvents")
    assert "kms:Decrypt" in hint
    assert "policy of the key" in hint
    assert "logs:" not in hint
    assert (KEY in hint) is (KEY in words)


@pytest.mark.parametrize(
    ("called", "key_action", "what"),
    [
        ("logs:GetLogEvents", "kms:Decrypt", "The log group is encrypted"),
        ("kms:GenerateDataKey", "kms:GenerateDataKey", "Sessions are encrypted"),
        ("s3:PutObject", "kms:GenerateDataKey", "The bucket is encrypted"),
    ],
)
def test_the_hint_names_what_the_key_encrypts(called: str, key_action: str, what: str) -> None:
    words = f"{WHO} is not authorized to perform: {key_action} on resource: {KEY} because no "
    hint = denials.remedy(f"{words}identity-based policy allows the {key_action} action", called)
    assert hint.startswith(f"{what} with {KEY}, and that needs {key_action}")


def test_an_scp_that_denies_a_key_is_named() -> None:
    words = f"{WHO} is not authorized to perform: kms:Decrypt on resource: {KEY} with an explicit "
    hint = denials.remedy(f"{words}deny in a service control policy", "logs:GetLogEvents")
    assert "(SCP)" in hint
    assert f"kms:Decrypt on {KEY}" in hint


@pytest.mark.parametrize(
    ("words", "trust", "own"),
    [
        (ASSUME, True, True),
        (
            f"{ASSUME} because no identity-based policy allows the sts:AssumeRole action",
            False,
            True,
        ),
        (f"{ASSUME} because no role trust policy allows the sts:AssumeRole action", True, False),
        (f"{ASSUME} with an explicit deny in the role trust policy", True, False),
        ("Not authorized to perform sts:AssumeRoleWithWebIdentity", True, False),
    ],
)
def test_a_role_that_may_not_be_assumed_names_its_trust_policy(
    words: str, trust: bool, own: bool
) -> None:
    action = "sts:AssumeRoleWithWebIdentity" if "Web" in words else "sts:AssumeRole"
    hint = denials.remedy(words, action)
    assert ("trust policy" in hint) is trust
    assert ("the IAM policy of these credentials" in hint) is own


def test_a_wrong_mfa_code_blames_no_policy() -> None:
    words = "MultiFactorAuthentication failed with invalid MFA one time pass code. "
    hint = denials.remedy(words, "sts:AssumeRole")
    assert "next code" in hint
    assert "policy" not in hint


def test_a_denied_document_is_named_for_start_session() -> None:
    document = "arn:aws:ssm:eu-west-1::document/AWS-StartPortForwardingSessionToRemoteHost"
    words = (
        f"{WHO} is not authorized to perform: ssm:StartSession on resource: {document} because no"
        " identity-based policy allows the ssm:StartSession action"
    )
    assert f"Allow ssm:StartSession on {document} in" in denials.remedy(words, "ssm:StartSession")


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"])
def test_a_denial_has_the_hint(code: str) -> None:
    message = f"{SAYS}with an explicit deny in a service control policy"
    failure = errors.from_response({"Error": {"Code": code, "Message": message}}, ACTION, None)
    assert isinstance(failure, SmProxyError)
    assert (failure.code, failure.hint) == ("access-denied", denials.remedy(message, ACTION))


def test_a_quoted_resource_may_have_spaces() -> None:
    place = "arn:aws:s3:::bucket/run 1/a+b"
    message = (
        f'{WHO} is not authorized to perform: s3:GetObject on resource: "{place}" because no '
        "identity-based policy allows the s3:GetObject action"
    )
    assert f"s3:GetObject on {place} in the IAM policy" in denials.remedy(message, "s3:GetObject")


@pytest.mark.parametrize(
    ("called", "action"), [("s3:HeadObject", "s3:GetObject"), ("s3:ListObjectsV2", "s3:ListBucket")]
)
def test_a_call_without_an_action_of_its_name_needs_another(called: str, action: str) -> None:
    assert f"Allow {action} in" in denials.remedy("Forbidden", called)
