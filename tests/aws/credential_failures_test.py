"""Damaged files, services that refuse, and responses that are not from AWS.

Each is an expected failure: its message names what was refused and what helps, and shows no secret.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TypeVar

import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.local.redaction import redact
from tests.aws.local_service import LocalService

TOKEN = "aoaAAAAAGhx-words:of+a/token" * 3
START = "https://example.awsapps.com/start"
CONFIG = f"""
[default]
region = eu-west-1
[profile sso]
sso_session = s
sso_account_id = 123456789012
sso_role_name = r
[sso-session s]
sso_start_url = {START}
sso_region = eu-west-1
[profile legacy]
sso_start_url = {START}
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = r
[profile from-sso]
role_arn = arn:aws:iam::123456789012:role/r
source_profile = sso
"""
NAMES = {"sso": "s", "legacy": START, "from-sso": "s"}
PROFILES = list(NAMES)
LATER = (datetime.now(timezone.utc) + timedelta(hours=8)).strftime("%Y-%m-%dT%H:%M:%SZ")
PAST = "2020-01-01T00:00:00Z"
GOOD = {"accessToken": TOKEN, "expiresAt": LATER, "startUrl": START, "region": "eu-west-1"}
RENEWABLE = {
    "clientId": "client",
    "clientSecret": "a-client-secret-of-some-length",
    "refreshToken": "aorAAAAAG-refresh-token-of-some-length",
    "registrationExpiresAt": LATER,
}
Response = tuple[int, dict[str, str], bytes]
_A = TypeVar("_A")
_B = TypeVar("_B")
KEYS = {"accessKeyId": "AKIAX", "secretAccessKey": "x" * 40, "sessionToken": TOKEN}
GOOD_KEYS: Response = (
    200,
    {},
    json.dumps({"roleCredentials": {**KEYS, "expiration": 4_000_000_000_000}}).encode(),
)


def crossed(some: list[_A], others: list[_B]) -> list[tuple[_A, _B]]:
    """Pairs in which each of `some` and each of `others` occurs."""
    return [*((some[0], item) for item in others), *((item, others[0]) for item in some[1:])]


def refusing(code: str, message: str = "words", status: int = 400) -> Response:
    body = json.dumps({"__type": code, "message": message, "error": code}).encode()
    return status, {"x-amzn-errortype": code, "x-amzn-requestid": "1"}, body


def sts_refusing(code: str, message: str, status: int = 400) -> Response:
    text = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
        f"<Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    )
    return status, {"Content-Type": "text/xml"}, text.encode()


class Service(LocalService):
    """One endpoint for all services; the answer depends on the path or the operation."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.answers: dict[str, Response] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                action = self.headers.get("X-Amz-Target", "").partition(".")[2]
                action = action or (self.path.strip("/") or body.split("&")[0].partition("=")[2])
                service.requests.append(action)
                status, headers, data = service.answers.get(action, (200, {}, b"{}"))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                self.path = self.path.partition("?")[0]
                self.do_POST()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def sso_cache(tmp_path: Path) -> Path:
    folder = tmp_path / ".aws" / "sso" / "cache"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def service(
    cache: Path, sso_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    running = Service()
    monkeypatch.setenv("SM_PROXY_CACHE_DIR", str(cache))
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
    for place in ("credentials.SSOProvider", "tokens.SSOTokenProvider"):
        monkeypatch.setattr(f"botocore.{place}._SSO_TOKEN_CACHE_DIR", str(sso_cache))
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "config").write_text(CONFIG)
    yield running
    running.close()


def keep_token(sso_cache: Path, profile: str, content: object) -> None:
    name = hashlib.sha1(NAMES[profile].encode()).hexdigest()  # noqa: S324 - botocore's
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (sso_cache / f"{name}.json").write_bytes(data)


def refused(profile: str | None = None) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        Aws(profile, "eu-west-1").call("sagemaker", "DescribeTrainingJob", TrainingJobName="x")
    assert caught.value.hint
    assert caught.value.code != "bug"
    return caught.value


