"""Log in to an SSO profile by device code (RFC 8628) in any browser, without the AWS CLI.

botocore makes the calls. The token is saved where botocore, boto3 and the AWS CLI look for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from sm_proxy.aws import credentials, errors
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.local import private_files, waits

_DEVICE: Final = "urn:ietf:params:oauth:grant-type:device_code"
_SCOPE: Final = "sso:account:access"
"""The AWS CLI's default for `sso_registration_scopes`; it gives a refresh token."""
_SLOWER_S: Final = 5.0
"""Added to the pause between two polls from then on (RFC 8628, section 3.5)."""
_TEMPORARY: Final = {
    "AuthorizationPendingException": 0.0,
    "SlowDownException": _SLOWER_S,
    "InternalServerException": _SLOWER_S,
}
"""Errors after which polling goes on, and the seconds that each adds to the pause."""
_NO_PORTAL: Final = frozenset({"InvalidRequestException", "InvalidRequestRegionException"})
_POLL: Final = "sso-oidc:CreateToken"
_PAUSE_S: Final = (1.0, 60.0)
_CODE_LIFE_S: Final = (30.0, 1800.0)
"""Bounds for the service's values; a code usually lives 10 minutes."""
_YEAR_3000_S: Final = 32_503_680_000
"""Seconds after 1970: a larger number is not a date."""


@dataclass(frozen=True)
class Portal:
    """The access portal that the users of a profile log in to.

    Attributes:
        start_url: of the access portal.
        region: of IAM Identity Center, often another one than the jobs'.
        session_name: of the `sso-session` section; None if the profile itself has the settings.
        scopes: to register for; empty without an `sso-session`.
    """

    start_url: str
    region: str
    session_name: str | None = None
    scopes: tuple[str, ...] = ()

    @property
    def token_file(self) -> Path:
        """The file of the token, named as by `botocore.utils.SSOTokenLoader`."""
        name = hashlib.sha1((self.session_name or self.start_url).encode()).hexdigest()  # noqa: S324
        folder = os.path.expanduser("~/.aws/sso/cache")  # noqa: PTH111 - as botocore finds it
        return Path(folder) / f"{name}.json"


@dataclass(frozen=True)
class Invitation:
    """What the user needs to log in.

    Attributes:
        url: to open in a browser, on any machine.
        code: that the page must show.
        lasts_s: seconds until the code expires.
    """

    url: str
    code: str
    lasts_s: float


def portal_of(aws: Aws) -> Portal | None:
    """The portal of the profile or of its source profile; None if no SSO is configured.

    Raises:
        SmProxyError: `bad-setting`, a setting of the login is missing.
    """
    config = aws.session.full_config
    profile = credentials.login_profile(aws.session) or "default"
    own = config.get("profiles", {}).get(profile, {})
    name = own.get("sso_session")
    if name is None and "sso_start_url" not in own:
        return None
    found = own if name is None else config.get("sso_sessions", {}).get(name)
    if found is None:
        raise _misconfigured(f"AWS profile {profile} names an unknown sso-session {name}")
    where = f"AWS profile {profile}" if name is None else f"sso-session {name}"
    for key in ("sso_start_url", "sso_region"):
        if not isinstance(found.get(key), str):
            raise _misconfigured(f"{where} has no {key}")
    listed = str(found.get("sso_registration_scopes", _SCOPE)).split(",")
    scopes = tuple(scope.strip() for scope in listed if scope.strip()) if name else ()
    return Portal(found["sso_start_url"], found["sso_region"], name, scopes)


def log_in(aws: Aws, portal: Portal, invite: Callable[[Invitation], None]) -> None:
    """Get a token for a portal and save it. Waits until the user has confirmed the code.

    Args:
        aws: makes the calls.
        portal: to log in to.
        invite: shows the invitation to the user; called once.

    Raises:
        SmProxyError: `access-denied`, the user or an administrator refused; `wait-timeout`, nobody
            confirmed in time; `bad-permissions`, the token cannot be saved; or a call's error.
    """
    ask = _Oidc(aws.unsigned_client("sso-oidc", portal.region), portal)
    scopes = {"scopes": list(portal.scopes)} if portal.scopes else {}
    registered = ask("register_client", clientName="sm-proxy", clientType="public", **scopes)
    own = {name: _text(registered, name) for name in ("clientId", "clientSecret")}
    begun = ask("start_device_authorization", **own, startUrl=portal.start_url)
    url = "verificationUriComplete" if "verificationUriComplete" in begun else "verificationUri"
    lasts_s = _clamp(begun.get("expiresIn"), _CODE_LIFE_S)
    invitation = Invitation(_text(begun, url), _text(begun, "userCode"), lasts_s)
    invite(invitation)
    pause = _clamp(begun.get("interval"), _PAUSE_S)
    asked = {**own, "deviceCode": _text(begun, "deviceCode")}
    with waits.waiting("waiting for you to confirm the code", lasts_s):
        token = _await_token(ask, asked, invitation, pause)
    kept = {
        "startUrl": portal.start_url,
        "region": portal.region,
        "accessToken": _text(token, "accessToken"),
        "expiresAt": _timestamp(time.time() + _number(token, "expiresIn")),
        **own,
        "registrationExpiresAt": _timestamp(_number(registered, "clientSecretExpiresAt")),
    }
    if "refreshToken" in token:
        kept["refreshToken"] = _text(token, "refreshToken")
    _save_token(portal.token_file, kept)


