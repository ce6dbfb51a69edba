"""Explain why there are no credentials: a call was refused, or a file or program is broken.

The call that needed the credentials is not the cause, so the error does not name it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError
from botocore.session import Session

from sm_proxy.aws import errors, renewal
from sm_proxy.aws.credential_process import BY_HAND
from sm_proxy.aws.credentials import login_profile
from sm_proxy.aws.vetting import Vetting, called
from sm_proxy.errors import Code, SmProxyError

_SERVER_ERRORS: Final = 500
"""From this HTTP status on, the service itself has failed."""
_GET_ROLE: Final = "GetRoleCredentials"
_WEB_IDENTITY: Final = "AssumeRoleWithWebIdentity"
_KEYS: Final = (
    "Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for a session, AWS_SESSION_TOKEN again."
)
_TRY_LATER: Final = "The AWS service has a problem: try again later."
_FILES: Final = "Correct ~/.aws/config and ~/.aws/credentials, or choose another --profile."
_ASSIGNMENT: Final = (
    "Have the permission set assigned to you in IAM Identity Center, or correct sso_account_id and"
    " sso_role_name of the AWS profile."
)


@dataclass(frozen=True)
class _Source:
    """A source of credentials.

    Attributes:
        name: for people.
        remedy: the hint if it fails.
        code: of its failures, unless a more precise code fits.
        path: of the file that only this source reads; else empty.
        login: the folder of its login below ~/.aws, `sso` or `login`; empty without a login.
    """

    name: str
    remedy: str
    code: Code = "no-credentials"
    path: str = ""
    login: str = ""


def explain(error: Exception, session: Session, vetting: Vetting) -> SmProxyError:
    """Our error for a failure to get credentials.

    Args:
        error: of any class: botocore passes on those of files, programs and services.
        session: the session that needs the credentials.
        vetting: watched the calls that botocore made for them.
    """
    refusal = vetting.refusal
    chain = list(_chain(error, vetting.handled))
    for known in chain:
        if isinstance(known, SmProxyError):
            return known
    source = _source(session)
    profile = _login_profile(session)
    if login := errors.expired_source(error):
        words = f"{refusal.action} was refused: {refusal.words}" if refusal else str(error)
        return errors.expired_credentials(words, profile, login)
    for refused in chain:
        if isinstance(refused, ClientError):
            return _refused(refused, source, profile)
    if "ParamValidationError" not in errors.kinds(error):
        action = called(error) or "fetching AWS credentials"
        found = errors.from_botocore(error, action, profile)
        if found is not None:
            return _with_remedy(found, error, source)
    return _unusable(error, source, profile)


def _refused(error: ClientError, source: _Source, profile: str | None) -> SmProxyError:
    operation = error.operation_name
    action = f"{_SERVICES.get(operation, 'sts')}:{operation}"
    code = str(error.response.get("Error", {}).get("Code", ""))
    message = str(error.response.get("Error", {}).get("Message") or "it gives no reason")
    if operation == _GET_ROLE and code in {"ForbiddenException", "ResourceNotFoundException"}:
        return SmProxyError("access-denied", f"{action} is denied: {message}", _ASSIGNMENT)
    found = errors.from_response(error.response, action, profile)
    if isinstance(found, errors.ServiceError):
        words = f"{action} was refused: {code}: {message}"
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= _SERVER_ERRORS:
            return SmProxyError("aws-error", words, _TRY_LATER)
        return SmProxyError(source.code, words, source.remedy)
    named = found.message if action in found.message else f"{action} was refused: {found.message}"
    if operation == _WEB_IDENTITY and found.code in {"expired-credentials", "no-credentials"}:
        return SmProxyError(found.code, named, source.remedy)
    return SmProxyError(found.code, named, found.hint)


_SERVICES: Final = {
    "CreateOAuth2Token": "signin",
    "CreateToken": "sso-oidc",
    "RegisterClient": "sso-oidc",
    "StartDeviceAuthorization": "sso-oidc",
    _GET_ROLE: "sso",
}
"""The service of an operation that gets credentials; for all others it is STS."""


def _with_remedy(found: SmProxyError, error: Exception, source: _Source) -> SmProxyError:
    """The error with the source's own hint, if botocore's error is a general one."""
    general = {"CredentialRetrievalError", "InvalidConfigError", "MetadataRetrievalError"}
    if errors.kinds(error) & general:
        # A login does not help if settings are missing.
        login = source.code == "expired-credentials"
        remedy = _FILES if login and "InvalidConfigError" in errors.kinds(error) else source.remedy
        return SmProxyError(found.code, f"{source.name}: {found.message}", remedy)
    return found


def _unusable(error: Exception, source: _Source, profile: str | None) -> SmProxyError:
    if isinstance(error, RuntimeError):  # botocore's error for new credentials that have expired
        return errors.expired_by_clock()
    if source.login:
        # The error's text may hold the damaged token, so it is left out.
        where = f"its token in ~/.aws/{source.login}/cache is damaged ({type(error).__name__})"
        words = f"{source.name} cannot be used: {where}"
        return errors.expired_credentials(words, profile, source.login)
    if isinstance(error, OSError) and error.filename not in {None, source.path}:
        where, why = f" needs {error.filename}", error.strerror
        return SmProxyError("aws-error", f"{source.name}{where}: {why}", source.remedy)
    words = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError):
        words = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return SmProxyError(source.code, f"{source.name} cannot be used: {words}", source.remedy)


def _chain(error: BaseException | None, end: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes, up to the exception `end` that was handled before."""
    while error is not None and error is not end:
        yield error
        error = error.__cause__ or error.__context__