@pytest.mark.parametrize(
    ("profile", "broken"),
    crossed(PROFILES, ["\n", "\r", "\r\nx: y", "\0", "\x0b", "\u2028", "\u00fc", "\t"]),
)
def test_an_sso_token_with_an_invalid_character_is_refused(
    service: Service, sso_cache: Path, profile: str, broken: str
) -> None:
    token = TOKEN[:40] + broken + TOKEN[40:]
    keep_token(sso_cache, profile, {**GOOD, "accessToken": token})
    error = refused(profile)
    assert error.code == "expired-credentials"
    assert "SSO" in error.message
    assert "sm-proxy login" in error.hint
    assert service.requests == []
    assert not any(TOKEN[at : at + 10] in error.line for at in range(len(TOKEN) - 9))
    assert TOKEN[:20] not in redact(f"{token!r}")


TORN_TOKENS: list[object] = [
    b"",
    b'{"accessToken": "' + TOKEN.encode(),
    b"\xff\xfe",
    b"null",
    b"5",
    b'"' + TOKEN.encode() + b'"',
    [TOKEN],
    {},
    {"accessToken": TOKEN},
    {**GOOD, "accessToken": 5},
    {**GOOD, "accessToken": None},
    {**GOOD, "accessToken": {"x": TOKEN}},
    {**GOOD, "accessToken": ""},
    {**GOOD, "expiresAt": "soon"},
    {**GOOD, "expiresAt": 5},
    {**GOOD, "expiresAt": None},
    {**GOOD, "expiresAt": ""},
    {**GOOD, "expiresAt": "2099-01-01T00:00:00"},
    {**GOOD, "expiresAt": "99999-01-01T00:00:00Z"},
    {**GOOD, "expiresAt": PAST},
    {**GOOD, **RENEWABLE, "expiresAt": PAST, "registrationExpiresAt": "soon"},
    {**GOOD, **RENEWABLE, "expiresAt": PAST, "registrationExpiresAt": 5},
    {**GOOD, **RENEWABLE, "expiresAt": PAST, "refreshToken": 5},
    {**GOOD, **RENEWABLE, "expiresAt": PAST, "clientSecret": None},
]


@pytest.mark.parametrize(("profile", "content"), crossed(PROFILES, TORN_TOKENS))
def test_a_damaged_sso_cache_asks_for_a_login(
    service: Service, sso_cache: Path, profile: str, content: object
) -> None:
    service.answers["federation/credentials"] = refusing("UnauthorizedException", status=401)
    keep_token(sso_cache, profile, content)
    error = refused(profile)
    assert error.code == "expired-credentials"
    assert "sm-proxy login" in error.hint
    assert TOKEN[:20] not in error.line
    assert "DescribeTrainingJob" not in service.requests


@pytest.mark.parametrize("profile", NAMES)
@pytest.mark.parametrize(
    ("code", "status", "ours", "remedy"),
    [
        ("UnauthorizedException", 401, "expired-credentials", "login"),
        ("ForbiddenException", 403, "access-denied", "permission set"),
        ("ResourceNotFoundException", 404, "access-denied", "permission set"),
        ("TooManyRequestsException", 429, "throttled", "later"),
        ("InvalidRequestException", 400, "expired-credentials", "login"),
    ],
)
def test_a_refusal_of_sso_is_named(  # noqa: PLR0917
    service: Service, sso_cache: Path, profile: str, code: str, status: int, ours: str, remedy: str
) -> None:
    service.answers["federation/credentials"] = refusing(code, "No access", status)
    keep_token(sso_cache, profile, GOOD)
    error = refused(profile)
    assert error.code == ours
    assert "sso:GetRoleCredentials" in error.message
    assert "No access" in error.message
    assert "sagemaker" not in error.line
    assert remedy in error.hint


def test_a_renewal_that_sso_refuses_is_named(service: Service, sso_cache: Path) -> None:
    service.answers["token"] = refusing("InvalidGrantException", "Invalid grant provided")
    keep_token(sso_cache, "sso", {**GOOD, **RENEWABLE, "expiresAt": PAST})
    error = refused("sso")
    assert error.code == "expired-credentials"
    assert "sso-oidc:CreateToken was refused: InvalidGrantException" in error.message
    for secret in (RENEWABLE["clientSecret"], RENEWABLE["refreshToken"]):
        assert secret not in redact(f"it said {secret}")


