"""Each source of credentials in botocore's own list works with our client."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.credentials
import botocore.session
import pytest
from botocore.credentials import SSOProvider
from botocore.tokens import SSOTokenProvider
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.local import installation
from tests.aws.portal import CONFIG, Portal

LOGIN = "arn:aws:iam::123456789012:user/me"
ROLE = "role_arn = arn:aws:iam::123456789012:role/r\nregion = eu-west-1\n"
PRINTS = json.dumps({"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "s"})


class Place:
    """The files, variables and services that a source reads."""

    def __init__(self, folder: Path, portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.portal = portal
        self.setenv = monkeypatch.setenv

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def config(self, text: str) -> None:
        self.write("aws/config", f"{CONFIG}\n[profile x]\n{text}\n")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    running = Portal()
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    cache = str(tmp_path / ".aws" / "sso" / "cache")
    monkeypatch.setattr(SSOProvider, "_SSO_TOKEN_CACHE_DIR", cache)
    monkeypatch.setattr(SSOTokenProvider, "_SSO_TOKEN_CACHE_DIR", cache)
    found = Place(tmp_path, running, monkeypatch)
    found.config("region = eu-west-1")
    yield found
    running.close()


def environment(place: Place) -> str | None:
    place.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    place.setenv("AWS_SECRET_ACCESS_KEY", "s")
    return None


def assumed_role(place: Place) -> str:
    place.config(f"{ROLE}source_profile = keys")
    return "x"


def role_by_environment(place: Place) -> str:
    environment(place)
    place.config(f"{ROLE}credential_source = Environment")
    return "x"


def role_by_container(place: Place) -> str:
    container(place)
    place.config(f"{ROLE}credential_source = EcsContainer")
    return "x"


def role_by_metadata(place: Place) -> str:
    metadata(place)
    place.config(f"{ROLE}credential_source = Ec2InstanceMetadata")
    return "x"


def role_by_login(place: Place) -> str:
    login(place, f"[profile console]\nlogin_session = {LOGIN}\n[profile y]\n{ROLE}")
    place.config(f"{ROLE}source_profile = console\n[profile console]\nlogin_session = {LOGIN}")
    return "x"


def web_identity(place: Place) -> str:
    token = place.write("web-token", "token")
    place.config(f"{ROLE}web_identity_token_file = {token}")
    return "x"


def web_identity_by_environment(place: Place) -> None:
    place.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(place.write("web-token", "token")))
    place.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")


def sso(place: Place) -> str:
    place.portal.valid.add("access~0")
    name = hashlib.sha1(b"corp").hexdigest()  # noqa: S324 - botocore's
    token = {"accessToken": "access~0", "expiresAt": "2999-01-01T00:00:00Z"}
    place.write(f".aws/sso/cache/{name}.json", json.dumps(token))
    return "team"


def shared_file(place: Place) -> str:
    place.write("aws/credentials", "[x]\naws_access_key_id = AKIASHARED\naws_secret_access_key = s")
    return "x"


def login(place: Place, config: str = "", *, expires: str = "2999-01-01T00:00:00Z") -> str:
    """A session as `aws login` leaves it."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    token = {
        "accessToken": {
            "accessKeyId": "ASIALOGIN",
            "secretAccessKey": "s",
            "sessionToken": "t",
            "accountId": "123456789012",
            "expiresAt": expires,
        },
        "tokenType": "aws_sigv4",
        "refreshToken": "refresh~0",
        "clientId": "arn:aws:signin:::devtools/same-device",
        "dpopKey": key.decode(),
    }
    name = hashlib.sha256(LOGIN.encode()).hexdigest()
    place.setenv("AWS_LOGIN_CACHE_DIRECTORY", str(place.folder / "login"))
    place.write(f"login/{name}.json", json.dumps(token))
    place.config(config or f"login_session = {LOGIN}")
    return "x"


def login_that_is_refreshed(place: Place) -> str:
    return login(place, expires="2020-01-01T00:00:00Z")


def process(place: Place) -> str:
    program = place.write("print-keys.py", f"print({PRINTS!r})")
    place.config(f'credential_process = "{sys.executable}" "{program}"')
    return "x"


def config_file(_: Place) -> str:
    return "keys"


def old_ec2_file(place: Place) -> None:
    text = "AWSAccessKeyId=AKIAOLD\nAWSSecretKey=s\n"
    place.setenv("AWS_CREDENTIAL_FILE", str(place.write("old", text)))


def boto_file(place: Place) -> None:
    text = "[Credentials]\naws_access_key_id = AKIABOTO\naws_secret_access_key = s\n"
    place.setenv("BOTO_CONFIG", str(place.write("boto", text)))


def container(place: Place) -> None:
    """ECS by a token in the environment."""
    place.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{place.portal.url}/container")
    place.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod")


def pod_identity(place: Place) -> None:
    """EKS by a file."""
    place.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{place.portal.url}/container")
    path = place.write("pod-token", "pod")
    place.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(path))


def metadata(place: Place) -> None:
    place.setenv("AWS_EC2_METADATA_DISABLED", "false")
    place.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", place.portal.url)