@dataclass(frozen=True)
class _Oidc:
    """Calls of `sso-oidc`, whose errors follow OAuth."""

    client: BaseClient
    portal: Portal

    def __call__(self, operation: str, **parameters: Any) -> dict[str, Any]:
        action = f"sso-oidc:{operation.title().replace('_', '')}"
        try:
            answer: dict[str, Any] = getattr(self.client, operation)(**parameters)
        except ClientError as error:
            raise self._translate(error, action) from None
        except (BotoCoreError, ResponseParserError) as error:
            raise errors.from_botocore(error, action, None) or error from None
        except (ValueError, TypeError, OverflowError):  # raised by botocore's parsers
            raise _no_answer(f"response to {action}") from None
        return answer

    def _translate(self, error: ClientError, action: str) -> SmProxyError | ServiceError:
        details = error.response.get("Error", {})
        code, words = str(details.get("Code", "")), str(details.get("Message") or "")
        if code == "AccessDeniedException":
            return SmProxyError(
                "access-denied",
                f"the login was refused, in the browser or by an administrator: {words or code}",
                "Run the command again, and confirm the code that it shows.",
            )
        if code == "ExpiredTokenException":
            return _timed_out("the code has expired")
        if code in _NO_PORTAL and action != _POLL:
            where = f"{self.portal.start_url} in {self.portal.region}"
            return _misconfigured(f"there is no access portal {where}: {words or code}")
        if code in _TEMPORARY and action == _POLL:
            return ServiceError(code, words, action)
        found = errors.from_response(error.response, action, None)
        return found.as_failure() if isinstance(found, ServiceError) else found


def _await_token(
    ask: _Oidc, parameters: Mapping[str, Any], invitation: Invitation, pause: float
) -> dict[str, Any]:
    """Poll for the token until the user has confirmed; temporary errors do not end it."""
    until = time.monotonic() + invitation.lasts_s
    lost: SmProxyError | None = None
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        try:
            return ask("create_token", grantType=_DEVICE, **parameters)
        except ServiceError as error:
            lost, pause = None, pause + _TEMPORARY[error.error]
        except SmProxyError as error:
            if error.code != "network":
                raise
            lost, pause = error, pause + _SLOWER_S
    minutes = round(invitation.lasts_s / 60)
    raise lost or _timed_out(f"nobody confirmed the code {invitation.code} within {minutes} min")


def _timed_out(what: str) -> SmProxyError:
    return SmProxyError("wait-timeout", what, "Run the command again to get another code.")


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise _no_answer(name)
    return value


def _number(answer: Mapping[str, Any], name: str) -> float:
    value = answer.get(name)
    if not isinstance(value, int | float) or not 0 <= value < _YEAR_3000_S:
        raise _no_answer(name)
    return float(value)


def _no_answer(name: str) -> SmProxyError:
    return SmProxyError(
        "aws-error",
        f"IAM Identity Center has answered without a valid {name}",
        "Check whether a proxy or a login page answers in AWS's place.",
    )


def _save_token(path: Path, token: Mapping[str, Any]) -> None:
    try:
        # The AWS CLI's folder, which may be writable for a group on purpose.
        private_files.ensure_private_dir(path.parent)
        private_files.write_whole(path, json.dumps(token).encode())
    except OSError as error:
        raise SmProxyError(
            "bad-permissions",
            f"the login succeeded, but its token cannot be saved in {path}: "
            f"{error.strerror or error}",
            "Make that folder yours and writable, then run: sm-proxy login",
        ) from None


def _misconfigured(what: str) -> SmProxyError:
    return SmProxyError(
        "bad-setting", what, "Correct sso_start_url, sso_region and sso_session in ~/.aws/config."
    )


def _clamp(value: object, bounds: tuple[float, float]) -> float:
    least, most = bounds
    return min(max(float(value), least), most) if isinstance(value, int | float) else least


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