def test_a_refused_renewal_is_ignored_while_the_token_is_valid(
    service: Service, sso_cache: Path
) -> None:
    service.answers["token"] = refusing("InvalidGrantException")
    service.answers["federation/credentials"] = refusing("ForbiddenException", "No access", 403)
    soon = (datetime.now(timezone.utc) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    keep_token(sso_cache, "sso", {**GOOD, **RENEWABLE, "expiresAt": soon})
    assert "sso:GetRoleCredentials" in refused("sso").message


ROLE = """
[profile keys]
aws_access_key_id = AKIAX
aws_secret_access_key = {secret}
[profile role]
role_arn = arn:aws:iam::123456789012:role/r
source_profile = keys
"""


@pytest.mark.parametrize(
    ("code", "message", "ours"),
    [
        ("AccessDenied", "User x is not authorized to perform: sts:AssumeRole", "access-denied"),
        ("ExpiredToken", "The security token is expired", "expired-credentials"),
        ("InvalidClientTokenId", "The security token is invalid", "no-credentials"),
        ("ValidationError", "The requested DurationSeconds exceeds", "no-credentials"),
        ("RegionDisabledException", "STS is not activated", "no-credentials"),
    ],
)
def test_a_refusal_of_sts_is_named(
    service: Service, tmp_path: Path, code: str, message: str, ours: str
) -> None:
    (tmp_path / "aws" / "config").write_text(ROLE.format(secret="x" * 40))
    service.answers["AssumeRole"] = sts_refusing(code, message, 403)
    error = refused("role")
    assert error.code == ours
    assert "sts:AssumeRole" in error.message
    assert message in error.message
    assert "sagemaker" not in error.line


@pytest.mark.parametrize("profile", ["role", "sso"])
def test_a_server_error_does_not_blame_the_profile(
    service: Service, tmp_path: Path, sso_cache: Path, profile: str
) -> None:
    (tmp_path / "aws" / "config").write_text(CONFIG + ROLE.format(secret="x" * 40))
    service.answers["AssumeRole"] = sts_refusing("ServiceUnavailable", "words", 503)
    service.answers["federation/credentials"] = refusing("InternalServerException", status=500)
    keep_token(sso_cache, "sso", GOOD)
    error = refused(profile)
    assert (error.code, error.hint) == (
        "aws-error",
        "The AWS service has a problem: try again later.",
    )
    assert "was refused" in error.message


@pytest.mark.parametrize("code", ["UnrecognizedClientException", "InvalidSignatureException"])
def test_refused_keys_name_how_their_source_renews_them(
    service: Service, keys: None, code: str
) -> None:
    service.answers["DescribeTrainingJob"] = refusing(code)
    error = refused()
    assert error.code == "no-credentials"
    assert error.hint.startswith("Get new AWS_ACCESS_KEY_ID")


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "web-token"
    path.write_text(TOKEN)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(path))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
    return path


@pytest.mark.parametrize(
    ("code", "message", "ours"),
    [
        ("AccessDenied", "Not authorized to perform", "access-denied"),
        ("ExpiredTokenException", "Token expired: current date/time", "expired-credentials"),
        ("InvalidIdentityToken", "No OpenIDConnect provider found", "no-credentials"),
        ("IDPRejectedClaim", "The identity provider", "no-credentials"),
        ("IDPCommunicationError", "Could not verify", "no-credentials"),
    ],
)
def test_a_refusal_of_a_web_identity_is_named(
    service: Service, token_file: Path, code: str, message: str, ours: str
) -> None:
    service.answers["AssumeRoleWithWebIdentity"] = sts_refusing(code, f"{message} {TOKEN}", 403)
    error = refused()
    assert error.code == ours
    assert "sts:AssumeRoleWithWebIdentity" in error.message
    assert "sagemaker" not in error.line
    assert TOKEN not in redact(error.line)
    if ours != "access-denied":
        assert "AWS_WEB_IDENTITY_TOKEN_FILE" in error.hint


@pytest.mark.parametrize("how", ["missing", "folder", "empty", "binary"])
def test_a_missing_web_identity_token_is_named(
    service: Service, token_file: Path, how: str
) -> None:
    token_file.unlink()
    if how == "folder":
        token_file.mkdir()
    elif how != "missing":
        token_file.write_bytes(b"" if how == "empty" else b"\xff\xfe")
    error = refused()
    assert error.code == "no-credentials"
    assert str(token_file) in error.message
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in error.hint
    assert service.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        (403, {}, b"denied"),
        (200, {}, b"<html>log in</html>"),
        (200, {}, b"{}"),
        (200, {}, b"[]"),
        (200, {}, b""),
        (302, {"Location": "http://127.0.0.1:9/"}, b""),
        (200, {}, b'{"AccessKeyId": "A", "SecretAccessKey": "s", "Token": 5, "Expiration": 5}'),
        (200, {}, b"\xff\xfe"),
    ],
)
def test_a_failing_container_endpoint_is_named(
    service: Service, monkeypatch: pytest.MonkeyPatch, answer: Response
) -> None:
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    service.answers["creds"] = answer
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/creds")
    error = refused()
    assert error.code == "no-credentials"
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" in error.line
    assert "sagemaker" not in error.line


