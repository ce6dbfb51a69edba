"""The login of an SSO profile from start to end, and botocore's use of its token."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore.credentials import SSOProvider
from botocore.tokens import SSOTokenProvider

from sm_proxy import cli
from sm_proxy.aws import caller, sso
from sm_proxy.aws.clients import Aws
from sm_proxy.commands import login
from sm_proxy.errors import SmProxyError
from sm_proxy.local import private_files
from tests.aws.portal import CODE, CONFIG, Portal

SECRETS = ("access~", "refresh~", "client-secret", "device-code", "role-secret")


class Clock:
    """Sleeping only advances the clock, so codes still expire."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def monotonic(self) -> float:
        return sum(self.slept)

    time = staticmethod(time.time)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(sso, "time", found)
    return found


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were opened in a browser."""
    urls: list[str] = []
    monkeypatch.setattr(login, "_open", urls.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    return urls


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """botocore finds the home folder when it is imported; we find it when we write."""
    folder = tmp_path / ".aws" / "sso" / "cache"
    monkeypatch.setattr(SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(folder))
    monkeypatch.setattr(SSOTokenProvider, "_SSO_TOKEN_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def portal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Portal]:
    running = Portal()
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "config").write_text(CONFIG)
    yield running
    running.close()


def logged_in(profile: str, *words: str) -> int:
    return cli.main(["login", "--profile", profile, *words])


def key_of(profile: str) -> str:
    """The access key that boto3 and the AWS CLI would sign with."""
    found = botocore.session.Session(profile=profile).get_credentials()
    assert found is not None
    return str(found.get_frozen_credentials().access_key)


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    shown = capsys.readouterr()
    assert not [secret for secret in SECRETS if secret in shown.out + shown.err]
    return shown.err.splitlines()[-1]


@pytest.mark.parametrize("profile", ["team", "legacy"])
def test_botocore_signs_with_the_token_of_a_login(
    profile: str, portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    assert logged_in(profile) == 0
    shown = capsys.readouterr()
    assert (
        shown.out == "arn:aws:sts::123456789012:assumed-role/research/me of account 123456789012\n"
    )
    assert f"https://device.example/?user_code={CODE}" in shown.err
    assert f"code: {CODE}" in shown.err
    assert "waiting up to 10 min" in shown.err
    assert not [secret for secret in SECRETS if secret in shown.out + shown.err]
    assert key_of(profile) == "ASIASSO"
    # From now on the user is not asked.
    asked = len(portal.asked)
    assert logged_in(profile) == 0
    assert portal.paths()[asked:] == ["/federation/credentials", "GetCallerIdentity"]


@pytest.mark.parametrize(
    ("profile", "name", "scopes"),
    [
        ("team", "corp", ["sso:account:access", "other:scope"]),
        ("legacy", "https://old.awsapps.com/start", None),
    ],
)
def test_the_token_file_has_the_form_of_the_aws_cli(
    profile: str, name: str, scopes: list[str] | None, portal: Portal, cache: Path
) -> None:
    assert logged_in(profile) == 0
    (path,) = cache.iterdir()
    assert path.name == f"{hashlib.sha1(name.encode()).hexdigest()}.json"  # noqa: S324 - botocore's
    assert path.stat().st_mode & 0o777 == 0o600
    assert cache.stat().st_mode & 0o077 == 0
    token = json.loads(path.read_text())
    assert set(token) == {
        *("startUrl", "region", "accessToken", "expiresAt", "clientId", "clientSecret"),
        *("registrationExpiresAt", "refreshToken"),
    }
    assert token["region"] == "eu-central-1"
    for moment in ("expiresAt", "registrationExpiresAt"):
        assert time.strptime(token[moment], "%Y-%m-%dT%H:%M:%SZ")
    asked = dict(portal.asked)
    assert asked["/client/register"].get("scopes") == scopes
    assert asked["/device_authorization"]["startUrl"] == token["startUrl"]
    assert "device-code" not in path.read_text()


def test_a_role_with_an_sso_source_profile_works(
    portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SmProxyError) as caught:
        caller.identify(Aws("through"))
    assert caught.value.hint == "Renew them with: sm-proxy login --profile team"
    assert logged_in("through") == 0
    assert "AssumeRole" in portal.paths()


@pytest.mark.parametrize("profile", ["team", "legacy"])
def test_an_expired_login_names_our_own_command(profile: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        Aws(profile).call("sts", "GetCallerIdentity")
    assert caught.value.code == "expired-credentials"
    assert caught.value.hint == f"Renew them with: sm-proxy login --profile {profile}"


def test_a_revoked_token_is_replaced(portal: Portal) -> None:
    assert logged_in("team") == 0
    portal.valid.clear()
    assert logged_in("team") == 0
    assert portal.paths().count("/device_authorization") == 2
    assert key_of("team") == "ASIASSO"


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        *(("", "team"), ("{", "legacy"), ('{"accessToken": "x"}', "team")),
        ('{"accessToken": "a\\u0001b", "expiresAt": "2999-01-01T00:00:00Z"}', "legacy"),
    ],
)
def test_a_damaged_token_file_is_replaced(
    text: str, profile: str, portal: Portal, cache: Path
) -> None:
    cache.mkdir(parents=True)
    for name in ("corp", "https://old.awsapps.com/start"):
        (cache / f"{hashlib.sha1(name.encode()).hexdigest()}.json").write_text(text)  # noqa: S324
    with pytest.raises(SmProxyError) as caught:
        Aws(profile).call("sagemaker", "ListTrainingJobs")
    assert caught.value.code == "expired-credentials"
    assert caught.value.hint == f"Renew them with: sm-proxy login --profile {profile}"
    assert logged_in(profile) == 0
    assert key_of(profile) == "ASIASSO"


def test_no_hint_names_the_aws_cli_for_sso(portal: Portal) -> None:
    assert logged_in("team") == 0
    portal.valid.clear()
    with pytest.raises(SmProxyError) as caught:
        Aws("team").call("sagemaker", "ListTrainingJobs")
    assert "aws sso login" not in caught.value.line
    assert caught.value.line.endswith("Renew them with: sm-proxy login --profile team")


def test_a_group_writable_folder_of_the_aws_cli_is_accepted(portal: Portal, cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o775)
    assert logged_in("team") == 0
    assert len(list(cache.iterdir())) == 1


def test_a_refresh_token_saves_a_login(portal: Portal, cache: Path) -> None:
    assert logged_in("team") == 0
    (path,) = cache.iterdir()
    token = json.loads(path.read_text())
    path.write_text(json.dumps({**token, "expiresAt": "2020-01-01T00:00:00Z"}))
    assert logged_in("team") == 0
    assert portal.paths().count("/device_authorization") == 1
    assert portal.asked[-3][1] == {
        "grantType": "refresh_token",
        "clientId": "client",
        "clientSecret": "client-secret",
        "refreshToken": "refresh~1",
    }
    # An expired refresh token does not.
    path.write_text(json.dumps({**token, "expiresAt": "2020-01-01T00:00:00Z"}))
    portal.refuses["/token"] = ["InvalidGrantException"]
    assert logged_in("team") == 0
    assert portal.paths().count("/device_authorization") == 2


def test_polling_keeps_the_given_interval(portal: Portal, clock: Clock) -> None:
    portal.changes["/device_authorization"] = {"interval": 7}
    portal.refuses["/token"] = [
        *("AuthorizationPendingException", "SlowDownException", "AuthorizationPendingException"),
    ]
    assert logged_in("team") == 0
    assert clock.slept == [7, 7, 12, 12]


@pytest.mark.parametrize("interval", [None, 0, -1, 10**9])
def test_polling_always_pauses(interval: int | None, portal: Portal, clock: Clock) -> None:
    portal.changes["/device_authorization"] = {"interval": interval}
    assert logged_in("team") == 0
    assert 1 <= clock.slept[0] <= 60


def test_an_unconfirmed_code_times_out(
    portal: Portal, clock: Clock, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    portal.changes["/device_authorization"] = {"interval": 50}
    portal.refuses["/token"] = ["AuthorizationPendingException"] * 1000
    assert logged_in("team") == 1
    line = last_line(capsys)
    assert line.startswith(
        f"sm-proxy: wait-timeout: nobody confirmed the code {CODE} within 10 min"
    )
    assert clock.monotonic() == 600
    assert not cache.exists()


@pytest.mark.parametrize(
    ("path", "refusal", "code", "part"),
    [
        ("/token", "AccessDeniedException", "access-denied", "refused, in the browser"),
        ("/token", "ExpiredTokenException", "wait-timeout", "the code has expired"),
        ("/token", "InvalidGrantException", "aws-error", "sso-oidc:CreateToken"),
        ("/token", "InvalidRequestException", "aws-error", "sso-oidc:CreateToken"),
        ("/device_authorization", "InvalidRequestException", "bad-setting", "sso_start_url"),
        ("/device_authorization", "UnauthorizedClientException", "aws-error", "sso-oidc:"),
        ("/client/register", "SlowDownException", "aws-error", "sso-oidc:RegisterClient"),
        ("/client/register", "InvalidScopeException", "aws-error", "sso-oidc:RegisterClient"),
    ],
)
def test_a_refusal_is_reported(  # noqa: PLR0917 - fixtures
    path: str,
    refusal: str,
    code: str,
    part: str,
    portal: Portal,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    portal.refuses[path] = [refusal]
    assert logged_in("team") == 1
    line = last_line(capsys)
    assert line.startswith(f"sm-proxy: {code}: ")
    assert part in line
    assert not cache.exists()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/client/register", "clientId"),
        ("/client/register", "clientSecret"),
        ("/client/register", "clientSecretExpiresAt"),
        ("/device_authorization", "deviceCode"),
        ("/device_authorization", "userCode"),
        ("/token", "accessToken"),
        ("/token", "expiresIn"),
    ],
)
@pytest.mark.parametrize("value", [None, "a\nb"])
def test_an_incomplete_answer_is_an_error(  # noqa: PLR0917 - fixtures
    path: str,
    name: str,
    value: str | None,
    portal: Portal,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    portal.changes[path] = {name: value}
    assert logged_in("team") == 1
    line = last_line(capsys)
    assert line.startswith("sm-proxy: aws-error: "), line
    assert not cache.exists()


@pytest.mark.parametrize(
    ("path", "name"), [("/client/register", "clientSecretExpiresAt"), ("/token", "expiresIn")]
)
@pytest.mark.parametrize("value", [1e30, float("inf"), float("nan"), -5])
def test_an_impossible_time_is_an_error(  # noqa: PLR0917 - fixtures
    path: str,
    name: str,
    value: float,
    portal: Portal,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    portal.changes[path] = {name: value}
    assert logged_in("team") == 1
    assert last_line(capsys).startswith("sm-proxy: aws-error: ")
    assert not cache.exists()


def test_an_error_after_the_login_is_reported_by_itself(
    portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    portal.refuses["/federation/credentials"] = ["ForbiddenException"]
    assert logged_in("team") == 1
    line = last_line(capsys)
    assert line.startswith("sm-proxy: access-denied: sso:GetRoleCredentials is denied")


def test_a_token_that_cannot_be_saved_is_an_error(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_files, "write_whole", full)
    assert logged_in("team") == 1
    line = last_line(capsys)
    assert line.startswith("sm-proxy: bad-permissions: the login succeeded, but ")
    assert "No space left" in line


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("[sso-session corp]", "[sso-session other]", "corp"),
        ("sso_region = eu-central-1\nsso_reg", "sso_reg", "sso_region"),
        ("sso_region = eu-central-1\nsso_reg", "sso_region = EU Central\nsso_reg", "sso_region"),
    ],
)
def test_an_incomplete_configuration_is_an_error(
    old: str, new: str, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "aws" / "config").write_text(CONFIG.replace(old, new))
    assert logged_in("team") == 1
    line = last_line(capsys)
    assert part in line
    assert "bug" not in line


@pytest.mark.parametrize(
    ("variables", "words", "opens"),
    [
        ({"DISPLAY": ":0"}, [], True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, [], True),
        ({"BROWSER": "firefox"}, [], True),
        ({}, [], False),
        ({"DISPLAY": ":0"}, ["--no-browser"], False),
    ],
)
def test_a_browser_is_opened_if_there_is_one(  # noqa: PLR0917 - fixtures
    variables: dict[str, str],
    words: list[str],
    opens: bool,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sm_proxy.local.threads.Background", lambda work: work())
    assert logged_in("team", *words) == 0
    assert opened == ([f"https://device.example/?user_code={CODE}"] if opens else [])
    assert CODE in capsys.readouterr().err, "the address and the code are shown in any case"


def test_only_an_http_address_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("it was run"))
    for url in ("file:///etc/passwd", "--help", "javascript:x", "$(id)"):
        login._open(url)


def test_login_uses_the_profile_that_setup_recorded(
    portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the profile of another prefix."""
    config = ["--ssh-config", str(tmp_path / "s" / "config")]
    for words in (["--profile", "team"], ["--prefix", "sm-old-", "--profile", "legacy"]):
        assert cli.main(["config", "write", *config, *words]) == 0
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(tmp_path / "s" / "sm-proxy"))
    assert cli.main(["login"]) == 0
    assert cli.main(["login", "--prefix", "sm-old-"]) == 0
    starts = [body["startUrl"] for path, body in portal.asked if path == "/device_authorization"]
    assert starts == ["https://corp.awsapps.com/start", "https://old.awsapps.com/start"]