SOURCES: dict[str, list[tuple[Callable[[Place], str | None], str]]] = {
    "env": [(environment, "AKIAENV")],
    "assume-role": [
        *((assumed_role, "ASIAROLE"), (role_by_environment, "ASIAROLE")),
        *((role_by_container, "ASIAROLE"), (role_by_metadata, "ASIAROLE")),
        (role_by_login, "ASIAROLE"),
    ],
    "assume-role-with-web-identity": [
        *((web_identity, "ASIAROLE"), (web_identity_by_environment, "ASIAROLE")),
    ],
    "sso": [(sso, "ASIASSO")],
    "shared-credentials-file": [(shared_file, "AKIASHARED")],
    "login": [(login, "ASIALOGIN"), (login_that_is_refreshed, "ASIALOGIN2")],
    "custom-process": [(process, "AKIAPROCESS")],
    "config-file": [(config_file, "AKIAKEYS")],
    "ec2-credentials-file": [(old_ec2_file, "AKIAOLD")],
    "boto-config": [(boto_file, "AKIABOTO")],
    "container-role": [(container, "ASIACONTAINER"), (pod_identity, "ASIACONTAINER")],
    "iam-role": [(metadata, "ASIACONTAINER")],
}
"""By botocore's name of the provider: how to set it up, and the access key that it gives."""
KNOWS_LOGIN = hasattr(botocore.credentials, "LoginProvider")
"""An older botocore does not."""
EACH = [
    (method, *row)
    for method, rows in SOURCES.items()
    for row in rows
    if KNOWS_LOGIN or "login" not in row[0].__name__
]
needs_login = pytest.mark.skipif(not KNOWS_LOGIN, reason="this botocore has no such profiles")


class Ec:
    """A stand-in for `awscrt.crypto.EC`, with what botocore calls."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def new_key_from_der_data(cls, data: bytes) -> Ec:
        key = load_der_private_key(data, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(key)

    def get_public_coords(self) -> tuple[bytes, bytes]:
        numbers = self._key.public_key().public_numbers()
        return numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")

    def sign(self, digest: bytes) -> bytes:
        return self._key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))

    @staticmethod
    def decode_der_signature_to_padded_pair(signature: bytes, pad_to: int) -> bytes:
        return b"".join(
            part.to_bytes(pad_to, "big") for part in utils.decode_dss_signature(signature)
        )


def test_every_source_of_botocore_is_tested() -> None:
    resolver: Any = botocore.credentials.create_credential_resolver(botocore.session.Session())
    assert {provider.METHOD for provider in resolver.providers} | {"login"} == set(SOURCES)


@pytest.mark.parametrize(("method", "prepare", "key"), EACH, ids=[row[1].__name__ for row in EACH])
def test_a_source_gives_credentials(
    method: str,
    prepare: Callable[[Place], str | None],
    key: str,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(botocore.credentials, "EC", Ec, raising=False)
    aws = Aws(prepare(place))
    assert aws.call("sts", "GetCallerIdentity")["Account"] == "123456789012"
    client: Any = aws._client("sts")
    assert client._get_credentials().get_frozen_credentials().access_key == key
    assert aws.credential_source == method


@needs_login
def test_aws_login_without_the_crt_names_the_package(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(botocore.credentials, "EC", None)
    with pytest.raises(SmProxyError) as caught:
        Aws(login(place)).call("sts", "GetCallerIdentity")
    assert caught.value.code == "missing-dependency"
    assert caught.value.hint == f"Install it: {installation.add('botocore[crt]>=1.41.6')}"


def test_aws_login_with_an_older_botocore_names_the_package(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unaware:
        METHOD = "login"

        def load(self) -> None:
            return None

    monkeypatch.setattr(
        botocore.credentials, "LoginProvider", lambda *_, **__: Unaware(), raising=False
    )
    with pytest.raises(SmProxyError) as caught:
        Aws(login(place)).call("sts", "GetCallerIdentity")
    assert caught.value.code == "missing-dependency"
    assert "botocore[crt]>=1.41.6" in caught.value.hint


@needs_login
@pytest.mark.parametrize("broken", ["refused", "absent"])
def test_an_expired_aws_login_names_its_command(
    broken: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(botocore.credentials, "EC", Ec)
    profile = login_that_is_refreshed(place)
    if broken == "absent":
        next((place.folder / "login").iterdir()).unlink()
    place.portal.refuses["/v1/token"] = ["AccessDeniedException"]
    with pytest.raises(SmProxyError) as caught:
        Aws(profile).call("sts", "GetCallerIdentity")
    assert caught.value.code == "expired-credentials"
    assert caught.value.hint == "Renew them with: aws login --profile x (AWS CLI 2.32 or newer)"


@needs_login
@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"{", b"\xff\xfe", b'{"accessToken": 5}', b"whole, with a wrong date"],
)
def test_a_damaged_aws_login_session_asks_for_a_login(
    content: bytes, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(botocore.credentials, "EC", Ec)
    profile = login(place)
    path = next((place.folder / "login").iterdir())
    whole = json.loads(path.read_text())
    whole["accessToken"]["expiresAt"] = 5
    path.write_bytes(json.dumps(whole).encode() if content.startswith(b"whole") else content)
    with pytest.raises(SmProxyError) as caught:
        Aws(profile).call("sts", "GetCallerIdentity")
    assert caught.value.code == "expired-credentials"
    assert caught.value.hint == "Renew them with: aws login --profile x (AWS CLI 2.32 or newer)"