@pytest.mark.parametrize(
    ("role", "answer"),
    [(one, b"{}") for one in (b"", b"<html>log in</html>", b"\xff\xfe", b"a b\n")]
    + [(b"r", one) for one in (b"", b"<html>", b"5", b"null", b"[]", b"{}", b"\xff")]
    + [
        (b"r", b'{"Code": "Failed", "Message": "no"}'),
        (b"r", b'{"AccessKeyId": 5, "SecretAccessKey": 5, "Token": 5, "Expiration": 5}'),
        (b"r", b'{"AccessKeyId": "A", "SecretAccessKey": "s", "Token": "t", "Expiration": "x"}'),
    ],
)
def test_invalid_instance_metadata_is_an_error(
    service: Service, monkeypatch: pytest.MonkeyPatch, role: bytes, answer: bytes
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
    folder = "latest/meta-data/iam/security-credentials"
    service.answers |= {folder: (200, {}, role), f"{folder}/r": (200, {}, answer)}
    error = refused()
    assert error.code == "no-credentials"
    assert "sagemaker" not in error.line


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/creds"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "nonsense"},
        {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\nb"},
        {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nonexistent/token"},
        {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/"},
    ],
)
def test_invalid_container_settings_are_named(
    service: Service, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    uri = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{service.url}/creds"}
    for name, value in (uri | variables).items():
        monkeypatch.setenv(name, value)
    error = refused()
    assert error.code == "no-credentials"
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" in error.line
    assert service.requests == []


@pytest.mark.parametrize(
    ("name", "broken", "from_file"),
    [
        *(("session_token", one, False) for one in ("\n", "\r\n", "\x1b", "\u00fc", "\u2028")),
        *(("session_token", one, True) for one in ("\0", "\x1b", "\u00fc", "\u2028")),
        *(("secret_access_key", "\n", False), ("secret_access_key", "\0", True)),
        *(("access_key_id", "\n", False), ("access_key_id", "\0", True)),
    ],
)
def test_keys_with_an_invalid_character_are_refused(  # noqa: PLR0917
    service: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    broken: str,
    from_file: bool,
) -> None:
    values = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": TOKEN[:40]}
    values["session_token"] = TOKEN
    values[name] = f"{values[name][:12]}{broken}{values[name][12:]}"
    lines = [f"aws_{key} = {value}\n" for key, value in values.items()]
    for key, value in values.items():
        if not from_file:
            monkeypatch.setenv(f"AWS_{key.upper()}", value)
    if from_file:
        (tmp_path / "aws" / "credentials").write_text("".join(["[default]\n", *lines]))
    error = refused()
    assert error.code == "no-credentials"
    assert name.replace("_", "") in error.message.lower()
    assert TOKEN[:12] not in error.line
    assert service.requests == []


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


@pytest.mark.parametrize("region", ["eu-west-1\n", "eu-west-1\r", " eu-west-1", "eu\0west", "a b"])
def test_a_region_with_an_invalid_character_is_refused(
    service: Service, keys: None, region: str
) -> None:
    with pytest.raises(SmProxyError) as caught:
        Aws(None, region).call("ec2", "DescribeSubnets")
    assert caught.value.code == "bad-setting"
    assert "AWS_REGION" in caught.value.hint
    assert service.requests == []


@pytest.mark.parametrize(
    "endpoint",
    ["http://127.0.0.1:x", "http://a b", "http://a\x0bb", "//", "ftp://x", "http://[::1"],
)
def test_an_endpoint_that_is_not_a_url_is_an_error(
    service: Service, keys: None, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    error = refused()
    assert error.code in {"aws-error", "bad-setting", "network"}


PAGE = b"<!DOCTYPE html><html><body>Please log in to the hotel's network<br></body></html>"
XHTML = b'<?xml version="1.0"?><html><body>log in</body></html>'
NOT_AWS: list[Response] = [
    (200, {"Content-Type": "text/html"}, PAGE),
    (200, {"Content-Type": "text/html"}, XHTML),
    (200, {}, b""),
    (200, {}, b"null"),
    (200, {}, b"[]"),
    (200, {}, b"5"),
    (200, {}, b'"x"'),
    (200, {}, b'{"error": "log in"}'),
    (200, {}, b'{"TrainingJobName": "x", '),
    (200, {}, b'{"TrainingJobName": {"a": 1}, "CreationTime": {"a": 1}}'),
    (200, {"Content-Encoding": "gzip"}, b"\x1f\x8bgarbage"),
    (204, {}, b""),
    (302, {"Location": "https://hotel.example/login?token=x"}, b""),
    (307, {"Location": "https://hotel.example/login"}, PAGE),
    (401, {}, PAGE),
    (403, {}, PAGE),
    (403, {}, b"[]"),
    (404, {}, b""),
    (407, {"Proxy-Authenticate": "Basic"}, PAGE),
    (407, {}, b""),
    (502, {}, PAGE),
    (503, {}, b""),
    (511, {}, PAGE),
]


def test_a_json_response_that_is_not_aws_is_an_error(service: Service, keys: None) -> None:
    aws = Aws(None, "eu-west-1")
    for answer in NOT_AWS:
        service.answers["DescribeTrainingJob"] = service.answers["StartSession"] = answer
        expect_network_errors(aws)


def expect_network_errors(aws: Aws) -> None:
    with pytest.raises(SmProxyError) as caught:
        str(aws.call("sagemaker", "DescribeTrainingJob", TrainingJobName="x")["TrainingJobArn"])
    assert caught.value.code == "network"
    assert "sagemaker:DescribeTrainingJob" in caught.value.message
    assert "token=x" not in caught.value.line
    with pytest.raises(SmProxyError) as caught:
        str(aws.call("ssm", "StartSession", Target="i-1")["TokenValue"])
    assert caught.value.code == "network"


def test_an_xml_response_that_is_not_aws_is_an_error(service: Service, keys: None) -> None:
    aws = Aws(None, "eu-west-1")
    for answer in NOT_AWS:
        service.answers["DescribeSubnets"] = service.answers["GetCallerIdentity"] = answer
        for name, operation in (("ec2", "DescribeSubnets"), ("sts", "GetCallerIdentity")):
            with pytest.raises(SmProxyError) as caught:
                aws.call(name, operation)
            assert caught.value.code == "network", answer
            assert f"{name}:{operation}" in caught.value.message


@pytest.mark.parametrize("answer", NOT_AWS[::3])
def test_a_credentials_response_that_is_not_aws_is_an_error(
    service: Service, sso_cache: Path, tmp_path: Path, answer: Response
) -> None:
    service.answers |= {"federation/credentials": answer, "AssumeRole": answer}
    keep_token(sso_cache, "sso", GOOD)
    with (tmp_path / "aws" / "config").open("a") as config:
        config.write(ROLE.format(secret="x" * 40))
    for profile, action in (("sso", "sso:GetRoleCredentials"), ("role", "sts:AssumeRole")):
        error = refused(profile)
        assert error.code in {"network", "expired-credentials"}
        assert action in error.message or error.code == "expired-credentials"
        assert "DescribeTrainingJob" not in error.line


def test_a_real_refusal_is_still_reported(service: Service, keys: None) -> None:
    service.answers["DescribeTrainingJob"] = refusing("ValidationException")
    with pytest.raises(ServiceError, match="ValidationException"):
        Aws(None, "eu-west-1").call("sagemaker", "DescribeTrainingJob", TrainingJobName="x")


TORN: dict[str, bytes] = {
    "no section": b"region = eu-west-1\n",
    "double section": b"[default]\na = 1\n[default]\nb = 2\n",
    "double option": b"[default]\na = 1\na = 2\n",
    "torn section": b"[default\nregion = eu-west-1\n",
    "torn line": b"[default]\nregion\n",
    "no text": b"[default]\nregion = \xff\xfe\n",
    "binary": bytes(range(256)),
    "nested": b"[default]\ns3 =\n  x\n",
    "nested region": b"[default]\nregion =\n  a = b\n",
    "nested role": b"[default]\nrole_arn =\n  a = b\nsource_profile =\n  a = b\n",
    "nested process": b"[default]\ncredential_process =\n  a = b\n",
    "nested keys": b"[default]\naws_access_key_id =\n  a = b\naws_secret_access_key =\n  a = b\n",
    "half a key": b"[default]\naws_access_key_id = AKIAX\n",
    "unbalanced": b"[default]\ncredential_process = sh -c 'x\n",
    "no source": b"[default]\nrole_arn = arn:aws:iam::123456789012:role/r\n",
    "loop": b"[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = a\n"
    b"[profile a]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = default\n"
    b"[profile b]\n",
    "half of sso": b"[default]\nsso_account_id = 1\n",
    "no sso session": b"[default]\nsso_session = x\nsso_account_id = 1\nsso_role_name = r\n",
    "no services": b"[default]\nservices = x\n",
    "retries": b"[default]\nretry_mode = often\nmax_attempts = x\n",
    "sts": b"[default]\nsts_regional_endpoints = x\n",
    "defaults": b"[default]\ndefaults_mode = x\n",
    "metadata": b"[default]\nmetadata_service_timeout = x\n",
    "imds": b"[default]\nec2_metadata_service_endpoint_mode = x\n",
    "fips": b"[default]\nuse_fips_endpoint = x\nuse_dualstack_endpoint = y\n",
    "duration": b"[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nduration_seconds = x\n"
    b"credential_source = Environment\n",
    "empty": b"",
}


@pytest.mark.parametrize(
    ("file", "torn"),
    [*(("config", name) for name in TORN), *(("credentials", name) for name in list(TORN)[:14])],
)
def test_a_damaged_settings_file_is_named(
    cache: Path, tmp_path: Path, file: str, torn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM_PROXY_CACHE_DIR", str(cache))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / file).write_bytes(TORN[torn])
    aws = Aws(None, "eu-west-1")
    for look in (lambda: aws.scope, lambda: aws.network, lambda: aws.endpoint("ssm"),
                 lambda: aws.stream_url("wss://x/"), lambda: Aws().region):  # fmt: skip
        assert answers_or_fails_as_expected(look)
    error = refused()
    assert error.code in {"aws-error", "no-credentials", "expired-credentials", "bad-setting"} | {
        "network"
    }


def failure(look: Callable[[], object]) -> SmProxyError | None:
    try:
        look()
    except SmProxyError as error:
        return error
    return None


def answers_or_fails_as_expected(look: Callable[[], object]) -> bool:
    error = failure(look)
    return error is None or (error.code != "bug" and bool(error.hint))


def test_an_unknown_profile_is_an_error(service: Service) -> None:
    aws = Aws("nonsense", "eu-west-1")
    for look in (lambda: aws.scope, lambda: aws.network, lambda: aws.endpoint("ssm")):
        assert answers_or_fails_as_expected(look)
    with pytest.raises(SmProxyError) as caught:
        assert Aws("nonsense").scope
    assert (caught.value.code, "nonsense" in caught.value.message) == ("no-credentials", True)


@pytest.mark.parametrize("name", ["message", "Message"])
def test_a_refusal_without_a_message_is_still_reported(
    service: Service, keys: None, name: str
) -> None:
    document = {"__type": "ValidationException", name: None}
    service.answers["DescribeTrainingJob"] = (400, {}, json.dumps(document).encode())
    with pytest.raises(ServiceError, match="ValidationException: it gives no reason"):
        Aws(None, "eu-west-1").call("sagemaker", "DescribeTrainingJob", TrainingJobName="x")


@pytest.mark.parametrize(
    "document",
    [
        {"code": ["a"]},
        {"Code": {"a": 1}},
        {"__type": {"a": 1}},
        {"__type": 5, "message": 7},
        {"__type": None},
        {"__type": "x", "Message": {"a": 1}},
        {"message": [TOKEN]},
    ],
)
@pytest.mark.parametrize("operation", ["DescribeTrainingJob", "federation/credentials"])
def test_a_refusal_in_another_form_is_not_aws(
    service: Service, sso_cache: Path, operation: str, document: dict[str, object]
) -> None:
    service.answers[operation] = (400, {}, json.dumps(document).encode())
    keep_token(sso_cache, "sso", GOOD)
    service.answers.setdefault("federation/credentials", GOOD_KEYS)
    error = refused("sso")
    assert error.code == "network"
    assert "not AWS (HTTP status 400)" in error.message
