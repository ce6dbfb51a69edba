"""Translate botocore's errors into ours."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any, Final

from sm_proxy.aws import clock, denials, renewal
from sm_proxy.errors import Code, SmProxyError

_EXPIRED: Final = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
)
_DENIED: Final = frozenset(
    {"403", "AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
)
"""A number: S3's answer to a HEAD request has no body with a code."""
_REQUEST_IDS: Final = frozenset({"x-amz-request-id", "x-amzn-requestid"})
"""Headers that all answers of S3, or of the other services, have."""
_UNKNOWN_KEY: Final = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_SERVERS_FAULT: Final = 500
"""HTTP statuses from here on say that the server has failed, not the request."""
_CLOCK: Final = ("Signature expired", "Signature not yet current")
_THROTTLED: Final = frozenset(
    {
        "EC2ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_NO_CREDENTIALS: Final = frozenset(
    {
        "CredentialRetrievalError",
        "InvalidIMDSEndpointError",
        "InvalidIMDSEndpointModeError",
        "NoAuthTokenError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "ConfigNotFound",
        "InfiniteLoopConfigError",
        "InvalidConfigError",
        "MetadataRetrievalError",
        "RefreshWithMFAUnsupportedError",
        "UnknownCredentialError",
    }
)
_SSO_EXPIRED: Final = frozenset(
    {"SSOError", "SSOTokenLoadError", "TokenRetrievalError", "UnauthorizedSSOTokenError"}
)
_LOGIN_EXPIRED: Final = frozenset({"LoginError", "LoginTokenLoadError"})
_BOTOCORES_ADVICE: Final = " To refresh this SSO session run"
"""Cut off: it names `aws sso login`, and the AWS CLI may not be installed."""
_REGIONS: Final = "Correct AWS_REGION, --region, or `region` and `sso_region` in ~/.aws/config."
_SIGN_IN: Final = "signin:CreateOAuth2Token"
_CRT: Final = "botocore[crt]>=1.41.6"
"""What botocore needs for profiles of `aws login`; it needs no other extra."""
_SINCE: Final = {"sagemaker:StartSession": "1.39.3"}
"""The first botocore with a call, where that is newer than the oldest one that we accept."""
_BOTOCORE: Final = frozenset({"BotoCoreError", "ResponseParserError"})
_NETWORK: Final = frozenset(
    {
        "ChecksumError",
        "ConnectionClosedError",
        "ConnectionError",
        "ConnectTimeoutError",
        "EndpointConnectionError",
        "FlexibleChecksumError",
        "HTTPClientError",
        "IncompleteReadError",
        "ProxyConnectionError",
        "ReadTimeoutError",
        "ResponseParserError",  # not from AWS: from a captive portal or a proxy
        "ResponseStreamingError",
        "SSLError",
    }
)


class ServiceError(Exception):
    """The service refused a call, and the caller must decide what that means.

    Attributes:
        error: the service's error code, such as `ValidationException`.
        message: the service's message.
        action: the IAM action, such as `sagemaker:DescribeTrainingJob`.
        passing: whether the service itself has failed, so that the same call may succeed later.
    """

    def __init__(self, error: str, message: str, action: str, *, passing: bool = False) -> None:
        super().__init__(f"{action}: {error}: {message}")
        self.error = error
        self.message = message
        self.action = action
        self.passing = passing

    def as_failure(self) -> SmProxyError:
        """The error for users, if the caller has no more precise one."""
        return SmProxyError(
            "aws-error",
            str(self),
            "If it persists, report it with SM_PROXY_LOG=debug.",
            passing=self.passing,
        )


def from_response(
    response: Mapping[str, Any], action: str, profile: str | None
) -> SmProxyError | ServiceError:
    """The error for a response of the service, or of a proxy in its place."""
    error = str(response.get("Error", {}).get("Code", ""))
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    # Without an error code in the response, botocore takes the HTTP status.
    if error.isdecimal() and not _REQUEST_IDS & set(headers):
        return not_aws(action, error, headers.get("location", ""))
    return _of_service(response, action, profile)


def _of_service(
    response: Mapping[str, Any], action: str, profile: str | None
) -> SmProxyError | ServiceError:
    error = str(response.get("Error", {}).get("Code", ""))
    message = str(response.get("Error", {}).get("Message") or "it gives no reason")
    if error in _UNKNOWN_KEY | {"RequestExpired"} and _is_by_clock(response, message):
        return _failure(
            "no-credentials", f"AWS refused the signature: {message}", "Set this machine's clock."
        )
    if error in _EXPIRED:
        return expired_credentials(message, profile)
    if error in _DENIED:
        return SmProxyError(
            "access-denied",
            f"{action} is denied: {message}",
            denials.remedy(message, action),
        )
    if error in _UNKNOWN_KEY:
        what = f"AWS does not accept the credentials: {message}"
        return SmProxyError("no-credentials", what, renewal.hint("", profile))
    if error in _THROTTLED:
        return SmProxyError(
            "throttled", f"{action} was throttled repeatedly: {message}", "Try again later."
        )
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return ServiceError(error, message, action, passing=status >= _SERVERS_FAULT)


def _is_by_clock(response: Mapping[str, Any], message: str) -> bool:
    """Whether this machine's clock is wrong: by the message, or by the response's Date."""
    named = any(words in message for words in _CLOCK)
    return named or abs(clock.offset_s(response) or 0) > clock.SIGNATURE_S


def from_botocore(error: Exception, action: str, profile: str | None) -> SmProxyError | None:
    """The error for an exception of botocore; None if it is an unexpected one."""
    names = kinds(error)
    if not names & _BOTOCORE:
        return not_aws(action, "unknown") if _was_parsing(error) else None
    if (failure := _of_credentials(error, names, profile)) is not None:
        return failure
    return _of_kind(error, names, action)


def _of_kind(error: Exception, names: set[str], action: str) -> SmProxyError | None:
    if "NoRegionError" in names:
        return _failure("bad-setting", "no AWS region is set", "Set AWS_REGION or use --region.")
    if "InvalidRegionError" in names:
        return _failure("bad-setting", str(error), _REGIONS)
    if "ParamValidationError" in names:
        return None  # a bug of ours
    if "CapacityNotAvailableError" in names:  # botocore's own rate limit, in adaptive retry mode
        return _failure("throttled", f"{action} was throttled: {error}", "Try again later.")
    if "ConfigParseError" in names:
        return _failure("aws-error", f"{action}: {error}", f"Correct that file{_line_of(error)}.")
    code: Code = "network" if names & _NETWORK else "aws-error"
    why = f" ({inner})" if (inner := _proxys_words(error)) else ""
    return _failure(code, f"{action} failed: {error}{why}", _hint(code, names))


def _of_credentials(error: Exception, names: set[str], profile: str | None) -> SmProxyError | None:
    """The error if botocore could not get credentials; else None."""
    if "LoginInsufficientPermissions" in names:
        return _failure("access-denied", str(error), denials.remedy("", _SIGN_IN))
    if source := expired_source(error):
        return expired_credentials(str(error), profile, source)
    if "MissingDependencyException" in names:
        return login_unsupported(str(error))
    if "ProfileNotFound" in names:
        return _unknown_profile(error)
    return _no_credentials(str(error)) if names & _NO_CREDENTIALS else None


def _unknown_profile(error: Exception) -> SmProxyError:
    from sm_proxy.aws import profiles  # noqa: PLC0415 - only for a name that is wrong

    found = _no_credentials(str(error))
    near = profiles.near(str(getattr(error, "kwargs", {}).get("profile", "")))
    found.hint = f"{near} {found.hint}".lstrip()
    return found


def login_unsupported(message: str) -> SmProxyError:
    """The error for a profile of `aws login`, whose keys this botocore cannot fetch or renew."""
    return _failure("missing-dependency", message, _install(_CRT))


def _install(requirement: str) -> str:
    from sm_proxy.local import installation  # noqa: PLC0415 - only for what is missing

    return f"Install it: {installation.add(requirement)}"


def unknown_to_botocore(action: str) -> SmProxyError:
    """The error for a call that is newer than the installed botocore."""
    import botocore  # noqa: PLC0415 - slow

    since = _SINCE.get(action)
    needed = f"botocore>={since}" if since else f"botocore>{botocore.__version__}"
    what = f"botocore {botocore.__version__} does not know {action}"
    return _failure("unsupported", what, _install(needed))


def is_ours(error: Exception) -> bool:
    """Whether it is our bug: a call with wrong parameters, or an error raised in our own code."""
    names, modules = kinds(error), _modules(error)
    own = bool(modules) and modules[-1].startswith("sm_proxy.")
    return "ParamValidationError" in names or (own and not names & _BOTOCORE)


def _was_parsing(error: Exception) -> bool:
    """Whether botocore failed to parse a response, which so is not AWS's."""
    return "botocore.parsers" in _modules(error)


def _modules(error: Exception) -> list[str]:
    """The modules in the error's traceback, from the outermost to where it was raised."""
    frames = traceback.walk_tb(error.__traceback__)
    return [str(frame.f_globals.get("__name__", "")) for frame, _ in frames]


def kinds(error: Exception) -> set[str]:
    """The names of an error's classes. Not classes: older botocore releases lack some."""
    return {kind.__name__ for kind in type(error).__mro__}


def expired_source(error: Exception) -> str:
    """The kind of login that has expired, for `renewal.hint`; empty if none has."""
    names = kinds(error)
    if "LoginInsufficientPermissions" in names:
        return ""
    if names & _LOGIN_EXPIRED:
        return "login"
    return "sso" if names & _SSO_EXPIRED else ""


def _proxys_words(error: Exception) -> str:
    """A proxy's answer to CONNECT, which botocore's message leaves out."""
    inner = getattr(error, "kwargs", {}).get("error")
    root = getattr(inner, "original_error", None)  # of urllib3's ProxyError
    return str(root) if isinstance(root, OSError) else ""


def _line_of(error: Exception) -> str:
    """`, line N` of the settings file that could not be parsed, if the parser says so."""
    parser = getattr(error, "kwargs", {}).get("error")
    found = getattr(parser, "lineno", None) or next(iter(getattr(parser, "errors", [])), [None])[0]
    return f", line {found}" if isinstance(found, int) else ""


def _hint(code: Code, names: set[str]) -> str:
    if "ProxyConnectionError" in names:
        return (
            "Set HTTPS_PROXY to http://HOST:PORT, with USER:PASSWORD@ before HOST if the proxy"
            " asks for them; or name the host in NO_PROXY."
        )
    if "SSLError" in names:
        return "If a proxy inspects TLS, name its certificates with AWS_CA_BUNDLE."
    if code == "network":
        return "Check the network, proxy and VPN, and try again."
    return "Check the AWS configuration."


def not_aws(action: str, status: object, location: str = "") -> SmProxyError:
    """The error for a response that is not AWS's.

    Args:
        action: the call.
        status: the HTTP status.
        location: the target of a redirection; may be empty.
    """
    where = f", redirected to {location.partition('?')[0]}" if location else ""
    return _failure(
        "network",
        f"{action} was answered by something that is not AWS (HTTP status {status}{where})",
        "A proxy, a VPN or a network's login page may have answered: log in there, or correct"
        " HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL.",
    )


def misconfiguration(error: Exception, action: str) -> SmProxyError:
    """The error for a broken configuration for which botocore has no error of its own."""
    words = str(error) if isinstance(error, OSError | ValueError) else repr(error)
    return _failure(
        "aws-error",
        f"{action} cannot be called: {words}",
        "Check the AWS configuration: AWS_ENDPOINT_URL, ~/.aws/config, ~/.aws/credentials.",
    )


def expired_credentials(message: str, profile: str | None, source: str = "") -> SmProxyError:
    """The error for expired credentials, with the command that renews them (`renewal.hint`)."""
    cause, _, _ = message.partition(_BOTOCORES_ADVICE)
    what = f"the AWS credentials have expired: {cause}"
    return SmProxyError("expired-credentials", what, renewal.hint(source, profile))


def expired_by_clock() -> SmProxyError:
    """The error for a new session that counts as expired."""
    return SmProxyError(
        "expired-credentials",
        "AWS gave a session that has already expired by this machine's clock",
        "Set this machine's clock.",
    )


def _no_credentials(message: str) -> SmProxyError:
    return _failure(
        "no-credentials",
        message,
        "Name a profile of ~/.aws with --profile or AWS_PROFILE, or set AWS_ACCESS_KEY_ID and"
        " AWS_SECRET_ACCESS_KEY.",
    )


def _failure(code: Code, message: str, hint: str) -> SmProxyError:
    return SmProxyError(code, message, hint)
