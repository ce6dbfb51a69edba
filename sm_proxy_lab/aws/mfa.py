"""Checks the codes of MFA devices: moto does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

_CHECKED = {"AssumeRole", "GetSessionToken"}
_MARK = ":mfa/"
_WRONG = "MultiFactorAuthentication failed with invalid MFA one time pass code. "
_SHAPE = (
    "1 validation error detected: Value '{}' at 'tokenCode' failed to satisfy constraint: Member "
    "must satisfy regular expression pattern: [\\d]*"
)


class Mfa:
    """Accepts any code of six digits except 000000, and each code once, as AWS does."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def check(self, call: Call) -> None:
        """Refuse a call to STS that names a device but has no valid code.

        Raises:
            AwsError: The error that STS answers.
        """
        if call.service != "sts" or call.operation not in _CHECKED:
            return
        if _MARK not in call.params.get("SerialNumber", ""):
            return
        code = call.params.get("TokenCode", "")
        if not code.isdecimal():
            raise AwsError("ValidationError", _SHAPE.format(code))
        if len(code) != 6 or code == "000000" or code in self._used:
            raise AwsError("AccessDenied", _WRONG, 403)
        self._used.add(code)