def _login_profile(session: Session) -> str | None:
    with contextlib.suppress(Exception):  # a damaged file: the error to explain says so
        return login_profile(session)
    return None


def _source(session: Session) -> _Source:
    """The source that botocore uses, by its own order and the configuration."""
    named = session.instance_variables().get("profile") is not None
    if not named and os.environ.get("AWS_ACCESS_KEY_ID"):
        return _Source("the credentials in AWS_ variables", _KEYS)
    config = _settings(session)
    file = "" if named else os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE", "")
    if file := file or str(config.get("web_identity_token_file", "")):
        return _web_identity(file)
    name = str(session.profile or "default")
    return _of_profile(config, name) or _container() or _Source(f"AWS profile {name}", _FILES)


def _of_profile(config: dict[str, Any], name: str) -> _Source | None:
    for login, known in (("sso", "the SSO login"), ("login", "the `aws login` session")):
        if any(key.startswith(f"{login}_") for key in config):
            remedy = renewal.hint(login, name)
            words = f"{known} of AWS profile {name}"
            return _Source(words, remedy, "expired-credentials", login=login)
    if "credential_process" in config:
        return _Source(f"the credential_process of AWS profile {name}", BY_HAND)
    if "role_arn" in config:
        fix = "Check role_arn, source_profile, mfa_serial and duration_seconds of the AWS profile."
        return _Source(f"the role of AWS profile {name}", fix)
    return None


def _container() -> _Source | None:
    for variable in filter(os.environ.get, _CONTAINER):
        return _Source(
            f"the container's credentials ({variable})",
            f"They exist in containers and notebooks on AWS only: unset {variable} elsewhere, or"
            " check its endpoint and its authorization token.",
            path=os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", ""),
        )
    return None


_CONTAINER: Final = (
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def _web_identity(file: str) -> _Source:
    return _Source(
        f"the web identity token file {file} for sts:{_WEB_IDENTITY}",
        "The system that writes this file (Kubernetes, CI) must write it again, and the role's"
        " trust policy must name that system. Elsewhere, unset AWS_WEB_IDENTITY_TOKEN_FILE.",
        path=file,
    )


def _settings(session: Session) -> dict[str, Any]:
    """The settings of the profile and of its source profiles; the nearer profile wins."""
    merged: dict[str, Any] = {}
    with contextlib.suppress(Exception):  # a damaged file: the error to explain says so
        profiles = session.full_config.get("profiles", {})
        name: Any = session.profile or "default"
        for _ in range(len(profiles)):
            merged = {**profiles.get(name, {}), **merged}
            name = profiles.get(name, {}).get("source_profile")
    return merged