def test_json_output_names_the_caller_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert logged_in("team", "--json") == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["account"] == "123456789012"


@pytest.mark.parametrize("refusal", ["AccessDenied", "InternalFailure", "Throttling"])
def test_a_login_succeeds_without_sts(
    refusal: str,
    portal: Portal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # botocore's retries
    portal.sts = refusal
    assert logged_in("team") == 0
    assert "STS does not say whose" in capsys.readouterr().out


def test_expired_keys_in_the_environment_name_their_renewal(
    portal: Portal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Logging in to the profile would not help, because these keys win over it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_PROFILE", "team")
    portal.sts = "ExpiredToken"
    assert cli.main(["login"]) == 1
    line = last_line(capsys)
    assert line.startswith("sm-proxy: expired-credentials: ")
    assert "Get new AWS_ACCESS_KEY_ID" in line
    assert "/device_authorization" not in portal.paths()


def test_expired_keys_of_a_profile_name_their_renewal(
    portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    portal.sts = "ExpiredToken"
    assert logged_in("keys") == 1
    assert "Put new keys into ~/.aws/config of AWS profile keys" in last_line(capsys)


def test_the_token_is_saved_in_the_real_home(tmp_path: Path) -> None:
    assert os.environ["HOME"] == str(tmp_path)
    portal = sso.Portal("https://a", "eu-west-1", "name")
    assert portal.token_file.parent == tmp_path / ".aws" / "sso" / "cache"
