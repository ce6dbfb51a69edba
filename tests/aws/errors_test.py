from __future__ import annotations

import configparser
from pathlib import Path
from string import Formatter
from typing import Any

import botocore
import botocore.exceptions as raised
import pytest
from botocore.parsers import ResponseParserError

from sm_proxy.aws import errors
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError

ACTION = "sagemaker:DescribeTrainingJob"


def answered(code: str, message: str = "words", profile: str | None = None) -> Any:
    response = {"Error": {"Code": code, "Message": message}}
    return errors.from_response(response, ACTION, profile)


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("ExpiredToken", "expired-credentials"),
        ("ExpiredTokenException", "expired-credentials"),
        ("RequestExpired", "expired-credentials"),
        ("AccessDenied", "access-denied"),
        ("AccessDeniedException", "access-denied"),
        ("UnauthorizedOperation", "access-denied"),
        ("UnrecognizedClientException", "no-credentials"),
        ("InvalidClientTokenId", "no-credentials"),
        ("AuthFailure", "no-credentials"),
        ("SignatureDoesNotMatch", "no-credentials"),
        ("InvalidSignatureException", "no-credentials"),
        ("ThrottlingException", "throttled"),
        ("Throttling", "throttled"),
        ("RequestLimitExceeded", "throttled"),
        ("TooManyRequestsException", "throttled"),
    ],
)
def test_a_services_error_has_our_code(code: str, ours: str) -> None:
    error = answered(code)
    assert isinstance(error, SmProxyError)
    assert error.code == ours
    assert "words" in error.message
    assert error.hint


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_the_action_is_named(code: str) -> None:
    assert ACTION in answered(code).message


def test_the_policy_to_change_is_named() -> None:
    assert ACTION in answered("AccessDeniedException").hint


@pytest.mark.parametrize(
    "code", ["ValidationException", "InternalFailure", "TargetNotConnected", ""]
)
def test_another_error_is_a_service_error(code: str) -> None:
    error = answered(code)
    assert isinstance(error, ServiceError)
    assert (error.error, error.message, error.action) == (code, "words", ACTION)
    assert error.as_failure().code == "aws-error"
    assert ACTION in error.as_failure().message


@pytest.mark.parametrize(("status", "passing"), [(503, True), (500, True), (400, False)])
def test_a_fault_of_the_service_may_pass(status: int, passing: bool) -> None:
    response = {"Error": {"Code": "X"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Any = errors.from_response(response, ACTION, None)
    assert error.passing is error.as_failure().passing is passing
    assert answered("Throttling").passing


def test_a_response_without_an_error_code_is_a_service_error() -> None:
    assert isinstance(errors.from_response({}, ACTION, None), ServiceError)


def test_expired_credentials_name_the_command() -> None:
    hint = answered("ExpiredToken", profile="my team").hint
    assert hint == "Renew them; for SSO: sm-proxy login --profile 'my team'"
    assert answered("ExpiredToken").hint.endswith("sm-proxy login")


def test_a_wrong_clock_and_a_wrong_key_have_different_errors() -> None:
    words = "Signature expired: 20261123T000000Z is now earlier than 20261123T010000Z"
    error = answered("InvalidSignatureException", words)
    assert (error.code, error.hint) == ("no-credentials", "Set this machine's clock.")
    assert answered("InvalidSignatureException").hint.startswith("Renew them")


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (raised.NoCredentialsError(), "no-credentials"),
        (raised.PartialCredentialsError(provider="env", cred_var="x"), "no-credentials"),
        (raised.CredentialRetrievalError(provider="x", error_msg="y"), "no-credentials"),
        (raised.ProfileNotFound(profile="x"), "no-credentials"),
        (raised.ConfigNotFound(path="x"), "no-credentials"),
        (raised.InvalidConfigError(error_msg="x"), "no-credentials"),
        (raised.InfiniteLoopConfigError(source_profile="x", visited_profiles=[]), "no-credentials"),
        (raised.MetadataRetrievalError(error_msg="x"), "no-credentials"),
        (raised.SSOTokenLoadError(profile_name="x", error_msg="y"), "expired-credentials"),
        (raised.UnauthorizedSSOTokenError(), "expired-credentials"),
        (raised.TokenRetrievalError(provider="sso", error_msg="y"), "expired-credentials"),
        (raised.MissingDependencyException(msg="x"), "missing-dependency"),
        (raised.NoRegionError(), "bad-setting"),
        (raised.InvalidRegionError(region_name="x y"), "bad-setting"),
        (raised.EndpointConnectionError(endpoint_url="x"), "network"),
        (raised.ConnectTimeoutError(endpoint_url="x"), "network"),
        (raised.ReadTimeoutError(endpoint_url="x"), "network"),
        (raised.ConnectionClosedError(endpoint_url="x"), "network"),
        (raised.ProxyConnectionError(proxy_url="x"), "network"),
        (raised.SSLError(endpoint_url="x", error=OSError("y")), "network"),
        (raised.HTTPClientError(error="x"), "network"),
        (raised.ResponseStreamingError(error="x"), "network"),
        (ResponseParserError("<html>"), "network"),
        (raised.ConfigParseError(path="x"), "aws-error"),
        (raised.UnknownServiceError(service_name="x", known_service_names=[]), "aws-error"),
    ],
)
def test_an_exception_of_botocore_has_our_code(error: Exception, ours: str) -> None:
    found = errors.from_botocore(error, ACTION, None)
    assert found is not None
    assert found.code == ours
    assert found.hint


def test_a_mistyped_profile_is_corrected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (tmp_path / "config").write_text("[profile research]\n[profile e\x1bvil]\n")
    found = errors.from_botocore(raised.ProfileNotFound(profile="reserach"), ACTION, None)
    assert found is not None
    assert found.hint.startswith("Did you mean `research`? Name a profile of ~/.aws with ")
    found = errors.from_botocore(raised.ProfileNotFound(profile="x"), ACTION, None)
    assert found is not None
    assert found.hint.startswith("There are: research, e\N{REPLACEMENT CHARACTER}vil. Name a ")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("LoginTokenLoadError", "expired-credentials"),
        ("LoginRefreshRequired", "expired-credentials"),
        ("LoginAuthorizationCodeError", "expired-credentials"),
        ("LoginError", "expired-credentials"),
        ("LoginInsufficientPermissions", "access-denied"),
    ],
)
def test_an_exception_for_aws_login_has_our_code(name: str, ours: str) -> None:
    kind = getattr(raised, name, None)
    if kind is None:
        pytest.skip("this botocore knows no such profiles")
    found = errors.from_botocore(kind(error_msg="x"), ACTION, None)
    assert found is not None
    assert found.code == ours
    assert found.hint


def test_a_call_with_wrong_parameters_is_a_bug() -> None:
    error = raised.ParamValidationError(report="x")
    assert errors.from_botocore(error, ACTION, None) is None


def test_every_name_in_the_tables_exists_in_botocore() -> None:
    known = {*dir(raised), "ResponseParserError"}
    tables = errors._NO_CREDENTIALS | errors._NETWORK | errors._SSO_EXPIRED
    assert tables - known == set()


def test_an_untrusted_certificate_names_the_variable() -> None:
    error = errors.from_botocore(
        raised.SSLError(endpoint_url="x", error=OSError("y")), ACTION, None
    )
    assert error is not None
    assert "AWS_CA_BUNDLE" in error.hint


def made(kind: type[Exception]) -> Exception:
    """An instance of one of botocore's errors, with a value for each placeholder."""
    fields = {name for _, name, _, _ in Formatter().parse(getattr(kind, "fmt", "")) if name}
    if kind is raised.WaiterError:
        return raised.WaiterError("x", "x", {})
    return kind(**{**dict.fromkeys(fields, "x"), "error": OSError("x")} if fields else {})


KINDS = [
    kind
    for kind in vars(raised).values()
    if isinstance(kind, type)
    and issubclass(kind, raised.BotoCoreError)
    and kind.__module__ == raised.__name__
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_of_botocore_is_expected(kind: type[Exception]) -> None:
    found = errors.from_botocore(made(kind), ACTION, "p")
    if kind is raised.ParamValidationError:
        assert found is None, "wrong parameters are a bug"
        return
    assert isinstance(found, SmProxyError)
    assert found.code != "bug"
    assert found.message
    assert found.hint


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (raised.CapacityNotAvailableError, "throttled"),
        (raised.IncompleteReadError, "network"),
        (raised.RefreshWithMFAUnsupportedError, "no-credentials"),
        (raised.InvalidIMDSEndpointError, "no-credentials"),
        (raised.SSOError, "expired-credentials"),
    ],
)
def test_a_rare_exception_has_its_code(kind: type[Exception], code: str) -> None:
    found = errors.from_botocore(made(kind), ACTION, None)
    assert found is not None
    assert found.code == code


def test_the_line_of_a_broken_file_is_named() -> None:
    parsing = configparser.ParsingError("f")
    parsing.append(3, "x")
    for parser, line in ((configparser.MissingSectionHeaderError("f", 7, "x"), 7), (parsing, 3)):
        error = raised.ConfigParseError(path="/f", error=parser)
        found = errors.from_botocore(error, ACTION, None)
        assert found is not None
        assert (found.code, found.hint) == ("aws-error", f"Correct that file, line {line}.")
    plain = errors.from_botocore(raised.ConfigParseError(path="/f"), ACTION, None)
    assert plain is not None
    assert plain.hint == "Correct that file."


@pytest.mark.parametrize("header", ["x-amz-request-id", "x-amzn-requestid"])
def test_an_answer_to_head_without_a_body_is_the_services(header: str) -> None:
    def headed(status: str, **headers: str) -> Any:
        response = {"Error": {"Code": status}, "ResponseMetadata": {"HTTPHeaders": headers}}
        return errors.from_response(response, "s3:HeadObject", None)

    absent = headed("404", **{header: "1"})
    assert isinstance(absent, ServiceError)
    assert absent.error == "404"
    assert headed("403", **{header: "1"}).code == "access-denied"
    assert headed("404", server="a proxy").code == "network"


@pytest.mark.parametrize(
    ("action", "needed"),
    [
        ("sagemaker:StartSession", "botocore>=1.39.3"),
        ("sagemaker:NewCall", f"botocore>{botocore.__version__}"),
    ],
)
def test_a_call_that_botocore_lacks_needs_a_newer_one(action: str, needed: str) -> None:
    assert f"'{needed}'" in errors.unknown_to_botocore(action).hint
